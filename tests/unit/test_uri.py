"""What people type becomes one absolute URI, or one clear refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.errors import InvalidInput
from millrace.storage import for_uri, normalise
from millrace.storage.local import LocalStorage
from millrace.storage.uri import basename, join, local_path


@pytest.mark.parametrize(
    ("typed", "uri"),
    [
        ("rows.jsonl", "file:///data/rows.jsonl"),
        ("./rows.jsonl", "file:///data/rows.jsonl"),
        ("../rows.jsonl", "file:///rows.jsonl"),
        ("/a//b/./c/", "file:///a/b/c"),
        ("file:///a/b", "file:///a/b"),
        ("file://localhost/a/b", "file:///a/b"),
        ("file:///a%20b", "file:///a%20b"),
        ("/a b/ü%.txt", "file:///a%20b/%C3%BC%25.txt"),
        ("a:b", "file:///data/a:b"),
        ("~/x", "file:///people/me/x"),
    ],
)
def test_paths_become_absolute(typed: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/data")
    monkeypatch.setenv("HOME", "/people/me")
    assert normalise(typed) == uri.replace("a:b", "a%3Ab")
    assert normalise(normalise(typed)) == normalise(typed)


@pytest.mark.parametrize(
    ("typed", "code", "hint"),
    [
        ("", "URI_EMPTY", "name a file"),
        ("  ", "URI_EMPTY", "name a file"),
        ("a\0b", "URI_NOT_ALLOWED", "remove"),
        ("file:///a%00b", "URI_NOT_ALLOWED", "remove"),
        ("file://host/a", "URI_NOT_ALLOWED", "three slashes"),
        ("file://a", "URI_NOT_ALLOWED", "three slashes"),
        ("FILE:///a", "URI_SCHEME", "lower case"),
        ("http://host/x", "URI_SCHEME", "file://"),
        ("gopher://host/x", "URI_SCHEME", "file://"),
        ("jar:http://host/x!/y", "URI_SCHEME", "file://"),
        ("hdfs://nn/x", "URI_SCHEME", "file://"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_hint(typed: str, code: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        normalise(typed)
    assert refusal.value.code == code
    assert hint in refusal.value.hint


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(InvalidInput) as refusal:
        normalise("https://me:secret@host/x?sig=secret")
    assert "secret" not in str(refusal.value)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_comes_back(name: str) -> None:
    path = "/folder/" + name.replace("/", "_").replace(".", "_")
    assert str(local_path(normalise(path))) == path
    assert local_path(join("file:///folder", path[8:])) == Path(path)
    assert basename(normalise(path)) == path[8:]


def test_files_are_served_by_the_local_storage() -> None:
    assert isinstance(for_uri("file:///a"), LocalStorage)
    with pytest.raises(InvalidInput, match="URI_SCHEME"):
        for_uri("ftp://host/a")
