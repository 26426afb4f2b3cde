"""The options that describe a job, written once for every command that takes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What somebody typed, not looked at yet; see `asked.spec_of`."""

    model: Annotated[str, typer.Option(help="ENGINE:LOCATION, as python:predictor.py:Sentiment.")]
    input: Annotated[str, typer.Option(help="A file, folder or pattern; a path or s3:// URI.")]
    output: Annotated[str, typer.Option(help="The folder for the results; a path or s3:// URI.")]
    input_format: Annotated[
        InputFormatName | None, typer.Option(help="Where the file name does not say it.")
    ] = None
    output_format: Annotated[
        OutputFormatName | None, typer.Option(help="Default: that of the input.")
    ] = None
    join: Annotated[
        Join | None, typer.Option(help="What stands beside the model's columns. [default: input]")
    ] = None
    key: Annotated[str | None, typer.Option(help="The column for --join key.")] = None
    input_columns: Annotated[
        str | None, typer.Option(help="Columns that the model reads, with commas between.")
    ] = None
    output_columns: Annotated[
        str | None, typer.Option(help="Columns of the model to keep, with commas between.")
    ] = None
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the engine; may be repeated.")
    ] = None
    error_threshold: Annotated[
        str | None, typer.Option(help="Fail the job beyond 25 error rows, or 5% of the rows.")
    ] = None
    on_error: Annotated[
        OnError, typer.Option(help="isolate: a bad row is an error record; fail: it ends the job.")
    ] = OnError.ISOLATE
    csv_multiline: Annotated[
        bool, typer.Option("--csv-multiline", help="CSV with line breaks inside quotes.")
    ] = False
    chunk_rows: Annotated[int | None, typer.Option(help="Rows of a block, about.")] = None
    chunk_bytes: Annotated[int | None, typer.Option(help="Bytes of a block, about.")] = None
    priority: Annotated[int, typer.Option(help="0 to 9; 9 is the most urgent.")] = 5
    deadline: Annotated[
        str | None, typer.Option(help="Give up after 90s, 45m, 12h; done parts are kept.")
    ] = None


def takes_job_options(command: Callable[..., int]) -> Callable[..., int]:
    """Have `command` called with a `JobOptions` first, whose fields are options of its own."""

    @wraps(command)
    def called(**typed: Any) -> int:
        asked = JobOptions(**{each.name: typed.pop(each.name) for each in fields(JobOptions)})
        return command(asked, **typed)

    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()
    combined = [*_parameters(), *(each.replace(kind=each.KEYWORD_ONLY) for each in own)]
    vars(called)["__signature__"] = signature.replace(parameters=combined)
    called.__annotations__ = {each.name: each.annotation for each in combined} | {"return": int}
    del vars(called)["__wrapped__"]
    return called


def _parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(JobOptions, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(JobOptions)
    ]
