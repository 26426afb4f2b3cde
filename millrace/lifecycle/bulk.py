"""Many rows in one statement, however the database likes them best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, Connection, Table, bindparam, column, func, insert, literal, select
from sqlalchemy.sql.elements import ColumnElement

_FEW = 8


def insert_rows(
    conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]
) -> None:
    """Insert `rows`, which all name the same columns; what is in `shared` is the same for each."""
    if not rows:
        return
    if conn.dialect.name != "postgresql" or len(rows) < _FEW:
        conn.execute(insert(table).values(shared), rows)
        return
    # One array per column: Postgres reads it several times as fast as one statement per row.
    types = {name: table.c[name].type for name in rows[0]}
    arrays = (
        bindparam(name, [row[name] for row in rows], type_=ARRAY(kind))
        for name, kind in types.items()
    )
    given = func.unnest(*arrays).table_valued(*(column(*each) for each in types.items()))
    chosen = select(*given.render_derived().c, *(_value(table, *each) for each in shared.items()))
    conn.execute(insert(table).from_select([*types, *shared], chosen))


def _value(table: Table, name: str, value: Any) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, table.c[name].type)
