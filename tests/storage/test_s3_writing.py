"""What is put into S3 is there once and whole, whatever became of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millrace import storage
from millrace.errors import Conflict, InvalidInput, NotFound, Unavailable
from millrace.storage import s3_upload
from millrace.storage.s3 import S3Storage
from millrace.storage.s3_endpoint import Patience
from millrace.storage.s3_uri import bucket_and_key
from tests.servers.ceph import RadosGateway
from tests.servers.s3 import QUICK, STUBBORN, Moto, client, connected, new_bucket
from tests.servers.s3_faults import Kind, S3Faults

STORE = S3Storage()
SMALL, LARGE = b"a part\n" * 1_000, bytes(range(256)) * (80 << 10)
"""Put with one request, and in three parts."""

ANSWER_LOST = [Kind.SWALLOW, Kind.FAIL_AFTER]


def put(uri: str, content: bytes) -> None:
    with STORE.spool(uri.rpartition("/")[0]) as spooled:
        spooled.write_bytes(content)
        STORE.put(spooled, uri, hashlib.sha256(content).hexdigest())


def unfinished(moto: Moto, folder: str) -> list[Any]:
    found = client(moto.url).list_multipart_uploads(Bucket=bucket_and_key(folder)[0])
    return list(found.get("Uploads", ()))


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("kind", [*ANSWER_LOST, Kind.SLOW_DOWN, Kind.REFUSE])
def test_every_answer_lost_once_changes_nothing(
    moto: Moto, faults: S3Faults, folder: str, content: bytes, kind: Kind
) -> None:
    """Each of the requests has its answer lost in its turn; the retry finds what it has done."""
    uri = f"{folder}/part"
    for operation in (
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "HeadObject",
    ):
        faults.add(kind, operation, times=1)
    put(uri, content)
    assert STORE.read(uri) == content


def test_a_large_file_goes_in_parts(moto: Moto, faults: S3Faults, folder: str) -> None:
    put(f"{folder}/part", LARGE)
    assert len(faults.done("UploadPart")) == 3
    assert not faults.done("PutObject")
    assert STORE.read(f"{folder}/part") == LARGE
    put(f"{folder}/part", LARGE)
    assert len(faults.done("UploadPart")) == 3, "what is there is not sent again"
    with pytest.raises(Conflict, match="OUTPUT_CONFLICT"):
        put(f"{folder}/part", LARGE[::-1])


def test_a_large_file_that_cannot_be_sent_leaves_nothing(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str
) -> None:
    faults = impatient(QUICK)
    faults.add(Kind.SLOW_DOWN, "UploadPart")
    with pytest.raises(Unavailable, match="STORAGE_BUSY"):
        put(f"{folder}/part", LARGE)
    assert unfinished(moto, folder) == []


def test_an_upload_of_unknown_outcome_is_not_cleaned_up(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str
) -> None:
    """S3 may still be completing it."""
    faults = impatient(QUICK)
    faults.add(Kind.SLOW_DOWN, "CompleteMultipartUpload")
    with pytest.raises(Unavailable, match="STORAGE_BUSY"):
        put(f"{folder}/part", LARGE)
    assert len(unfinished(moto, folder)) == 1
    assert not faults.done("AbortMultipartUpload")


def test_a_completed_upload_is_found_though_nobody_said_so(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str
) -> None:
    faults = impatient(QUICK)
    faults.add(Kind.FAIL_AFTER, "CompleteMultipartUpload")
    put(f"{folder}/part", LARGE)
    assert STORE.read(f"{folder}/part") == LARGE


def test_somebody_elses_object_is_compared_by_its_content(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    bucket, key = bucket_and_key(f"{folder}/part")
    for content in (SMALL, SMALL[::-1]):
        client(moto.url).put_object(Bucket=bucket, Key=key, Body=content)
        if content == SMALL:
            put(f"{folder}/part", SMALL)
        else:
            with pytest.raises(Conflict, match="OUTPUT_CONFLICT"):
                put(f"{folder}/part", SMALL)


def test_a_third_of_all_requests_refused_is_only_slower(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """F43"""
    for kind in (Kind.SLOW_DOWN, Kind.FAIL_AFTER, Kind.SWALLOW):
        faults.add(kind, share=0.1)
    for number in range(20):
        put(f"{folder}/{number}", SMALL)
    put(f"{folder}/large", LARGE)
    assert len(list(STORE.list(folder))) == 21
    assert STORE.read(f"{folder}/large") == LARGE


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_not_there_after_all_is_not_believed(
    moto: Moto, faults: S3Faults, folder: str, content: bytes
) -> None:
    for operation in ("PutObject", "CompleteMultipartUpload"):
        faults.add(Kind.LOSE, operation)
    with pytest.raises(Unavailable):
        put(f"{folder}/part", content)


@pytest.mark.parametrize("kind", ANSWER_LOST)
def test_a_manifest_whose_answer_was_lost_is_recognised(
    moto: Moto, faults: S3Faults, folder: str, kind: Kind
) -> None:
    """F48: what our own retry is refused for is what we have written."""
    uri = f"{folder}/_MANIFEST.json"
    faults.add(kind, "PutObject", key="_MANIFEST", times=1)
    assert STORE.put_once(uri, b"ours") == b"ours"
    assert [each.status for each in faults.done("PutObject", "_MANIFEST")] == [200, 412]
    assert STORE.put_once(uri, b"theirs") == b"ours"


def test_a_manifest_of_unknown_outcome_is_looked_for(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str
) -> None:
    faults = impatient(QUICK)
    faults.add(Kind.FAIL_AFTER, "PutObject", key="_MANIFEST")
    assert STORE.put_once(f"{folder}/_MANIFEST.json", b"ours") == b"ours"


def test_a_manifest_that_cannot_be_put_is_unavailable(
    moto: Moto, impatient: Callable[[Patience], S3Faults], folder: str
) -> None:
    faults = impatient(QUICK)
    faults.add(Kind.SLOW_DOWN, "PutObject", key="_MANIFEST")
    with pytest.raises(Unavailable, match="STORAGE_BUSY"):
        STORE.put_once(f"{folder}/_MANIFEST.json", b"ours")
    with pytest.raises(NotFound):
        STORE.read(f"{folder}/_MANIFEST.json")


def test_a_server_that_ignores_conditions_is_found_out(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    """F55: then a look before the put keeps what is there."""
    faults.add(Kind.FORGET_CONDITIONS)
    assert not STORE.exclusive(folder)
    assert STORE.put_once(f"{folder}/_MANIFEST.json", b"ours") == b"ours"
    assert STORE.put_once(f"{folder}/_MANIFEST.json", b"theirs") == b"ours"
    probes = len(faults.done("PutObject", "_probe-"))
    assert probes == 2, "asked once per bucket"
    assert len(faults.done("DeleteObject", "_probe-")) == 1


def test_a_probe_whose_answer_was_lost_still_tells(
    moto: Moto, faults: S3Faults, folder: str
) -> None:
    faults.add(Kind.SWALLOW, "PutObject", key="_probe-", times=1)
    assert STORE.exclusive(folder)


def test_an_output_is_probed(moto: Moto, faults: S3Faults, folder: str, tmp_path: Path) -> None:
    storage.probe_output(folder)
    storage.probe_output(storage.normalise(str(tmp_path / "out")))
    assert not list((tmp_path / "out").iterdir())
    assert not client(moto.url).list_objects_v2(Bucket=bucket_and_key(folder)[0])["KeyCount"]
    (tmp_path / "file").write_text("")
    for output in (storage.normalise(str(tmp_path / "file")), "s3://no-such-bucket/out"):
        with pytest.raises(InvalidInput, match="OUTPUT_NOT_WRITABLE"):
            storage.probe_output(output)
    faults.add(Kind.FORBID, "PutObject")
    with pytest.raises(InvalidInput, match=r"OUTPUT_NOT_WRITABLE.*s3:PutObject"):
        storage.probe_output(folder)


def test_uploads_given_up_long_ago_are_aborted(moto: Moto, faults: S3Faults, folder: str) -> None:
    """moto says of every upload that it began in 2010."""
    bucket, key = bucket_and_key(f"{folder}/parts/x")
    for name in (key, "elsewhere"):
        client(moto.url).create_multipart_upload(Bucket=bucket, Key=name)
    STORE.clear_spool(f"{folder}/parts")
    assert [each["Key"] for each in unfinished(moto, folder)] == ["elsewhere"]
    faults.add(Kind.FORBID, "ListMultipartUploads")
    STORE.clear_spool(f"{folder}/parts")


@pytest.mark.s3real
def test_uploads_under_way_are_not_aborted(rados_gateway: RadosGateway) -> None:
    bucket = new_bucket(rados_gateway.url)
    name, _ = bucket_and_key(bucket)
    client(rados_gateway.url).create_multipart_upload(Bucket=name, Key="parts/x")
    with connected(rados_gateway.url):
        STORE.clear_spool(f"{bucket}/parts")
    assert client(rados_gateway.url).list_multipart_uploads(Bucket=name)["Uploads"]


@pytest.mark.s3real
def test_bytes_flipped_on_the_way_are_sent_again(rados_gateway: RadosGateway) -> None:
    bucket = new_bucket(rados_gateway.url)
    with S3Faults(rados_gateway.url) as faults, connected(faults.url, STUBBORN):
        faults.add(Kind.CORRUPT, "PutObject", times=2)
        put(f"{bucket}/part", SMALL)
        assert STORE.read(f"{bucket}/part") == SMALL


def test_a_spool_is_private_and_what_the_dead_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with STORE.spool("s3://bucket/parts") as mine:
        left = tmp_path / mine.name.replace(f"-{mine.name.split('-')[-2]}-", "-4194999-")
        foreign = tmp_path / "millrace-another.host-4194999-0123456789abcdef.spool"
        for path in (left, foreign):
            path.write_bytes(b"")
        assert mine.stat().st_mode & 0o777 == 0o600
        with STORE.spool("s3://bucket/parts"):
            assert {path.name for path in tmp_path.iterdir()} >= {mine.name, foreign.name}
            assert not left.exists()
    assert list(tmp_path.iterdir()) == [foreign]


def test_pieces_are_never_more_than_s3_takes() -> None:
    for size in (17 << 20, 100 << 30, 5 << 40):
        pieces = list(s3_upload._pieces(size))
        assert len(pieces) <= 10_000
        assert sum(length for _, _, length in pieces) == size
