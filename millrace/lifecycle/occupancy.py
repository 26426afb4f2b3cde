"""How full a pool is: what is rung and not begun yet, and which workers hold something."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, union

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.guards import among
from millrace.lifecycle.transitions import CLAIMABLE
from millrace.types import ChunkState, JobId, WorkerId


@dataclass(frozen=True, slots=True)
class Rung:
    """A pending chunk that workers were called to; the time is the database's."""

    job_id: JobId
    idx: int
    at: float
    to: WorkerId | None
    """Whom it was meant for first."""


def clock(conn: Connection) -> float:
    """The time by the database's clock, seconds since the epoch."""
    return conn.execute(select(db_now())).scalar_one()


def window(conn: Connection, pool: str, job_id: JobId | None = None) -> list[Rung]:
    """The chunks of a pool, or of one job of it, that are rung and not begun, in that order."""
    job, chunk = tables.job.c, tables.chunk.c
    found = (
        select(chunk.job_id, chunk.idx, chunk.rung_at, chunk.rung_to)
        .join(tables.job, job.id == chunk.job_id)
        .where(
            among(chunk.state, [ChunkState.PENDING]),
            chunk.rung_at.is_not(None),
            among(job.state, CLAIMABLE),
            job.pool == pool,
        )
        .order_by(chunk.rung_at)
    )
    if job_id is not None:
        found = found.where(chunk.job_id == job_id)
    return [
        Rung(JobId(row.job_id), row.idx, row.rung_at, row.rung_to and WorkerId(row.rung_to))
        for row in conn.execute(found)
    ]


def busy(conn: Connection) -> set[WorkerId]:
    """The workers that hold any chunk, as its first holder or as a twin."""
    chunk = tables.chunk.c
    leased = among(chunk.state, [ChunkState.LEASED])
    owners = union(
        select(chunk.owner).where(leased),
        select(chunk.twin_owner).where(leased, chunk.twin_until.is_not(None)),
    )
    return {WorkerId(each) for each in conn.execute(owners).scalars()}
