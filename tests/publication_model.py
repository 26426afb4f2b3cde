"""The part of the protocol's model in which results become public, and leftovers go."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol_state import CLOSED, TOKENS, Entry, Publisher, State, Step, place, replaced


def publish(
    state: State, number: int, publisher: Publisher, mutation: str | None
) -> Iterator[Step]:
    def become(publisher: Publisher) -> tuple[Publisher, ...]:
        return replaced(state.publishers, number, publisher)

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


def sweep(state: State, mutation: str | None) -> Iterator[Step]:
    for part in state.store:
        chunk = state.chunks[place(state, part)]
        mine = chunk.state == "committed" and chunk.part == part.key
        fenced = isinstance(part.key, int) and part.key // TOKENS < chunk.attempt
        if mutation == "sweep what a twin has stored":
            fenced = part.key != chunk.holder
        safe = not mine and (chunk.state != "leased" or fenced)
        if mutation == "sweep what nothing refers to yet":
            safe = not mine
        if safe or state.job in ("cancelled", "failed"):
            yield Step("sweep", state._replace(store=state.store - {part}))
