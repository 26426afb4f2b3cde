"""Failpoints: every name stands in the code, does what it is told, and nothing unless armed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from millrace import failpoints
from millrace.errors import Unavailable, UsageError
from millrace.failpoints import FAILPOINTS, VARIABLE, arm, armed, failpoint
from tests.test_architecture import PACKAGES, calls, sources


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm("")


def passed() -> set[str]:
    """The names with which the code calls `failpoint`."""
    trees = [ast.parse(file.read_text()) for file in sources(*PACKAGES)]
    found = [call.args[0] for tree in trees for name, call in calls(tree) if name == "failpoint"]
    return {str(ast.literal_eval(each)) for each in found}


def test_the_list_is_what_the_code_has() -> None:
    assert passed() == FAILPOINTS.keys()


def test_nothing_happens_unarmed() -> None:
    for name in FAILPOINTS:
        failpoint(name)


def test_it_strikes_at_the_pass_that_was_named() -> None:
    arm("w.hb=raise:AWAY@2; w.done=enospc")
    failpoint("w.hb")
    with pytest.raises(Unavailable, match="AWAY"):
        failpoint("w.hb")
    failpoint("w.hb")
    with pytest.raises(OSError, match="No space left"):
        failpoint("w.done")


def test_a_share_of_passes_is_the_same_for_the_same_seed() -> None:
    def struck(seed: int) -> list[int]:
        arm(f"w.hb=raise:AWAY%30;seed={seed}")
        return [number for number in range(200) if _strikes()]

    assert struck(1) == struck(1) != struck(2)
    assert 30 < len(struck(1)) < 90


def _strikes() -> bool:
    try:
        failpoint("w.hb")
    except Unavailable:
        return True
    return False


def test_a_test_may_watch_and_leaves_no_trace() -> None:
    seen: list[str] = []
    with armed("w.hb", "w.done", action=seen.append):
        failpoint("w.hb")
        failpoint("w.done")
        failpoint("w.after_claim")
    failpoint("w.hb")
    assert seen == ["w.hb", "w.done"]


@pytest.mark.parametrize(
    "told", ["w.no_such=kill", "w.hb=explode", "w.hb", "w.hb=kill@x", "w.hb=sleep:soon"]
)
def test_what_cannot_be_read_is_told(told: str) -> None:
    with pytest.raises(UsageError, match=VARIABLE):
        arm(told)


def test_a_process_is_armed_by_its_environment() -> None:
    program = "from millrace.failpoints import failpoint; failpoint('w.hb'); failpoint('w.hb')"
    done = _python(program, "w.hb=kill@2")
    assert done.returncode == -signal.SIGKILL


def test_a_process_that_is_armed_with_nonsense_says_so_in_one_line() -> None:
    done = _python("import millrace.failpoints", "w.hb=explode")
    assert done.returncode == UsageError.exit_code
    assert done.stderr.startswith(f"error: {failpoints.VARIABLE} cannot be used: w.hb=explode")
    assert "Traceback" not in done.stderr


def _python(program: str, told: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, VARIABLE: told},
        capture_output=True,
        text=True,
        check=False,
    )
