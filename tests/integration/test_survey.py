"""Planning costs a few small reads per file, however large the files are or many."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.errors import InvalidInput
from millrace.planning.plan import plan_of
from millrace.planning.splitter import MAX_CHUNKS
from millrace.planning.survey import THREADS, in_parallel
from millrace.storage import uri
from millrace.storage.base import StoredObject
from millrace.storage.local import LocalStorage
from tests import jobs as stage
from tests.waiting import until

TERABYTE = 1 << 40
ROW = b'{"id": 12345678, "text": "%s"}\n' % (b"x" * 95)


class Endless:
    """An object of any size that is the same row again and again; counts what is read of it."""

    read = 0
    reads = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        wanted = max(0, min(length, self.size - offset))
        Endless.read += wanted
        Endless.reads += 1
        first = offset % len(ROW)
        return (ROW * (2 + wanted // len(ROW)))[first : first + wanted]

    def close(self) -> None:
        """Nothing to close."""


class Vast(LocalStorage):
    """A folder of `FILES` objects of a terabyte in all; nothing of it is stored."""

    files = 1

    def info(self, uri: str) -> StoredObject:
        if self.files > 1:
            raise InvalidInput("IS_A_FOLDER", f"{uri} is a folder")
        return StoredObject(uri, TERABYTE, "v")

    def list(self, uri: str) -> Iterator[StoredObject]:
        for number in range(self.files):
            yield StoredObject(f"{uri}/{number:06}.jsonl", TERABYTE // self.files, "v")

    def open(self, pinned: StoredObject) -> Endless:  # type: ignore[override]
        return Endless(pinned.size)


@pytest.mark.parametrize("files", [1, 1_000])
def test_a_terabyte_is_planned_from_its_first_megabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    monkeypatch.setitem(uri.SCHEMES, "file", f"{__name__}:Vast")
    monkeypatch.setattr(Vast, "files", files)
    monkeypatch.setattr(Endless, "read", 0)
    monkeypatch.setattr(Endless, "reads", 0)
    name = "in.jsonl" if files == 1 else "in"
    plan = plan_of(stage.spec_of(tmp_path, input=f"file://{tmp_path}/{name}"), slots=16)

    assert len(plan.inputs) == files
    assert Endless.read <= 64 * (2 << 20) + files * (1 << 18)
    assert Endless.reads <= files * 8
    assert len(plan.chunks) <= MAX_CHUNKS
    ends = [chunk.span.end for chunk in plan.chunks]
    assert [chunk.span.start for chunk in plan.chunks] == [0, *ends[:-1]]
    assert ends[-1] == files * (TERABYTE // files)
    assert max(chunk.weight for chunk in plan.chunks) <= 16 << 20


def test_files_are_looked_into_together_and_kept_in_order() -> None:
    under_way, most, lock = 0, 0, threading.Lock()
    taken = 0

    def work(number: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        until(lambda: most > 1, "a second thread works too")
        with lock:
            under_way -= 1
        return number

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in range(1_000):
            taken = number
            yield number

    for number, found in enumerate(in_parallel(work, numbers())):
        assert number == found
        assert taken <= number + 2 * THREADS
    assert 1 < most <= THREADS


def test_the_first_bad_file_ends_the_survey() -> None:
    seen: list[int] = []

    def work(number: int) -> int:
        seen.append(number)
        if number == 100:
            raise InvalidInput("FORMAT_MISMATCH", "file 100")
        return number

    with pytest.raises(InvalidInput, match="file 100"):
        list(in_parallel(work, iter(range(100_000))))
    assert len(seen) < 1_000
