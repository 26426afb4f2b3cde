"""A model of what `millrace.lifecycle` and the publisher do; `tests.model_check` walks it.

A chunk that may be split into its rows or get twins, workers, publishers, a person who pauses,
resumes and cancels, and a sweeper of leftovers. Time is abstract: a lease may be declared expired
at any moment (clock skew, pauses and partitions are covered), anybody may die or be delayed at any
step, and any worker may try to claim anything at any time (messages may be lost, repeated and
reordered).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol_state import (
    ATTEMPTS,
    ENDED,
    TOKENS,
    Chunk,
    State,
    Step,
    Stored,
    Worker,
    replaced,
)
from tests.publication_model import publish, sweep

MUTATIONS = (
    "commit by name only",
    "commit without the attempt",
    "commit whatever the job's state",
    "reap by name only",
    "one part key for all attempts",
    "manifest from a listing",
    "another's manifest is a failure",
    "clean up after an unknown outcome",
    "sweep what nothing refers to yet",
    "cancel without a guard",
    "manifest differs by publisher",
    "children come after the split",
    "commit to a chunk that was split",
)
OF_TWINS = (
    "commit by the attempt without the token",
    "a twin commits whatever became of the chunk",
    "one part key for a holder and its twin",
    "sweep what a twin has stored",
)


def successors(state: State, mutation: str | None) -> Iterator[Step]:
    for number, worker in enumerate(state.workers):
        yield from _work(state, number, worker, mutation)
    for number, publisher in enumerate(state.publishers):
        yield from publish(state, number, publisher, mutation)
    for number, chunk in enumerate(state.chunks):
        yield from _reap(state, number, chunk, mutation)
    yield from _command(state, mutation)
    yield from sweep(state, mutation)


def _work(state: State, number: int, worker: Worker, mutation: str | None) -> Iterator[Step]:
    def become(worker: Worker) -> tuple[Worker, ...]:
        return replaced(state.workers, number, worker)

    name = f"worker {number}"
    if worker.at == "idle":
        for place, chunk in enumerate(state.chunks):
            leased = _leased(state, chunk)
            if leased is not None:
                token = leased.twin or leased.holder
                busy = Worker("computed", chunk.start, chunk.end, leased.attempt, token)
                after = state._replace(
                    chunks=replaced(state.chunks, place, leased),
                    workers=become(busy),
                    twins_left=state.twins_left - (leased.twin > 0),
                )
                yield Step(f"{name} claims {place}", after)
        return
    yield Step(f"{name} dies", state._replace(workers=become(Worker())))
    key = _part_key(worker, mutation)
    if worker.at == "computed":
        others = {
            o for o in state.store if (o.start, o.end, o.key) != (worker.start, worker.end, key)
        }
        store = frozenset(others | {Stored(worker.start, worker.end, key, worker.token)})
        yield Step(
            f"{name} stores",
            state._replace(store=store, workers=become(worker._replace(at="stored"))),
        )
    else:
        yield _commit(state, worker, key, become(Worker()), mutation, name)


def _leased(state: State, chunk: Chunk) -> Chunk | None:
    """The chunk with one more holder, or None where it takes none."""
    if state.job != "running":
        return None
    if chunk.state == "pending":
        attempt = chunk.attempt + 1
        return chunk._replace(state="leased", attempt=attempt, holder=TOKENS * attempt)
    if chunk.state == "leased" and state.twins_left:
        return chunk._replace(twin=TOKENS * chunk.attempt + state.twins_left)
    return None


def _part_key(worker: Worker, mutation: str | None) -> int | str:
    if mutation == "one part key for all attempts":
        return "x"
    if mutation == "one part key for a holder and its twin":
        return TOKENS * worker.attempt
    return worker.token


def _commit(
    state: State,
    worker: Worker,
    key: int | str,
    workers: tuple[Worker, ...],
    mutation: str | None,
    name: str,
) -> Step:
    place = next(
        i for i, c in enumerate(state.chunks) if (c.start, c.end) == (worker.start, worker.end)
    )
    chunk = state.chunks[place]
    if not _may_commit(state, chunk, worker, mutation):
        return Step(f"{name} is fenced", state._replace(workers=workers))
    committed = chunk._replace(state="committed", part=key, holder=0, twin=0)
    after = state._replace(chunks=replaced(state.chunks, place, committed), workers=workers)
    fault = None
    if chunk.state in ("committed", "split", "dead"):
        fault = "I5: a chunk that had ended was committed"
    elif chunk.attempt != worker.attempt or worker.token not in (chunk.holder, chunk.twin):
        fault = "I6: a stale acquisition changed the chunk"
    elif state.job in ENDED:
        fault = "I11: a commit after the end of the job"
    return Step(f"{name} commits", after, fault)


def _may_commit(state: State, chunk: Chunk, worker: Worker, mutation: str | None) -> bool:
    leased, wanted = chunk.state == "leased", state.job in ("running", "paused")
    attempt = chunk.attempt == worker.attempt
    token = worker.token in (chunk.holder, chunk.twin)
    match mutation:
        case "commit by name only":
            return True
        case "commit without the attempt":
            return leased and wanted
        case "commit by the attempt without the token":
            return leased and wanted and attempt
        case "commit whatever the job's state":
            return leased and attempt and token
        case "commit to a chunk that was split":
            return (leased or chunk.state == "split") and wanted and attempt
        case "a twin commits whatever became of the chunk" if worker.token % TOKENS:
            return wanted
        case _:
            return leased and wanted and attempt and token


def _reap(state: State, place: int, chunk: Chunk, mutation: str | None) -> Iterator[Step]:
    live = state.job in ("running", "paused")
    if chunk.state == "leased" and live:
        yield Step(f"reap {place}", _after_crash(state, place, chunk, mutation))
    if chunk.state == "leased" and live and chunk.twin:
        chunks = replaced(state.chunks, place, chunk._replace(twin=0))
        yield Step(f"reap the twin of {place}", state._replace(chunks=chunks))
    if chunk.state == "committed" and live and mutation == "reap by name only":
        chunks = replaced(state.chunks, place, chunk._replace(state="pending"))
        yield Step(f"reap {place} late", state._replace(chunks=chunks), "I5: a commit was undone")
    if chunk.state == "split" and state.children_owed:
        chunks = (*state.chunks, *_children(chunk))
        yield Step("children", state._replace(chunks=chunks, children_owed=False))


def _after_crash(state: State, place: int, chunk: Chunk, mutation: str | None) -> State:
    if chunk.twin:
        promoted = chunk._replace(holder=chunk.twin, twin=0)
        return state._replace(chunks=replaced(state.chunks, place, promoted))
    chunk = chunk._replace(holder=0)
    if chunk.attempt < ATTEMPTS:
        return state._replace(chunks=replaced(state.chunks, place, chunk._replace(state="pending")))
    if chunk.end - chunk.start == 1:
        return state._replace(chunks=replaced(state.chunks, place, chunk._replace(state="dead")))
    chunks = replaced(state.chunks, place, chunk._replace(state="split"))
    if mutation == "children come after the split":
        return state._replace(chunks=chunks, children_owed=True)
    return state._replace(chunks=(*chunks, *_children(chunk)))


def _children(chunk: Chunk) -> Iterator[Chunk]:
    return (Chunk(row, row + 1, "pending") for row in range(chunk.start, chunk.end))


def _command(state: State, mutation: str | None) -> Iterator[Step]:
    if state.job == "running":
        yield Step("pause", state._replace(job="paused"))
    if state.job == "paused":
        yield Step("resume", state._replace(job="running"))
    unguarded = mutation == "cancel without a guard" and state.job == "finalizing"
    if state.job in ("running", "paused") or unguarded:
        yield Step("cancel", state._replace(job="cancelled"))
