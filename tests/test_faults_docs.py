"""docs/faults.md names tests that there are, and every failpoint it names is one."""

from __future__ import annotations

import re
from pathlib import Path

from millrace.failpoints import FAILPOINTS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/faults.md").read_text()


def test_every_fault_has_its_line_once() -> None:
    lines = re.findall(r"^\| F(\d+) \|", TEXT, re.MULTILINE)
    absent = {10, 24, 35, 47, 49, 61, 66}
    assert [int(each) for each in lines] == [n for n in range(1, 72) if n not in absent]


def test_every_test_that_is_named_is_there() -> None:
    files = [*(ROOT / "tests").rglob("*.py")]
    places = {str(file.relative_to(ROOT / "tests")) for file in files} | {f.name for f in files}
    for place in re.findall(r"`(?:tests/)?((?:\w+/)*\w+\.py)", TEXT):
        assert place in places or (ROOT / place).exists(), place
    written = "\n".join(file.read_text() for file in files)
    for name in re.findall(r"\b(test_\w+)(?!\.py|\w)", TEXT):
        assert f"def {name}(" in written or f"{name}.py" in places, name


def test_every_failpoint_that_is_named_is_there() -> None:
    assert {*re.findall(r"`([wprfs]\.\w+)`", TEXT)} <= FAILPOINTS.keys()
