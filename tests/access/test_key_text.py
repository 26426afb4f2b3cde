"""How keys are written and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.access.key_text import KeyText

KEY = KeyText("0123456789ab", "x" * 43).written()


def test_what_is_written_is_read() -> None:
    made = KeyText.new()
    assert KeyText.read(made.written()) == made
    assert made.secret not in repr(made)


def test_no_two_are_alike() -> None:
    assert len({KeyText.new().written() for _ in range(1_000)}) == 1_000


@given(place=st.integers(3, len(KEY) - 1), sign=st.sampled_from("abcXYZ019"))
def test_one_wrong_sign_is_noticed(place: int, sign: str) -> None:
    typed = KEY[:place] + sign + KEY[place + 1 :]
    assert (KeyText.read(typed) is None) == (typed != KEY)


@pytest.mark.parametrize(
    "typed", ["", "mr_", KEY[:-1], KEY + "a", f" {KEY}", KEY.upper(), KEY.replace("x", "é")]
)
def test_what_is_no_key_is_not_read(typed: str) -> None:
    assert KeyText.read(typed) is None
