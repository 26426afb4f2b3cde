"""Who is rung for, when, in which order, and how often."""

from __future__ import annotations

from collections import Counter

import pytest

from millrace.broker import Doorbell
from millrace.cli.embedded_broker import embedded_broker
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobId, JobState, WorkerId
from scheduler.ringer import Ringer
from tests import jobs as stage
from tests.lifecycle import stage as plain
from tests.lifecycle.stage import chunk_row
from tests.scheduling import ME, Bell, claim, commit, dispatcher_of, hired, rung, running

W1, W2 = WorkerId("w1"), WorkerId("w2")
BIG = range(10, 2_001, 10)


def taken(database: Database, limit: int = 1, worker: WorkerId = ME) -> list[tuple[JobId, int]]:
    """What a worker finds that looks now."""
    with database.read() as connection:
        return queries.next_rung(
            connection, pool="default", worker=worker, limit=limit, affinity=5.0
        )


def test_the_dispatcher_rings_for_a_window_only(database: Database) -> None:
    job_id = running(database, *BIG)
    hired(database, "w1", "w2")
    dispatcher = dispatcher_of(database, Bell())
    dispatcher.tick()
    assert rung(database) == [(job_id, idx) for idx in range(4)]
    dispatcher.tick()
    assert len(rung(database)) == 4, "nobody is rung twice in so short a time"
    claim(database, job_id, 1)
    dispatcher.tick()
    assert rung(database) == [(job_id, idx) for idx in (0, 2, 3, 4)], "there is room for one more"


def test_the_window_grows_with_what_workers_take(database: Database) -> None:
    job_id = running(database, *BIG)
    hired(database, "w1")
    dispatcher, now = dispatcher_of(database, Bell()), 1e9
    sizes = []
    for second in range(6):
        dispatcher.tick(now + second)
        window = rung(database)
        sizes.append(len(window))
        with database.write() as connection:
            chunks.claim_many(connection, job_id, [idx for _, idx in window], ME, 60.0, now=now)
    assert sizes[0] == 2
    assert sizes[-1] > 10


def test_the_dispatcher_rings_again_for_what_nobody_claimed(database: Database) -> None:
    """F22: a message may get lost anywhere."""
    job_id = running(database, 10, 20)
    bell = Bell()
    dispatcher, now = dispatcher_of(database, bell), 1e9
    dispatcher.tick(now)
    dispatcher.tick(now + 29)
    assert chunk_row(database, job_id).rung_at == now
    dispatcher.tick(now + 31)
    assert chunk_row(database, job_id).rung_at == now + 31


def test_the_dispatcher_starts_what_is_queued_and_rings_for_it_at_once(database: Database) -> None:
    with database.write() as connection:
        job_id = plain.submitted(connection)
        plain.planned(connection, job_id, 10)
    bell = Bell()
    dispatcher_of(database, bell).tick()
    assert stage.seen(database, job_id).state is JobState.RUNNING
    assert bell.calls == [("default", None, [(job_id, 0)])]


def test_the_dispatcher_of_one_job_leaves_others_alone(database: Database) -> None:
    mine, other = (running(database, output=f"file:///{name}") for name in ("mine", "other"))
    with database.write() as connection:
        queued = plain.in_state(connection, JobState.QUEUED)
    dispatcher_of(database, Bell(), job_id=mine).tick()
    assert rung(database) == [(mine, 0)]
    assert chunk_row(database, other).rung_at is None
    assert stage.seen(database, queued).state is JobState.QUEUED


@pytest.mark.parametrize("pause", [True, False])
def test_what_may_not_be_claimed_is_not_rung_for(database: Database, pause: bool) -> None:
    job_id = running(database, 10, 20)
    with database.write() as connection:
        if pause:
            jobs.pause(connection, job_id)
        else:
            lease = chunks.claim(connection, job_id, 0, ME, 60.0)
            assert lease is not None
            chunks.release(connection, lease, infra=True, delay=900.0, reason="wait")
    dispatcher_of(database, Bell()).tick()
    assert rung(database) == ([] if pause else [(job_id, 1)])


