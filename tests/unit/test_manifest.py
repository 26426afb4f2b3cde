"""The manifest's bytes: a function of what it says, and of nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.errors import InvalidInput
from millrace.manifest import Manifest, distinct, sha256, tombstone
from tests.lifecycle.stage import spec

SHA = "ab" * 32


def manifest(**changes: Any) -> Manifest:
    said: dict[str, Any] = {
        "job": "j1",
        "state": "partial",
        "spec_hash": spec().spec_hash(),
        "spec": spec(options={"b": 1, "a": {"y": 2, "x": "é"}}),
        "inputs": [{"uri": "file:///in", "format": "jsonl", "size": 9, "version": "v", "rows": 3}],
        "rows": {"input": 3, "ok": 2, "errors": 1},
        "parts": [
            {"path": "parts/a", "rows": 2, "bytes": 7, "sha256": SHA, "first_row": 0, "rows_in": 3}
        ],
        "errors": [{"path": "errors/a", "rows": 1, "bytes": 7, "sha256": SHA}],
        "computed_by": [{"engine": "echo", "device": "cpu"}],
    }
    return Manifest.model_validate(said | changes)


def turned(value: Any) -> Any:
    """The same JSON with the members of every object in reverse."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


def test_the_bytes_do_not_depend_on_the_order_of_anything() -> None:
    said = manifest()
    again = Manifest.model_validate(turned(said.model_dump(mode="json")))
    assert again.to_bytes() == said.to_bytes()
    assert list(json.loads(said.to_bytes())) == sorted(json.loads(said.to_bytes()))


def test_bytes_and_manifest_go_both_ways() -> None:
    said = manifest()
    assert Manifest.from_bytes(said.to_bytes()) == said
    assert Manifest.from_bytes(said.to_bytes()).to_bytes() == said.to_bytes()
    assert said.to_bytes().endswith(b"}\n")


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from([0, 1, "0", "é", None])), max_size=6
    )
)
def test_engines_are_listed_once_in_one_order(fingerprints: list[dict[str, Any]]) -> None:
    found = distinct(fingerprints)
    assert found == distinct([turned(each) for each in reversed(fingerprints)])
    assert len({json.dumps(each, sort_keys=True) for each in found}) == len(found)
    assert all(each in found for each in fingerprints)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "document"),
        (b"[]", "document"),
        (tombstone("j1"), "state"),
        (manifest().to_bytes().replace(b'"rows_in":3', b'"rows_in":"x"'), "parts.0.rows_in"),
        (manifest().to_bytes().replace(b'"job"', b'"jib"'), "job"),
        (manifest().to_bytes().replace(SHA.encode(), b"short"), "sha256"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_place(content: bytes, where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Manifest.from_bytes(content)
    assert refused.value.code == "MANIFEST_INVALID"
    assert where in refused.value.message


def test_paths_are_parts_then_errors() -> None:
    assert manifest().paths() == ("parts/a", "errors/a")
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
