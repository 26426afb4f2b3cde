"""Reads what a contestant wrote and compares it with what the bare loop wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
from numpy.typing import NDArray

from millrace.manifest import MANIFEST, Manifest

READERS = {
    ".jsonl": pyarrow.json.read_json,
    ".json": pyarrow.json.read_json,
    ".parquet": pyarrow.parquet.read_table,
}


@dataclass(frozen=True, slots=True)
class Results:
    """`ids` has shape (rows,), or is missing where rows have none; `vectors` (rows, width)."""

    ids: NDArray[np.int64] | None
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Verdict:
    complete: bool
    """Every row exactly once."""
    in_order: bool
    cosine: float
    """Of the two vectors of a row, the smallest over all rows."""

    @property
    def right(self) -> bool:
        return self.complete and self.cosine > 0.999


def read_results(output: Path) -> Results:
    """The parts that the manifest lists, or all files in the order of their names without one."""
    if (output / MANIFEST).exists():
        manifest = Manifest.from_bytes((output / MANIFEST).read_bytes())
        files = [output / part.path for part in manifest.parts if part.rows]
    else:
        files = sorted(file for file in output.iterdir() if file.suffix in READERS)
    table = pa.concat_tables(READERS[file.suffix](file) for file in files)
    lists = next(column for column in table.columns if pa.types.is_nested(column.type))
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = np.asarray(flat, dtype=np.float32).reshape(table.num_rows, -1)
    return Results(table["id"].to_numpy() if "id" in table.column_names else None, vectors)


def compare(given: Results, wanted: Results) -> Verdict:
    """Rows are matched by id; where there is none, by their place."""
    if given.vectors.shape != wanted.vectors.shape:
        return Verdict(complete=False, in_order=False, cosine=0.0)
    if given.ids is None or wanted.ids is None:
        cosine = smallest_cosine(given.vectors, wanted.vectors)
        return Verdict(complete=True, in_order=cosine > 0.999, cosine=cosine)
    order = np.argsort(given.ids, kind="stable")
    if not np.array_equal(given.ids[order], np.sort(wanted.ids)):
        return Verdict(complete=False, in_order=False, cosine=0.0)
    wanted_vectors = wanted.vectors[np.argsort(wanted.ids, kind="stable")]
    cosine = smallest_cosine(given.vectors[order], wanted_vectors)
    return Verdict(True, np.array_equal(given.ids, wanted.ids), cosine)


def smallest_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / norms).min())
