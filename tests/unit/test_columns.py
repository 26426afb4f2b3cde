"""One schema for many files: what may differ between them, and what is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from millrace.datasets.base import Layout
from millrace.datasets.schema import is_json, is_mixed, json_field, mixed_field
from millrace.errors import InvalidInput
from millrace.planning.columns import common_schema
from millrace.types import Input

INT, FLOAT, TEXT = pa.int64(), pa.float64(), pa.string()


def files(*columns: list[pa.Field], form: str = "jsonl") -> list[tuple[Input, Layout]]:
    return [one(index, fields, form) for index, fields in enumerate(columns)]


def one(index: int, fields: list[pa.Field], form: str) -> tuple[Input, Layout]:
    source = Input(index, f"file:///{index}.{form}", form, 10, "v", 10 * index, 10, True)
    return source, Layout(10, True, (), 1, pa.schema(fields))


def column(name: str, kind: pa.DataType = TEXT) -> pa.Field:
    return pa.field(name, kind)


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
def test_the_order_of_columns_means_nothing(form: str) -> None:
    both = files([column("a"), column("b")], [column("b"), column("a")], form=form)
    assert common_schema(both).names == ["a", "b"]


def test_json_lines_may_lack_columns() -> None:
    found = files([column("a")], [column("c", INT), column("a")], [column("b")])
    assert common_schema(found) == pa.schema([column("a"), column("c", INT), column("b")])


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("names", ["a", "abc", "ac"])
def test_other_files_may_not(form: str, names: str) -> None:
    found = files([column("a"), column("b")], [column(name) for name in names], form=form)
    with pytest.raises(InvalidInput, match=r"1\.\w+ has the columns a") as refusal:
        common_schema(found)
    assert refusal.value.code == "SCHEMA_MISMATCH"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_first_type_wins_and_other_values_make_the_column_mixed(form: str) -> None:
    for first, other in [(INT, TEXT), (TEXT, INT)]:
        found = common_schema(files([column("a", first)], [column("a", other)], form=form))
        assert found.field("a").type == first
        assert is_mixed(found.field("a"))


def test_a_mixed_file_makes_the_column_mixed() -> None:
    found = common_schema(files([column("a", INT)], [mixed_field("a", INT)]))
    assert is_mixed(found.field("a"))


def test_a_column_of_json_stays_one() -> None:
    found = common_schema(files([json_field("a")], [column("a", INT)]))
    assert is_json(found.field("a"))


@pytest.mark.parametrize("kinds", [(INT, FLOAT), (FLOAT, INT)])
def test_whole_numbers_are_numbers(kinds: tuple[pa.DataType, ...]) -> None:
    found = common_schema(files(*([column("a", kind)] for kind in kinds)))
    assert found == pa.schema([column("a", FLOAT)])
    assert not is_mixed(found.field("a"))


def test_parquet_files_are_cast_to_the_first() -> None:
    found = common_schema(files([column("a", INT)], [column("a", FLOAT)], form="parquet"))
    assert found.field("a").equals(column("a", INT), check_metadata=True)


def test_files_of_several_formats_are_refused() -> None:
    found = [one(0, [column("a")], "jsonl"), one(1, [column("a")], "csv")]
    with pytest.raises(InvalidInput, match=r"1\.csv is csv, but .*0\.jsonl is jsonl") as refusal:
        common_schema(found)
    assert refusal.value.code == "MIXED_FORMATS"


@pytest.mark.parametrize("at", [0, 1])
def test_no_column_has_the_name_of_another(at: int) -> None:
    columns = [[column("a")], [column("a")]]
    columns[at] = [column("a"), column("a")]
    with pytest.raises(InvalidInput, match="more than one column 'a'") as refusal:
        common_schema(files(*columns, form="parquet"))
    assert refusal.value.code == "SCHEMA_MISMATCH"
