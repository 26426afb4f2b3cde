"""What every storage promises, run over each scheme."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from millrace import storage
from millrace.errors import Conflict, InputChanged, InvalidInput, NotFound, Unavailable
from millrace.storage.base import Storage, StoredObject
from millrace.storage.uri import SCHEMES, join
from tests.servers.s3 import connected, new_bucket

SERVERS: dict[str, list[Any]] = {
    "s3": ["moto", pytest.param("rados_gateway", marks=pytest.mark.s3real)],
    "file": [None],
}
"""For each scheme, the fixtures of servers that it is tried with."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def publish(store: Storage, uri: str, content: bytes, digest: str | None = None) -> None:
    with store.spool(uri.rpartition("/")[0]) as spooled:
        spooled.write_bytes(content)
        store.put(spooled, uri, digest or sha256(content))


@pytest.fixture(params=[server for scheme in SCHEMES for server in SERVERS[scheme]])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder of a test's own, in each storage."""
    name = "a folder with ümlaut"
    if request.param is None:
        yield storage.normalise(str(tmp_path / name))
        return
    server = request.getfixturevalue(request.param)
    with connected(server.url):
        yield join(new_bucket(server.url), name)


@pytest.fixture
def store(root: str) -> Storage:
    return storage.for_uri(root)


def test_what_was_put_is_read(store: Storage, root: str) -> None:
    uri = join(root, "parts", "one.bin")
    publish(store, uri, b"0123456789")
    info = store.info(uri)
    assert (info.uri, info.size) == (uri, 10)
    assert store.read(uri) == b"0123456789"
    source = store.open(info)
    assert source.size == 10
    assert source.read_at(2, 3) == b"234"
    assert source.read_at(8, 100) == b"89"
    assert source.read_at(100, 1) == b""
    source.close()


def test_nothing_is_not_found(store: Storage, root: str) -> None:
    for ask in (store.info, store.read):
        with pytest.raises(NotFound, match="NOT_FOUND"):
            ask(join(root, "missing"))
    store.delete(join(root, "missing"))
    assert list(store.list(root)) == []


def test_a_deleted_object_is_gone(store: Storage, root: str) -> None:
    uri = join(root, "x")
    publish(store, uri, b"x")
    store.delete(uri)
    with pytest.raises(NotFound):
        store.info(uri)


def test_a_list_is_sorted_and_leaves_hidden_names_out(store: Storage, root: str) -> None:
    for name in ("b/2", "b/1", "a", "_SUCCESS", ".hidden", "_logs/x", ".git/x", "empty"):
        publish(store, f"{root}/{name}", b"" if name == "empty" else b"x")
    found = list(store.list(root))
    assert [each.uri for each in found] == [
        f"{root}/{name}" for name in ("a", "b/1", "b/2", "empty")
    ]
    assert found == [store.info(each.uri) for each in found]


def test_another_version_cannot_be_opened(store: Storage, root: str) -> None:
    uri = join(root, "x")
    publish(store, uri, b"before")
    pinned = store.info(uri)
    store.delete(uri)
    with pytest.raises(InputChanged, match="INPUT_GONE"):
        store.open(pinned)
    publish(store, uri, b"after!")
    with pytest.raises(InputChanged, match="INPUT_CHANGED"):
        store.open(StoredObject(uri, pinned.size + 1, store.info(uri).version))
    with pytest.raises(InputChanged, match="INPUT_CHANGED"):
        store.open(StoredObject(uri, pinned.size, "another"))


def test_putting_twice_is_success_for_the_same_content_only(store: Storage, root: str) -> None:
    uri = join(root, "parts", "one")
    publish(store, uri, b"mine")
    publish(store, uri, b"mine")
    with pytest.raises(Conflict, match="OUTPUT_CONFLICT"):
        publish(store, uri, b"other")
    assert store.read(uri) == b"mine"


def test_settling_changes_nothing_that_can_be_seen(store: Storage, root: str) -> None:
    names = [join(root, "parts", str(number)) for number in range(20)]
    for name in names:
        publish(store, name, name.encode())
    store.settle(names)
    store.settle(names[:1])
    store.settle([])
    assert [store.read(name) for name in names] == [name.encode() for name in names]


def test_a_spool_that_is_not_what_was_hashed_is_not_published(store: Storage, root: str) -> None:
    uri = join(root, "one")
    with pytest.raises(Unavailable, match="SPOOL_CORRUPT"):
        publish(store, uri, b"flipped", digest=sha256(b"written"))
    with pytest.raises(NotFound):
        store.info(uri)


def test_put_once_returns_what_is_there(store: Storage, root: str) -> None:
    uri = join(root, "_MANIFEST.json")
    assert store.put_once(uri, b"first") == b"first"
    assert store.put_once(uri, b"second") == b"first"
    assert store.read(uri) == b"first"


def test_of_many_writers_at_once_exactly_one_wins(store: Storage, root: str) -> None:
    uri = join(root, "_MANIFEST.json")
    offers = [str(number).encode() * 1_000 for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        seen = set(pool.map(lambda offer: store.put_once(uri, offer), offers))
    assert len(seen) == 1
    assert store.read(uri) in offers


def test_a_spool_is_gone_whatever_happens(store: Storage, root: str) -> None:
    kept: list[Path] = []

    def break_off() -> None:
        with store.spool(join(root, "parts")) as spooled:
            kept.append(spooled)
            spooled.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert not kept[0].exists()
    assert list(store.list(root)) == []


def test_a_folder_is_no_object(store: Storage, root: str) -> None:
    publish(store, join(root, "folder", "x"), b"x")
    with pytest.raises((InvalidInput, NotFound)):
        store.info(join(root, "folder"))
