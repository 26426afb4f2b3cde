"""Opening Parquet files of strangers: bounded footers, named refusals, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from millrace.datasets.sample import mismatch
from millrace.datasets.stream_file import StreamFile
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

MAX_COLUMNS = 10_000

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_THRIFT_STRINGS = 100_000_000
_THRIFT_CONTAINERS = 1_000_000
_READ_BUFFER = 1 << 20


def open_parquet(source: InputStream, name: str) -> pq.ParquetFile:
    """Read the footer of `name`.

    `InvalidInput`: FORMAT_MISMATCH, PARQUET_ENCRYPTED or PARQUET_CORRUPT.
    """
    head = source.read_at(0, 4)
    if not head:
        raise InvalidInput("DATASET_EMPTY", f"{name} is empty", "check the file")
    if head == _ENCRYPTED:
        raise _encrypted(name)
    if head != _MAGIC:
        raise mismatch(name, "something other than Parquet")
    with decoding(name):
        # Pre-buffering would keep every byte that was read until the file is closed.
        return pq.ParquetFile(
            StreamFile(source).arrow(),
            pre_buffer=False,
            buffer_size=_READ_BUFFER,
            thrift_string_size_limit=_THRIFT_STRINGS,
            thrift_container_size_limit=_THRIFT_CONTAINERS,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )


def refuse_unreadable(footer: pq.FileMetaData, size: int, name: str) -> None:
    """`InvalidInput` for what the footer alone shows: too wide, contradictory, unknown codec."""
    if footer.num_columns > MAX_COLUMNS:
        raise InvalidInput(
            "PARSER_RESOURCE_LIMIT",
            f"{name} has {footer.num_columns} columns, {MAX_COLUMNS} are allowed",
            "write fewer columns",
        )
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    chunks = [group.column(at) for group in groups[:1] for at in range(group.num_columns)]
    for codec in {chunk.compression for chunk in chunks} - {"UNCOMPRESSED"}:
        if codec == "LZO" or not pa.Codec.is_available(codec.lower()):
            raise InvalidInput(
                "PARQUET_UNSUPPORTED",
                f"{name} is compressed with {codec}, which is not supported",
                "write it with zstd or snappy",
            )
    rows = [group.num_rows for group in groups]
    if sum(rows) != footer.num_rows or min(rows, default=0) < 0:
        raise _corrupt(name, "its footer contradicts itself")
    if sum(max(0, chunk.total_compressed_size) for chunk in chunks) > size:
        raise _corrupt(name, "its footer promises more bytes than there are")


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn what Arrow raises while it decodes `name` into `InvalidInput`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        if "ncrypt" in reason:
            raise _encrypted(name) from error
        if isinstance(error, pa.ArrowNotImplementedError):
            raise InvalidInput(
                "PARQUET_UNSUPPORTED", f"{name} cannot be read: {reason}", "write it differently"
            ) from error
        raise _corrupt(name, reason) from error


def _corrupt(name: str, reason: str) -> InvalidInput:
    return InvalidInput(
        "PARQUET_CORRUPT", f"{name} is no sound Parquet file: {reason}", "write or copy it again"
    )


def _encrypted(name: str) -> InvalidInput:
    return InvalidInput("PARQUET_ENCRYPTED", f"{name} is encrypted", "decrypt it first")
