"""What a million pending chunks cost those who claim and look: ``python -m benchmarks.pending``.

Two databases on one private Postgres, one with a thousand pending chunks and one with a million,
live through the same rounds in turns. Prints the 95th percentile of each step side by side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import quantiles
from typing import TypeVar

from sqlalchemy import Connection, text

from benchmarks.report import machine
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.spec import JobSpec, ModelRef
from millrace.types import ChunkResult, Input, JobId, Join, PlannedChunk, Reading, Span, WorkerId
from tests import postgres

FEW = 1_000
TARGET = 2.0
BATCH, WINDOW = 32, 64
DUE_AGAIN = 0.0
"""Seconds after which a chunk may be rung for again: at once, so that every round does the same."""

WORKER = WorkerId("bench")
NOTHING = ChunkResult(1, 0, None, None, (Reading(0, 1),), {})

T = TypeVar("T")


class Life:
    """A running job of so many chunks, and how many seconds each step of its life took."""

    def __init__(self, url: str, size: int) -> None:
        self._database = Database.connect(url)
        self._job_id = self._database.transact(partial(planned, size=size))
        with self._database.write() as connection:
            connection.execute(text("ANALYZE"))
        self.seconds: dict[str, list[float]] = {}

    def go_on(self) -> None:
        """One round: call, look, claim, hold on, commit one chunk, give the rest back, count."""
        job_id, write = self._job_id, self._write
        due = self._read("due", partial(queries.due, limit=WINDOW, unrung_for=DUE_AGAIN))
        called = [idx for _, idx in due]
        write("ring_many", lambda conn: chunks.ring_many(conn, job_id, called))
        look = partial(queries.next_rung, pool="default", worker=WORKER, affinity=5.0)
        found = [idx for _, idx in self._read("next_rung", partial(look, limit=BATCH))]
        one = write("claim", lambda conn: chunks.claim(conn, job_id, found[0], WORKER, 60.0))
        assert one is not None
        rest = write(
            "claim_many", lambda conn: chunks.claim_many(conn, job_id, found[1:], WORKER, 60.0)
        )
        write("renew_many", lambda conn: chunks.renew_many(conn, rest, 60.0))
        write("commit", lambda conn: chunks.commit(conn, one, NOTHING))
        write("reap", lambda conn: chunks.reap(conn, 100))
        self._read("backlog", partial(queries.backlog, pool="default"))
        self._read("progress", partial(queries.progress, job_id=job_id))
        self._read("ready_to_freeze", queries.ready_to_freeze)
        write("release_many", lambda conn: chunks.release_many(conn, rest, "again"))

    def _read(self, step: str, look: Callable[[Connection], T]) -> T:
        began = time.perf_counter()
        with self._database.read() as connection:
            found = look(connection)
        self._note(step, began)
        return found

    def _write(self, step: str, verb: Callable[[Connection], T]) -> T:
        began = time.perf_counter()
        with self._database.write(durable=False) as connection:
            done = verb(connection)
        self._note(step, began)
        return done

    def _note(self, step: str, began: float) -> None:
        self.seconds.setdefault(step, []).append(time.perf_counter() - began)


def planned(connection: Connection, size: int) -> JobId:
    """A running job of `size` chunks of one row."""
    spec = JobSpec(
        model=ModelRef(engine="echo", location=""),
        input="file:///in",
        output="file:///out",
        output_format="jsonl",
        join=Join.NONE,
    )
    job_id = jobs.submit(connection, spec)
    whole = Input(0, "file:///in", "jsonl", size, "v1", 0, size, True)
    jobs.pin(connection, job_id, [whole], "")
    jobs.add_chunks(connection, job_id, (PlannedChunk(Span(i, i + 1), 1) for i in range(size)))
    jobs.queue(connection, job_id)
    jobs.start(connection, job_id)
    return job_id


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pending")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--many", type=int, default=1_000_000)
    asked = parser.parse_args()
    binary = postgres.binaries()
    assert binary is not None, "apt install postgresql"
    print(machine())
    with (
        postgres.serve(binary) as server,
        server.database() as one,
        server.database() as other,
    ):
        few, many = Life(one, FEW), Life(other, asked.many)
        for _ in range(asked.rounds):
            few.go_on()
            many.go_on()
    print(f"p95 in ms of {asked.rounds} rounds | {FEW:,} pending | {asked.many:,} pending | ratio")
    for step, seconds in few.seconds.items():
        little, much = p95(seconds) * 1000, p95(many.seconds[step]) * 1000
        verdict = "" if much <= TARGET * little else f"  (more than {TARGET:g} ×)"
        print(f"{step:16} {little:8.2f} {much:8.2f} {much / little:6.2f}{verdict}")


if __name__ == "__main__":
    main()
