from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.datasets.base import Reject, Rows
from millrace.types import Input
from workers import window
from workers.window import Stretch, Window, windows


@pytest.fixture(autouse=True, scope="module")
def small() -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(window, "MAX_ROWS", 10)
    patch.setattr(window, "MAX_BYTES", 400)
    yield
    patch.undo()


def _stretches(inputs: list[list[list[bool]]]) -> list[Stretch]:
    """For each input, for each batch of its reader, for each row: is it accepted?"""
    stretches, first = [], 0
    for index, batches in enumerate(inputs):
        source = Input(index, f"file:///{index}", "jsonl", 1, "v", index * 1_000, 1_000, True)
        number = 0
        for accepted in batches:
            rows = np.arange(number, number + len(accepted))
            good = rows[np.array(accepted, dtype=bool)]
            rejects = tuple(
                Reject(int(row), int(row) * 3, "BAD", "bad") for row in rows if row not in good
            )
            batch = pa.record_batch({"row": pa.array(good)})
            stretches.append(Stretch(source, first, Rows(batch, good, good * 3, rejects)))
            number += len(accepted)
        first += number
    return stretches


batches = st.lists(st.lists(st.booleans(), max_size=40), max_size=4)


@given(st.lists(batches, max_size=3))
def test_every_row_is_in_one_window_in_order(inputs: list[list[list[bool]]]) -> None:
    stretches = _stretches(inputs)
    found: list[Window] = list(windows(stretches))
    numbers = [
        number
        for each in found
        for number in sorted(
            [*each.row.tolist(), *(piece.first + reject.row for piece, reject in each.rejects)]
        )
    ]
    assert numbers == list(range(sum(len(rows) for each in inputs for rows in each)))
    for each in found:
        assert 1 <= each.rows <= 10
        assert each.batch["row"].to_pylist() == each.source_row.tolist()
        assert (each.position == each.source_row * 3).all()
        assert (each.place == each.source * 1_000 + each.position).all()


def test_a_window_takes_rows_of_several_inputs() -> None:
    (found,) = windows(_stretches([[[True, False]], [[True, True]]]))
    assert found.row.tolist() == [0, 2, 3]
    assert found.source.tolist() == [0, 1, 1]
    assert found.place.tolist() == [0, 1_000, 1_003]
    assert [(piece.first, reject.row) for piece, reject in found.rejects] == [(0, 1)]


def test_wide_rows_make_small_windows() -> None:
    source = Input(0, "file:///0", "jsonl", 1, "v", 0, 1_000, True)
    numbers = np.arange(8)
    wide = pa.record_batch({"text": ["x" * 100] * 8})
    found = list(windows([Stretch(source, 0, Rows(wide, numbers, numbers))]))
    assert [each.rows for each in found] == [3, 3, 2]
