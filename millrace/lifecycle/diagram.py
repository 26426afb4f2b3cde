"""The table of moves as a drawing, for `docs/lifecycle.md`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from millrace.lifecycle.transitions import (
    CHUNK_MOVES,
    CHUNK_TERMINAL,
    JOB_MOVES,
    JOB_TERMINAL,
    ChunkVerb,
    JobVerb,
    Move,
)
from millrace.types import ChunkState, JobState

_BEGIN = "<!-- generated from millrace/lifecycle/transitions.py: {} -->"
_END = "<!-- end -->"


def job_diagram() -> str:
    """All moves of a job as a Mermaid state diagram."""
    return _mermaid(JOB_MOVES, JOB_TERMINAL, None)


def chunk_diagram() -> str:
    """All moves of a chunk as a Mermaid state diagram."""
    return _mermaid(CHUNK_MOVES, CHUNK_TERMINAL, ChunkState.PENDING)


def refreshed(document: str) -> str:
    """The document with both diagrams between their marks brought up to date."""
    for name, drawing in (("jobs", job_diagram()), ("chunks", chunk_diagram())):
        before, begin, rest = document.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END)
        document = f"{before}{begin}\n\n```mermaid\n{drawing}```\n\n{end}{after}"
    return document


def _mermaid(
    moves: Mapping[JobVerb, Move[JobState]] | Mapping[ChunkVerb, Move[ChunkState]],
    terminal: frozenset[JobState] | frozenset[ChunkState],
    first: ChunkState | None,
) -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for verb, move in moves.items():
        sources = sorted(str(state) for state in move.sources) or ["[*]"]
        for source, target in product(sources, sorted(move.targets)):
            arrows.setdefault((source, target), []).append(verb)
    lines = [] if first is None else [f"[*] --> {first}"]
    lines += [f"{a} --> {b}: {', '.join(verbs)}" for (a, b), verbs in arrows.items()]
    lines += [f"{state} --> [*]" for state in sorted(terminal)]
    return "stateDiagram-v2\n" + "".join(f"    {line}\n" for line in lines)
