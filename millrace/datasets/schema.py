"""Arrow schemas as text, and the marks that we put on a field.

*json*: this string holds JSON. *mixed*: nearly all values of the sample have this type, and some do
not; whoever needs the type takes the others for faults, whoever only passes them on reads text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pyarrow as pa

from millrace.errors import InvalidInput

_JSON = {b"millrace": b"json"}
_MIXED = {b"millrace": b"mixed"}
MAJORITY = 0.9
"""The share of a sample from which on a type is the column's, and other values are faults."""


def encode_schema(schema: pa.Schema) -> str:
    """The schema as an Arrow IPC schema message in base64."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    """The schema that `encode_schema` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True)))


def json_field(name: str) -> pa.Field:
    """A string column whose values are JSON texts (objects, mixed values)."""
    return pa.field(name, pa.string(), metadata=_JSON)


def is_json(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type)) and _marked(field, _JSON)


def mixed_field(name: str, kind: pa.DataType) -> pa.Field:
    """A column of `kind`, but for a few values."""
    return pa.field(name, kind, metadata=_MIXED)


def is_mixed(field: pa.Field) -> bool:
    return _marked(field, _MIXED)


def _marked(field: pa.Field, mark: dict[bytes, bytes]) -> bool:
    return (field.metadata or {}).get(b"millrace") == mark[b"millrace"]


def require_columns(names: Iterable[str], present: Iterable[str], what: str) -> None:
    """`InvalidInput` where a file as a whole lacks one of the columns `names`."""
    there = list(present)
    missing = [name for name in names if name not in there]
    if missing:
        raise InvalidInput(
            "SCHEMA_MISMATCH",
            f"{what} has no column {', '.join(map(repr, missing))}",
            f"its columns are: {', '.join(there)}",
        )
