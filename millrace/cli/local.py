"""The whole system on one machine: scheduler loop, broker and workers for the length of one job."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

from millrace.broker import Doorbell
from millrace.cli.console import readable, say, show_json
from millrace.cli.crew import Crew
from millrace.cli.database_desk import DatabaseDesk
from millrace.cli.desk import Desk
from millrace.cli.embedded_broker import embedded_broker
from millrace.cli.interruption import INTERRUPTED, interruptible
from millrace.cli.machine import cores, memory_bytes
from millrace.cli.narrator import Narrator
from millrace.cli.progress import Snapshot, View, progress_view
from millrace.cli.state import job_lock, open_state
from millrace.cli.watch import conclude
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.errors import MillraceError, Unavailable
from millrace.front.forecast import Finding, forecast_of
from millrace.front.reception import receive
from millrace.lifecycle import chunks, jobs, queries
from millrace.lifecycle.queries import JobView
from millrace.settings import Settings
from millrace.spec import JobSpec
from millrace.types import JOB_TERMINAL, ChunkState, JobId, JobState
from scheduler.planner import Planner
from scheduler.ringer import Ringer
from scheduler.runner import Runner
from scheduler.service import services

_LOOK_SECONDS = 0.1
_SHOW_SECONDS = 0.5
_QUICK_DEATHS = 5


def run(spec: JobSpec, asked: Settings, *, workers: int | None, as_json: bool) -> int:
    """Run one job to its end, or go on with it, and return the exit code of its state.

    State is in the state folder alone: other machines could not read the files of this one.
    """
    size = workers or cores()
    settings = _settings(asked, size)
    with ExitStack() as stack:
        database = stack.enter_context(open_state(settings))
        received = receive(database, spec)
        job, news = received.job, received.news
        if job.state not in JOB_TERMINAL:
            stack.enter_context(job_lock(settings, job.id))
            view = stack.enter_context(progress_view())
            view.note(readable(news))
            if asked.database_url:
                view.note("kept in the state folder; millrace submit uses the configured database")
            if _work(database, job, settings, size, view):
                view.note(f"interrupted; run the same command again to go on with job {job.id}")
                return INTERRUPTED
            news = ""
        return conclude(DatabaseDesk(database, settings), job.id, as_json=as_json, news=news)


def preview(spec: JobSpec, *, workers: int | None, as_json: bool) -> int:
    """Show what the job would be cut into; `InvalidInput` says why it cannot be."""
    forecast = forecast_of(spec, slots=workers or cores())
    summary: dict[str, Any] = {
        "inputs": forecast.inputs,
        "bytes": forecast.bytes,
        "rows_about": forecast.rows_about,
        "blocks": forecast.chunks,
        "columns": forecast.columns,
        "notes": forecast.notes,
        "bad_rows": [asdict(each) for each in forecast.findings],
    }
    if as_json:
        show_json(summary)
        return 0
    summary["columns"] = ", ".join(f"{name} {kind}" for name, kind in summary["columns"].items())
    summary["notes"] = "; ".join(forecast.notes)
    summary["bad_rows"] = "; ".join(map(_told, forecast.findings))
    for name, value in summary.items():
        if value != "":
            shown = f"{value:,}" if isinstance(value, int) else readable(value)
            say(f"{name.replace('_', ' '):10} {shown}")
    return 0


def _told(finding: Finding) -> str:
    place = f"line {finding.line}" if finding.line else f"row {finding.file_row}"
    return f"{finding.file} {place}: {finding.message} [{finding.code}]"


def _work(database: Database, job: JobView, settings: Settings, size: int, view: View) -> bool:
    """Carry the job to a terminal state; true where somebody interrupted it."""
    with database.write() as connection:
        chunks.release_job(connection, job.id)
    _plan(database, job.id, size)
    with interruptible() as stop, embedded_broker() as url:
        equipped = settings.model_copy(update={"broker_url": url})
        with (
            closing(Ringer(Doorbell(url))) as bell,
            _crew(_needed(database, job.id, size), job, equipped, database) as crew,
        ):
            moving = services(database, bell, equipped, look=_LOOK_SECONDS, job_id=job.id)
            desk = DatabaseDesk(database, equipped)
            _loop(database, desk, job.id, Runner(moving, SystemClock()), size, crew, view, stop)
            if not stop.is_set():
                crew.dismiss()
    return stop.is_set()


def _crew(size: int, job: JobView, settings: Settings, database: Database) -> Crew:
    engine = ("--job", job.id, "--engine", job.spec.model.engine)
    output = settings.state / "logs" / f"{job.id}.log"
    return Crew(size, settings, database, arguments=engine, output=output)


def _keep_full(crew: Crew, most_deaths: int) -> None:
    """Others in the place of the dead; `Unavailable` where they die as fast as they are started."""
    crew.bury()
    if crew.recent_deaths() > most_deaths:
        raise Unavailable(
            "WORKERS_DIE",
            "worker processes end as soon as they are started",
            f"their log is {crew.output}",
        )
    crew.fill()


def _needed(database: Database, job_id: JobId, size: int) -> int:
    """No more workers than there are chunks left."""
    with database.read() as connection:
        counted = queries.progress(connection, job_id).chunks
    return max(1, min(size, counted.get(ChunkState.PENDING, 0)))


def _plan(database: Database, job_id: JobId, slots: int) -> None:
    with database.read() as connection:
        job = queries.known_job(connection, job_id)
    if job.state is not JobState.VALIDATING:
        return
    try:
        Planner(database, slots=slots, interval=_LOOK_SECONDS).plan(job)
    except Unavailable:
        raise
    except MillraceError as error:
        with database.write() as connection:
            jobs.fail(connection, job_id, error.code, error.message)
        raise


def _loop(
    database: Database,
    desk: Desk,
    job_id: JobId,
    runner: Runner,
    size: int,
    crew: Crew,
    view: View,
    stop: threading.Event,
) -> None:
    clock = SystemClock()
    narrator, shown = Narrator(desk, job_id, view, 10 * size), 0.0
    while not stop.is_set():
        delay = runner.step()
        _keep_full(crew, _QUICK_DEATHS * size)
        narrator.tell()
        with database.read() as connection:
            job = queries.job(connection, job_id)
        if job is None or job.state in JOB_TERMINAL:
            return
        if clock.monotonic() - shown > _SHOW_SECONDS:
            shown = clock.monotonic()
            view.update(Snapshot.of(desk.job(job_id)), shown)
        clock.wait(stop, min(delay, _LOOK_SECONDS))


def _settings(asked: Settings, workers: int) -> Settings:
    return asked.model_copy(
        update={
            "database_url": "",
            "pool": "default",
            "state": asked.state.absolute(),
            "threads": max(1, cores() // workers),
            "memory_bytes": asked.memory_bytes or memory_bytes(workers),
            "heartbeat_seconds": min(2.0, asked.heartbeat_seconds),
            "poll_seconds": min(1.0, asked.poll_seconds),
            "grace_seconds": 0.0,
        }
    )
