"""From what somebody typed to a `JobRequest`, and to a `JobSpec`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from millrace.cli.job_options import JobOptions
from millrace.errors import FieldInvalid, UsageError
from millrace.front.asked import request_of, spec_of
from millrace.request import JobRequest
from millrace.spec import JobSpec

_OPTION = {"options": "option"}


def spec_typed(asked: JobOptions) -> JobSpec:
    """The job that these options ask for; `UsageError` names the option that cannot be."""
    with options_named():
        return spec_of(request_typed(asked, "default"))


@contextmanager
def options_named() -> Iterator[None]:
    """What is said of a field of a request, said of the option that it was typed as."""
    try:
        yield
    except FieldInvalid as error:
        name = _OPTION.get(error.field, error.field).replace("_", "-")
        place = f"--{name}" if name else "the options"
        raise UsageError("OPTION_INVALID", f"{place}: {error.message}") from None


def request_typed(asked: JobOptions, pool: str, webhook: str | None = None) -> JobRequest:
    """The request that these options make up; `FieldInvalid` names the one that cannot be."""
    return request_of(
        model=asked.model,
        input=asked.input,
        output=asked.output,
        input_format=asked.input_format and asked.input_format.value,
        output_format=asked.output_format and asked.output_format.value,
        join=asked.join,
        key=asked.key,
        input_columns=_names(asked.input_columns),
        output_columns=_names(asked.output_columns),
        options=dict(_pair(each) for each in asked.option or ()),
        error_threshold=asked.error_threshold,
        on_error=asked.on_error,
        csv_multiline=asked.csv_multiline,
        chunk_rows=asked.chunk_rows,
        chunk_bytes=asked.chunk_bytes,
        priority=asked.priority,
        deadline=asked.deadline,
        pool=pool,
        webhook=webhook,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; the value is JSON where it reads as such, else the text itself."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError("OPTION_INVALID", f"--option {text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
