"""What tables are made of beside their columns: names, checks, partial indexes, documents."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, CheckConstraint, Column, Index, MetaData, text
from sqlmodel import SQLModel

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Record(SQLModel):
    """Base of every table of ours."""

    metadata: ClassVar[MetaData] = METADATA


def sql_list(values: Iterable[str]) -> str:
    """``'a', 'b'``: words of ours as literals."""
    return ", ".join(f"'{value}'" for value in values)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """The column holds nothing but a word of `values`."""
    return CheckConstraint(f"{column} IN ({sql_list(values)})", name=f"{column}_known")


def exactly_when(column: str, condition: str, name: str) -> CheckConstraint:
    """The column is filled in just those rows that meet the condition."""
    return CheckConstraint(f"({column} IS NOT NULL) = ({condition})", name=name)


def partial_index(name: str, columns: tuple[str, ...], rows: str, *, unique: bool = False) -> Index:
    """An index over only those rows that meet a condition."""
    where = text(rows)
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def json_column() -> Column[Any]:
    """A document, or NULL for none."""
    return Column(JSON(none_as_null=True))
