"""What stands in one line of a log."""

from __future__ import annotations

import pytest

from millrace.telemetry import fields


def test_text_of_any_language_is_left_as_it_is() -> None:
    assert fields(file="größer/日本.jsonl", rows=3) == "file=größer/日本.jsonl rows=3"


@pytest.mark.parametrize("sign", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_no_value_can_end_a_line_or_steer_a_terminal(sign: str) -> None:
    line = fields(reason=f"a{sign}b")
    assert sign not in line
    assert line.isprintable()
    assert line.splitlines() == [line]
