"""The table of allowed moves, as data: who may go where, and by which verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from millrace.types import JOB_TERMINAL as JOB_TERMINAL
from millrace.types import ChunkKind, ChunkState, JobState

S = TypeVar("S", JobState, ChunkState)


class JobVerb(StrEnum):
    SUBMIT = "submit"
    QUEUE = "queue"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FREEZE = "freeze"
    PUBLISH = "publish"
    ABANDON = "abandon"
    RECOMPUTE = "recompute"
    FAIL = "fail"
    EXPIRE = "expire"
    CANCEL = "cancel"
    CLOSE_CANCELLED = "close_cancelled"
    RETRY = "retry"


class ChunkVerb(StrEnum):
    CLAIM = "claim"
    OFFER = "offer"
    TWIN = "twin"
    COMMIT = "commit"
    RELEASE = "release"
    DISOWN = "disown"
    REFUSE_MODEL = "refuse_model"
    CRASH = "crash"
    REAP = "reap"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Move(Generic[S]):
    """One verb: from any of `sources` to one of `targets`; no sources means that it creates."""

    sources: frozenset[S]
    targets: frozenset[S]


def _job(sources: set[JobState], targets: set[JobState]) -> Move[JobState]:
    return Move(frozenset(sources), frozenset(targets))


def _chunk(sources: set[ChunkState], targets: set[ChunkState]) -> Move[ChunkState]:
    return Move(frozenset(sources), frozenset(targets))


_J = JobState
_C = ChunkState
_UNPUBLISHED = {_J.VALIDATING, _J.QUEUED, _J.RUNNING, _J.PAUSED}
_AFTER_A_LOSS = {_C.PENDING, _C.LEASED, _C.SPLIT, _C.DEAD}

JOB_MOVES: Mapping[JobVerb, Move[JobState]] = MappingProxyType(
    {
        JobVerb.SUBMIT: _job(set(), {_J.VALIDATING}),
        JobVerb.QUEUE: _job({_J.VALIDATING}, {_J.QUEUED}),
        JobVerb.START: _job({_J.QUEUED}, {_J.RUNNING}),
        JobVerb.PAUSE: _job({_J.RUNNING}, {_J.PAUSED}),
        JobVerb.RESUME: _job({_J.PAUSED}, {_J.RUNNING}),
        JobVerb.FREEZE: _job({_J.RUNNING}, {_J.FINALIZING}),
        JobVerb.PUBLISH: _job({_J.FINALIZING}, {_J.SUCCEEDED, _J.PARTIAL}),
        JobVerb.ABANDON: _job({_J.FINALIZING}, {_J.FAILED}),
        JobVerb.RECOMPUTE: _job({_J.FINALIZING}, {_J.RUNNING}),
        JobVerb.FAIL: _job(_UNPUBLISHED, {_J.FAILED}),
        JobVerb.EXPIRE: _job(_UNPUBLISHED, {_J.EXPIRED}),
        JobVerb.CANCEL: _job(_UNPUBLISHED, {_J.CANCELLING}),
        JobVerb.CLOSE_CANCELLED: _job({_J.CANCELLING}, {_J.CANCELLED}),
        JobVerb.RETRY: _job({_J.FAILED, _J.EXPIRED, _J.CANCELLED}, {_J.RUNNING, _J.VALIDATING}),
    }
)

CHUNK_MOVES: Mapping[ChunkVerb, Move[ChunkState]] = MappingProxyType(
    {
        ChunkVerb.CLAIM: _chunk({_C.PENDING}, {_C.LEASED}),
        ChunkVerb.OFFER: _chunk({_C.LEASED}, {_C.LEASED}),
        ChunkVerb.TWIN: _chunk({_C.LEASED}, {_C.LEASED}),
        ChunkVerb.COMMIT: _chunk({_C.LEASED}, {_C.COMMITTED}),
        # Where a chunk has a twin, the other one of the two goes on: it stays leased.
        ChunkVerb.RELEASE: _chunk({_C.LEASED}, {_C.PENDING, _C.LEASED}),
        ChunkVerb.DISOWN: _chunk({_C.LEASED}, _AFTER_A_LOSS),
        ChunkVerb.REFUSE_MODEL: _chunk({_C.LEASED}, {_C.PENDING, _C.LEASED}),
        ChunkVerb.CRASH: _chunk({_C.LEASED}, _AFTER_A_LOSS),
        ChunkVerb.REAP: _chunk({_C.LEASED}, _AFTER_A_LOSS),
        ChunkVerb.RETRY: _chunk({_C.LEASED, _C.COMMITTED, _C.DEAD}, {_C.PENDING}),
    }
)

CHUNK_TERMINAL = frozenset({_C.COMMITTED, _C.SPLIT, _C.DEAD})
CHUNK_SETTLED = frozenset({_C.COMMITTED, _C.DEAD})
"""States in which a chunk's rows are results or error records."""

CLAIMABLE: Mapping[JobState, ChunkKind] = MappingProxyType(
    {_J.RUNNING: ChunkKind.INFER, _J.FINALIZING: ChunkKind.FINALIZE}
)
"""What may be claimed while the job is in which state."""

HONOURED: Mapping[ChunkKind, frozenset[JobState]] = MappingProxyType(
    {
        ChunkKind.INFER: frozenset({_J.RUNNING, _J.PAUSED}),
        ChunkKind.FINALIZE: frozenset({_J.FINALIZING}),
    }
)
"""Job states in which a lease is still good. A paused job lets what runs come to its end."""
