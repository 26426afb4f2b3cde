"""``millrace jobs``: look at jobs, and steer them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from millrace.types import JobState

app = typer.Typer(no_args_is_help=True, help="Look at jobs, their results and errors; steer them.")

State = Annotated[
    Path | None, typer.Option(help="Folder of a `run`; the configured database without.")
]
Url = Annotated[str | None, typer.Option(help="A server's. [default: MILLRACE_URL, if set]")]
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
    url: Url = None,
    as_json: AsJson = False,
    only: Annotated[
        list[JobState] | None, typer.Option(help="Show jobs in this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Jobs to show.")] = 20,
    after: Annotated[str | None, typer.Option(help="`next` of the list before.")] = None,
) -> None:
    """List jobs, newest first."""
    from millrace.cli.console import cell, say, show_json, show_table
    from millrace.cli.desk import desk_at

    with desk_at(url=url, state=state) as desk:
        page = desk.page(limit=limit, after=after, states=only or ())
        options = desk.options
    listed = page.model_dump(mode="json")
    if as_json:
        show_json(listed)
        return
    rows = [[cell(name, each[name]) for name in _COLUMNS] for each in listed["data"]]
    show_table(tuple(_COLUMNS.values()), rows)
    if page.next:
        say(f"older ones: millrace jobs list{options} --after {page.next}")


@app.command("show")
def show_job(
    job: JobArgument, state: State = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Show one job: how far it is, how fast, what it waits for or died of."""
    from millrace.cli.console import cell, say, show_json
    from millrace.cli.desk import desk_at

    with desk_at(url=url, state=state) as desk:
        summary = desk.job(job).model_dump(mode="json")
    if as_json:
        show_json(summary)
        return
    for name, value in summary.items():
        if value not in (None, "", [], {}):
            say(f"{name.replace('_', ' '):15} {cell(name, value)}")


@app.command("watch")
def watch_job(
    job: JobArgument, state: State = None, url: Url = None, as_json: AsJson = False
) -> int:
    """Follow a job to its end; the exit code is that of its state."""
    from millrace.cli.desk import desk_at
    from millrace.cli.watch import follow

    with desk_at(url=url, state=state) as desk:
        return follow(desk, job, as_json=as_json)


@app.command("results")
def show_results(job: JobArgument, state: State = None, url: Url = None) -> None:
    """Print the result rows as JSON lines, in input order; of a running job, those done."""
    from millrace.cli.desk import desk_at

    with desk_at(url=url, state=state) as desk:
        _print(desk.results(job))


@app.command("errors")
def show_errors(job: JobArgument, state: State = None, url: Url = None) -> None:
    """Print the error records as JSON lines: row, place in the file, code and message."""
    from millrace.cli.desk import desk_at

    with desk_at(url=url, state=state) as desk:
        _print(desk.errors(job))


@app.command("pause")
def pause_job(
    job: JobArgument, state: State = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Begin no more blocks of a running job; those that run come to their end."""
    from millrace.cli.desk import desk_at
    from millrace.cli.job_verbs import tell

    with desk_at(url=url, state=state) as desk:
        tell(desk.pause(job), as_json=as_json)


@app.command("resume")
def resume_job(
    job: JobArgument, state: State = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Let a paused job go on."""
    from millrace.cli.desk import desk_at
    from millrace.cli.job_verbs import tell

    with desk_at(url=url, state=state) as desk:
        tell(desk.resume(job), as_json=as_json)


@app.command("cancel")
def cancel_job(
    job: JobArgument,
    state: State = None,
    url: Url = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when no worker is at it any more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a job for good; what is committed is kept, and retry can go on from there."""
    from millrace.cli.desk import desk_at
    from millrace.cli.job_verbs import cancel

    with desk_at(url=url, state=state) as desk:
        cancel(desk, job, wait=wait, as_json=as_json)


@app.command("retry")
def retry_job(
    job: JobArgument,
    state: State = None,
    url: Url = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Try the rows again that ended as errors, too.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(help="Where a partial job's retry writes. [default: OUTPUT-retry-1, -2, …]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a failed, cancelled or expired job go on with what is not done yet.

    With --errors a partial job is followed by a new one: it computes the error rows anew, keeps all
    others and writes complete results into a folder of its own. What was published stays.
    """
    from millrace.cli.desk import desk_at
    from millrace.cli.job_verbs import retry

    with desk_at(url=url, state=state) as desk:
        retry(desk, job, errors=errors, output=output, as_json=as_json)


def _print(pieces: Iterator[bytes]) -> None:
    import sys

    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
