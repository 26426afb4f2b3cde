"""Names that people may type, and where the code behind each lives.

The API and the scheduler read this table without importing torch; `load` imports the code.
A package of somebody else's adds to it through entry points of the same shape, in the groups
``millrace.engines`` and ``millrace.formats``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from millrace.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class EngineEntry:
    path: str
    chunk_rows: int
    """Rows of a chunk that keep this engine busy for seconds, where nothing else is asked."""
    imports: tuple[str, ...] = ()
    """What takes long to import; a compute process may do so before its first order."""
    is_code: bool = False
    """What its location names is run, not only read."""
    code_options: frozenset[str] = frozenset()
    """Options that name something that is run."""


@dataclass(frozen=True, slots=True)
class FormatEntry:
    path: str
    suffixes: tuple[str, ...]
    options: frozenset[str] = frozenset()
    """Names of what its constructor takes."""


Entry = TypeVar("Entry", EngineEntry, FormatEntry)

ENGINES: dict[str, EngineEntry] = {
    "sentence-transformers": EngineEntry(
        "workers.engines.sentence_transformers:SentenceTransformersEngine",
        chunk_rows=2_000,
        imports=("sentence_transformers",),
    ),
    "torch": EngineEntry(
        "workers.engines.torch:TorchEngine",
        chunk_rows=65_536,
        imports=("torch",),
        code_options=frozenset({"module"}),
    ),
    "python": EngineEntry("workers.engines.python:PythonEngine", chunk_rows=2_000, is_code=True),
    "echo": EngineEntry("workers.engines.echo:EchoEngine", chunk_rows=65_536),
}

FORMATS: dict[str, FormatEntry] = {
    "jsonl": FormatEntry(
        "millrace.datasets.jsonl:JsonLines", (".jsonl", ".ndjson"), frozenset({"sample"})
    ),
    "csv": FormatEntry("millrace.datasets.csv:Csv", (".csv",), frozenset({"multiline"})),
    "tsv": FormatEntry("millrace.datasets.csv:Tsv", (".tsv",), frozenset({"multiline"})),
    "parquet": FormatEntry("millrace.datasets.parquet:Parquet", (".parquet",)),
    "text": FormatEntry("millrace.datasets.text:Text", (".txt",), frozenset({"sample"})),
}


def engine(name: str) -> EngineEntry:
    """The entry of engine `name`; `InvalidInput` names those that there are."""
    return _entry(name, ENGINES, EngineEntry, "engine")


def dataset_format(name: str) -> FormatEntry:
    """The entry of format `name`; `InvalidInput` names those that there are."""
    return _entry(name, FORMATS, FormatEntry, "format")


def _entry(name: str, known: Mapping[str, Entry], shape: type[Entry], kind: str) -> Entry:
    if name in known:
        return known[name]
    for point in entry_points(group=f"millrace.{kind}s", name=name):
        entry = point.load()
        assert isinstance(entry, shape), f"{point.value} is not of type {shape.__name__}"
        return entry
    raise InvalidInput(
        f"UNKNOWN_{kind.upper()}", f"unknown {kind} {name!r}", f"use one of: {', '.join(known)}"
    )


@cache
def load(path: str) -> Any:
    """Import ``"package.module:Name"`` and return what the name stands for."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
