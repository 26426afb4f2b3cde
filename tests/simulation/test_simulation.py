"""Everything goes wrong at once, at random, step by step; Hypothesis finds the shortest way to it.

``HYPOTHESIS_PROFILE=long`` (as ``scripts/chaos`` sets it) looks for longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from millrace.errors import Conflict, Unavailable
from millrace.failpoints import FAILPOINTS
from millrace.lifecycle import chunks, jobs
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.types import ChunkState, JobId, JobState
from scheduler.runner import Service
from tests.faults import away
from tests.simulation import actor
from tests.simulation.invariants import Snapshot, check
from tests.simulation.world import TTL, Process, World, new_world

SETTINGS = settings(
    max_examples=int(os.environ.get("MILLRACE_SIMULATIONS", "25")),
    stateful_step_count=40,
    deadline=None,
    derandomize="MILLRACE_SIMULATIONS" not in os.environ,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
ROUNDS = 300

T = TypeVar("T")

any_number = st.integers(0, 5)

_SCHEDULING = [name for name in FAILPOINTS if name[0] in "pr"]
_WORKING = [name for name in FAILPOINTS if name[0] in "wfs"] + ["wait"]
# where it matters most who comes first
_CRITICAL = ["w.after_claim", "w.mid_compute", "w.before_commit", "f.built", "f.put", "f.swept"]
_END = "the end"
_VERBS = [jobs.pause, jobs.resume, jobs.resume, jobs.resume, jobs.retry, jobs.retry, jobs.cancel]


class Trouble(StrEnum):
    KILL = "a process dies where it stands"
    KILL_INSIDE = "a process dies in its next transaction"
    STORAGE = "what it asks of the storage fails"
    DATABASE = "its next transaction fails"
    UNKNOWN = "its next transaction is done, and it is told that it failed"
    DISOWN = "the supervisor of workers that have died says so"
    OFFER = "a chunk is offered to a twin"
    DAMAGE = "somebody deletes a part of a job that runs"
    WAIT = "time passes"


class Simulation(RuleBasedStateMachine):
    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world: World = self.stack.enter_context(new_world(self.migrated))
        self.stack.enter_context(actor.armed())
        self.seen = Snapshot.of(self.world)

    @initialize(
        rows=st.sampled_from([1, 2, 4, 8]),
        poison=st.sets(st.integers(0, 7), max_size=1),
        chunk_rows=st.sampled_from([64, 8, 2]),
    )
    def begin(self, rows: int, poison: set[int], chunk_rows: int) -> None:
        """A job that runs, of one chunk up to many: most of what can happen happens then."""
        deadly = frozenset(poison) & frozenset(range(rows))
        self.world.submit(rows, deadly, chunk_rows=chunk_rows)
        self._schedule()

    @precondition(lambda self: len(self.world.asked) < 2)
    @rule(rows=st.integers(1, 5), chunk_rows=st.integers(1, 4), priority=st.integers(0, 9))
    def submit(self, rows: int, chunk_rows: int, priority: int) -> None:
        self.world.submit(rows, frozenset(), chunk_rows=chunk_rows, priority=priority)

    @rule(which=any_number, service=any_number, place=st.sampled_from(_SCHEDULING))
    def tick(self, which: int, service: int, place: str) -> None:
        """A scheduler does one thing, as far as `place`, where it stands still for a while."""
        process = _pick(self.world.schedulers, which)
        if not process.busy:
            services = self.world.services(process)
            process.act(partial(_tick, _pick(services, service)))
        process.go_on(place)

    @rule(which=any_number, place=st.sampled_from(_WORKING))
    def ring(self, which: int, place: str) -> None:
        """A worker was rung for, be it truly, falsely, twice or late."""
        self._work(which, place, by_itself=False)

    @rule(which=any_number, place=st.sampled_from(_CRITICAL))
    def poll(self, which: int, place: str) -> None:
        """Nobody has rung for a while."""
        self._work(which, place, by_itself=True)

    @rule(which=any_number, place=st.sampled_from(_CRITICAL))
    def overtake(self, which: int, place: str) -> None:
        """Whoever holds a lease has slept too long, and another worker takes over."""
        self.reap()
        self._work(which, place, by_itself=True)

    @rule(which=any_number)
    def serve(self, which: int) -> None:
        """A worker does all that there is to do, and a scheduler says what comes next."""
        process = _pick(self.world.workers, which)
        process.go_on(_END)
        while process.carry_out(self.world.runner(process).run_due):
            pass
        self._schedule()

    @rule(which=any_number)
    def finish(self, which: int) -> None:
        """Whatever it was doing, it does it to the end."""
        _pick(self.world.processes, which).go_on(_END)

    @rule()
    def reap(self) -> None:
        """All leases run out, the reaper comes, and what it took may be claimed again."""
        self.world.time.now += TTL + 1
        self.world.database.transact(partial(chunks.reap, limit=100))
        self.world.time.now += 4.0
        self._schedule()

    @rule(kind=st.sampled_from(Trouble), which=any_number)
    def trouble(self, kind: Trouble, which: int) -> None:
        process = _pick(self.world.processes, which)
        actor = process.actor if process.busy else None
        match kind:
            case Trouble.KILL:
                process.die()
            case Trouble.KILL_INSIDE if actor is not None:
                actor.die_inside()
            case Trouble.STORAGE if actor is not None and actor.at.startswith("s."):
                actor.fail(away("storage"))
            case Trouble.DATABASE:
                process.switch.before = frozenset({process.switch.calls + 1 + which % 2})
            case Trouble.UNKNOWN:
                process.switch.after = frozenset({process.switch.calls + 1 + which % 2})
            case Trouble.DISOWN:
                self._disown(_pick(self.world.workers, which))
            case Trouble.OFFER:
                self._offer(which)
            case Trouble.DAMAGE:
                self.world.damage(which)
            case Trouble.WAIT:
                self.world.time.now += (1.0, TTL / 2, 400.0)[which % 3]

    @rule(which=any_number, verb=st.sampled_from(_VERBS))
    def command(self, which: int, verb: Callable[..., object]) -> None:
        job_id = _pick(self.world.asked, which).job_id
        with suppress(Conflict), self.world.database.write() as connection:
            verb(connection, job_id)

    @invariant()
    def all_promises_are_kept(self) -> None:
        seen = Snapshot.of(self.world)
        check(self.world, self.seen, seen)
        self.seen = seen

    def teardown(self) -> None:
        try:
            self._heal()
        finally:
            self.stack.close()

    def _work(self, which: int, place: str, *, by_itself: bool) -> None:
        process = _pick(self.world.workers, which)
        if not process.busy:
            runner = self.world.runner(process)
            process.act(runner.run_due if by_itself else runner.run_rung)
        process.go_on(place)

    def _disown(self, process: Process) -> None:
        for life in range(process.life):
            with self.world.database.write() as connection:
                chunks.release_owned(connection, process.named(life))

    def _offer(self, which: int) -> None:
        leased = [key for key, row in self.seen.chunks.items() if row.state == ChunkState.LEASED]
        if leased:
            job_id, idx = _pick(leased, which)
            with self.world.database.write() as connection:
                chunks.offer(connection, JobId(job_id), idx)

    def _schedule(self) -> None:
        """One undisturbed round of a scheduler."""
        for service in self.world.services(self.world.schedulers[0]):
            _tick(service)

    def _heal(self) -> None:
        """I13: without faults, and with one worker, every job ends."""
        for process in self.world.processes:
            process.switch.before = process.switch.after = frozenset()
            if process.life % 2:
                process.die()
            elif process.actor is not None:
                process.actor.finish()
            self.all_promises_are_kept()
        for _ in range(ROUNDS):
            if not (waiting := self._unfinished()):
                return
            self.world.time.now += TTL + 1
            self._round(waiting)
            self.all_promises_are_kept()
        raise AssertionError(f"I13: after {ROUNDS} rounds there are still {self._unfinished()}")

    def _unfinished(self) -> dict[JobId, JobState]:
        states = {each.job_id: self.seen.jobs[each.job_id].state for each in self.world.asked}
        return {job: JobState(state) for job, state in states.items() if state not in JOB_TERMINAL}

    def _round(self, waiting: dict[JobId, JobState]) -> None:
        """One round of everybody."""
        for job_id, state in waiting.items():
            if state is JobState.PAUSED:
                with self.world.database.write() as connection:
                    jobs.resume(connection, job_id)
        worker = self.world.workers[0]
        self._schedule()
        while worker.carry_out(self.world.runner(worker).run_due):
            pass


def _tick(service: Service) -> None:
    """As the runner does it: what is away is tried again later."""
    with suppress(Unavailable):
        service.tick()


def _pick(from_: Sequence[T], number: int) -> T:
    return from_[number % len(from_)]


def test_the_promises_hold_whatever_happens(migrated_sqlite: Path) -> None:
    class Here(Simulation):
        migrated = migrated_sqlite

    run_state_machine_as_test(Here, settings=SETTINGS)
