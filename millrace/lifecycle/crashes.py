"""Verbs for attempts that ended without a word: counted, and after two of them judged.

The compute process may die (`crash`, told by its parent), the lease may run out (`reap`), or a
whole worker may be known to be gone (`release_owned`). Where the chunk has a twin, the one of the
two that is left goes on, and nothing is judged before it has ended as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, true

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle.endings import Attempt, carry_out
from millrace.lifecycle.guards import among, held, lock_job
from millrace.lifecycle.retry import Retry, Verdict, after_crash
from millrace.lifecycle.transitions import HONOURED, ChunkVerb
from millrace.types import ChunkKind, ChunkState, JobId, JobState, Lease, WorkerId

LOSSES_BEFORE_CRASH = 3
"""Workers that a chunk may lose before the death of one more counts as its own crash: what kills
whole workers may be one of its rows."""
LOSSES_UNBEGUN = 20
"""The same where no row was known to be in flight: the chunk waited in a batch, or had just been
begun. Outages take such chunks from one worker after another, and no row is to blame."""


def crash(
    conn: Connection,
    lease: Lease,
    suspects: Sequence[int],
    detail: str,
    *,
    now: float | None = None,
) -> Verdict:
    """leased → pending, split or dead: the process that computed the chunk has died.

    `suspects` are the positions of the rows in flight, `detail` says how it died. Raises
    `LeaseLost`. Where the job has ended meanwhile, nothing is counted. Where a twin goes on, the
    crash is counted and the chunk stays leased.
    """
    state = lock_job(conn, lease.job_id)
    found = select(tables.chunk).where(held(lease)).with_for_update()
    row = conn.execute(found).one_or_none()
    if row is None:
        raise LeaseLost
    ended = Attempt.of(row, lease.token)
    verdict = _judge(state, ended, suspects)
    if not carry_out(conn, verdict, ended, ChunkVerb.CRASH, suspects, detail, now):
        raise LeaseLost
    return verdict or Retry()


def lapsed(conn: Connection, *, now: float | None = None) -> list[JobId]:
    """The jobs of which leases have run out."""
    chunk = tables.chunk.c
    leased = among(chunk.state, [ChunkState.LEASED])
    found = select(chunk.job_id).where(leased, or_(*_lapsed(now))).distinct().order_by(chunk.job_id)
    return [JobId(each) for each in conn.execute(found).scalars()]


def reap(
    conn: Connection, limit: int, *, job_id: JobId | None = None, now: float | None = None
) -> list[tuple[JobId, int]]:
    """Take at most `limit` leases that have run out away from their holders, as crashes.

    Of one job only, where that is given. The rows in flight by the last heartbeat are the suspects;
    without any, an attempt is lost and no crash counted. Chunks of a job that has ended are put
    back without a count. Returns what was taken.
    """
    # The holder may renew between our look and our blow, so the blow asks again.
    # As an expression: leases that have run out are few, and the chunks of a job may be many.
    these = true() if job_id is None else tables.chunk.c.job_id + "" == job_id
    gone = _lapsed(now)
    return _end_all(conn, ChunkVerb.REAP, "the worker fell silent", 0, *gone, limit, now, these)


def _lapsed(now: float | None) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether the holder's time is over, and whether the twin's is."""
    chunk = tables.chunk.c
    return chunk.lease_until < db_now(now), chunk.twin_until < db_now(now)


def release_owned(
    conn: Connection, worker: WorkerId, *, now: float | None = None
) -> list[tuple[JobId, int]]:
    """leased → pending for all chunks of a worker that is known to be dead: no crash of a row.

    Only a chunk that has lost several attempts already has this one counted. Returns what was
    released.
    """
    chunk, excuses = tables.chunk.c, LOSSES_BEFORE_CRASH
    owned = (chunk.owner == worker, chunk.twin_owner == worker)
    return _end_all(conn, ChunkVerb.DISOWN, "its worker died", excuses, *owned, None, now)


def release_job(
    conn: Connection, job_id: JobId, *, now: float | None = None
) -> list[tuple[JobId, int]]:
    """leased → pending for all chunks of a job whose workers are all known to be dead.

    Never counted as a crash: somebody ended them all at once. Returns what was released.
    """
    of_job = tables.chunk.c.job_id == job_id
    return _end_all(conn, ChunkVerb.DISOWN, "its workers died", math.inf, of_job, of_job, None, now)


def _end_all(
    conn: Connection,
    verb: ChunkVerb,
    detail: str,
    excuses: float,
    first_gone: ColumnElement[bool],
    twin_gone: ColumnElement[bool],
    limit: int | None,
    now: float | None,
    *which: ColumnElement[bool],
) -> list[tuple[JobId, int]]:
    """End the attempts of holders and twins that are gone; each is asked for again as it is taken.

    A chunk that has lost fewer than `excuses` attempts to its surroundings only loses one more.
    """
    chunk = tables.chunk.c
    twin_gone = and_(chunk.twin_token.is_not(None), twin_gone)
    found = conn.execute(
        select(tables.chunk, first_gone.label("first_gone"), twin_gone.label("twin_gone"))
        .where(among(chunk.state, [ChunkState.LEASED]), or_(first_gone, twin_gone), *which)
        .order_by(chunk.job_id, chunk.idx)
        .limit(limit)
    ).all()
    taken = []
    for job_id, rows in groupby(found, key=lambda row: JobId(row.job_id)):
        state = lock_job(conn, job_id)
        for row in rows:
            ended = _ended(row)
            suspects = () if ended.as_twin else row.in_flight or ()
            losses = excuses if suspects else max(excuses, LOSSES_UNBEGUN)
            excused = ended.as_twin or row.lost_count < losses
            verdict = None if excused else _judge(state, ended, suspects)
            still = (
                first_gone if row.first_gone else true(),
                twin_gone if row.twin_gone else true(),
            )
            if carry_out(conn, verdict, ended, verb, suspects, detail, now, *still):
                taken.append((job_id, ended.idx))
    return taken


def _ended(row: Row[Any]) -> Attempt:
    """The attempt of whoever is gone; where both are, it ends the chunk's lease for both."""
    if row.first_gone and row.twin_gone:
        return Attempt.of(row, row.token, for_both=True)
    return Attempt.of(row, row.token if row.first_gone else row.twin_token)


def _judge(state: JobState, ended: Attempt, suspects: Sequence[int]) -> Verdict | None:
    """The verdict, or None where the job has ended and no crash is counted any more."""
    if state not in HONOURED[ended.kind]:
        return None
    if ended.kind is ChunkKind.FINALIZE or ended.goes_on:
        return Retry()
    proof = ended.kept is not None
    return after_crash(ended.span, ended.crash_count + 1, suspects, only_on_proof=proof)
