"""The engine for a user's own code: a subclass of `millrace.predictor.Predictor` in a file."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from millrace.errors import InvalidInput, ModelError, RowError
from millrace.predictor import Columns, Predictor
from millrace.types import Json
from workers.batching import Places
from workers.engines.base import Budget, Device, Limits, Loaded, Prepared, Refused, Traits
from workers.engines.batch_engine import BatchEngine
from workers.engines.columns import chosen, from_arrow, to_arrow
from workers.engines.user_code import describe, load_class
from workers.result_types import common


@dataclass(frozen=True, slots=True)
class _Columns:
    columns: Columns

    def take(self, rows: Places) -> Columns:
        return {name: values[rows] for name, values in self.columns.items()}


class PythonEngine(BatchEngine):
    """Runs ``predictor.py:Class`` or ``package.module:Class``."""

    traits: ClassVar[Traits] = Traits(
        "batch", ("cpu", "cuda"), "FILE.py:CLASS, a subclass of millrace.predictor.Predictor"
    )

    def load(
        self,
        location: Path | str,
        sha256: str | None,
        device: Device,
        limits: Limits,
        options: Mapping[str, Json],
    ) -> Loaded:
        kind = load_class(str(location), Predictor)
        _check_options(kind, options)
        try:
            self._predictor: Predictor = kind(**options)
            self._predictor.load(device)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise ModelError(
                "PREDICTOR_LOAD",
                f"{location} does not load: {describe(error)}",
                "mend the file; options of the job are keyword arguments of its __init__",
            ) from None
        self._types: dict[str, pa.DataType] = {}
        fingerprint: dict[str, Json] = {
            "engine": "python",
            "model": sha256,
            "options": dict(options),
            "python": platform.python_version(),
        }
        return Loaded(fingerprint, None)

    def input_columns(self, schema: pa.Schema, asked: tuple[str, ...] | None) -> tuple[str, ...]:
        return tuple(schema.names) if asked is None else chosen(schema, asked)

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        columns = {
            name: from_arrow(column)
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
        }
        ready: list[tuple[Places, Columns, Places]] = []
        refused: list[Refused] = []
        self._prepare(columns, np.arange(rows.num_rows), ready, refused)
        row = np.concatenate([np.empty(0, np.int64), *(each[0] for each in ready)])
        cost = np.concatenate([np.empty(0, np.int64), *(each[2] for each in ready)])
        payload = _Columns(_joined([each[1] for each in ready]))
        return Prepared(payload, row, cost, np.zeros_like(row), tuple(refused))

    def _prepare(
        self,
        columns: Columns,
        rows: Places,
        ready: list[tuple[Places, Columns, Places]],
        refused: list[Refused],
    ) -> None:
        """Prepare `rows`, in halves where that raises, until the rows at fault stand alone."""
        if not len(rows):
            return
        try:
            own = {name: values[rows] for name, values in columns.items()}
            prepared = _checked(self._predictor.prepare(own), len(rows))
            ready.append((rows, prepared, self._cost(prepared, len(rows))))
            return
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            code = error.code if isinstance(error, RowError) else "PREPARE_ERROR"
            fault = error.message if isinstance(error, RowError) else describe(error)
        if len(rows) == 1:
            refused.append(Refused(int(rows[0]), code, fault))
            return
        for half in np.array_split(rows, 2):
            self._prepare(columns, half, ready, refused)

    def _cost(self, prepared: Columns, rows: int) -> Places:
        cost = self._predictor.cost(prepared)
        if cost is None:
            return np.ones(rows, dtype=np.int64)
        return np.asarray(cost).reshape(rows).astype(np.int64)

    def size_hint(self) -> Budget:
        return Budget(self._predictor.max_rows, self._predictor.max_cost, "padded")

    def predict(self, batch: Columns) -> pa.RecordBatch:
        rows = len(next(iter(batch.values())))
        results = self._predictor.predict(batch)
        if not isinstance(results, Mapping):
            results = {"prediction": results}
        columns = {name: to_arrow(values, rows) for name, values in results.items()}
        kinds = {name: column.type for name, column in columns.items()}
        self._types = _widened(self._types, kinds) if self._types else kinds
        return pa.RecordBatch.from_pydict(columns)


def _check_options(kind: type, options: Mapping[str, Json]) -> None:
    signature = inspect.signature(kind)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise InvalidInput(
            "OPTION_INVALID",
            f"unusable options for {kind.__name__}: {error}",
            f"its __init__ takes: {', '.join(signature.parameters) or 'no options'}",
        ) from None


def _widened(
    before: Mapping[str, pa.DataType], now: Mapping[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """Types that take all results so far; `RowError` where text, numbers and such are mixed."""
    if set(before) != set(now):
        raise RowError(
            "WRONG_RESULTS",
            f"predict returned the columns {sorted(now)}, but {sorted(before)} before",
        )
    wider = {name: common(kind, now[name]) for name, kind in before.items()}
    for name, kind in wider.items():
        if kind is None:
            fault = f"the model gave {now[name]} for {name!r}, but {before[name]} before"
            raise RowError("WRONG_RESULTS", fault)
    return {name: kind for name, kind in wider.items() if kind is not None}


def _checked(prepared: Any, rows: int) -> Columns:
    if not isinstance(prepared, dict) or not prepared:
        raise RowError("WRONG_PREPARED", "prepare has to return a dict of columns")
    wrong = [f"{name} has {len(each)}" for name, each in prepared.items() if len(each) != rows]
    if wrong:
        raise RowError("WRONG_PREPARED", f"prepare got {rows} rows, but {', '.join(wrong)}")
    return {name: _array(values) for name, values in prepared.items()}


def _array(values: Any) -> np.ndarray[Any, Any]:
    if isinstance(values, np.ndarray):
        return values
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def _joined(pieces: list[Columns]) -> Columns:
    if len(pieces) < 2:
        return pieces[0] if pieces else {}
    return {name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}
