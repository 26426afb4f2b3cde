from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.budget_file import BudgetFile
from workers.budget_tuner import LARGEST, PATIENCE, BudgetTuner
from workers.engines.base import Budget

START = Budget(max_rows=1_000_000, max_cost=1_000, cost_model="padded")


def _feed(tuner: BudgetTuner, seconds: Callable[[int], float], batches: int = 2_000) -> None:
    for _ in range(batches):
        cost = tuner.budget.max_cost
        tuner.succeeded(cost, seconds(cost))


def test_it_grows_to_where_growing_stops_paying() -> None:
    """A device with a start-up cost per batch, until 16,000 fill it: more is no faster."""
    tuner = BudgetTuner(START)
    _feed(tuner, lambda cost: max(1.0, cost / 16_000))
    assert tuner.learned == 16_000


def test_it_stays_where_larger_is_slower() -> None:
    tuner = BudgetTuner(START)
    _feed(tuner, lambda cost: (cost / 1_000) ** 1.2)
    assert tuner.learned == 1_000


def test_noise_does_not_make_it_grow() -> None:
    chance = random.Random(7)
    grown = 0
    for _ in range(200):
        tuner = BudgetTuner(START)
        _feed(tuner, lambda cost: cost * chance.uniform(0.8, 1.25), batches=100)
        grown += (tuner.learned or 0) > 2_000
    assert grown < 10


def test_noise_does_not_hide_a_real_gain() -> None:
    chance = random.Random(7)
    grown = 0
    for _ in range(200):
        tuner = BudgetTuner(START)
        _feed(tuner, lambda cost: cost**0.3 * chance.uniform(0.8, 1.25), batches=100)
        grown += tuner.budget.max_cost >= 2_000
    assert grown > 180


def test_it_never_grows_without_end() -> None:
    tuner = BudgetTuner(START)
    _feed(tuner, lambda cost: 1.0)
    assert tuner.learned == START.max_cost * LARGEST


def test_batches_far_from_full_say_nothing() -> None:
    tuner = BudgetTuner(START)
    for _ in range(100):
        tuner.succeeded(100, 1.0)
    assert tuner.learned is None
    assert tuner.budget == START


def test_a_fixed_budget_stays() -> None:
    tuner = BudgetTuner(START, fixed=True)
    _feed(tuner, lambda cost: 1.0)
    assert tuner.budget == START


def test_out_of_memory_halves_and_regrows_below_the_ceiling() -> None:
    tuner = BudgetTuner(START, learned=8_000)
    tuner.out_of_memory(8_000)
    assert tuner.budget.max_cost == 4_000
    _feed(tuner, lambda cost: 1.0, PATIENCE - 1)
    assert tuner.budget.max_cost == 4_000
    _feed(tuner, lambda cost: 1.0, 1)
    assert tuner.budget.max_cost == 4_500
    _feed(tuner, lambda cost: 1.0, PATIENCE * 20)
    assert tuner.budget.max_cost == 7_999


def test_a_lower_failure_lowers_the_ceiling() -> None:
    tuner = BudgetTuner(START, learned=8_000)
    tuner.out_of_memory(8_000)
    tuner.out_of_memory(3_000)
    assert tuner.budget.max_cost == 1_500
    tuner.out_of_memory(1)
    assert tuner.budget.max_cost == 1


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    file = BudgetFile(tmp_path / "budgets", {"model": "m"}, "cpu")
    assert file.read() is None
    file.write(4_096)
    assert BudgetFile(tmp_path / "budgets", {"model": "m"}, "cpu").read() == 4_096
    assert BudgetFile(tmp_path / "budgets", {"model": "m"}, "cuda:0").read() is None
    assert BudgetTuner(START, learned=file.read()).learned == 4_096


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"max_cost": "x"}', b'{"max_cost": -1}'])
def test_a_broken_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    file = BudgetFile(tmp_path, {}, "cpu")
    file.write(1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert file.read() is None
