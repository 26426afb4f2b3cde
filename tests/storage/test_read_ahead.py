"""Reading ahead changes when bytes are fetched, and never which bytes are read."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import InputChanged
from millrace.storage import read_ahead
from millrace.storage.base import blocks
from millrace.storage.read_ahead import ReadAhead
from tests.streams import Bytes

MIB = 1 << 20
CONTENT = bytes(range(251)) * 400_000


class Counted(Bytes):
    """Notes each fetch, and how much of what was fetched nobody has read yet."""

    def __init__(self, content: bytes = CONTENT) -> None:
        super().__init__(content)
        self.fetches: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        with self._lock:
            self.fetches.append((offset, length))
            return super().read_at(offset, length)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 120), st.sampled_from([0, 1, 300, MIB, 3 * MIB])), max_size=40
    )
)
def test_any_reads_give_the_bytes_that_are_there(steps: list[tuple[int, int]]) -> None:
    """Steps go on, go back a little, or go anywhere."""
    stream, place = ReadAhead(Counted()), 0
    for where, length in steps:
        if where > 100:
            place = where * MIB // 2
        elif where > 80:
            place = max(0, place - where)
        found = stream.read_at(place, length)
        assert found == CONTENT[place : place + length]
        place += len(found)
    stream.close()


def test_reads_anywhere_fetch_exactly_what_was_asked() -> None:
    source = Counted()
    stream = ReadAhead(source)
    asked = [(50 * MIB, 10), (3, 5), (90 * MIB, MIB), (7 * MIB, 100)]
    for offset, length in asked:
        stream.read_at(offset, length)
    assert source.fetches == asked
    stream.close()


def test_going_back_a_little_fetches_nothing() -> None:
    source = Counted()
    stream = ReadAhead(source)
    stream.read_at(10 * MIB, MIB)
    stream.read_at(10 * MIB + 500, MIB)
    assert source.fetches == [(10 * MIB, MIB), (11 * MIB, 500)]
    stream.close()


def test_who_reads_on_is_never_fetched_far_ahead_of() -> None:
    source, start = Counted(), 5 * MIB
    stream = ReadAhead(source)
    for done in range(0, 64 * MIB, MIB):
        assert stream.read_at(start + done, MIB) == CONTENT[start + done : start + done + MIB]
        limit = start + (done + MIB) + min((done + MIB) // 4, 32 * MIB)
        assert max(offset + length for offset, length in source.fetches) <= limit
    stream.close()
    assert sum(length for _, length in source.fetches) <= 64 * MIB * 5 // 4
    assert len(source.fetches) < 64, "blocks grow"


def test_a_whole_object_is_fetched_once() -> None:
    source = Counted()
    stream = ReadAhead(source)
    assert b"".join(blocks(stream)) == CONTENT
    stream.close()
    fetched = sorted(source.fetches)
    assert sum(length for _, length in fetched) == len(CONTENT)
    assert all(length <= read_ahead.BLOCK_BYTES for _, length in fetched)


def test_several_requests_are_under_way_at_a_time() -> None:
    together = threading.Barrier(3)

    class Slow(Counted):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset >= 16 * MIB:
                together.wait(20)
            return super().read_at(offset, length)

    stream = ReadAhead(Slow(CONTENT[: 22 * MIB]))
    for done in range(0, 22 * MIB, MIB):
        stream.read_at(done, MIB)
    stream.close()


def test_what_goes_wrong_ahead_is_told_when_it_is_read() -> None:
    class Changing(Counted):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset + length > 8 * MIB:
                raise InputChanged("INPUT_CHANGED", "it changed")
            return super().read_at(offset, length)

    stream = ReadAhead(Changing())
    for done in range(0, 7 * MIB, MIB):
        stream.read_at(done, MIB)
    with pytest.raises(InputChanged):
        stream.read_at(7 * MIB, 2 * MIB)
    stream.close()
