"""The time by the database's clock, the only one that leases go by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Double, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _DatabaseClock(FunctionElement[float]):
    type = Double()
    inherit_cache = True


def db_now(now: float | None = None) -> ColumnElement[float]:
    """An expression for the present time, seconds since the epoch; `now` itself where given."""
    return _DatabaseClock() if now is None else literal(now, Double())


@compiles(_DatabaseClock, "sqlite")
def _of_sqlite(element: _DatabaseClock, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_DatabaseClock, "postgresql")
def _of_postgres(element: _DatabaseClock, compiler: SQLCompiler, **kw: Any) -> str:
    # Wrapped in a SELECT it is read once per statement, so that `lease_until < now` can use an
    # index; bare, the volatile clock_timestamp() would be asked again for every row.
    return "(SELECT extract(epoch FROM clock_timestamp())::double precision)"
