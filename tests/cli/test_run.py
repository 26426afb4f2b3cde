"""``millrace run`` and the commands that look at what it did, as their users have them."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.commands import Millrace, command

ROWS = [{"id": n, "text": f"row {n}, “quoted”", "score": n / 4} for n in range(250)]


def write(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    match path.suffixes:
        case [".jsonl"]:
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        case [".jsonl", ".gz"]:
            path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
        case [".csv"]:
            pyarrow.csv.write_csv(table, path)
        case _:
            pyarrow.parquet.write_table(table, path, row_group_size=40)


def published(output: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((output / "_MANIFEST.json").read_bytes())
    return manifest


def rows_of(output: Path, form: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in published(output)["parts"]:
        path = output / part["path"]
        match form:
            case "jsonl":
                rows += map(json.loads, path.read_text().splitlines())
            case "csv":
                with path.open(newline="") as lines:
                    rows += csv.DictReader(lines)
            case _:
                rows += pyarrow.parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("source", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.parquet"])
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_every_format_in_and_out(
    millrace: Millrace, tmp_path: Path, source: str, form: str
) -> None:
    write(tmp_path / source)

    ended = millrace(
        *("run", "--model", "echo", "--input", source, "--output", "out"),
        *("--output-format", form, "--chunk-rows", "60", "--workers", "1"),
    )

    assert ended.returncode == 0, ended.stderr
    rows = rows_of(tmp_path / "out", form)
    assert [int(row["id"]) for row in rows] == [row["id"] for row in ROWS]
    assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
    assert [float(row["score"]) for row in rows] == [row["score"] for row in ROWS]
    checked = millrace("verify", "out")
    assert checked.returncode == 0, checked.stderr
    assert "250 rows = 250 results + 0 errors" in checked.stdout


def test_a_folder_of_files_is_one_input(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(7):
        (tmp_path / "in" / f"{n}.jsonl").write_text(f'{{"id": {n}, "text": "x"}}\n' * 3)

    assert (
        millrace(
            "run", "--model", "echo", "--input", "in", "--output", "out", "--key", "id"
        ).returncode
        == 0
    )
    assert [row["id"] for row in rows_of(tmp_path / "out", "jsonl")] == sorted([*range(7)] * 3)


def test_a_second_run_says_that_it_is_done(millrace: Millrace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    again = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*again).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    ended = millrace(*again)

    assert ended.returncode == 0
    assert "finished already" in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_second_run_sees_a_changed_input_and_damaged_results(
    millrace: Millrace, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl")
    again = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*again).returncode == 0
    part = tmp_path / "out" / published(tmp_path / "out")["parts"][0]["path"]
    content = part.read_bytes()

    part.write_bytes(content[:-1])
    damaged = millrace(*again)
    assert (damaged.returncode, "OUTPUT_DAMAGED" in damaged.stderr) == (6, True)
    part.write_bytes(content)
    with (tmp_path / "rows.jsonl").open("a") as more:
        more.write('{"id": 1}\n')
    changed = millrace(*again)
    assert (changed.returncode, "INPUT_CHANGED" in changed.stderr) == (6, True)
    (tmp_path / "rows.jsonl").unlink()
    assert millrace(*again).returncode == 0


def test_a_run_leaves_no_process_and_no_stray_part_behind(
    millrace: Millrace, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl")
    (tmp_path / "model.py").write_text(
        "import subprocess\n"
        "from millrace.predictor import Predictor\n"
        "class Leaves(Predictor):\n"
        "    def load(self, device):\n"
        "        subprocess.Popen(['sleep', '1234.5'])\n"
        "    def predict(self, batch):\n"
        "        return {'length': [len(text) for text in batch['text']]}\n"
    )
    (tmp_path / "out" / "parts").mkdir(parents=True)
    asked = ("run", "--model", "python:model.py:Leaves", "--input", "rows.jsonl", "--output", "out")

    ended = millrace(*asked, "--chunk-rows", "50")

    assert ended.returncode == 0, ended.stderr
    left = [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])]
    assert ["sleep", "1234.5"] not in left
    named = {part["path"] for part in published(tmp_path / "out")["parts"]}
    there = {f"parts/{each.name}" for each in (tmp_path / "out" / "parts").iterdir()}
    assert there == named


def test_deleted_results_are_computed_again(millrace: Millrace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    again = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*again).returncode == 0
    shutil.rmtree(tmp_path / "out")

    assert millrace(*again).returncode == 0
    assert millrace("verify", "out").returncode == 0


def test_a_failed_job_is_tried_again_with_the_same_or_a_mended_model(
    millrace: Millrace, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl")
    model = tmp_path / "model.py"
    model.write_text("import nothing_of_this_name\n")
    asked = ("run", "--model", "python:model.py:Mine", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*asked).returncode == 8
    again = millrace(*asked)
    assert again.returncode == 8
    assert "trying again" in again.stderr

    model.write_text(
        "from millrace.predictor import Predictor\n"
        "class Mine(Predictor):\n"
        "    def predict(self, batch):\n"
        "        return {'length': [len(text) for text in batch['text']]}\n"
    )
    mended = millrace(*asked)
    assert mended.returncode == 0, mended.stderr


def test_an_interrupted_run_goes_on(
    millrace: Millrace, tmp_path: Path, environment: dict[str, str]
) -> None:
    write(tmp_path / "rows.jsonl")
    slow = (
        *("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out"),
        *("--chunk-rows", "20", "--option", "delay=0.2", "--workers", "1"),
    )
    with subprocess.Popen(
        command(*slow), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        while not any((tmp_path / "out").glob("parts/*.jsonl")):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "run the same command again" in said
    kept = {part.name for part in (tmp_path / "out" / "parts").glob("*.jsonl")}

    ended = millrace(*slow)

    assert ended.returncode == 0, ended.stderr
    assert "going on with job" in ended.stderr
    assert kept <= {Path(part["path"]).name for part in published(tmp_path / "out")["parts"]}
    assert [row["id"] for row in rows_of(tmp_path / "out", "jsonl")] == [r["id"] for r in ROWS]


def test_jobs_tell_what_happened(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "a"}\nnonsense\n{"id": 3}\n')
    ran = millrace(
        *("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out", "--key", "id"),
        "--json",
    )
    assert ran.returncode == 9, ran.stderr
    summary = json.loads(ran.stdout)
    job = summary["id"]
    assert (summary["state"], summary["rows_ok"], summary["rows_err"]) == ("partial", 2, 1)

    listed = json.loads(millrace("jobs", "list", "--json").stdout)
    assert [(each["id"], each["state"]) for each in listed["data"]] == [(job, "partial")]
    assert job in millrace("jobs", "list").stdout
    assert "partial" in millrace("jobs", "show", job).stdout
    results = millrace("jobs", "results", job).stdout.splitlines()
    assert [json.loads(line)["id"] for line in results] == [1, 3]
    errors = millrace("jobs", "errors", job).stdout.splitlines()
    record = json.loads(errors[0])
    assert (record["row"], record["line"], record["code"]) == (1, 2, "JSON_INVALID")


def test_the_threshold_fails_the_job(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n' * 90 + "nonsense\n" * 10)
    asked = ("run", "--model", "echo", "--input", "rows.jsonl")

    failed = millrace(*asked, "--output", "strict", "--error-threshold", "5%")
    assert failed.returncode == 8
    assert "ERROR_THRESHOLD" in failed.stderr
    assert not (tmp_path / "strict" / "_MANIFEST.json").exists()
    borne = millrace(*asked, "--output", "mild", "--error-threshold", "10")
    assert borne.returncode == 9
    ended = millrace(*asked, "--output", "fail", "--on-error", "fail")
    assert ended.returncode == 8
    assert "ROW_FAILED" in ended.stderr


def test_verify_sees_what_was_changed(millrace: Millrace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    asked = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out", "--key", "id")
    assert millrace(*asked, "--chunk-rows", "100").returncode == 0
    part = tmp_path / "out" / published(tmp_path / "out")["parts"][0]["path"]
    content = part.read_bytes()

    part.write_bytes(content.replace(b'"id":7,', b'"id":8,', 1))
    flipped = millrace("verify", "out")
    assert flipped.returncode == 3
    assert "SHA-256" in flipped.stderr
    part.unlink()
    assert millrace("verify", "out").returncode == 3
    part.write_bytes(content)
    assert millrace("verify", "out").returncode == 0
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert "not compared" in millrace("verify", "out").stdout


def test_a_dry_run_shows_the_plan_and_leaves_nothing(millrace: Millrace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    ended = millrace(
        *("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out"),
        *("--dry-run", "--json"),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["blocks"] >= 1
    assert not (tmp_path / "out").exists()


def test_a_dry_run_plans_for_the_workers_that_there_would_be(
    millrace: Millrace, tmp_path: Path
) -> None:
    write(tmp_path / "rows.jsonl")
    asked = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out", "--dry-run")

    few, many = (
        millrace(*asked, "--chunk-rows", "250", "--workers", count).stdout.splitlines()
        for count in ("1", "64")
    )

    blocks_of_few, blocks_of_many = (
        int(line.removeprefix("blocks"))
        for lines in (few, many)
        for line in lines
        if line.startswith("blocks")
    )
    assert blocks_of_few < blocks_of_many
    assert few[-1] == "columns    id int64, text string, score double"


def test_an_expired_job_goes_on_with_another_deadline(millrace: Millrace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    asked = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*asked, "--deadline", "0.001s").returncode == 10

    ended = millrace(*asked, "--deadline", "1h")

    assert ended.returncode == 0, ended.stderr
    assert "had expired" in ended.stderr
