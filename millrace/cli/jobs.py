"""``millrace jobs``: look at jobs, and steer them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millrace.types import JobState

if TYPE_CHECKING:
    from millrace.db.session import Database
    from millrace.lifecycle.queries import JobView

app = typer.Typer(no_args_is_help=True, help="Look at jobs, their results and errors; steer them.")

State = Annotated[
    Path | None, typer.Option(help="Folder of a `run`; the configured database without.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]

_COLUMNS = {
    "id": "job",
    "state": "state",
    "pool": "pool",
    "rows_ok": "rows",
    "rows_err": "errors",
    "share": "done",
    "model": "model",
    "output": "output",
}


@app.command("list")
def list_jobs(
    state: State = None,
    as_json: AsJson = False,
    only: Annotated[
        list[JobState] | None, typer.Option(help="Show jobs in this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Jobs to show.")] = 20,
    after: Annotated[str | None, typer.Option(help="Show those older than this id.")] = None,
) -> None:
    """List jobs, newest first."""
    from millrace.cli.console import cell, say, show_json, show_table
    from millrace.cli.state import opened
    from millrace.front.summary import summary_of
    from millrace.lifecycle import queries

    with opened(state) as database:
        with database.read() as connection:
            found = queries.jobs(connection, limit=limit, after=after, states=only or JobState)
        listed = [summary_of(database, job.id) for job in found]
    more = listed[-1]["id"] if len(listed) == limit else None
    if as_json:
        show_json({"data": listed, "next": more})
        return
    show_table(
        tuple(_COLUMNS.values()), [[cell(name, each[name]) for name in _COLUMNS] for each in listed]
    )
    if more:
        say(f"older ones: millrace jobs list --after {more}")


@app.command("show")
def show_job(job: JobArgument, state: State = None, as_json: AsJson = False) -> None:
    """Show one job: how far it is, how fast, what it waits for or died of."""
    from millrace.cli.console import cell, say, show_json
    from millrace.cli.state import opened
    from millrace.front.summary import summary_of

    with opened(state) as database:
        summary = summary_of(database, job)
    if as_json:
        show_json(summary)
        return
    for name, value in summary.items():
        if value not in (None, "", [], {}):
            say(f"{name.replace('_', ' '):15} {cell(name, value)}")


@app.command("watch")
def watch_job(job: JobArgument, state: State = None, as_json: AsJson = False) -> int:
    """Follow a job to its end; the exit code is that of its state."""
    from millrace.cli.state import opened
    from millrace.cli.watch import follow
    from millrace.types import JobId

    with opened(state) as database:
        return follow(database, JobId(job), as_json=as_json, state=state)


@app.command("results")
def show_results(job: JobArgument, state: State = None) -> None:
    """Print the result rows as JSON lines, in input order; of a running job, those done."""
    from millrace.front.rows import result_lines

    _print_rows(result_lines, job, state)


@app.command("errors")
def show_errors(job: JobArgument, state: State = None) -> None:
    """Print the error records as JSON lines: row, place in the file, code and message."""
    from millrace.front.rows import error_records

    _print_rows(error_records, job, state)


@app.command("pause")
def pause_job(job: JobArgument, state: State = None, as_json: AsJson = False) -> int:
    """Begin no more blocks of a running job; those that run come to their end."""
    from millrace.cli import job_verbs

    return job_verbs.pause(job, state, as_json=as_json)


@app.command("resume")
def resume_job(job: JobArgument, state: State = None, as_json: AsJson = False) -> int:
    """Let a paused job go on."""
    from millrace.cli import job_verbs

    return job_verbs.resume(job, state, as_json=as_json)


@app.command("cancel")
def cancel_job(
    job: JobArgument,
    state: State = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when no worker is at it any more.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Stop a job for good; what is committed is kept, and retry can go on from there."""
    from millrace.cli import job_verbs

    return job_verbs.cancel(job, state, wait=wait, as_json=as_json)


@app.command("retry")
def retry_job(
    job: JobArgument,
    state: State = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Try the rows again that ended as errors, too.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(help="Where a partial job's retry writes. [default: OUTPUT-retry-1, -2, …]"),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Let a failed, cancelled or expired job go on with what is not done yet.

    With --errors a partial job is followed by a new one: it computes the error rows anew, keeps all
    others and writes complete results into a folder of its own. What was published stays.
    """
    from millrace.cli import job_verbs

    return job_verbs.retry(job, state, errors=errors, output=output, as_json=as_json)


def _print_rows(
    rows: Callable[[Database, JobView], Iterator[bytes]], job: str, state: Path | None
) -> None:
    import sys

    from millrace.cli.state import opened
    from millrace.lifecycle import queries
    from millrace.types import JobId

    with opened(state) as database:
        with database.read() as connection:
            found = queries.known_job(connection, JobId(job))
        for lines in rows(database, found):
            sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
