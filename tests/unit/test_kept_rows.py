"""Whatever is kept of a chunk, and however it was split: each row once, in the input's order."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import datasets
from millrace.datasets.base import Reject, Rows, WritableFormat
from millrace.errors import InvalidInput
from millrace.types import Kept, Part, Span
from scheduler.retrial import runs_of
from workers.kept_rows import KeptRows

FORM = cast(WritableFormat, datasets.for_name("jsonl"))
MISSING, REJECTED, KEPT = "missing", "rejected", "kept"


def kept_of(rows: list[str], folder: Path, before: int, end: int) -> KeptRows:
    runs = runs_of([row for row, each in enumerate(rows) if each != KEPT], len(rows))
    part = folder / "part"
    part.write_text("".join(f"{row}\n" for row, each in enumerate(rows) if each == KEPT))
    known = Part("parts/0.jsonl", rows.count(KEPT), 1, "ab" * 32)
    kept = Kept("file:///out", known, Span(0, len(rows)), runs, (), ())
    return KeptRows(kept, part, before, to_the_end=end == len(rows))


def rows_of(kinds: list[str]) -> Rows:
    good = np.array([row for row, each in enumerate(kinds) if each != REJECTED], dtype=np.int64)
    rejects = [Reject(row, row, "X", "") for row, each in enumerate(kinds) if each == REJECTED]
    return Rows(pa.record_batch({"row": good}), good, good, tuple(rejects))


@given(
    st.lists(st.sampled_from([MISSING, REJECTED, KEPT]), min_size=1, max_size=20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 5),
    st.data(),
)
def test_any_piece_of_any_chunk(
    rows: list[str], start: int, end: int, window: int, data: st.DataObject
) -> None:
    start, end = sorted((min(start, len(rows)), min(end, len(rows))))
    piece = rows[start:end]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = kept_of(rows, folder, start, end)
        done: list[int] = []
        for first in range(0, len(piece), window):
            wanted = kept.missing(rows_of(piece[first : first + window]), first)
            found = (wanted.row + first).tolist()
            assert [piece[row] for row in found] == [MISSING] * len(found)
            assert wanted.batch.num_rows == len(found) == len(wanted.position)
            assert {piece[first + reject.row] for reject in wanted.rejects} <= {REJECTED}
            results = [row for row in found if data.draw(st.booleans())]
            kept.computed(np.array(results, dtype=np.int64))
            done += results
        assert kept.settle(len(piece)) == piece.count(KEPT)
        assert kept.is_all == (piece.count(KEPT) == rows.count(KEPT))
        fresh = folder / "fresh"
        fresh.write_text("".join(f"{start + row}\n" for row in done))
        kept.splice(FORM, fresh, folder / "whole")
        expected = [row for row, each in enumerate(piece) if each == KEPT or row in done]
        assert [*map(int, (folder / "whole").read_text().split())] == [start + r for r in expected]


@pytest.mark.parametrize(("before", "rows"), [(0, 3), (0, 5), (1, 2), (2, 3)])
def test_another_number_of_rows_than_before_is_refused(
    tmp_path: Path, before: int, rows: int
) -> None:
    kept = kept_of([KEPT, MISSING, KEPT, KEPT], tmp_path, before, 4)
    with pytest.raises(InvalidInput, match="PARENT_MISMATCH"):
        kept.settle(rows)
    assert kept.settle(4 - before) == 3 - (before > 0)
