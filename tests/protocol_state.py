"""What the model of the protocol knows of the world, at one moment."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, TypeVar

_T = TypeVar("_T")

ROWS = 2
ATTEMPTS = 2
TOKENS = 4
"""Token of the first holder of an attempt: so many times the attempt; twins have those between."""
ENDED = ("succeeded", "cancelled", "failed")
CLOSED = ("committed", "dead")

Entry: TypeAlias = tuple[int, int, int | str, int | str]
"""One line of a manifest: first row, end, part key, content."""


class Chunk(NamedTuple):
    """`holder` and `twin` are the tokens that may commit it, 0 for none."""

    start: int
    end: int
    state: str
    attempt: int = 0
    part: int | str | None = None
    holder: int = 0
    twin: int = 0


class Stored(NamedTuple):
    """A part in the store: of the chunk at `start`–`end`, written under the token `content`."""

    start: int
    end: int
    key: int | str
    content: int


class Worker(NamedTuple):
    at: Literal["idle", "computed", "stored"] = "idle"
    start: int = 0
    end: int = 0
    attempt: int = 0
    token: int = 0


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
    twins_left: int = 0


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


WITH_TWINS = START._replace(
    chunks=(Chunk(0, 1, "pending"),),
    workers=(Worker(),) * 3,
    publishers=(Publisher(),),
    twins_left=2,
)
"""The scope in which a chunk of one row may get twins, with a third worker to come after both."""


def replaced(items: tuple[_T, ...], place: int, item: _T) -> tuple[_T, ...]:
    return (*items[:place], item, *items[place + 1 :])


def place(state: State, of: Worker | Stored) -> int:
    spans = [(chunk.start, chunk.end) for chunk in state.chunks]
    return spans.index((of.start, of.end))