def test_what_one_job_cannot_use_of_the_window_is_for_others(database: Database) -> None:
    """All but one chunk of the more urgent job wait for their next try."""
    waiting = running(database, *range(10, 101, 10), priority=9)
    with database.write() as connection:
        for lease in chunks.claim_many(connection, waiting, range(9), ME, 60.0):
            chunks.release(connection, lease, infra=True, delay=900.0, reason="wait")
    other = running(database, *BIG, output="file:///other")
    hired(database, "w1", "w2")
    dispatcher_of(database, Bell()).tick()
    assert rung(database) == [(waiting, 9), (other, 0), (other, 1), (other, 2)]


def test_a_more_urgent_job_overtakes_a_full_window(database: Database) -> None:
    low = running(database, *BIG, priority=1)
    hired(database, "w1", "w2")
    dispatcher = dispatcher_of(database, Bell())
    dispatcher.tick()
    high = running(database, 10, 20, priority=8, output="file:///high")
    dispatcher.tick()
    assert rung(database)[:2] == [(high, 0), (high, 1)]
    assert taken(database) == [(high, 0)]
    assert rung(database)[2] == (low, 0), "what was rung stays rung"


def test_a_more_urgent_job_overtakes_what_was_rung_long_ago_too(database: Database) -> None:
    low = running(database, *BIG, priority=1)
    hired(database, "w1", "w2")
    dispatcher, now = dispatcher_of(database, Bell(), window_seconds=0.1), 1e9
    dispatcher.tick(now)
    with database.write() as connection:
        chunks.ring_many(connection, low, [100, 101], now=now - 60.0)
    high = running(database, 10, 20, priority=8, output="file:///high")
    dispatcher.tick(now + 1.0)
    assert rung(database)[:2] == [(high, 0), (high, 1)]
    assert (low, 100) not in rung(database)


def test_where_all_was_rung_long_ago_the_more_urgent_goes_first(database: Database) -> None:
    low = running(database, *BIG, priority=1)
    hired(database, "w1", "w2")
    now = 1e9
    with database.write() as connection:
        chunks.ring_many(connection, low, range(100, 160), now=now - 60.0)
    high = running(database, 10, 20, priority=8, output="file:///high")
    dispatcher_of(database, Bell()).tick(now)
    assert rung(database)[:3] == [(high, 0), (high, 1), (low, 0)]


def test_a_window_does_not_grow_where_there_is_nothing_to_ring(database: Database) -> None:
    job_id = running(database, 10, 20, 30, 40)
    hired(database, "w1", "w2")
    dispatcher, now = dispatcher_of(database, Bell()), 1e9
    dispatcher.tick(now)
    for idx in range(4):
        claim(database, job_id, idx)
    for second in range(1, 10):
        dispatcher.tick(now + second)
    running(database, *BIG, output="file:///next")
    dispatcher.tick(now + 10.0)
    assert len(rung(database)) <= 8


def test_a_second_tenant_gets_every_other_chunk_of_a_full_window(database: Database) -> None:
    first = running(database, *BIG, tenant="a")
    hired(database, "w1", "w2", "w3", "w4")
    dispatcher = dispatcher_of(database, Bell())
    dispatcher.tick()
    second = running(database, *BIG, tenant="b", output="file:///b")
    dispatcher.tick()
    order = [job_id for job_id, _ in rung(database)]
    assert Counter(order[:6]) == {first: 3, second: 3}


