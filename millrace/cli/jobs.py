"""``millrace jobs``: what the state folder knows of the jobs that were run with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from millrace.cli.console import readable

app = typer.Typer(no_args_is_help=True, help="Look at jobs, their results and their errors.")

State = Annotated[
    Path | None, typer.Option(envvar="MILLRACE_STATE", help="Folder of the job database.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]


@app.command("list")
def list_jobs(
    state: State = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Jobs to show.")] = 20,
    after: Annotated[str | None, typer.Option(help="Show those older than this id.")] = None,
) -> None:
    """List jobs, newest first."""
    from millrace.cli.console import show_json, show_table
    from millrace.cli.state import opened
    from millrace.cli.summary import summary_of
    from millrace.lifecycle import queries

    with opened(state) as database:
        with database.read() as connection:
            found = queries.jobs(connection, limit=limit, after=after)
        listed = [summary_of(database, job.id) for job in found]
    if as_json:
        more = listed[-1]["id"] if len(listed) == limit else None
        show_json({"data": listed, "next": more})
        return
    columns = ("id", "state", "rows_ok", "rows_err", "share", "model", "output")
    rows = [[_cell(each[name]) for name in columns] for each in listed]
    show_table(("job", "state", "rows", "errors", "done", "model", "output"), rows)


@app.command("show")
def show_job(job: JobArgument, state: State = None, as_json: AsJson = False) -> None:
    """Show one job: how far it is, what it waits for or died of."""
    from millrace.cli.console import say, show_json
    from millrace.cli.state import opened
    from millrace.cli.summary import summary_of

    with opened(state) as database:
        summary = summary_of(database, job)
    if as_json:
        show_json(summary)
        return
    for name, value in summary.items():
        if value not in (None, [], {}):
            say(f"{name.replace('_', ' '):14} {_cell(value)}")


@app.command("results")
def show_results(job: JobArgument, state: State = None) -> None:
    """Print the result rows as JSON lines, in input order; of a running job, those done."""
    from millrace.cli.rows import result_lines
    from millrace.cli.state import opened

    with opened(state) as database:
        _print_lines(result_lines(database, job))


@app.command("errors")
def show_errors(job: JobArgument, state: State = None) -> None:
    """Print the error records as JSON lines: row, place in the file, code and message."""
    from millrace.cli.rows import error_records
    from millrace.cli.state import opened

    with opened(state) as database:
        _print_lines(error_records(database, job))


def _print_lines(lines: Iterator[bytes]) -> None:
    import sys

    for line in lines:
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0%}" if 0 <= value <= 1 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else readable(str(value))
