"""The commit of a chunk: once, whatever became of the line, and never what was not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from millrace.clock import Clock
from millrace.datasets import encode_schema
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import chunks, jobs
from millrace.types import ChunkResult, Kept, Lease, Part, Reading, Span
from tests.clocks import FakeClock
from tests.faults import FaultyDatabase, Switch
from tests.lifecycle.stage import (
    A,
    chunk_row,
    claimed,
    history,
    pinned,
    result,
    running,
    spec,
)
from workers.acceptance import AnswerRejected, accepted
from workers.drain import Drain
from workers.harvest import Harvest, Settle
from workers.heartbeat import Heartbeat
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
        asked=spec().model_dump_json(),
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
        readings=(Reading(0, 10, 0, 10),),
    )
    return answer.model_copy(update=changes)


KEPT = Kept("file:///out", Part("parts/0.jsonl", 8, 90, SHA), Span(0, 10), (5, 2, 3), (), ())


def test_an_answer_has_what_was_to_be_kept(lease: Lease) -> None:
    order = order_of(lease).model_copy(update={"kept": KEPT})
    assert accepted(order, answer_to(lease)).rows_ok == 9
    lost = {"rows_ok": 7, "part": Part("parts/0-a1-abc.jsonl", 7, 100, SHA)}
    errors = {"rows_err": 3, "error_part": Part("errors/0-a1-abc.jsonl", 3, 10, SHA)}
    with pytest.raises(AnswerRejected, match="lost rows"):
        accepted(order, answer_to(lease, **lost, **errors))
    with pytest.raises(AnswerRejected, match="other rows than its parent"):
        accepted(order, answer_to(lease, **lost, readings=(Reading(0, 8),)))


def commits(database: Database, lease: Lease) -> int:
    return [verb for verb, *_ in history(database, lease.job_id, lease.idx)].count("commit")


def switched(database: Database, switch: Switch) -> Database:
    return FaultyDatabase(database, switch)


def harvest_of(
    line: Database,
    leases: list[Lease],
    clock: Clock,
    drain: Drain | None = None,
    settle: Settle = lambda results: None,
) -> Harvest:
    beat = Heartbeat(line, leases, 60.0, 10.0, clock)
    return Harvest(line, beat, drain or Drain(clock), clock, settle)


def commit(line: Database, lease: Lease, clock: Clock) -> None:
    harvest = harvest_of(line, [lease], clock)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    harvest.bring_in_all()


@pytest.mark.parametrize("fault", ["reply lost", "request lost", "away for a while"])
def test_an_unknown_outcome_is_committed_once(
    database: Database, lease: Lease, clock: FakeClock, fault: str
) -> None:
    """F32, F33: calls are the write, then reads of the outcome and further writes."""
    switch = {
        "reply lost": Switch(after=frozenset({1})),
        "request lost": Switch(before=frozenset({1})),
        "away for a while": Switch(before=frozenset({1, 2, 3, 4}), after=frozenset({6})),
    }[fault]

    commit(switched(database, switch), lease, clock)

    assert commits(database, lease) == 1
    row = chunk_row(database, lease.job_id)
    assert (row.state, row.rows_ok, row.rows_err) == ("committed", 9, 1)
    assert row.input_rows == [[0, 10, 0, 10]]


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
    commit(line, lease, clock)
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
    commit(database, held, clock)
    assert chunk_row(database, lease.job_id).state == "leased"
    assert commits(database, lease) == 0


@pytest.mark.parametrize("fault", ["none", "reply lost"])
def test_a_group_is_one_transaction_and_one_lost_lease_spoils_no_other(
    database: Database, clock: FakeClock, fault: str
) -> None:
    """W6' for each member of a group: some of it may be lost, the rest is committed once."""
    with database.write() as connection:
        job_id = running(connection, 10, 20, 30)
        leases = chunks.claim_many(connection, job_id, [0, 1, 2], A, 60.0)
        chunks.release(connection, leases[1], infra=False, delay=0.0, reason="it is lost")
    switch = Switch(after=frozenset({1}) if fault == "reply lost" else frozenset())
    harvest = harvest_of(switched(database, switch), leases, clock)
    for lease in leases:
        harvest.add(lease, result())
    assert switch.calls == 0
    harvest.bring_in()
    assert switch.calls == 0, "a group waits for its members a moment"

    harvest.bring_in_all()

    assert [commits(database, lease) for lease in leases] == [1, 0, 1]
    assert switch.calls <= 3


def test_a_group_does_not_wait_for_the_end_of_its_batch(
    database: Database, lease: Lease, clock: FakeClock
) -> None:
    """A crash loses no more than what was finished in the last moment."""
    harvest = harvest_of(database, [lease], clock)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    clock.advance(0.25)
    harvest.bring_in()
    assert commits(database, lease) == 1


