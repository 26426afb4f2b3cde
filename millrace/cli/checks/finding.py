"""One thing that was looked at, and how findings are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from millrace.cli.console import readable, say, show_json
from millrace.errors import MillraceError, Unavailable


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, what was `seen`, and where that is not right, what to do."""

    what: str
    verdict: Verdict
    seen: str
    advice: str = ""


def ok(what: str, seen: str) -> Finding:
    return Finding(what, Verdict.OK, seen)


def warn(what: str, seen: str, advice: str) -> Finding:
    return Finding(what, Verdict.WARN, seen, advice)


def fail(what: str, seen: str, advice: str) -> Finding:
    return Finding(what, Verdict.FAIL, seen, advice)


def failed(what: str, error: MillraceError) -> Finding:
    """What an error says, as a finding."""
    return fail(what, f"{error.message} [{error.code}]", error.hint)


def tried(what: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of `look`, and its error as the last one where it could not go on."""
    try:
        yield from look()
    except MillraceError as error:
        yield failed(what, error)


def report(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Show them; returns 0, or the code of `Unavailable` where one of them failed."""
    found = list(findings)
    is_well = all(each.verdict is not Verdict.FAIL for each in found)
    if as_json:
        shown = [
            {
                "id": each.what,
                "state": each.verdict.value,
                "seen": readable(each.seen),
                "advice": readable(each.advice),
            }
            for each in found
        ]
        show_json({"ok": is_well, "data": shown, "next": None})
    else:
        for each in found:
            say(f"{each.verdict:4}  {each.what:10}  {readable(each.seen)}")
            if each.advice:
                say(f"{'':16}  → {readable(each.advice)}")
    return 0 if is_well else Unavailable.exit_code
