"""What somebody asks for, before anything of it is looked at.

The body of ``POST /v1/jobs``, and what the options of the command line are turned into; `JobSpec`
is what becomes of it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from millrace.durations import seconds_in
from millrace.spec import POOL, WEBHOOK, ErrorThreshold, InputFormat, OutputFormat
from millrace.types import Join, OnError

_MAX_OPTIONS = 64

Place = Annotated[str, Field(max_length=4_096)]
Column = Annotated[str, Field(min_length=1, max_length=256)]
Columns = Annotated[tuple[Column, ...], Field(min_length=1, max_length=1_000, strict=False)]


class JobRequest(BaseModel):
    """A job as people describe it: model, input, output, and what shapes the results."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    model: Place
    """`ENGINE:LOCATION`, such as `sentence-transformers:/models/minilm`."""
    input: Place
    """A file, folder or pattern: a path or an `s3://` URI."""
    output: Place
    """The folder for the results, new or empty."""
    input_format: InputFormat | None = None
    """Where the file name does not say it."""
    output_format: OutputFormat | None = None
    """Default: that of the input."""
    join: Annotated[Join, Field(strict=False)] | None = None
    """What stands beside the model's columns; default `input`, or `key` with `key`."""
    key: Column | None = None
    """The column that names a row, for `join: key`."""
    input_columns: Columns | None = None
    """Columns that the model reads."""
    output_columns: Columns | None = None
    """Columns of the model to keep."""
    options: Annotated[dict[Column, Any], Field(max_length=_MAX_OPTIONS)] = Field(
        default_factory=dict
    )
    """Options of the engine, by name."""
    error_threshold: ErrorThreshold | str | None = None
    """The job fails beyond `"25"` error rows, or `"5%"` of the rows."""
    on_error: Annotated[OnError, Field(strict=False)] = OnError.ISOLATE
    """`isolate`: a bad row is an error record; `fail`: it ends the job."""
    csv_multiline: bool = False
    """CSV with line breaks inside quotes: one chunk per file."""
    chunk_rows: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Rows of a chunk, about."""
    chunk_bytes: Annotated[int, Field(ge=1, le=1 << 32)] | None = None
    """Bytes of a chunk, about."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """9 is the most urgent."""
    deadline: str | None = None
    """Give up after `90s`, `45m`, `12h`; finished parts are kept."""
    pool: Annotated[str, Field(pattern=POOL)] = "default"
    """The workers that are to compute it."""
    webhook: Annotated[str, Field(pattern=WEBHOOK)] | None = None
    """The id of the one webhook to tell of it; default: all of yours."""

    @field_validator("input_columns", "output_columns")
    @classmethod
    def _columns_are_distinct(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is not None and len(set(columns)) != len(columns):
            raise ValueError("name each column only once")
        return columns

    @field_validator("error_threshold")
    @classmethod
    def _threshold_is_read(cls, given: ErrorThreshold | str | None) -> ErrorThreshold | None:
        return ErrorThreshold.parse(given) if isinstance(given, str) else given

    @field_validator("deadline")
    @classmethod
    def _deadline_is_a_duration(cls, given: str | None) -> str | None:
        if given is not None:
            seconds_in(given)
        return given

    @model_validator(mode="after")
    def _key_goes_with_join(self) -> JobRequest:
        if (self.join is Join.KEY and self.key is None) or (
            self.key is not None and self.join not in (None, Join.KEY)
        ):
            raise ValueError("--join key needs --key COLUMN, and --key needs --join key")
        return self

    @property
    def deadline_seconds(self) -> float | None:
        return None if self.deadline is None else seconds_in(self.deadline)


class RetryRequest(BaseModel):
    """What of a job to run again."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    errors: bool = False
    """Also what ended as error rows."""
    output: Place | None = None
    """Where the retry of a partial job writes; default: a new folder beside its own."""
