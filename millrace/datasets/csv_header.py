"""The first record of a CSV file: the names of its columns."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from millrace.datasets.csv_columns import is_number
from millrace.datasets.csv_records import records
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


@dataclass(frozen=True, slots=True)
class Header:
    names: list[str]
    end: int
    """Position of the first byte behind the header."""


def read_header(source: InputStream, delimiter: str, limit: int) -> Header:
    """Names from the first record; `InvalidInput` CSV_HEADER, CSV_DELIMITER or ENCODING."""
    stretches = records(source, 0, source.size, multiline=True, limit=limit)
    places = (
        (int(at), text)
        for each in stretches
        for at, text in zip(each.position, each.content, strict=True)
    )
    first, second = next(places, None), next(places, None)
    if first is None:
        raise InvalidInput("DATASET_EMPTY", "the file has no header and no rows", "check the file")
    names = _names(first[1], delimiter)
    _check(names, delimiter)
    return Header(names, source.size if second is None else second[0])


def _names(record: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader((record.decode(),), delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "ENCODING", f"byte {error.start} of the header is not UTF-8", "convert the file"
        ) from error
    except csv.Error as error:
        raise InvalidInput("CSV_HEADER", f"the header cannot be read: {error}") from error


def _check(names: list[str], delimiter: str) -> None:
    if len(names) <= 1:
        _refuse_other_delimiter("".join(names), delimiter)
    if not names or any(not name.strip() for name in names):
        places = ", ".join(str(at) for at, name in enumerate(names, 1) if not name.strip())
        raise _bad_header(f"the header has no name for column {places or 1}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _bad_header(f"the header names {', '.join(map(repr, twice))} more than once")
    if all(map(is_number, names)):
        raise _bad_header(f"the first line looks like values: {', '.join(names)[:80]}")


def _refuse_other_delimiter(line: str, delimiter: str) -> None:
    for other, called in _DELIMITERS.items():
        if other != delimiter and other in line:
            raise InvalidInput(
                "CSV_DELIMITER",
                f"the header has one column, {line[:80]!r}, and it holds a {called}",
                "use --input-format tsv" if other == "\t" else "separate fields with a comma",
            )


def _bad_header(problem: str) -> InvalidInput:
    return InvalidInput(
        "CSV_HEADER", problem, "give every column a name of its own in the first line"
    )
