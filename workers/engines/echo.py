"""An engine without a model: gives back what it reads. For trying things out, and for faults.

With the option ``scripted`` it obeys rows whose text starts with a word of `_SCRIPT`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from millrace.types import Json
from workers.batching import Places
from workers.engines.base import Budget, Device, Limits, Loaded, Prepared, Traits
from workers.engines.batch_engine import BatchEngine
from workers.engines.columns import chosen, is_text
from workers.engines.options import BatchOptions, read_options

_ROWS = 1_024
_NO_MEMORY = 1 << 16


class EchoOptions(BatchOptions):
    delay: float = 0.0
    """Seconds to sleep for each batch."""
    scripted: bool = False
    """Obey rows such as ``::raise``, ``::exit 3``, ``::segv``, ``::oom 4``, ``::hang``."""


@dataclass(frozen=True, slots=True)
class _Rows:
    batch: pa.RecordBatch

    def take(self, rows: Places) -> pa.RecordBatch:
        return self.batch.take(pa.array(rows))


class EchoEngine(BatchEngine):
    """Returns its input columns as they are; needs no location."""

    traits: ClassVar[Traits] = Traits("batch", ("cpu",), "nothing: it has no model", True)

    def load(
        self,
        location: Path | str,
        sha256: str | None,
        device: Device,
        limits: Limits,
        options: Mapping[str, Json],
    ) -> Loaded:
        self._options = read_options(EchoOptions, "echo", options)
        return Loaded({"engine": "echo"}, None)

    def input_columns(self, schema: pa.Schema, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        return tuple(schema.names) if asked is None else chosen(schema, asked)

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        each = np.arange(rows.num_rows)
        return Prepared(_Rows(rows), each, np.ones_like(each), np.zeros_like(each))

    def size_hint(self) -> Budget:
        rows = self._options.max_rows or _ROWS
        return Budget(rows, self._options.max_cost or rows, "sum")

    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._options.delay:
            time.sleep(self._options.delay)
        if self._options.scripted:
            _obey(batch)
        return batch


def _obey(batch: pa.RecordBatch) -> None:
    for column in batch.columns:
        if not is_text(column.type):
            continue
        for text in column.to_pylist():
            word, _, argument = (text or "").partition(" ")
            if word in _SCRIPT:
                _SCRIPT[word](argument)


def _raise(_: str) -> None:
    raise ValueError("this row was told to raise")


def _allocate(gibibytes: str) -> None:
    bytearray(int(gibibytes or _NO_MEMORY) << 30)


def _hang(_: str) -> None:
    threading.Event().wait()


_SCRIPT: dict[str, Callable[[str], object]] = {
    "::raise": _raise,
    "::quit": lambda _: sys.exit(0),
    "::exit": lambda status: os._exit(int(status or 1)),
    "::segv": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "::oom": _allocate,
    "::hang": _hang,
    "::sleep": lambda seconds: time.sleep(float(seconds)),
}
