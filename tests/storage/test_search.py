"""Inputs that name many files: folders, prefixes and patterns, the same in every storage."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from millrace import storage
from millrace.errors import InvalidInput
from millrace.storage import search
from millrace.storage.base import StoredObject
from millrace.storage.local import LocalStorage
from millrace.storage.s3_uri import bucket_and_key
from millrace.storage.search import find, matches
from tests.servers.s3 import Moto, client
from tests.servers.s3_faults import Kind, S3Faults

FILES = ["2023/a.jsonl", "2024/01/a.jsonl", "2024/01/b.jsonl", "2024/02/ä [1].jsonl", "2024/x.csv"]


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with `FILES` and what is to be left out, in each storage."""
    uri = storage.normalise(str(tmp_path))
    if request.param == "s3":
        uri = request.getfixturevalue("bucket")
    store = storage.for_uri(uri)
    for name in (*FILES, "2024/_SUCCESS", "2024/.hidden/x.jsonl"):
        store.put_once(
            storage.normalise(f"{tmp_path if request.param == 'file' else uri}/{name}"), b"x"
        )
    store.put_once(f"{uri}/2024/empty.jsonl", b"")
    return uri


def found(root: str, name: str) -> list[str]:
    uri = storage.normalise(f"{root}/{name}") if root.startswith("s3") else None
    uri = uri or storage.normalise(f"{storage.uri.local_path(root)}/{name}")
    skip = len(storage.uri.names(root))
    listed = find(storage.for_uri(uri), uri)
    return ["/".join(storage.uri.names(each.uri)[skip:]) for each in listed]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("2024", FILES[1:]),
        ("2024/01/a.jsonl", FILES[1:2]),
        ("2024/empty.jsonl", ["2024/empty.jsonl"]),
        ("2024/*", FILES[4:]),
        ("*/a.jsonl", FILES[:1]),
        ("*/*/*.jsonl", FILES[1:4]),
        ("**/*.jsonl", FILES[:4]),
        ("**/a.jsonl", FILES[:2]),
        ("2024/**", FILES[1:]),
        ("20[0-2][34]/0?/[!a].jsonl", FILES[2:3]),
        ("2024/02/ä [1].jsonl", FILES[3:4]),
        ("2024/02/ä ?1].jsonl", FILES[3:4]),
        ("**", FILES),
        ("", FILES),
    ],
)
def test_what_a_name_finds(root: str, name: str, files: list[str]) -> None:
    assert found(root, name) == files


@pytest.mark.parametrize("name", ["none", "none/*.jsonl", "2024/*.parquet", "*.jsonl"])
def test_what_finds_nothing_is_refused(root: str, name: str) -> None:
    with pytest.raises(InvalidInput, match="INPUT_NOT_FOUND") as refused:
        found(root, name)
    assert "names that start with" in refused.value.hint


def test_a_pattern_takes_no_more_time_than_it_has_parts() -> None:
    assert not matches(["a"] * 200, ["**", "a"] * 50 + ["b"])
    assert matches(["a"] * 200, ["**", "a"] * 50)


def test_a_missing_bucket_and_a_forbidden_one_are_told_apart(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """B42"""
    store = storage.for_uri(folder)
    with pytest.raises(InvalidInput, match=r"INPUT_NOT_FOUND") as refused:
        list(find(store, "s3://no-such-bucket/rows.jsonl"))
    assert "NoSuchBucket" in refused.value.message
    faults.add(Kind.FORBID)
    for uri in (folder, f"s3://{bucket_and_key(folder)[0]}"):
        with pytest.raises(InvalidInput, match="INPUT_FORBIDDEN") as refused:
            list(find(store, uri))
        assert "AccessDenied" in refused.value.message


def test_an_empty_bucket_is_an_empty_prefix(moto: Moto, faults: S3Faults, folder: str) -> None:
    """B44; a console makes folders by objects whose names end with a slash."""
    bucket, _ = bucket_and_key(folder)
    client(moto.url).put_object(Bucket=bucket, Key="in/", Body=b"")
    assert list(storage.for_uri(folder).list(f"s3://{bucket}")) == []
    with pytest.raises(InvalidInput, match="EMPTY_PREFIX"):
        list(find(storage.for_uri(folder), f"s3://{bucket}"))


def test_pages_are_followed_and_the_number_of_files_is_bounded(
    moto: Moto, faults: S3Faults, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B44"""
    bucket, key = bucket_and_key(folder)
    speaker = client(moto.url)

    def put(number: int) -> None:
        speaker.put_object(Bucket=bucket, Key=f"{key}/{number:04}", Body=b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1_050)))
    store = storage.for_uri(folder)
    assert [each.uri for each in find(store, folder)] == [f"{folder}/{n:04}" for n in range(1_050)]
    assert len(faults.done("ListObjectsV2")) == 2
    monkeypatch.setattr(search, "MAX_OBJECTS", 1_000)
    with pytest.raises(InvalidInput, match=r"TOO_MANY_OBJECTS.*pattern"):
        list(find(store, folder))


def test_a_file_that_is_listed_twice_is_refused() -> None:
    """B45"""

    class Repeating(LocalStorage):
        def list(self, uri: str) -> Iterator[StoredObject]:
            yield from [StoredObject(f"{uri}/a", 1, "v"), StoredObject(f"{uri}/a", 1, "v")]

    with pytest.raises(InvalidInput, match="DUPLICATE_INPUT"):
        list(find(Repeating(), "file:///"))
