"""Rows that break everything, among ten thousand that do not: each costs one error record."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Millrace

ROWS = 10_000
POISON = {
    7: '{"id": 7, "text": "not json',
    1_234: '{"id": 1234, "text": 5}',
    2_500: '{"id": 2500, "text": "raise"}',
    2_501: '{"id": 2501, "text": "raise"}',
    4_999: '{"id": 4999, "text": "exit"}',
    7_777: '{"id": 7777, "text": "allocate"}',
    9_999: '{"id": 9999, "text": "exit"}',
}
CODES = {
    7: "JSON_INVALID",
    1_234: "WRONG_TYPE",
    2_500: "PREDICT_ERROR",
    2_501: "PREDICT_ERROR",
    4_999: "WORKER_CRASHED",
    7_777: "OUT_OF_MEMORY",
    9_999: "WORKER_CRASHED",
}
PREDICTOR = """
import os
import numpy as np
from millrace.predictor import Predictor


class Fragile(Predictor):
    def predict(self, batch):
        texts = list(batch["text"])
        if "raise" in texts:
            raise ValueError("this row again")
        if "exit" in texts:
            os._exit(3)
        if "allocate" in texts:
            hoard = []
            while True:
                hoard.append(bytearray(1 << 28))
        return {"length": np.array([len(text) for text in texts])}
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_k_poison_rows_are_k_error_records(
    millrace: Millrace, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["MILLRACE_MEMORY_BYTES"] = str(1 << 30)
    (tmp_path / "fragile.py").write_text(PREDICTOR)
    lines = [POISON.get(n, f'{{"id": {n}, "text": "row {n}"}}') for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")

    ran = millrace(
        *("run", "--model", "python:fragile.py:Fragile", "--input", "rows.jsonl"),
        *("--output", "out", "--key", "id", "--workers", "2", "--json"),
        timeout=280,
    )

    assert ran.returncode == 9, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["state"] == "partial"
    assert (summary["rows_ok"], summary["rows_err"]) == (ROWS - len(POISON), len(POISON))
    manifest = json.loads((tmp_path / "out/_MANIFEST.json").read_bytes())
    results = _lines(tmp_path / "out", manifest["parts"])
    assert [row["id"] for row in results] == [n for n in range(ROWS) if n not in POISON]
    errors = _lines(tmp_path / "out", manifest["errors"])
    assert {row["row"]: row["code"] for row in errors} == CODES
    assert Counter(row["line"] - row["row"] for row in errors) == {1: len(POISON)}
    assert millrace("verify", "out").returncode == 0


def _lines(folder: Path, entries: list[dict[str, str]]) -> list[dict[str, Any]]:
    texts = (folder.joinpath(entry["path"]).read_text() for entry in entries)
    return [json.loads(line) for text in texts for line in text.splitlines()]
