"""What becomes of a lease that ends without results. Each may raise `LeaseLost` or `Unavailable`;
where the database is away, the lease runs out and the reaper counts what there is to count.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import MillraceError, explained
from millrace.lifecycle import chunks, jobs, retry
from millrace.telemetry import fields
from millrace.types import ChunkKind, Lease
from workers.child import Abandoned, Crashed
from workers.order import Stopped

log = logging.getLogger(__name__)

_KILLS_AT_LOAD = 5
"""Attempts at one chunk after which a kill while loading is taken for the model's own doing."""


def release(database: Database, lease: Lease, *, infra: bool, reason: str) -> None:
    """Let somebody have it; `infra` counts a fault of the surroundings, and waits a moment."""
    delay = retry.backoff(lease.attempt, random.random()) if infra else 0.0
    database.transact(partial(chunks.release, lease=lease, infra=infra, delay=delay, reason=reason))


def release_all(database: Database, leases: Sequence[Lease], reason: str) -> None:
    """Let others have what is still ours of these, without a wait."""
    if leases:
        database.transact(partial(chunks.release_many, leases=leases, reason=reason))


def refuse_model(database: Database, lease: Lease, answer: Stopped) -> None:
    """The model cannot be loaded here."""
    message = explained(answer.message, answer.hint)
    database.transact(partial(chunks.refuse_model, lease=lease, code=answer.code, message=message))


def crash(database: Database, lease: Lease, answer: Crashed | Abandoned) -> None:
    """The process that computed it has died, or was killed because nothing moved."""
    detail = answer.detail if isinstance(answer, Crashed) else "made no progress and was killed"
    decision = database.transact(
        partial(chunks.crash, lease=lease, suspects=answer.suspects, detail=detail)
    )
    told = fields(job=lease.job_id, chunk=lease.idx, detail=detail, decision=decision)
    log.warning("compute crashed %s", told)


def crash_at_load(database: Database, lease: Lease, answer: Crashed) -> None:
    """No row is to blame: a kill from outside is tried again, a model that dies is refused."""
    if answer.killed and lease.attempt < _KILLS_AT_LOAD:
        release(database, lease, infra=True, reason=answer.detail)
        return
    message = f"the process died while it loaded the model: {answer.detail}"
    database.transact(
        partial(chunks.refuse_model, lease=lease, code="MODEL_CRASHED", message=message)
    )


def fail_job(database: Database, lease: Lease, error: MillraceError | Stopped) -> None:
    """No attempt can mend this: the job ends, with its cause."""
    reason = explained(error.message, error.hint)

    def fail(connection: Connection) -> None:
        if lease.kind is ChunkKind.FINALIZE:
            jobs.abandon(connection, lease, error.code, reason)
            return
        chunks.release(connection, lease, infra=False, delay=0.0, reason=reason)
        jobs.fail(connection, lease.job_id, error.code, reason)

    database.transact(fail)
