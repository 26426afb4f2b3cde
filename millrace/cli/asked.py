"""From what somebody typed to a `JobSpec`: URIs made absolute, the model pinned, defaults set."""

from __future__ import annotations

import json
from math import inf
from typing import Any

from pydantic import ValidationError

from millrace import datasets, storage
from millrace.cli.job_options import JobOptions
from millrace.errors import UsageError
from millrace.registry import models
from millrace.spec import ErrorThreshold, JobSpec
from millrace.types import Join


def spec_of(asked: JobOptions, *, pool: str = "default") -> JobSpec:
    """The job that these options ask for; `UsageError` names the option that cannot be."""
    source = storage.normalise(asked.input)
    output_format = asked.output_format or _same_family(
        asked.input_format or datasets.by_suffix(source)
    )
    try:
        return JobSpec(
            input=source,
            output=storage.normalise(asked.output),
            model=models.resolve(asked.model),
            input_format=asked.input_format and asked.input_format.value,
            output_format=output_format,
            join=asked.join or (Join.KEY if asked.key else Join.INPUT),
            key=asked.key,
            input_columns=_names(asked.input_columns),
            output_columns=_names(asked.output_columns),
            options=dict(_pair(each) for each in asked.option or ()),
            error_threshold=_threshold(asked.error_threshold),
            on_error=asked.on_error,
            csv_multiline=asked.csv_multiline,
            chunk_rows=asked.chunk_rows,
            chunk_bytes=asked.chunk_bytes,
            priority=asked.priority,
            deadline_seconds=_seconds(asked.deadline),
            pool=pool,
        )
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError("OPTION_INVALID", f"{_option(fault['loc'])}: {fault['msg']}") from None


def _option(place: tuple[int | str, ...]) -> str:
    """What somebody typed to fill this place of the spec."""
    if not place:
        return "the options"
    name = {"deadline_seconds": "deadline", "options": "option"}.get(str(place[0]), str(place[0]))
    return "--" + name.replace("_", "-")


def _same_family(input_format: str | None) -> Any:
    """The output format that somebody with such an input expects."""
    return {"parquet": "parquet", "csv": "csv", "tsv": "csv"}.get(input_format or "", "jsonl")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _threshold(text: str | None) -> ErrorThreshold | None:
    try:
        return None if text is None else ErrorThreshold.parse(text)
    except ValueError as error:
        raise UsageError("OPTION_INVALID", f"--error-threshold: {error}") from None


def _pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; the value is JSON where it reads as such, else the text itself."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError("OPTION_INVALID", f"--option {text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    valid = unit in units and number.replace(".", "", 1).isdecimal()
    seconds = float(number) * units[unit] if valid else 0.0
    if not 0 < seconds < inf:
        raise UsageError(
            "OPTION_INVALID",
            f"--deadline {text!r} is not a duration greater than 0",
            "for example 90s, 45m or 12h",
        )
    return seconds
