"""``millrace run``: a dataset through a model on this machine, with nothing to start first."""

from __future__ import annotations

from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from millrace.errors import UsageError
from millrace.types import Join, OnError


class InputFormatName(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    TEXT = "text"


class OutputFormatName(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def run(
    model: Annotated[str, typer.Option(help="ENGINE:LOCATION, as python:predictor.py:Sentiment.")],
    input_: Annotated[str, typer.Option("--input", help="A file, or a folder of files.")],
    output: Annotated[str, typer.Option(help="The folder for the results.")],
    input_format: Annotated[
        InputFormatName | None, typer.Option(help="Where the file name does not say it.")
    ] = None,
    output_format: Annotated[
        OutputFormatName | None, typer.Option(help="Default: that of the input.")
    ] = None,
    join: Annotated[
        Join | None, typer.Option(help="What stands beside the model's columns. [default: input]")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The column for --join key.")] = None,
    input_columns: Annotated[
        str | None, typer.Option(help="Columns that the model reads, with commas between.")
    ] = None,
    output_columns: Annotated[
        str | None, typer.Option(help="Columns of the model to keep, with commas between.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the engine; may be repeated.")
    ] = None,
    error_threshold: Annotated[
        str | None, typer.Option(help="Fail the job beyond 25 error rows, or 5% of the rows.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="isolate: a bad row is an error record; fail: it ends the job.")
    ] = OnError.ISOLATE,
    csv_multiline: Annotated[
        bool, typer.Option("--csv-multiline", help="CSV with line breaks inside quotes.")
    ] = False,
    chunk_rows: Annotated[int | None, typer.Option(help="Rows of a block, about.")] = None,
    chunk_bytes: Annotated[int | None, typer.Option(help="Bytes of a block, about.")] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; kept with the job.")] = 5,
    deadline: Annotated[
        str | None, typer.Option(help="Give up after 90s, 45m, 12h; done parts are kept.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. [default: one per core]", min=1)
    ] = None,
    device: Annotated[
        str, typer.Option(envvar="MILLRACE_DEVICE", help="auto, cpu, mps, cuda, cuda:N.")
    ] = "auto",
    state: Annotated[
        Path | None, typer.Option(envvar="MILLRACE_STATE", help="Folder of the job database.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and compute nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Run MODEL over every row of INPUT and write the results to the folder OUTPUT.

    Killed at any point and run again with the same arguments, it goes on where it was.
    """
    from millrace.cli import local

    spec = _spec(
        model=model,
        input=input_,
        output=output,
        input_format=input_format and input_format.value,
        output_format=output_format and output_format.value,
        join=join,
        key=key,
        input_columns=_names(input_columns),
        output_columns=_names(output_columns),
        options=dict(_pair(each) for each in option or ()),
        error_threshold=error_threshold,
        on_error=on_error,
        csv_multiline=csv_multiline,
        chunk_rows=chunk_rows,
        chunk_bytes=chunk_bytes,
        priority=priority,
        deadline_seconds=_seconds(deadline),
    )
    if dry_run:
        return local.preview(spec, workers=workers, as_json=as_json)
    return local.run(spec, workers=workers, device=device, state=state, as_json=as_json)


def _spec(**asked: Any) -> Any:
    """A `JobSpec` from what was typed: URIs made absolute, the model pinned, defaults filled in."""
    from pydantic import ValidationError

    from millrace import datasets, storage
    from millrace.registry import models
    from millrace.spec import ErrorThreshold, JobSpec

    asked["input"] = storage.normalise(asked["input"])
    asked["output"] = storage.normalise(asked["output"])
    asked["model"] = models.resolve(asked["model"])
    asked["join"] = asked["join"] or (Join.KEY if asked["key"] else Join.INPUT)
    asked["output_format"] = asked["output_format"] or _same_family(
        asked["input_format"] or datasets.by_suffix(asked["input"])
    )
    try:
        if asked["error_threshold"] is not None:
            asked["error_threshold"] = ErrorThreshold.parse(asked["error_threshold"])
        return JobSpec(**asked)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError("OPTION_INVALID", f"{_option(fault['loc'])}: {fault['msg']}") from None
    except ValueError as error:
        raise UsageError("OPTION_INVALID", f"--error-threshold: {error}") from None


def _option(place: tuple[int | str, ...]) -> str:
    """What somebody typed to fill this place of the spec."""
    if not place:
        return "the options"
    name = {"deadline_seconds": "deadline", "options": "option"}.get(str(place[0]), str(place[0]))
    return "--" + name.replace("_", "-")


def _same_family(input_format: str | None) -> str:
    """The output format that somebody with such an input expects."""
    return {"parquet": "parquet", "csv": "csv", "tsv": "csv"}.get(input_format or "", "jsonl")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; the value is JSON where it reads as such, else the text itself."""
    import json

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
