"""Arrow schemas as text, and the one mark that we put on a field: "this string holds JSON"."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pyarrow as pa

from millrace.errors import InvalidInput

_JSON = {b"millrace": b"json"}


def encode_schema(schema: pa.Schema) -> str:
    """The schema as an Arrow IPC schema message in base64."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    """The schema that `encode_schema` wrote."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True)))


from_text = decode_schema


def json_field(name: str) -> pa.Field:
    """A string column whose values are JSON texts (objects, mixed values)."""
    return pa.field(name, pa.string(), metadata=_JSON)


def is_json(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type)) and (field.metadata or {}).get(b"millrace") == (
        b"json"
    )


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
