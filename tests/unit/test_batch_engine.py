from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from millrace.errors import ModelError
from workers.batching import Places
from workers.budget_tuner import BudgetTuner
from workers.device import DeviceLost
from workers.engines.base import Budget, Outcome, Predicted, Prepared, Refused
from workers.engines.batch_engine import BatchEngine


@dataclass
class Payload:
    def take(self, rows: Places) -> list[int]:
        return [int(row) for row in rows]


class Stub(BatchEngine):
    """Answers each row with its number; `fault` may raise first."""

    def __init__(self, fault: Callable[[list[int]], object], budget: Budget) -> None:
        self.fault = fault
        self.budget = budget
        self.calls: list[list[int]] = []

    def size_hint(self) -> Budget:
        return self.budget

    def predict(self, batch: Any) -> pa.RecordBatch:
        self.calls.append(batch)
        self.fault(batch)
        return pa.RecordBatch.from_pydict({"row": pa.array(batch)})


class Deaf:
    def starting(self, row: Places) -> None: ...

    def finished(self, rows: int) -> None: ...


def _run(engine: Stub, rows: int, suspects: Sequence[int] = ()) -> tuple[list[int], list[Refused]]:
    each = np.arange(rows)
    prepared = Prepared(Payload(), each, np.ones_like(each), np.zeros_like(each))
    outcomes: list[Outcome] = list(engine.run(prepared, Deaf(), np.array(suspects, dtype=np.int64)))
    good = [out for out in outcomes if isinstance(out, Predicted)]
    assert all(out.columns["row"].to_pylist() == out.row.tolist() for out in good)
    refused = [out for out in outcomes if isinstance(out, Refused)]
    return sorted(row for out in good for row in out.row.tolist()), refused


def _raise_for(bad: set[int], error: BaseException) -> Callable[[list[int]], None]:
    def fault(batch: list[int]) -> None:
        if bad.intersection(batch):
            raise error

    return fault


@pytest.mark.parametrize("bad", [set(), {0}, {63}, {5, 6}, {1, 17, 40, 63}, set(range(64))])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), KeyboardInterrupt()])
def test_exactly_the_bad_rows_are_refused(bad: set[int], error: BaseException) -> None:
    engine = Stub(_raise_for(bad, error), Budget(64, 64, "sum"))
    good, refused = _run(engine, 64)
    assert {each.row for each in refused} == bad
    assert good == sorted(set(range(64)) - bad)
    assert len(engine.calls) <= 1 + 2 * 6 * len(bad)
    assert all(each.code == "PREDICT_ERROR" for each in refused)
    assert all(type(error).__name__ in each.message for each in refused)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError()])
def test_a_batch_that_does_not_fit_is_halved_and_the_ceiling_kept(error: Exception) -> None:
    def fault(batch: list[int]) -> None:
        if len(batch) > 20:
            raise error

    engine = Stub(fault, Budget(1_000, 64, "sum"))
    engine.tuner = BudgetTuner(engine.budget, fixed=True)
    good, refused = _run(engine, 256)
    assert good == list(range(256))
    assert not refused
    assert engine.tuner.budget.max_cost == 16
    too_large = [len(call) for call in engine.calls if len(call) > 20]
    assert too_large == [64, 32, 32]


def test_a_row_that_never_fits_is_refused_and_the_budget_stays() -> None:
    engine = Stub(_raise_for({50}, torch.OutOfMemoryError("full")), Budget(1_000, 64, "sum"))
    engine.tuner = BudgetTuner(engine.budget, fixed=True)
    good, refused = _run(engine, 256)
    assert [(each.row, each.code) for each in refused] == [(50, "OUT_OF_MEMORY")]
    assert len(good) == 255
    assert engine.tuner.budget.max_cost == 64


def test_a_full_host_counts_as_out_of_memory() -> None:
    def fault(batch: list[int]) -> None:
        if len(batch) > 1:
            torch.empty(1 << 60, dtype=torch.uint8)

    engine = Stub(fault, Budget(1_000, 8, "sum"))
    good, refused = _run(engine, 8)
    assert good == list(range(8))
    assert not refused


def test_a_lost_device_ends_the_process() -> None:
    lost = torch.AcceleratorError("CUDA error: device-side assert triggered")
    engine = Stub(_raise_for({3}, lost), Budget(8, 8, "sum"))
    with pytest.raises(DeviceLost):
        _run(engine, 8)


def test_a_broken_model_is_not_a_row_fault() -> None:
    engine = Stub(_raise_for({3}, ModelError("BROKEN", "no weights")), Budget(8, 8, "sum"))
    with pytest.raises(ModelError):
        _run(engine, 8)


def test_missing_results_are_the_rows_fault() -> None:
    class Forgetful(Stub):
        def predict(self, batch: Any) -> pa.RecordBatch:
            columns = super().predict(batch)
            return columns.slice(1) if 5 in batch else columns

    engine = Forgetful(lambda batch: None, Budget(64, 64, "sum"))
    good, refused = _run(engine, 64)
    assert [(each.row, each.code) for each in refused] == [(5, "WRONG_RESULTS")]
    assert len(good) == 63


def test_suspects_are_alone_and_last() -> None:
    engine = Stub(lambda batch: None, Budget(64, 64, "sum"))
    _run(engine, 20, suspects=(4, 9))
    assert engine.calls == [[row for row in range(20) if row not in (4, 9)], [4], [9]]


def test_messages_name_the_users_line_and_no_values() -> None:
    secret = "hunter2"  # noqa: F841 - a local that must not leak
    engine = Stub(_raise_for({0}, ValueError("bad row")), Budget(8, 8, "sum"))
    _, refused = _run(engine, 1)
    assert "ValueError: bad row" in refused[0].message
    assert "test_batch_engine.py" in refused[0].message
    assert "hunter2" not in refused[0].message
    assert "batch_engine.py:1" not in refused[0].message.replace("test_batch_engine.py", "")
