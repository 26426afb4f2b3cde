"""What people are shown of a running job: how far it is, how fast, and how long still."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.answers import JobAnswer
from millrace.cli.progress import Pace, Snapshot, describe, duration
from millrace.types import ChunkState, JobState


def job(**changes: Any) -> JobAnswer:
    base: dict[str, Any] = dict.fromkeys(JobAnswer.model_fields)
    base |= {"rows": 0, "rows_ok": 0, "rows_err": 0, "rows_in_flight": 0, "share": 0.0}
    base |= {"chunks": dict.fromkeys(ChunkState, 0), "state": JobState.RUNNING}
    return JobAnswer.model_construct(**base | changes)


def at_share(share: float, rows: int | None = None) -> Snapshot:
    count = round(share * 1_000) if rows is None else rows
    return Snapshot(rows=count, errors=0, share=share, chunks_done=0, chunks=10)


def paced(*seen: tuple[float, Snapshot]) -> Pace:
    pace = Pace()
    for at, snapshot in seen:
        pace.add(snapshot, at)
    return pace


def test_rows_of_leased_chunks_move_the_bar() -> None:
    half = job(rows=50, rows_ok=45, rows_err=5, share=0.5)
    assert Snapshot.of(half).share == 0.5
    inside = job(rows=50, rows_ok=45, rows_err=5, share=0.5, rows_in_flight=25)
    assert Snapshot.of(inside).share == 0.75
    assert Snapshot.of(inside).rows == 75


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 0.0),
        ({"rows": 5}, 0.0),
        ({"rows_in_flight": 500}, 0.0),
        ({"rows": 1, "share": 0.9, "rows_in_flight": 9}, 1.0),
        ({"share": 1.0}, 1.0),
    ],
)
def test_a_share_stays_between_nothing_and_all(changes: dict[str, Any], share: float) -> None:
    assert Snapshot.of(job(**changes)).share == share


def test_split_chunks_are_not_counted() -> None:
    chunks = dict.fromkeys(ChunkState, 1) | {ChunkState.SPLIT: 5}
    snapshot = Snapshot.of(job(chunks=chunks))
    assert (snapshot.chunks_done, snapshot.chunks) == (2, 4)


def test_the_time_left_goes_by_the_whole_session() -> None:
    """Half of it in 100 s; that the last half minute was slow or quick changes little."""
    slow_end = [(60.0 + t, at_share(0.49 + t / 4_000)) for t in range(0, 41, 5)]
    pace = paced((0.0, at_share(0.0)), (30.0, at_share(0.25)), *slow_end)
    assert pace.seconds_left() == pytest.approx(100.0, rel=0.02)
    assert pace.rows_per_second() == pytest.approx(0.25, abs=0.1)


def test_loading_and_earlier_sessions_do_not_count() -> None:
    pace = paced(
        (0.0, at_share(0.4)), (50.0, at_share(0.4)), (60.0, at_share(0.5)), (70.0, at_share(0.6))
    )
    assert pace.seconds_left() == pytest.approx(40.0)


@pytest.mark.parametrize(
    "seen",
    [
        [(0.0, at_share(0.0))],
        [(0.0, at_share(0.0)), (0.1, at_share(0.5))],
        [(0.0, at_share(0.0)), (30.0, at_share(0.0001))],
        [(0.0, at_share(0.0)), (300.0, at_share(0.0, rows=1))],
        [(0.0, at_share(0.0)), (0.0, at_share(0.5))],
        [(0.0, at_share(0.5)), (60.0, at_share(0.4))],
    ],
)
def test_too_little_says_nothing_of_the_end(seen: list[tuple[float, Snapshot]]) -> None:
    pace = paced(*seen)
    assert pace.seconds_left() is None
    assert "time left unknown" in describe(seen[-1][1], pace)
    assert pace.rows_per_second() >= 0


def test_a_lost_attempt_is_no_negative_pace() -> None:
    pace = paced((0.0, at_share(0.0)), (10.0, at_share(0.5)), (20.0, at_share(0.4)))
    assert pace.rows_per_second() >= 0
    assert pace.seconds_left() == pytest.approx(30.0)


def test_one_line_for_people() -> None:
    pace = paced((0.0, at_share(0.0)), (10.0, at_share(0.1, rows=12_345)))
    snapshot = Snapshot(rows=12_345, errors=1, share=0.1, chunks_done=1, chunks=1_000)
    assert describe(snapshot, pace) == (
        "12,345 rows · 1,234 rows/s · 1 error · block 1 of 1,000 · about 1 min 30 s left"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3_599.6, "1 h 00 min"),
        (7_500, "2 h 05 min"),
        (47.9 * 3600, "47 h 54 min"),
        (172 * 3600, "7 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