def test_a_batch_goes_on_while_the_database_is_away(
    database: Database, lease: Lease, clock: FakeClock
) -> None:
    """One try at a time, none of which waits."""
    switch = Switch()
    switch.cut = True
    harvest = harvest_of(switched(database, switch), [lease], clock)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    clock.advance(0.25)
    harvest.bring_in()
    before = clock.now()
    harvest.bring_in()
    assert clock.now() == before
    switch.cut = False
    harvest.bring_in_all()
    assert commits(database, lease) == 1


def test_a_drain_does_not_wait_for_a_database_beyond_its_grace(
    database: Database, lease: Lease, clock: FakeClock
) -> None:
    switch, drain = Switch(), Drain(clock)
    switch.cut = True
    harvest = harvest_of(switched(database, switch), [lease], clock, drain)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    drain.begin(30.0)
    began = clock.now()

    harvest.bring_in_all()

    assert 29.0 <= clock.now() - began <= 31.0
    assert chunk_row(database, lease.job_id).state == "leased"


def test_parts_are_settled_once_before_their_commit(
    database: Database, lease: Lease, clock: FakeClock
) -> None:
    """F57, F32: whether the commit arrived is asked again, the disk is not."""
    states: list[str] = []

    def settle(results: Sequence[ChunkResult]) -> None:
        states.extend(chunk_row(database, lease.job_id).state for _ in results)

    line = switched(database, Switch(after=frozenset({1})))
    harvest = harvest_of(line, [lease], clock, settle=settle)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    harvest.bring_in_all()
    assert states == ["leased"]
    assert commits(database, lease) == 1


def test_parts_that_cannot_be_settled_are_given_up(
    database: Database, lease: Lease, clock: FakeClock
) -> None:
    """Asked again, the disk could say yes without having them."""
    full = Unavailable("STORAGE_FULL", "no room")

    def settle(results: Sequence[ChunkResult]) -> None:
        raise full

    harvest = harvest_of(database, [lease], clock, settle=settle)
    harvest.add(lease, accepted(order_of(lease), answer_to(lease)))
    harvest.bring_in_all()
    assert harvest.fault is full
    row = chunk_row(database, lease.job_id)
    assert (row.state, row.infra_count, row.crash_count) == ("pending", 1, 0)
    assert commits(database, lease) == 0


def _part(path: str, rows: int = 9) -> Part:
    return Part(path, rows, 100, SHA)


def _read(*rows: int) -> dict[str, Any]:
    return {"readings": tuple(Reading(index, each) for index, each in enumerate(rows))}


LIES: dict[str, dict[str, Any]] = {
    "an answer to another order": {"token": "f" * 32},
    "more results than in its part": {"rows_ok": 10},
    "results without a part": {"part": None},
    "fewer errors than in its part": {"rows_err": 0},
    "a row that was read but not answered": _read(11),
    "a row that was answered but not read": _read(9),
    "negative rows": {"rows_ok": -1, "part": _part("parts/0-a1-abc.jsonl", -1), **_read(0)},
    "more rows than positions": {
        "rows_ok": 11,
        "part": _part("parts/0-a1-abc.jsonl", 11),
        **_read(12),
    },
    "an input that it was not given": _read(5, 5),
    "no input at all": _read(),
    "negative rows of an input": _read(-10),
    "another input": {"readings": (Reading(1, 10),)},
    "rows before its own": {"readings": (Reading(0, 10, -1, 10),)},
    "rows behind its own": {"readings": (Reading(0, 10, 10, 11),)},
    "rows that end where they start": {"readings": (Reading(0, 10, 0, 0),)},
    "rows that end behind the file": {"readings": (Reading(0, 10, 0, 11),)},
    "rows with an end and no start": {"readings": (Reading(0, 10, None, 10),)},
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
def test_lies_are_rejected(lease: Lease, lie: dict[str, Any]) -> None:
    """F14: nothing that the compute process says is believed unseen."""
    with pytest.raises(AnswerRejected) as rejected:
        accepted(order_of(lease), answer_to(lease, **lie))
    assert rejected.value.code == "CHILD_PROTOCOL"


def test_rows_that_were_in_flight_before_cannot_be_gone(lease: Lease) -> None:
    """Where an earlier attempt died on a row, there is one: an empty answer would lose it."""
    nothing = {"rows_ok": 0, "rows_err": 0, "part": None, "error_part": None, **_read(0)}
    order = order_of(lease)
    assert accepted(order, answer_to(lease, **nothing)).rows_ok == 0
    with pytest.raises(AnswerRejected):
        accepted(order.model_copy(update={"suspects": (3,)}), answer_to(lease, **nothing))
    elsewhere = order.model_copy(update={"suspects": (30,)})
    assert accepted(elsewhere, answer_to(lease, **nothing)).rows_ok == 0
