"""The base of engines whose batches we form: packing, bisecting, and what memory allows."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.errors import ModelError, RowError, Unavailable
from workers import device
from workers.batching import Places, RowQueue, batch_cost
from workers.budget_tuner import BudgetTuner
from workers.engines.base import Budget, Outcome, Predicted, Prepared, Refused, Watcher
from workers.engines.user_code import describe


@dataclass(slots=True)
class _Descent:
    """What happened while one planned batch was taken apart."""

    too_much: list[int] = field(default_factory=list)
    """Costs of the batches of several rows that did not fit into memory."""
    single_row: bool = False
    """Whether a row did not fit even alone, so that the batch size is not to blame."""


class BatchEngine(ABC):
    """Implements `run` over `predict`; a subclass adds `load`, `input_columns` and `prepare`."""

    tuner: BudgetTuner | None = None

    @abstractmethod
    def predict(self, batch: Any) -> pa.RecordBatch:
        """Compute what `Payload.take` gave: one row per row taken, in the same order."""

    @abstractmethod
    def size_hint(self) -> Budget:
        """The budget to start from."""

    def health(self) -> bool:
        return True

    def close(self) -> None:
        return None

    def run(self, prepared: Prepared, watcher: Watcher, suspects: Places) -> Iterator[Outcome]:
        """Largest batch first, suspects last and one by one; see `Engine.run`."""
        tuner = self.tuner = self.tuner or BudgetTuner(self.size_hint())
        suspected = np.isin(prepared.row, suspects)
        queue = RowQueue(prepared.cost, prepared.group, np.flatnonzero(~suspected))
        while (places := queue.take(tuner.budget)).size:
            yield from self._batch(prepared, places, watcher, tuner)
        for place in np.flatnonzero(suspected):
            yield from self._batch(prepared, np.array([place]), watcher, tuner)

    def _batch(
        self, prepared: Prepared, places: Places, watcher: Watcher, tuner: BudgetTuner
    ) -> Iterator[Outcome]:
        descent = _Descent()
        started = time.perf_counter()
        first = self._attempt(prepared, places, watcher, descent)
        if isinstance(first, Predicted):
            cost = batch_cost(prepared.cost[places], tuner.budget)
            tuner.succeeded(cost, time.perf_counter() - started)
        yield from self._settle(first, prepared, places, watcher, descent)
        if descent.too_much and not descent.single_row:
            tuner.out_of_memory(min(descent.too_much))

    def _settle(
        self,
        tried: Predicted | Refused,
        prepared: Prepared,
        places: Places,
        watcher: Watcher,
        descent: _Descent,
    ) -> Iterator[Outcome]:
        """Yield what was predicted; halve what failed until the row at fault stands alone."""
        if isinstance(tried, Predicted) or len(places) == 1:
            watcher.finished(len(places))
            yield tried
            return
        for half in np.array_split(places, 2):
            again = self._attempt(prepared, half, watcher, descent)
            yield from self._settle(again, prepared, half, watcher, descent)

    def _attempt(
        self, prepared: Prepared, places: Places, watcher: Watcher, descent: _Descent
    ) -> Predicted | Refused:
        """Predict one batch; a `Refused` speaks of its first row and, for several, means halve."""
        rows = prepared.row[places]
        watcher.starting(rows)
        try:
            columns = self.predict(prepared.payload.take(places))
            _expect_rows(columns, len(places))
            return Predicted(rows, columns)
        except (ModelError, Unavailable):
            raise
        # A user's sys.exit() is a failed row like any other, never a success.
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            refused = _refused(int(rows[0]), error)
            full = device.is_out_of_memory(error)
        if full:
            device.free_memory()
            if len(places) == 1:
                descent.single_row = True
            else:
                descent.too_much.append(batch_cost(prepared.cost[places], self.size_hint()))
        return refused


def _refused(row: int, error: BaseException) -> Refused:
    if device.is_lost(error):
        raise device.DeviceLost(str(error)) from error
    if isinstance(error, RowError):
        return Refused(row, error.code, error.message)
    if device.is_out_of_memory(error):
        return Refused(row, "OUT_OF_MEMORY", f"does not fit into memory even alone: {error}")
    return Refused(row, "PREDICT_ERROR", describe(error))


def _expect_rows(columns: pa.RecordBatch, rows: int) -> None:
    if columns.num_rows != rows:
        raise RowError(
            "WRONG_RESULTS",
            f"the model gave {columns.num_rows} results for {rows} rows; it has to give one each",
        )
