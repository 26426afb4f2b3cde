"""One line of JSON lines as a dict, strictly: what two parsers might read differently is refused.

orjson decides the grammar (no NaN, no lone surrogates, no infinite numbers, UTF-8 only, bounded
depth). It keeps the last of two equal keys and rounds integers beyond 64 bits, so a line that may
hold either is read once more by the standard library, only to find out.
"""

from __future__ import annotations

import json
import re
from typing import Any, Never

import orjson

from millrace.datasets.records import Fault, encoding_fault, excerpt

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_INTEGERS = range(-(1 << 63), 1 << 64)


class _Refused(ValueError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse(line: bytes) -> dict[str, Any] | Fault:
    """The object that a line holds, or what is wrong with it.

    Codes: BLANK_LINE, ENCODING, JSON_INVALID, NOT_AN_OBJECT, DUPLICATE_KEY.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _syntax_fault(line, error)
    if not isinstance(row, dict):
        return Fault("NOT_AN_OBJECT", f"a row is an object, this is {_kind(row)}", excerpt(line))
    # Each key has one colon of its own, so equal counts leave no room for a second equal key.
    if line.count(b":") != len(row) or _LONG_NUMBER.search(line):
        return _second_look(line) or row
    return row


def _second_look(line: bytes) -> Fault | None:
    try:
        _STRICT.raw_decode(line.decode().lstrip())
    except _Refused as refused:
        return Fault(refused.code, str(refused), excerpt(line))
    except RecursionError:
        return Fault("JSON_INVALID", "the row is nested too deeply", excerpt(line))
    return None


def _syntax_fault(line: bytes, error: json.JSONDecodeError) -> Fault:
    if not line.strip():
        return Fault("BLANK_LINE", "the line is blank")
    try:
        line.decode()
    except UnicodeDecodeError as encoding:
        return encoding_fault(line, encoding)
    message = f"{error.msg}: line {error.lineno} column {error.colno} of the row"
    return Fault("JSON_INVALID", message, excerpt(line, error.pos))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused("DUPLICATE_KEY", f"the key {twice[:80]!r} occurs more than once")
    return row


def _integer(digits: str) -> int:
    if len(digits) > 20 or (number := int(digits)) not in _INTEGERS:
        raise _Refused("JSON_INVALID", f"the integer {digits[:40]} does not fit into 64 bits")
    return number


def _no_constant(name: str) -> Never:
    raise _Refused("JSON_INVALID", f"{name} is no JSON number")


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_constant=_no_constant
)
