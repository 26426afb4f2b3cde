"""A model of what `millrace.lifecycle` and the publisher do; `tests.model_check` walks it.

One chunk of two rows that may be split into its rows, two workers, two publishers, a person who
pauses, resumes and cancels, and a sweeper of leftovers. Time is abstract: a lease may be declared
expired at any moment (clock skew, pauses and partitions are covered), anybody may die or be delayed
at any step, and any worker may try to claim anything at any time (messages may be lost, repeated
and reordered).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, TypeVar

_T = TypeVar("_T")

ROWS = 2
ATTEMPTS = 2
ENDED = ("succeeded", "cancelled", "failed")
CLOSED = ("committed", "dead")

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

Entry: TypeAlias = tuple[int, int, int | str, int | str]
"""One line of a manifest: first row, end, part key, content."""


class Chunk(NamedTuple):
    start: int
    end: int
    state: str
    attempt: int = 0
    part: int | str | None = None


class Stored(NamedTuple):
    """A part in the store: of the chunk at `start`–`end`, written by attempt `content`."""

    start: int
    end: int
    key: int | str
    content: int


class Worker(NamedTuple):
    at: Literal["idle", "computed", "stored"] = "idle"
    start: int = 0
    end: int = 0
    attempt: int = 0


class Publisher(NamedTuple):
    at: Literal["idle", "built", "put"] = "idle"
    manifest: tuple[Entry, ...] = ()


class State(NamedTuple):
    job: str
    manifest: tuple[Entry, ...] | None
    chunks: tuple[Chunk, ...]
    store: frozenset[Stored]
    workers: tuple[Worker, ...]
    publishers: tuple[Publisher, ...]
    children_owed: bool = False


class Step(NamedTuple):
    name: str
    state: State
    fault: str | None = None


START = State(
    job="running",
    manifest=None,
    chunks=(Chunk(0, ROWS, "pending"),),
    store=frozenset(),
    workers=(Worker(), Worker()),
    publishers=(Publisher(), Publisher()),
)


def successors(state: State, mutation: str | None) -> Iterator[Step]:
    for number, worker in enumerate(state.workers):
        yield from _work(state, number, worker, mutation)
    for number, publisher in enumerate(state.publishers):
        yield from _publish(state, number, publisher, mutation)
    for number, chunk in enumerate(state.chunks):
        yield from _reap(state, number, chunk, mutation)
    yield from _command(state, mutation)
    yield from _sweep(state, mutation)


def _work(state: State, number: int, worker: Worker, mutation: str | None) -> Iterator[Step]:
    def become(worker: Worker) -> tuple[Worker, ...]:
        return _replaced(state.workers, number, worker)

    name = f"worker {number}"
    if worker.at == "idle":
        for place, chunk in enumerate(state.chunks):
            if chunk.state == "pending" and state.job == "running":
                leased = chunk._replace(state="leased", attempt=chunk.attempt + 1)
                chunks = _replaced(state.chunks, place, leased)
                holder = become(Worker("computed", chunk.start, chunk.end, leased.attempt))
                yield Step(f"{name} claims {place}", state._replace(chunks=chunks, workers=holder))
        return
    yield Step(f"{name} dies", state._replace(workers=become(Worker())))
    key: int | str = "x" if mutation == "one part key for all attempts" else worker.attempt
    if worker.at == "computed":
        others = {
            o for o in state.store if (o.start, o.end, o.key) != (worker.start, worker.end, key)
        }
        store = frozenset(others | {Stored(worker.start, worker.end, key, worker.attempt)})
        yield Step(
            f"{name} stores",
            state._replace(store=store, workers=become(worker._replace(at="stored"))),
        )
    else:
        yield _commit(state, worker, key, become(Worker()), mutation, name)


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
    open_states = (
        ("leased", "split") if mutation == "commit to a chunk that was split" else ("leased",)
    )
    leased, ours = chunk.state in open_states, chunk.attempt == worker.attempt
    wanted = state.job in ("running", "paused")
    if mutation == "commit by name only":
        leased = ours = wanted = True
    if mutation == "commit to a chunk that was split":
        leased = chunk.state in ("leased", "split")
    if mutation == "commit without the attempt":
        ours = True
    if mutation == "commit whatever the job's state":
        wanted = True
    if not (leased and ours and wanted):
        return Step(f"{name} is fenced", state._replace(workers=workers))
    committed = chunk._replace(state="committed", part=key)
    after = state._replace(chunks=_replaced(state.chunks, place, committed), workers=workers)
    fault = None
    if chunk.attempt != worker.attempt:
        fault = "I6: a stale attempt changed the chunk"
    elif chunk.state in ("committed", "split", "dead"):
        fault = "I5: a chunk that had ended was committed"
    elif state.job in ENDED:
        fault = "I11: a commit after the end of the job"
    return Step(f"{name} commits", after, fault)


def _reap(state: State, place: int, chunk: Chunk, mutation: str | None) -> Iterator[Step]:
    live = state.job in ("running", "paused")
    if chunk.state == "leased" and live:
        yield Step(f"reap {place}", _after_crash(state, place, chunk, mutation))
    if chunk.state == "committed" and live and mutation == "reap by name only":
        chunks = _replaced(state.chunks, place, chunk._replace(state="pending"))
        yield Step(f"reap {place} late", state._replace(chunks=chunks), "I5: a commit was undone")
    if chunk.state == "split" and state.children_owed:
        chunks = (*state.chunks, *_children(chunk))
        yield Step("children", state._replace(chunks=chunks, children_owed=False))


def _after_crash(state: State, place: int, chunk: Chunk, mutation: str | None) -> State:
    if chunk.attempt < ATTEMPTS:
        return state._replace(
            chunks=_replaced(state.chunks, place, chunk._replace(state="pending"))
        )
    if chunk.end - chunk.start == 1:
        return state._replace(chunks=_replaced(state.chunks, place, chunk._replace(state="dead")))
    chunks = _replaced(state.chunks, place, chunk._replace(state="split"))
    if mutation == "children come after the split":
        return state._replace(chunks=chunks, children_owed=True)
    return state._replace(chunks=(*chunks, *_children(chunk)))


def _children(chunk: Chunk) -> Iterator[Chunk]:
    return (Chunk(row, row + 1, "pending") for row in range(chunk.start, chunk.end))


def _publish(
    state: State, number: int, publisher: Publisher, mutation: str | None
) -> Iterator[Step]:
    def become(publisher: Publisher) -> tuple[Publisher, ...]:
        return _replaced(state.publishers, number, publisher)

    name = f"publisher {number}"
    done = all(chunk.state in (*CLOSED, "split") for chunk in state.chunks)
    if publisher.at == "idle":
        if (state.job == "running" and done) or state.job == "finalizing":
            built = Publisher("built", _manifest(state, number, mutation))
            after = state._replace(job="finalizing", publishers=become(built))
            yield Step(f"{name} freezes and builds", after)
        return
    yield Step(f"{name} dies", state._replace(publishers=become(Publisher())))
    if publisher.at == "put":
        job = "succeeded" if state.job == "finalizing" else state.job
        yield Step(f"{name} ends the job", state._replace(job=job, publishers=become(Publisher())))
    elif state.manifest is None or mutation == "manifest differs by publisher":
        yield from _put(state, publisher, become(publisher._replace(at="put")), name, mutation)
    elif mutation == "another's manifest is a failure":
        yield Step(f"{name} gives up", state._replace(job="failed", publishers=become(Publisher())))
    elif state.manifest == publisher.manifest:
        yield Step(
            f"{name} finds it", state._replace(publishers=become(publisher._replace(at="put")))
        )


def _put(
    state: State,
    publisher: Publisher,
    publishers: tuple[Publisher, ...],
    name: str,
    mutation: str | None,
) -> Iterator[Step]:
    changed = state.manifest is not None and state.manifest != publisher.manifest
    fault = "I8: the manifest changed after it was seen" if changed else None
    put = state._replace(manifest=publisher.manifest)
    yield Step(f"{name} puts", put._replace(publishers=publishers), fault)
    if mutation == "clean up after an unknown outcome":
        yield Step(f"{name} cleans up", put._replace(store=frozenset(), job="failed"))
    else:
        yield Step(f"{name} puts, unheard", put, fault)


def _manifest(state: State, author: int, mutation: str | None) -> tuple[Entry, ...]:
    signature: tuple[Entry, ...] = ()
    if mutation == "manifest differs by publisher":
        signature = ((-1, -1, "author", author),)
    if mutation == "manifest from a listing":
        return tuple(sorted((o.start, o.end, o.key, o.content) for o in state.store))
    stored = {(each.start, each.end, each.key): each.content for each in state.store}
    lines: list[Entry] = []
    for chunk in sorted(state.chunks):
        if chunk.state == "dead":
            lines.append((chunk.start, chunk.end, "error", "error"))
        elif chunk.state == "committed":
            key = chunk.part if chunk.part is not None else "none"
            content = stored.get((chunk.start, chunk.end, key), "missing")
            lines.append((chunk.start, chunk.end, key, content))
    return (*lines, *signature)


def _command(state: State, mutation: str | None) -> Iterator[Step]:
    if state.job == "running":
        yield Step("pause", state._replace(job="paused"))
    if state.job == "paused":
        yield Step("resume", state._replace(job="running"))
    unguarded = mutation == "cancel without a guard" and state.job == "finalizing"
    if state.job in ("running", "paused") or unguarded:
        yield Step("cancel", state._replace(job="cancelled"))


def _sweep(state: State, mutation: str | None) -> Iterator[Step]:
    for part in state.store:
        chunk = state.chunks[_place(state, part)]
        mine = chunk.state == "committed" and chunk.part == part.key
        fenced = isinstance(part.key, int) and part.key < chunk.attempt
        safe = not mine and (chunk.state != "leased" or fenced)
        if mutation == "sweep what nothing refers to yet":
            safe = not mine
        if safe or state.job in ("cancelled", "failed"):
            yield Step("sweep", state._replace(store=state.store - {part}))


def _place(state: State, of: Worker | Stored) -> int:
    spans = [(chunk.start, chunk.end) for chunk in state.chunks]
    return spans.index((of.start, of.end))


def _replaced(items: tuple[_T, ...], place: int, item: _T) -> tuple[_T, ...]:
    return (*items[:place], item, *items[place + 1 :])
