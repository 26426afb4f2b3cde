"""What is asked for: one hash for one request, and thresholds that mean what they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from millrace.spec import ErrorThreshold, JobSpec, ModelRef
from tests.lifecycle.stage import spec


def test_the_hash_is_stable() -> None:
    """A change here makes every known job another one: give such a release a migration."""
    known = "32a8a268270bae1526da81a1ef7d137f0b93aa9fe084948e52e7589beee5fe3f"
    assert spec().spec_hash() == known


def test_the_order_of_options_is_nothing() -> None:
    one = spec(options={"a": 1, "b": {"x": 1, "y": [1, 2]}})
    two = spec(options={"b": {"y": [1, 2], "x": 1}, "a": 1})
    assert one.spec_hash() == two.spec_hash()
    assert JobSpec.model_validate_json(one.model_dump_json()).spec_hash() == one.spec_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"model": ModelRef(engine="echo", location="echo", sha256="cd" * 32)},
        {"model": ModelRef(engine="torch", location="echo", sha256="ab" * 32)},
        {"input": "file:///other"},
        {"output": "file:///other"},
        {"input_format": "csv"},
        {"output_format": "csv"},
        {"input_columns": ("a",)},
        {"output_columns": ("a",)},
        {"join": "input"},
        {"join": "key", "key": "id"},
        {"on_error": "fail"},
        {"error_threshold": {"rows": 5}},
        {"csv_multiline": True},
        {"options": {"a": 1}},
        {"options": {"a": True}},
        {"options": {"a": "1"}},
        {"chunk_rows": 5},
        {"chunk_bytes": 5},
    ],
    ids=str,
)
def test_whatever_shapes_results_changes_the_hash(change: dict[str, Any]) -> None:
    assert spec(**change).spec_hash() != spec().spec_hash()


@pytest.mark.parametrize("change", [{"priority": 9}, {"deadline_seconds": 5.0}, {"pool": "gpu"}])
def test_what_only_shapes_their_coming_does_not(change: dict[str, Any]) -> None:
    assert spec(**change).spec_hash() == spec().spec_hash()


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "id"},
        {"join": "key"},
        {"input_columns": ()},
        {"input_columns": ("a", "a")},
        {"output_columns": ()},
        {"chunk_rows": 0},
        {"chunk_bytes": 0},
        {"priority": 10},
        {"pool": ""},
        {"pool": "GPU"},
        {"pool": "-gpu"},
        {"pool": "gpu\n"},
        {"pool": "x" * 41},
        {"deadline_seconds": 0},
        {"options": {"a": float("nan")}},
        {"options": {"a": 2**60}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_what_has_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**wrong)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("25", ErrorThreshold(rows=25)),
        (" 0 ", ErrorThreshold(rows=0)),
        ("5%", ErrorThreshold(percent=5.0)),
        ("0.5%", ErrorThreshold(percent=0.5)),
        ("100%", ErrorThreshold(percent=100.0)),
    ],
)
def test_thresholds_are_read(text: str, threshold: ErrorThreshold) -> None:
    assert ErrorThreshold.parse(text) == threshold


@pytest.mark.parametrize("text", ["", "x", "5 %", "-1", "0.5", "101%", "5%%", "1e3", "٣"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|less than or equal"):
        ErrorThreshold.parse(text)


@given(st.integers(0, 50), st.integers(0, 500), st.integers(0, 500))
def test_rows_are_counted_exactly(allowed: int, bad: int, good: int) -> None:
    assert ErrorThreshold(rows=allowed).crossed(bad, bad + good) == (bad > allowed)


@given(st.integers(0, 100), st.integers(0, 500), st.integers(0, 500), st.integers(0, 200))
def test_a_percentage_waits_for_enough_rows(percent: int, bad: int, good: int, least: int) -> None:
    threshold = ErrorThreshold(percent=float(percent), min_rows=least)
    tried = bad + good
    expected = tried >= least and bad * 100 > percent * tried
    assert threshold.crossed(bad, tried) == expected
