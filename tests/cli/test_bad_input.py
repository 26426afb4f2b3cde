"""What people get wrong: one clear line, what to do, the right exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Millrace

USAGE, INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE, FAILED = 2, 3, 4, 6, 7, 8


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n')
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_text("\n\n  \n")
    (tmp_path / "header.csv").write_text("id,text\n")
    (tmp_path / "rows.xyz").write_text("what is this")
    (tmp_path / "lies.jsonl").write_bytes(b"\x1f\x8b\x08\x00garbage")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.py").write_text("def predict(:\n")
    (tmp_path / "raises.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "weights.bin").write_bytes(b"\x80\x02}q")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")


def run(**changed: str | None) -> list[str]:
    """``millrace run`` with good arguments but for those given; None leaves one away."""
    asked = {"model": "echo", "input": "rows.jsonl", "output": "out"} | changed
    options = {f"--{name.replace('_', '-')}": value for name, value in asked.items() if value}
    return ["run", *(text for option in options.items() for text in option if text)]


CASES = {
    "no such file": (run(input="nothing.jsonl"), INVALID, "nothing.jsonl"),
    "no input": (run(input=None), USAGE, "--input"),
    "empty folder": (run(input="folder"), INVALID, "folder"),
    "empty file": (run(input="empty.jsonl"), INVALID, "DATASET_EMPTY"),
    "blank lines": (run(input="blank.jsonl"), INVALID, "DATASET_EMPTY"),
    "header only": (run(input="header.csv"), INVALID, "DATASET_EMPTY"),
    "unknown suffix": (run(input="rows.xyz"), INVALID, "--input-format"),
    "unknown format": (run(input_format="xml"), USAGE, "xml"),
    "other content": (run(input="lies.jsonl"), INVALID, "FORMAT_MISMATCH"),
    "a device": (run(input="/dev/zero"), INVALID, "not a regular file"),
    "unknown scheme": (run(input="http://host/rows.jsonl"), INVALID, "http://"),
    "output is a file": (run(output="rows.jsonl"), INVALID, "OUTPUT"),
    "output below a file": (run(output="rows.xyz/out"), INVALID, "OUTPUT_NOT_WRITABLE"),
    "output in input": (run(input="folder", output="folder/out"), INVALID, "OVERLAPS"),
    "input in output": (run(input="full/thesis.txt", output="full"), INVALID, "OVERLAPS"),
    "output not ours": (run(output="full"), CONFLICT, "OUTPUT_EXISTS"),
    "no such engine": (run(model="magic:x"), INVALID, "sentence-transformers"),
    "no engine": (run(model="model"), USAGE, "ENGINE:LOCATION"),
    "no such model": (run(model="python:nothing.py:Class"), NOT_FOUND, "nothing.py"),
    "syntax error": (run(model="python:broken.py:Class"), FAILED, "broken.py"),
    "import error": (run(model="python:raises.py:Class"), FAILED, "nothing_of_this_name"),
    "no such class": (run(model="python:../tests_none.py:X"), NOT_FOUND, "tests_none.py"),
    "a pickle": (run(model="torch:weights.bin"), FAILED, "safetensors"),
    "not a model": (run(model="sentence-transformers:folder"), NOT_FOUND, "folder"),
    "unknown option": ([*run(), "--chunk-sise", "5"], USAGE, "--chunk-sise"),
    "unknown command": (["rnu"], USAGE, "rnu"),
    "no such key": (run(key="uuid"), INVALID, "id, text"),
    "no such column": (run(input_columns="body"), INVALID, "id, text"),
    "no such output column": (run(output_columns="score"), FAILED, "text"),
    "key without join": (run(join="key"), USAGE, "--key"),
    "bad threshold": (run(error_threshold="many"), USAGE, "5%"),
    "bad deadline": (run(deadline="soon"), USAGE, "45m"),
    "no deadline": (run(deadline="0s"), USAGE, "--deadline: '0s'"),
    "endless deadline": (run(deadline="9" * 400 + "s"), USAGE, "--deadline: '9"),
    "bad priority": (run(priority="12"), USAGE, "--priority"),
    "bad chunk": (run(chunk_rows="0"), USAGE, "--chunk-rows"),
    "bad engine option": (run(option="no-equals-sign"), USAGE, "NAME=VALUE"),
    "huge number": (run(option="n=1e999"), USAGE, "--option"),
    "no workers": (run(workers="0"), USAGE, "--workers"),
    "no such device": (
        run(device="warp"),
        USAGE,
        "--device (MILLRACE_DEVICE): 'warp' is none of auto",
    ),
    "unpublished": (["verify", "folder"], NOT_FOUND, "_MANIFEST.json"),
    "no such job": (["jobs", "show", "0815"], NOT_FOUND, "0815"),
    "no state": (["jobs", "list", "--state", "nowhere"], NOT_FOUND, "nowhere"),
    "state is a file": ([*run(), "--state", "rows.jsonl"], UNAVAILABLE, "rows.jsonl"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), CASES.values(), ids=CASES.keys())
def test_a_mistake_gets_one_clear_line(
    millrace: Millrace, tmp_path: Path, state: Path, arguments: list[str], code: int, said: str
) -> None:
    if arguments[:2] == ["jobs", "show"]:
        assert millrace(*run()).returncode == 0

    ended = millrace(*arguments)

    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    complaint = [line for line in ended.stderr.splitlines() if line.startswith("millrace: ")]
    assert len(complaint) == 1
    assert not (tmp_path / "out" / "_MANIFEST.json").exists() or arguments[0] == "jobs"


def test_an_output_that_another_job_owns_is_left_alone(millrace: Millrace, tmp_path: Path) -> None:
    assert millrace(*run()).returncode == 0
    before = (tmp_path / "out" / "_MANIFEST.json").read_bytes()

    ended = millrace(*run(key="id"))

    assert ended.returncode == CONFLICT
    assert json.loads(before)["job"] in ended.stderr
    assert (tmp_path / "out" / "_MANIFEST.json").read_bytes() == before
