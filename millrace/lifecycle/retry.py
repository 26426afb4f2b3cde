"""What follows a failure: when to try again, and what a crash says about a chunk. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from millrace.types import Span

CRASHES_BEFORE_VERDICT = 2
"""Crashes of one chunk before it is split or buried; one may be bad luck, such as a power cut."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Run the same chunk again."""


@dataclass(frozen=True, slots=True)
class Split:
    """Replace the chunk by these, which tile it and start with a clean record."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Bury:
    """The chunk is one row, and that row kills its process: it becomes an error record."""


Verdict: TypeAlias = Retry | Split | Bury


def backoff(failures: int, draw: float, *, base: float = 1.0, cap: float = 60.0) -> float:
    """Seconds to wait after so many failures: full jitter, `draw` uniform in [0, 1)."""
    return draw * min(cap, base * 2.0 ** min(failures, 32))


def after_crash(
    span: Span, crash_count: int, suspects: Iterable[int], *, only_on_proof: bool = False
) -> Verdict:
    """The verdict on a chunk that has now crashed `crash_count` times.

    `suspects` are positions of rows in flight at the last crash; those outside of `span` are
    ignored. With `only_on_proof` a chunk without any is tried again, however often: it holds rows
    that have results already, and none of these may be buried for want of a better suspect.
    """
    inside = sorted({position for position in suspects if span.start <= position < span.end})
    if crash_count < CRASHES_BEFORE_VERDICT or (only_on_proof and not inside):
        return Retry()
    if span.length == 1:
        return Bury()
    return Split(_cut(span, _borders(span, inside)))


def _borders(span: Span, suspects: list[int]) -> tuple[int, ...]:
    match suspects:
        case []:
            return (span.start + span.length // 2,)
        case [one]:
            return (one, one + 1)
        case [first, *_, last]:
            return (first, suspects[len(suspects) // 2], last + 1)
        case _:
            raise AssertionError("a list is empty, or has one item, or more")


def _cut(span: Span, borders: Iterable[int]) -> tuple[Span, ...]:
    edges = sorted({span.start, span.end, *borders})
    return tuple(Span(start, end) for start, end in pairwise(edges))
