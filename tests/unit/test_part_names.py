"""The name of a part: no other attempt's, and in input order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from millrace.types import ChunkKind, JobId, Lease, Span, WorkerId
from workers.order_desk import part_stem

LEASE = Lease(
    job_id=JobId("job"),
    idx=0,
    kind=ChunkKind.INFER,
    span=Span(7, 20),
    attempt=1,
    token="0123456789abcdef" * 2,
    worker=WorkerId("me"),
    crash_count=0,
    suspects=(),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(LEASE, attempt=2),
        replace(LEASE, token="f" * 32),
        replace(LEASE, span=Span(8, 20)),
    ],
    ids=["another attempt", "a twin, or an attempt before a backup", "another chunk"],
)
def test_no_two_attempts_write_to_one_name(other: Lease) -> None:
    assert part_stem(other, 20) != part_stem(LEASE, 20)


def test_names_sort_as_the_input_does() -> None:
    starts = [0, 9, 10, 99, 100, 1_000, 99_999]
    names = [
        part_stem(replace(LEASE, span=Span(start, start + 1), attempt=12 - n), 100_000)
        for n, start in enumerate(starts)
    ]
    assert names == sorted(names)
