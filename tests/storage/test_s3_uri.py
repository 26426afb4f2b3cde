"""What people type as an S3 address becomes a bucket and a key, or one clear refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.errors import InvalidInput, UsageError
from millrace.storage import for_uri, normalise
from millrace.storage.s3 import S3Storage, configure
from millrace.storage.s3_uri import bucket_and_key
from millrace.storage.uri import basename, join, names


@pytest.mark.parametrize(
    ("typed", "uri"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/in/", "s3://bucket/in"),
        ("s3://my.bucket-1/a//b", "s3://my.bucket-1/a//b"),
        ("s3://bucket/a b/ü?#%41+&=", "s3://bucket/a b/ü?#%41+&="),
        ("s3://bucket/date=2024-01-01/*.jsonl", "s3://bucket/date=2024-01-01/*.jsonl"),
        ("s3://bucket/a..b/.c", "s3://bucket/a..b/.c"),
    ],
)
def test_an_address_is_taken_as_it_is(typed: str, uri: str) -> None:
    assert normalise(typed) == uri
    assert normalise(uri) == uri
    assert isinstance(for_uri(uri), S3Storage)


@pytest.mark.parametrize(
    ("typed", "code", "hint"),
    [
        ("s3://", "URI_NO_BUCKET", "s3://bucket/folder/name"),
        ("s3:///key", "URI_NO_BUCKET", "s3://bucket/folder/name"),
        ("S3://bucket/x", "URI_SCHEME", "lower case"),
        ("s3://Bucket/x", "URI_NOT_ALLOWED", "lower-case"),
        ("s3://my_bucket/x", "URI_NOT_ALLOWED", "hyphens"),
        ("s3://ab/x", "URI_NOT_ALLOWED", "3 to 63"),
        ("s3://a..b/x", "URI_NOT_ALLOWED", "dots"),
        ("s3://bucket/a/../../other/x", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/./x", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/..", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/a/%2e%2e/x", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/a/%252e%252E/x", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/a%2f..%2fx", "URI_NOT_ALLOWED", "never resolved"),
        ("s3://bucket/a\\..\\x", "URI_NOT_ALLOWED", "remove"),
        ("s3://bucket/a%5cx", "URI_NOT_ALLOWED", "remove"),
        ("s3://bucket/a\0x", "URI_NOT_ALLOWED", "remove"),
        ("s3://bucket/a%00x", "URI_NOT_ALLOWED", "remove"),
        ("s3://bucket/a\nx", "URI_NOT_ALLOWED", "remove"),
        ("s3://bucket/\udcff", "URI_NOT_ALLOWED", "rename"),
        ("s3://bucket/" + "ü" * 600, "URI_NOT_ALLOWED", "1024"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_hint(typed: str, code: str, hint: str) -> None:
    """B38, B39"""
    with pytest.raises(InvalidInput) as refusal:
        normalise(typed)
    assert refusal.value.code == code
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    "typed",
    [
        "s3://AKIAEXAMPLE:hushhush@bucket/x",
        "s3://hushhush@bucket/x",
        "s3://bucket:hushhush/x",
        "s3://bucket/x?X-Amz-Signature=hushhush",
        "s3://bucket/x?a=b&AWSAccessKeyId=hushhush",
        "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=hushhush",
    ],
)
def test_a_secret_is_never_repeated(typed: str) -> None:
    """B46"""
    with pytest.raises(InvalidInput) as refusal:
        normalise(typed)
    assert "hushhush" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["http://me:hushhush@host", "host:9000", "ftp://host", "http://[", "http://"]
)
def test_an_endpoint_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="SETTING_INVALID") as refusal:
        configure(url)
    assert "hushhush" not in str(refusal.value)


@given(st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1))
def test_names_are_joined_as_they_are(name: str) -> None:
    uri = join("s3://bucket/folder", name, "last")
    assert bucket_and_key(uri) == ("bucket", f"folder/{name}/last")
    assert names(uri) == ["bucket", "folder", name, "last"]
    assert basename(join("s3://bucket", name)) == name
