"""The commit of a chunk: once, whatever became of the line, and never what was not asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from millrace.clock import Clock
from millrace.datasets import encode_schema
from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs
from millrace.types import Lease, Part
from tests.clocks import FakeClock
from tests.faults import FaultyDatabase, Switch
from tests.lifecycle.stage import A, chunk_row, claimed, history, pinned, running, spec
from workers.commit import AnswerRejected, commit
from workers.order import Finished, WorkOrder

SHA = "ab" * 32


@pytest.fixture
def lease(database: Database) -> Lease:
    with database.write() as connection:
        return claimed(connection, running(connection))


def order_of(lease: Lease) -> WorkOrder:
    return WorkOrder(
        job_id=lease.job_id,
        idx=lease.idx,
        attempt=lease.attempt,
        token=lease.token,
        start=0,
        end=10,
        inputs=tuple(pinned(10)),
        arrow_schema=encode_schema(pa.schema([])),
        spec=spec(),
        part_stem="0-a1-abc",
    )


def answer_to(lease: Lease, **changes: Any) -> Finished:
    answer = Finished(
        token=lease.token,
        rows_ok=9,
        rows_err=1,
        part=Part("parts/0-a1-abc.jsonl", 9, 100, SHA),
        error_part=Part("errors/0-a1-abc.jsonl", 1, 10, SHA),
        fingerprint={"engine": "echo"},
        input_rows=(10,),
    )
    return answer.model_copy(update=changes)


def commits(database: Database, lease: Lease) -> int:
    return [verb for verb, *_ in history(database, lease.job_id, lease.idx)].count("commit")


def switched(database: Database, switch: Switch) -> Database:
    return FaultyDatabase(database, switch)


@pytest.mark.parametrize("fault", ["reply lost", "request lost", "away for a while"])
def test_an_unknown_outcome_is_committed_once(
    database: Database, lease: Lease, clock: FakeClock, fault: str
) -> None:
    """F32, F33: calls are the write, then reads of the outcome."""
    switch = {
        "reply lost": Switch(after=frozenset({1})),
        "request lost": Switch(before=frozenset({1})),
        "away for a while": Switch(before=frozenset({1, 2, 3, 4}), after=frozenset({6})),
    }[fault]

    commit(switched(database, switch), lease, order_of(lease), answer_to(lease), clock)

    assert commits(database, lease) == 1
    row = chunk_row(database, lease.job_id)
    assert (row.state, row.rows_ok, row.rows_err) == ("committed", 9, 1)
    assert row.input_rows == [[0, 10]]


class Thief(FakeClock):
    """Takes the lease away while the committer waits to ask what became of its commit."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def wait(self, event: Any, seconds: float) -> bool:
        with self._database.write() as connection:
            chunks.release_owned(connection, A)
        return super().wait(event, seconds)


def test_a_lease_lost_while_the_outcome_was_unknown_commits_nothing(
    database: Database, lease: Lease
) -> None:
    line, clock = switched(database, Switch(before=frozenset({1}))), Thief(database)
    with pytest.raises(LeaseLost):
        commit(line, lease, order_of(lease), answer_to(lease), clock)
    assert commits(database, lease) == 0
    assert chunk_row(database, lease.job_id).state == "pending"


@pytest.mark.parametrize("why", ["foreign token", "older attempt", "cancelled"])
def test_what_comes_too_late_is_not_committed(
    database: Database, lease: Lease, clock: Clock, why: str
) -> None:
    held = lease
    if why == "cancelled":
        with database.write() as connection:
            jobs.cancel(connection, lease.job_id)
    elif why == "foreign token":
        held = replace(lease, token="f" * 32)
    else:
        held = replace(lease, attempt=lease.attempt - 1)
    with pytest.raises(LeaseLost):
        commit(database, held, order_of(held), answer_to(held), clock)
    assert chunk_row(database, lease.job_id).state == "leased"


def _part(path: str, rows: int = 9) -> Part:
    return Part(path, rows, 100, SHA)


LIES: dict[str, dict[str, Any]] = {
    "more results than in its part": {"rows_ok": 10},
    "results without a part": {"part": None},
    "fewer errors than in its part": {"rows_err": 0},
    "a row that was read but not answered": {"input_rows": (11,)},
    "a row that was answered but not read": {"input_rows": (9,)},
    "negative rows": {"rows_ok": -1, "part": _part("parts/0-a1-abc.jsonl", -1), "input_rows": (0,)},
    "more rows than positions": {
        "rows_ok": 11,
        "part": _part("parts/0-a1-abc.jsonl", 11),
        "input_rows": (12,),
    },
    "an input that it was not given": {"input_rows": (5, 5)},
    "no input at all": {"input_rows": ()},
    "negative rows of an input": {"input_rows": (-10,)},
    "another attempt's part": {"part": _part("parts/0-a2-abc.jsonl")},
    "a longer stem": {"part": _part("parts/0-a1-abcd.jsonl")},
    "a part among the errors": {"part": _part("errors/0-a1-abc.jsonl")},
    "a part elsewhere": {"part": _part("parts/0-a1-abc./../../x.jsonl")},
    "an absolute part": {"part": _part("/etc/passwd")},
    "errors among the parts": {"error_part": _part("parts/0-a1-abc.jsonl", 1)},
    "a part without a name": {"part": _part("parts/0-a1-abc.\0")},
    "a size that no file has": {"part": Part("parts/0-a1-abc.jsonl", 9, 2**63, SHA)},
    "a size below nothing": {"part": Part("parts/0-a1-abc.jsonl", 9, -1, SHA)},
    "a digest that is none": {"part": Part("parts/0-a1-abc.jsonl", 9, 100, "no digest")},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lies_are_rejected(
    database: Database, lease: Lease, clock: Clock, lie: dict[str, Any]
) -> None:
    """F14: nothing that the compute process says is believed unseen."""
    with pytest.raises(AnswerRejected) as rejected:
        commit(database, lease, order_of(lease), answer_to(lease, **lie), clock)
    assert rejected.value.code == "CHILD_PROTOCOL"
    assert chunk_row(database, lease.job_id).state == "leased"
