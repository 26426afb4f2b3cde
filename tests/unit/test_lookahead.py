from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from workers.lookahead import Behind, ahead


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_all_items_come_in_order() -> None:
    assert list(ahead(iter(range(1_000)), 2, "t")) == list(range(1_000))
    assert "t" not in _threads()


def test_it_stays_no_more_than_depth_ahead() -> None:
    made: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            if item == 3:
                third.set()
            yield item

    items = ahead(source(), 2, "t")
    assert next(items) == 0
    assert third.wait(5)
    assert len(made) <= 4
    items.close()
    assert len(made) <= 5


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    items = ahead(source(), 2, "t")
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)
    assert "t" not in _threads()


def test_closing_closes_the_source() -> None:
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("yes")

    items = ahead(source(), 2, "t")
    next(items)
    items.close()
    assert closed == ["yes"]
    assert "t" not in _threads()


def test_work_behind_is_done_in_order_before_the_end() -> None:
    done: list[int] = []
    with Behind[int](done.append, 2, "t") as behind:
        for item in range(100):
            behind.give(item)
    assert done == list(range(100))


def test_an_error_behind_is_raised_here() -> None:
    def work(item: int) -> None:
        raise OSError(f"disk {item}")

    def give_all() -> None:
        with Behind[int](work, 2, "t") as behind:
            for item in range(100):
                behind.give(item)

    with pytest.raises(OSError, match="disk 0"):
        give_all()


def test_the_last_error_behind_is_raised_at_the_end() -> None:
    def work(item: int) -> None:
        if item == 2:
            raise OSError("disk 2")

    def give_all() -> None:
        with Behind[int](work, 5, "t") as behind:
            for item in range(3):
                behind.give(item)

    with pytest.raises(OSError, match="disk 2"):
        give_all()
