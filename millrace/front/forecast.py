"""What a job would be cut into, which rows at its beginning are bad, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from statistics import median

from sqlalchemy import Connection

from millrace import datasets, storage
from millrace.datasets.base import Reject, Rows
from millrace.lifecycle import queries
from millrace.planning.plan import Plan, plan_of
from millrace.spec import JobSpec
from millrace.types import Input, JobState

_FILES = 4
_ROWS_LOOKED_AT = 2_000
_FINDINGS = 20
_EARLIER_JOBS = 5
_DONE = (JobState.SUCCEEDED, JobState.PARTIAL)
_ONE_LINE_A_ROW = frozenset({"jsonl", "text"})


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that would be an error record; `line` counts from 1, `byte` from 0, in `file`."""

    file: str
    file_row: int
    line: int | None
    byte: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """A dry run: what was read of the input, and what that says of the whole."""

    inputs: int
    bytes: int
    rows_about: int
    chunks: int
    columns: dict[str, str]
    notes: tuple[str, ...]
    rows_looked_at: int
    findings: tuple[Finding, ...]
    """The first bad rows among those that were looked at."""
    rows_per_second: float | None = None
    """What this model did in earlier jobs; none where there is none."""
    seconds_about: float | None = None
    from_jobs: int = 0
    """How many earlier jobs the estimate rests on."""


def forecast_of(spec: JobSpec, *, slots: int, rates: tuple[float, ...] = ()) -> Forecast:
    """Plan the job and read its first rows; `InvalidInput` says why it cannot be done at all.

    `rates` are rows per second of earlier jobs with this model.
    """
    plan = plan_of(spec, slots=slots)
    looked_at, findings = _first_rows(spec, plan)
    rows = sum(layout.rows for layout in plan.layouts)
    rate = median(rates) if rates else None
    return Forecast(
        inputs=len(plan.inputs),
        bytes=sum(each.size for each in plan.inputs),
        rows_about=rows,
        chunks=len(plan.chunks),
        columns={field.name: str(field.type) for field in plan.schema},
        notes=plan.notes,
        rows_looked_at=looked_at,
        findings=findings,
        rows_per_second=rate,
        seconds_about=round(rows / rate, 1) if rate else None,
        from_jobs=len(rates),
    )


def earlier_rates(conn: Connection, tenant: str, model: str) -> tuple[float, ...]:
    """Rows per second of the last few jobs of a tenant that this model has finished."""
    done = queries.jobs(conn, limit=_EARLIER_JOBS, states=_DONE, tenant=tenant, model=model)
    rates = []
    for job in done:
        progress = queries.progress(conn, job.id)
        took = (job.finished_at or 0.0) - (job.started_at or 0.0)
        rows = progress.rows_ok + progress.rows_err
        if rows and took > 0:
            rates.append(round(rows / took, 2))
    return tuple(rates)


def _first_rows(spec: JobSpec, plan: Plan) -> tuple[int, tuple[Finding, ...]]:
    looked_at, findings = 0, list[Finding]()
    for each in plan.inputs[:_FILES]:
        for rows in _stretches(spec, plan, each):
            looked_at += rows.batch.num_rows + len(rows.rejects)
            findings += [_finding(each, reject) for reject in rows.rejects]
            if looked_at >= _ROWS_LOOKED_AT or len(findings) >= _FINDINGS:
                return looked_at, tuple(islice(findings, _FINDINGS))
    return looked_at, tuple(findings)


def _stretches(spec: JobSpec, plan: Plan, each: Input) -> Iterator[Rows]:
    store = storage.for_uri(each.uri)
    reader = datasets.for_name(each.format, multiline=spec.csv_multiline)
    with closing(store.open(store.info(each.uri))) as source:
        yield from reader.read(source, 0, each.extent, plan.schema, spec.input_columns or ())


def _finding(source: Input, reject: Reject) -> Finding:
    return Finding(
        file=source.uri,
        file_row=reject.row,
        line=reject.row + 1 if source.format in _ONE_LINE_A_ROW else None,
        byte=None if source.format == "parquet" else reject.position,
        code=reject.code,
        message=reject.message,
    )
