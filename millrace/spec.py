"""What somebody asked for: one job as one immutable document.

The command line, the API, schedules and drop folders all produce a `JobSpec`. Two submissions with
the same `spec_hash` ask for the same results.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal, TypeAlias

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from millrace.types import Join, OnError

InputFormat: TypeAlias = Literal["jsonl", "csv", "tsv", "parquet", "text"]
OutputFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]

POOL = r"^[a-z0-9][a-z0-9-]{0,39}$"
"""What the name of a pool of workers looks like."""

WEBHOOK = r"^wh_[0-9a-z]{24}$"
"""What the id of a webhook looks like."""

_UNDECISIVE = {"priority", "deadline_seconds", "pool", "webhook"}
_THRESHOLD = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)", re.ASCII)


class ErrorThreshold(BaseModel):
    """How many error rows a job bears: a number of rows, or a percentage after `min_rows`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int | None = Field(default=None, ge=0)
    percent: float | None = Field(default=None, ge=0, le=100)
    min_rows: int = Field(default=100, ge=0)

    @classmethod
    def parse(cls, text: str) -> ErrorThreshold:
        """Read ``"25"`` (rows) or ``"5%"`` (percent of the rows tried)."""
        match = _THRESHOLD.fullmatch(text.strip())
        if match is None or (not match["percent"] and "." in match["number"]):
            raise ValueError(f"{text!r} is neither rows such as 25 nor a percentage such as 5%")
        if match["percent"]:
            return cls(percent=float(match["number"]))
        return cls(rows=int(match["number"]))

    def crossed(self, rows_err: int, rows_tried: int) -> bool:
        if self.rows is not None and rows_err > self.rows:
            return True
        if self.percent is None or rows_tried < self.min_rows:
            return False
        return rows_err * 100 > self.percent * rows_tried


class ModelRef(BaseModel):
    """A model pinned by content: what was named, and the SHA-256 of what it was."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    engine: str
    location: str
    name: str | None = None
    sha256: str | None = None

    @property
    def reference(self) -> str:
        """``ENGINE:LOCATION`` or ``ENGINE``, as people write it."""
        return f"{self.engine}:{self.location}" if self.location else self.engine


class JobSpec(BaseModel):
    """Everything that shapes the results of a job; nothing that only shapes how fast they come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelRef
    input: str
    output: str
    input_format: InputFormat | None = None
    output_format: OutputFormat
    input_columns: tuple[str, ...] | None = None
    output_columns: tuple[str, ...] | None = None
    join: Join
    key: str | None = None
    on_error: OnError = OnError.ISOLATE
    error_threshold: ErrorThreshold | None = None
    csv_multiline: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    chunk_rows: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    chunk_bytes: Annotated[int, Field(ge=1, le=1 << 32)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    deadline_seconds: Annotated[float, Field(gt=0)] | None = None
    pool: Annotated[str, Field(pattern=POOL)] = "default"
    webhook: Annotated[str, Field(pattern=WEBHOOK)] | None = None

    @field_validator("options")
    @classmethod
    def _options_have_one_spelling(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            rfc8785.dumps(options)
        except rfc8785.CanonicalizationError as error:
            raise ValueError(f"a value that JSON cannot carry everywhere: {error}") from None
        return options

    @field_validator("input_columns", "output_columns")
    @classmethod
    def _columns_are_distinct(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is not None and (not columns or len(set(columns)) != len(columns)):
            raise ValueError("name at least one column, and each only once")
        return columns

    @model_validator(mode="after")
    def _key_goes_with_join(self) -> JobSpec:
        if (self.join is Join.KEY) != (self.key is not None):
            raise ValueError("--join key needs --key COLUMN, and --key needs --join key")
        return self

    def spec_hash(self) -> str:
        """SHA-256 over the canonical JSON (RFC 8785) of what decides the content of the results."""
        decisive = self.model_dump(mode="json", exclude=_UNDECISIVE)
        return hashlib.sha256(rfc8785.dumps(decisive)).hexdigest()
