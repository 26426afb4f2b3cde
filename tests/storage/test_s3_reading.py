"""Bytes of an S3 object arrive whole and of one version, or not at all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from millrace.errors import InputChanged, InvalidInput, Unavailable
from millrace.storage import s3_client
from millrace.storage.base import StoredObject, blocks
from millrace.storage.s3 import S3Storage
from millrace.storage.s3_endpoint import Patience
from millrace.storage.s3_object import HEAD_BYTES
from millrace.storage.s3_uri import bucket_and_key
from tests.servers.s3 import QUICK, Moto, client, connected, new_bucket
from tests.servers.s3_faults import Kind, S3Faults

STORE = S3Storage()
LINES = b"".join(b'{"id": %d, "text": "row number %d"}\n' % (n, n) for n in range(20_000))


def stored(moto: Moto, folder: str, content: bytes = LINES) -> StoredObject:
    """An object as somebody else has put it there."""
    uri = f"{folder}/rows.jsonl"
    bucket, key = bucket_and_key(uri)
    client(moto.url).put_object(Bucket=bucket, Key=key, Body=content)
    return STORE.info(uri)


def whole(pinned: StoredObject) -> bytes:
    source = STORE.open(pinned)
    try:
        return b"".join(blocks(source))
    finally:
        source.close()


def test_a_read_asks_for_exactly_its_range(moto: Moto, faults: S3Faults, folder: str) -> None:
    source = STORE.open(stored(moto, folder))
    assert source.read_at(400_000, 50) == LINES[400_000:400_050]
    assert source.read_at(10, 5) == LINES[10:15], "the first bytes are kept"
    assert source.read_at(len(LINES) - 3, 100) == LINES[-3:]
    assert source.read_at(len(LINES), 1) == b""
    source.close()
    assert len(faults.done("GetObject")) == 3


@pytest.mark.parametrize(
    "at", [0, 1, LINES.index(b"\n") + 1, LINES.rindex(b"\n", 0, 50_000) + 1, 65_535]
)
def test_a_body_that_breaks_off_goes_on_where_it_stopped(
    moto: Moto, faults: S3Faults, folder: str, at: int
) -> None:
    """F45, also exactly behind a newline."""
    pinned = stored(moto, folder)
    faults.add(Kind.TRUNCATE, "GetObject", at=at, times=3)
    assert whole(pinned) == LINES


def test_bodies_that_break_off_anywhere(moto: Moto, faults: S3Faults, folder: str) -> None:
    """F45"""
    pinned = stored(moto, folder)
    numbers = random.Random(7)
    for _ in range(20):
        faults.add(Kind.TRUNCATE, "GetObject", at=numbers.randrange(len(LINES)), share=0.3, times=1)
    assert whole(pinned) == LINES


def test_a_body_that_never_arrives_is_unavailable(
    moto: Moto, faults: S3Faults, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.storage.s3_object._PAUSE_SECONDS", 0.001)
    pinned = stored(moto, folder)
    faults.add(Kind.TRUNCATE, "GetObject", at=1)
    with pytest.raises(Unavailable, match=r"rows\.jsonl breaks off at byte 8"):
        STORE.open(pinned)


@pytest.mark.parametrize("rate", [1, 50])
def test_a_drip_is_cut_off_and_read_elsewhere(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str, rate: int
) -> None:
    """F46, be it silence for too long or bytes that are too few"""
    faults = impatient(replace(QUICK, read=0.3))
    pinned = stored(moto, folder)
    faults.add(Kind.DRIP, "GetObject", at=rate, times=1)
    assert whole(pinned) == LINES
    assert [each.fault for each in faults.done("GetObject")].count(Kind.DRIP) == 1


def test_a_third_of_all_requests_refused_is_only_slower(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """F43"""
    pinned = stored(moto, folder)
    faults.add(Kind.SLOW_DOWN, share=0.3)
    assert all(whole(pinned) == LINES for _ in range(20))
    assert any(each.fault is Kind.SLOW_DOWN for each in faults.operations)


@pytest.mark.parametrize("kind", [Kind.REFUSE, Kind.SLOW_DOWN, Kind.FAIL_AFTER])
def test_an_outage_is_unavailable_and_over_when_it_is_over(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str, kind: Kind
) -> None:
    """F44"""
    faults = impatient(QUICK)
    pinned = stored(moto, folder)
    faults.add(kind)
    with pytest.raises(Unavailable):
        STORE.open(pinned)
    with pytest.raises(Unavailable):
        STORE.info(pinned.uri)
    faults.heal()
    assert whole(pinned) == LINES


def test_a_server_that_is_not_there_is_unavailable(moto: Moto, folder: str) -> None:
    """F44"""
    with connected("http://127.0.0.1:9", QUICK), pytest.raises(Unavailable, match="UNREACHABLE"):
        STORE.info(f"{folder}/x")


def overwrite(moto: Moto, pinned: StoredObject, content: bytes) -> None:
    bucket, key = bucket_and_key(pinned.uri)
    client(moto.url).put_object(Bucket=bucket, Key=key, Body=content)


@pytest.mark.parametrize("conditions", ["kept", "forgotten"])
@pytest.mark.parametrize("content", [LINES.swapcase(), LINES[:-1], b""])
def test_an_overwritten_object_is_not_read_on(
    moto: Moto, faults: S3Faults, folder: str, conditions: str, content: bytes
) -> None:
    """F51, by the ETag that comes with the bytes too"""
    pinned = stored(moto, folder)
    source = STORE.open(pinned)
    if conditions == "forgotten":
        faults.add(Kind.FORGET_CONDITIONS)
    overwrite(moto, pinned, content)
    for read in (lambda: source.read_at(HEAD_BYTES, 10), lambda: STORE.open(pinned)):
        with pytest.raises(InputChanged, match="INPUT_CHANGED") as refused:
            read()
        assert pinned.version in refused.value.message
        assert STORE.info(pinned.uri).version in refused.value.message
    source.close()


def test_a_deleted_object_is_gone(moto: Moto, faults: S3Faults, folder: str) -> None:
    """F52"""
    pinned = stored(moto, folder)
    source = STORE.open(pinned)
    STORE.delete(pinned.uri)
    with pytest.raises(InputChanged, match="INPUT_GONE") as refused:
        source.read_at(HEAD_BYTES, 10)
    assert pinned.version in refused.value.message
    source.close()


def test_in_a_bucket_with_versions_the_pinned_one_is_read_for_ever(moto: Moto) -> None:
    with connected(moto.url):
        pinned = stored(moto, new_bucket(moto.url, versioned=True))
        overwrite(moto, pinned, b"another")
        assert whole(pinned) == LINES
        assert STORE.info(pinned.uri) != pinned
        STORE.delete(pinned.uri)
        assert whole(pinned) == LINES


def test_another_etag_is_another_object(moto: Moto, faults: S3Faults, folder: str) -> None:
    pinned = stored(moto, folder)
    faults.add(Kind.OTHER_ETAG, "GetObject", times=1)
    with pytest.raises(InputChanged, match="ETag 0123456789abcdef"):
        STORE.open(pinned)


def test_a_server_that_does_not_know_its_own_etag_is_read(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """Some compare it with the quotes that stand round it."""
    pinned = stored(moto, folder)
    faults.add(Kind.DENY_CONDITION, "GetObject", times=1)
    assert whole(pinned) == LINES


@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.FORBID, "AccessDenied"), (Kind.EXPIRE, "ExpiredToken")]
)
def test_not_being_allowed_names_the_action_and_the_key(
    moto: Moto, faults: S3Faults, folder: str, kind: Kind, code: str
) -> None:
    """F53"""
    pinned = stored(moto, folder)
    faults.add(kind)
    for ask in (lambda: STORE.info(pinned.uri), lambda: STORE.open(pinned)):
        with pytest.raises(InvalidInput) as refused:
            ask()
        assert refused.value.code == "STORAGE_FORBIDDEN"
        for told in ("s3:GetObject", pinned.uri, code):
            assert told in refused.value.message
        assert "s3:GetObject" in refused.value.hint


def test_credentials_that_were_renewed_are_taken_up(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """F53: one more try, with whatever is laid ready by then."""
    pinned = stored(moto, folder)
    faults.add(Kind.EXPIRE, "GetObject", times=1)
    assert whole(pinned) == LINES


def test_a_server_without_ranges_is_refused(moto: Moto, faults: S3Faults, folder: str) -> None:
    source = STORE.open(stored(moto, folder))
    faults.add(Kind.FORGET_RANGE)
    with pytest.raises(InvalidInput, match=r"STORAGE_WITHOUT_RANGES"):
        source.read_at(HEAD_BYTES, 10)
    source.close()


@pytest.mark.parametrize("kept", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_said_to_be_one(
    moto: Moto, faults: S3Faults, folder: str, kept: str
) -> None:
    """B43"""
    bucket, key = bucket_and_key(f"{folder}/rows.jsonl")
    client(moto.url).put_object(Bucket=bucket, Key=key, Body=LINES, StorageClass=kept)
    with pytest.raises(InvalidInput, match=r"INPUT_ARCHIVED.*restore"):
        STORE.open(STORE.info(f"{folder}/rows.jsonl"))


def test_each_process_has_a_client_of_its_own(moto: Moto, faults: S3Faults, folder: str) -> None:
    """Sockets that two processes write to would mix their answers."""
    pinned = stored(moto, folder)
    assert whole(pinned) == LINES
    ours = s3_client._CONNECTIONS.client()
    pipe_end, other_end = os.pipe()
    child = os.fork()
    if not child:
        theirs = s3_client._CONNECTIONS.client()
        os.write(other_end, b"same" if theirs is ours else b"new!")
        os._exit(0)
    assert os.read(pipe_end, 4) == b"new!"
    os.waitpid(child, 0)
    assert s3_client._CONNECTIONS.client() is ours


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES, HEAD_BYTES + 1])
def test_objects_of_any_size(moto: Moto, faults: S3Faults, folder: str, size: int) -> None:
    assert whole(stored(moto, folder, LINES[:size])) == LINES[:size]
