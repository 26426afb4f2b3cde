"""The seam to models: one protocol for every engine.

A *batch* engine implements `prepare` and `predict`; the planner forms its batches
(`workers.batching`) and `BatchEngine.run` drives them. A *feed* engine, which forms batches of its
own, implements `run`. The pipeline only ever calls `load`, `prepare`, `run`, `health` and `close`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace.types import Json

Device = str
"""``"cpu"``, ``"cuda:0"``, ``"mps"``."""


@dataclass(frozen=True, slots=True)
class Traits:
    mode: Literal["batch", "feed"]
    devices: tuple[str, ...]
    accepts: str
    """For people: what a location may be, as in "a folder written by save_pretrained"."""
    passthrough: bool = False
    """Its columns are the input's own: those that a join carries are not written twice."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one engine process may use; bytes of host memory, number of compute threads."""

    memory_bytes: int | None
    threads: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loaded engine says of itself."""

    fingerprint: Mapping[str, Json]
    """What decides a result beside the input: model hash, engine, versions, dtype, options."""
    columns: pa.Schema | None
    """The columns it produces, where known before the first row."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one batch. `padded` cost is rows × the dearest row; `sum` adds the rows' costs."""

    max_rows: int
    max_cost: int
    cost_model: Literal["padded", "sum"]


@dataclass(frozen=True, slots=True)
class Refused:
    """One row that cannot be predicted; `row` is its place in the prepared window."""

    row: int
    code: str
    message: str


class Payload(Protocol):
    """Prepared rows as the engine likes them; `take` selects rows by place, in that order."""

    def take(self, rows: NDArray[np.int64]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A window of rows ready for the device. Arrays have one entry per accepted row."""

    payload: Payload
    row: NDArray[np.int64]
    """Place of each accepted row in the window that was prepared, ascending."""
    cost: NDArray[np.int64]
    """In the engine's unit: tokens, pixels, bytes."""
    group: NDArray[np.int64]
    """Rows of different groups never share a batch."""
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Predicted:
    """Results for some rows of a window: `columns` has one row per entry of `row`, in order."""

    row: NDArray[np.int64]
    columns: pa.RecordBatch


Outcome = Predicted | Refused


class Watcher(Protocol):
    """Told of every batch before and after it runs, so that a crash has its suspects."""

    def starting(self, row: NDArray[np.int64]) -> None: ...

    def finished(self, rows: int) -> None: ...


class Engine(Protocol):
    traits: ClassVar[Traits]

    def load(
        self,
        location: Path | str,
        sha256: str | None,
        device: Device,
        limits: Limits,
        options: Mapping[str, Json],
    ) -> Loaded:
        """Load once per process; `ModelError` says what is wrong with it. Never downloads."""
        ...

    def input_columns(self, schema: pa.Schema, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        """The columns that it reads: those asked for, else the obvious choice; `InvalidInput`
        names the candidates where there is no obvious one.
        """
        ...

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        """CPU only, safe to call from another thread than `run`; `rows` holds the input columns."""
        ...

    def run(
        self, prepared: Prepared, watcher: Watcher, suspects: NDArray[np.int64]
    ) -> Iterator[Outcome]:
        """Exactly one outcome per accepted row of `prepared`, in any order.

        `suspects` (places in the window) were in flight when an earlier attempt crashed: they run
        last and one by one.
        """
        ...

    def health(self) -> bool: ...

    def close(self) -> None: ...
