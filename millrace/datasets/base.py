"""The seam to files of rows: one format, one file, reader and writer together.

A reader turns a range of positions of one pinned input into `Rows`: an Arrow record batch of the
rows that could be read and a `Reject` for each that could not. Rows are numbered inside the range,
so nothing is ever dropped without a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace.datasets.splicing import Turns
from millrace.storage.base import InputStream

UNKNOWN_EXTENT = 1 << 40
"""Positions set aside for an input whose true extent only a full read would tell."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What planning learns from sizes, footers and a first sample, without reading the data."""

    extent: int
    """Positions in this file: bytes for line formats, rows for Parquet, or `UNKNOWN_EXTENT`."""
    divisible: bool
    borders: tuple[int, ...]
    """Positions at which a cut is cheap (row groups); empty where any position is as good."""
    rows: int
    """Rows in the file, exact for Parquet, estimated from the sample otherwise; at least 1."""
    schema: pa.Schema
    note: str = ""
    """For people: why the file is one block, what was detected."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is no row: `row` counts inside the range read, `position` inside the file."""

    row: int
    position: int
    code: str
    message: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A stretch of consecutive rows of one range, in input order."""

    batch: pa.RecordBatch
    row: NDArray[np.int64]
    """Number of each accepted row inside the range, shape (batch.num_rows,)."""
    position: NDArray[np.int64]
    """Position of each accepted row inside the file, shape (batch.num_rows,)."""
    rejects: tuple[Reject, ...] = ()
    start: int | None = None
    """Position where the first of these rows, accepted or not, starts. A format that tells it and
    `end` has its readers checked by one another: what one skips the next one misses."""
    end: int | None = None
    """Position where the row behind the last one starts, or the file ends; None where the range
    ends before."""


class Format(Protocol):
    """One file format. Instances are stateless and cheap."""

    def inspect(self, source: InputStream, name: str) -> Layout:
        """Sizes, footer and at most 1 MiB of sample; `InvalidInput` for what is another format."""
        ...

    def read(
        self,
        source: InputStream,
        start: int,
        end: int,
        schema: pa.Schema,
        required: Sequence[str] = (),
    ) -> Iterator[Rows]:
        """The rows whose first position lies in ``[start, end)``, in batches of bounded size.

        Only the columns of `schema` are produced, cast to its types. A row without a value in a
        `required` column, or with one that does not fit its type, is a `Reject`.
        """
        ...


class RowWriter(Protocol):
    """Writes record batches to a local file; `close` finishes and syncs it."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class WritableFormat(Format, Protocol):
    suffix: str
    typed: bool
    """The file declares types: batches have those of the schema, not only its names."""

    def writer(self, path: Path, schema: pa.Schema) -> RowWriter: ...

    def splice(self, first: Path, second: Path | None, skip: int, turns: Turns, to: Path) -> None:
        """Make one file of two that `writer` has written: each row as it is, in the order of
        `turns`, and without the first `skip` rows of `first`.

        `InvalidInput` where they have different columns, or fewer rows than are asked for.
        """
        ...
