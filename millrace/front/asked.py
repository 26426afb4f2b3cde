"""From a `JobRequest` to a `JobSpec`: URIs made absolute, the model pinned, defaults set."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from millrace import datasets, storage
from millrace.errors import FieldInvalid
from millrace.registry import models
from millrace.request import JobRequest
from millrace.spec import JobSpec
from millrace.types import Join


def request_of(**given: Any) -> JobRequest:
    """The request with these fields; `FieldInvalid` names the one that cannot be."""
    try:
        return JobRequest(**given)
    except ValidationError as error:
        raise _field_invalid(error.errors()[0]) from None


def spec_of(asked: JobRequest) -> JobSpec:
    """The job that was asked for.

    `FieldInvalid` names the field that cannot be; errors of storage and models say what is wrong
    with what the others name.
    """
    source = storage.normalise(asked.input)
    output_format = asked.output_format or _same_family(
        asked.input_format or datasets.by_suffix(source)
    )
    kept = (
        "input_format key on_error error_threshold csv_multiline options input_columns"
        " output_columns chunk_rows chunk_bytes priority deadline_seconds pool webhook"
    )
    try:
        return JobSpec(
            input=source,
            output=storage.normalise(asked.output),
            model=models.resolve(asked.model),
            output_format=output_format,
            join=asked.join or (Join.KEY if asked.key else Join.INPUT),
            **{name: getattr(asked, name) for name in kept.split()},
        )
    except ValidationError as error:
        raise _field_invalid(error.errors()[0]) from None


def _same_family(input_format: str | None) -> Any:
    """The output format that somebody with such an input expects."""
    return {"parquet": "parquet", "csv": "csv", "tsv": "csv"}.get(input_format or "", "jsonl")


def _field_invalid(fault: ErrorDetails) -> FieldInvalid:
    names = [str(each) for each in fault["loc"]]
    field = {"deadline_seconds": "deadline"}.get(names[0], names[0]) if names else ""
    return FieldInvalid(field, fault["msg"].removeprefix("Value error, "))
