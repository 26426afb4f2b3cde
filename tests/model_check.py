"""An exhaustive check of the results protocol at a tiny scope: every interleaving is tried.

`MUTATIONS` names the guards of the protocol; without any one of them an invariant breaks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tests.protocol_model import MUTATIONS, OF_TWINS, successors
from tests.protocol_state import ENDED, START, WITH_TWINS, State

__all__ = ["MUTATIONS", "OF_TWINS", "START", "WITH_TWINS", "Verdict", "check"]


@dataclass(frozen=True)
class Verdict:
    states: int
    fault: str | None
    trace: tuple[str, ...]
    live: bool
    """From every state some end of the job can be reached."""


def check(mutation: str | None = None, start: State = START) -> Verdict:
    """Walk all states that can be reached from `start`, up to the first fault."""
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    before: dict[State, list[State]] = {}
    todo = deque([start])
    while todo:
        state = todo.popleft()
        for step in successors(state, mutation):
            after = _without_names(step.state)
            fault = step.fault or (None if after in came_from else broken(after))
            if fault:
                return Verdict(len(came_from), fault, _trace(came_from, state, step.name), False)
            before.setdefault(after, []).append(state)
            if after not in came_from:
                came_from[after] = (state, step.name)
                todo.append(after)
    return Verdict(len(came_from), None, (), _all_can_end(set(came_from), before))


def broken(state: State) -> str | None:
    """The invariant that the state breaks, by its number in the reliability notes."""
    if state.manifest is not None:
        return _published_fault(state)
    if state.job == "succeeded":
        return "I10: succeeded without a manifest"
    if state.job in ("cancelled", "failed"):
        return None
    kept = {(each.start, each.end, each.key) for each in state.store}
    for chunk in state.chunks:
        if chunk.state == "committed" and (chunk.start, chunk.end, chunk.part) not in kept:
            return "I7: the part of a committed chunk is gone"
    return None


def _published_fault(state: State) -> str | None:
    lines = [line for line in state.manifest or () if line[0] >= 0]
    rows = [row for start, end, *_ in lines for row in range(start, end)]
    if rows != list(range(max(chunk.end for chunk in state.chunks))):
        return f"I1: the results hold the rows {rows}"
    stored = {(each.start, each.end, each.key): each.content for each in state.store}
    for start, end, key, content in lines:
        if key != "error" and stored.get((start, end, key)) != content:
            return "I7: a published part is gone or changed"
    if state.job in ("cancelled", "failed"):
        return f"I10/I11: published, and {state.job}"
    return None


def _without_names(state: State) -> State:
    """The same for all states that only differ in who is worker or publisher 0, and who 1."""
    return state._replace(
        workers=tuple(sorted(state.workers)),
        publishers=tuple(sorted(state.publishers, key=hash)),
    )


def _trace(
    came_from: dict[State, tuple[State, str] | None], state: State, last: str
) -> tuple[str, ...]:
    names = [last]
    while (origin := came_from[state]) is not None:
        state, name = origin
        names.append(name)
    return tuple(reversed(names))


def _all_can_end(states: Iterable[State], before: dict[State, list[State]]) -> bool:
    reached = {state for state in states if state.job in ENDED}
    todo = list(reached)
    while todo:
        for state in before.get(todo.pop(), ()):
            if state not in reached:
                reached.add(state)
                todo.append(state)
    return all(state in reached for state in states)