def test_shares_follow_the_weights_of_the_tenants(database: Database) -> None:
    ids = {name: running(database, *BIG, tenant=name, output=f"file:///{name}") for name in "ab"}
    hired(database, "w1", "w2")
    dispatcher = dispatcher_of(database, Bell(), tenant_weights={"a": 3.0})
    begun = Counter[JobId]()
    for second in range(60):
        dispatcher.tick(1e9 + second)
        [(job_id, idx)] = taken(database)
        commit(database, job_id, idx, plain.result())
        begun[job_id] += 1
    assert begun[ids["a"]] == pytest.approx(45, abs=2)


def test_many_small_jobs_do_not_wait_for_a_huge_one(database: Database) -> None:
    huge = running(database, *BIG)
    hired(database, "w1")
    dispatcher = dispatcher_of(database, Bell())
    dispatcher.tick(1e9)
    small = [running(database, output=f"file:///{n}") for n in range(5)]
    begun = list[JobId]()
    for second in range(1, 14):
        dispatcher.tick(1e9 + second)
        [(job_id, idx)] = taken(database)
        commit(database, job_id, idx, plain.result())
        begun.append(job_id)
    assert set(small) <= set(begun[:11])
    assert huge in begun[:11]


def test_chunks_go_first_to_workers_that_hold_their_model(database: Database) -> None:
    ids = {
        name: running(
            database,
            *BIG,
            output=f"file:///{name}",
            model={"engine": "echo", "location": "", "sha256": name * 64},
        )
        for name in "ab"
    }
    for name in "ab":
        hired(database, f"with-{name}", models=[name * 64])
    bell = Bell()
    dispatcher_of(database, bell).tick()
    for name in "ab":
        worker = WorkerId(f"with-{name}")
        assert {job_id for job_id, _ in taken(database, 9, worker)} == {ids[name]}
        assert ("default", worker, [(ids[name], 0)]) in bell.calls


def test_with_one_model_nobody_is_named(database: Database) -> None:
    running(database, *BIG)
    hired(database, "w1", models=["ab" * 32])
    bell = Bell()
    dispatcher_of(database, bell).tick()
    assert [worker for _, worker, _ in bell.calls] == [None]


def test_only_those_who_wait_are_woken(database: Database) -> None:
    job_id = running(database, *BIG)
    hired(database, "w1", "w2", "w3")
    with database.write() as connection:
        for idx, worker in enumerate(("w1", "w2", "w3")):
            chunks.claim(connection, job_id, idx, WorkerId(worker), 60.0)
    bell = Bell()
    dispatcher = dispatcher_of(database, bell)
    dispatcher.tick()
    bell.calls.clear()
    dispatcher.tick()
    assert not bell.calls, "everybody is busy, and looks when he is done"
    commit_first(database, job_id)
    dispatcher.tick()
    assert sum(len(called) for *_, called in bell.calls) == 2


def commit_first(database: Database, job_id: JobId) -> None:
    """Worker w1 lets go of its chunk."""
    with database.write() as connection:
        chunks.release_owned(connection, W1)


def test_every_pool_has_its_own_window_and_workers(database: Database) -> None:
    here, there = running(database, *BIG), running(database, *BIG, pool="gpu", output="file:///g")
    hired(database, "w1")
    hired(database, "g1", "g2", pool="gpu")
    bell = Bell()
    dispatcher_of(database, bell).tick()
    assert rung(database) == [(here, 0), (here, 1)]
    assert rung(database, "gpu") == [(there, idx) for idx in range(4)]
    assert {pool for pool, *_ in bell.calls} == {"default", "gpu"}


def test_a_dead_broker_delays_nothing(database: Database) -> None:
    """F20, F25: chunks are rung in the database, and found by workers that look."""
    with embedded_broker() as url:
        doorbell = Doorbell(url)
        doorbell.ring([("job", 0)])
    job_id = running(database, *BIG)
    bell = Ringer(doorbell)
    dispatcher = dispatcher_of(database, bell)
    for second in range(500):
        dispatcher.tick(1e9 + second)
    assert set(rung(database)) == {(job_id, 0), (job_id, 1)}
    bell.close()
