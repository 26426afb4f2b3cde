"""Types of result columns: how those of several batches become one, and what a part may hold."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from millrace.errors import InvalidInput


def united(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """The rows of all `batches`; a column of nulls takes any type, and integers become floats.

    `InvalidInput` COLUMN_TYPE where that does not make one type of a column, or would round.
    """
    try:
        return pa.concat_tables(
            [pa.Table.from_batches([batch]) for batch in batches], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _misfit(error) from None


def fitted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """`column` as `kind`; `InvalidInput` COLUMN_TYPE where that would round."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise _misfit(error) from None


def common(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that takes values of both without rounding or spelling them out; none if none."""
    fields = [pa.schema([pa.field("", kind)]) for kind in (first, second)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None


class PinnedTypes:
    """The types of one job's columns in this process, for formats whose files declare them.

    The first type of a column that is not null holds for every later part.
    """

    def __init__(self) -> None:
        self._job = ""
        self._kinds: dict[str, pa.DataType] = {}

    def pinned(self, job_id: str, schema: pa.Schema) -> pa.Schema:
        """`schema` with the types of the job; `InvalidInput` COLUMN_TYPE where they do not fit."""
        if job_id != self._job:
            self._job, self._kinds = job_id, {}
        return pa.schema([field.with_type(self._pinned(field)) for field in schema])

    def _pinned(self, field: pa.Field) -> pa.DataType:
        if pa.types.is_null(field.type):
            return self._kinds.get(field.name, field.type)
        kind = self._kinds.setdefault(field.name, field.type)
        if kind != field.type and common(kind, field.type) != kind:
            raise _changed(field.name, kind, field.type)
        return kind


def refuse_change(before: pa.Schema, now: pa.Schema) -> None:
    """`InvalidInput` COLUMN_TYPE where a column has another type than `before`."""
    for old, new in zip(before, now, strict=True):
        if old.type != new.type:
            raise _changed(old.name, old.type, new.type)


def _misfit(error: pa.ArrowException) -> InvalidInput:
    return InvalidInput("COLUMN_TYPE", f"results do not go together: {error}", _HINT)


def _changed(name: str, before: pa.DataType, now: pa.DataType) -> InvalidInput:
    return InvalidInput(
        "COLUMN_TYPE",
        f"the results in {name!r} were {before} and are now {now}; a parquet file has one type",
        _HINT,
    )


_HINT = (
    "return one dtype for all rows, as in np.array(x, dtype=float), or use --output-format jsonl"
)
