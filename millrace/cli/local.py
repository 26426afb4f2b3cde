"""The whole system on one machine: scheduler loop, broker and workers for the length of one job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from millrace.broker import Doorbell
from millrace.cli.console import complain, readable, say, show_json
from millrace.cli.crew import Crew
from millrace.cli.embedded_broker import embedded_broker
from millrace.cli.narrator import Narrator
from millrace.cli.progress import Snapshot, View, progress_view
from millrace.cli.reception import receive
from millrace.cli.state import job_lock, open_state
from millrace.cli.summary import EXIT_CODES, summary_of, summary_text
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.errors import MillraceError, Unavailable
from millrace.lifecycle import chunks, jobs, queries
from millrace.lifecycle.queries import JobView
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.settings import Settings
from millrace.spec import JobSpec
from millrace.types import ChunkState, JobId, JobState
from scheduler.dispatcher import Dispatcher
from scheduler.finisher import Finisher
from scheduler.planner import Planner, plan_of
from scheduler.rescuer import Rescuer
from scheduler.runner import Runner, Service

INTERRUPTED = 130
_LOOK_SECONDS = 0.1
_SHOW_SECONDS = 0.5
_MEMORY_SHARE = 0.8


def run(
    spec: JobSpec, *, workers: int | None, device: str, state: Path | None, as_json: bool
) -> int:
    """Run one job to its end, or go on with it, and return the exit code of its state."""
    size = workers or _cores()
    settings = _settings(size, device, state)
    with ExitStack() as stack:
        database = stack.enter_context(open_state(settings))
        job, news = receive(database, spec)
        if job.state not in JOB_TERMINAL:
            stack.enter_context(job_lock(settings, job.id))
            view = stack.enter_context(progress_view())
            view.note(readable(news))
            if _work(database, job, settings, size, view):
                view.note(f"interrupted; run the same command again to go on with job {job.id}")
                return INTERRUPTED
            news = ""
        summary = summary_of(database, job.id)
        if summary["reason"]:
            complain(summary["reason_code"], summary["reason"])
        if as_json:
            show_json(summary)
        else:
            say("\n".join(filter(None, (news, summary_text(summary, settings.state)))))
        return EXIT_CODES[JobState(summary["state"])]


def preview(spec: JobSpec, *, workers: int | None, as_json: bool) -> int:
    """Show what the job would be cut into; `InvalidInput` says why it cannot be."""
    plan = plan_of(spec, slots=workers or _cores())
    summary: dict[str, Any] = {
        "inputs": len(plan.inputs),
        "bytes": sum(each.size for each in plan.inputs),
        "rows_about": sum(layout.rows for layout in plan.layouts),
        "blocks": len(plan.chunks),
        "columns": {field.name: str(field.type) for field in plan.schema},
        "notes": plan.notes,
    }
    if as_json:
        show_json(summary)
        return 0
    summary["columns"] = ", ".join(f"{name} {kind}" for name, kind in summary["columns"].items())
    summary["notes"] = "; ".join(plan.notes)
    for name, value in summary.items():
        if value != "":
            shown = f"{value:,}" if isinstance(value, int) else readable(value)
            say(f"{name.replace('_', ' '):10} {shown}")
    return 0


def _work(database: Database, job: JobView, settings: Settings, size: int, view: View) -> bool:
    """Carry the job to a terminal state; true where somebody interrupted it."""
    with database.write() as connection:
        chunks.release_job(connection, job.id)
    _plan(database, job.id, size)
    with _interruptible() as stop, embedded_broker() as url:
        equipped = settings.model_copy(update={"broker_url": url})
        with Crew(_needed(database, job.id, size), job, equipped, database) as crew:
            _loop(database, job.id, equipped, size, crew, view, stop)
            if not stop.is_set():
                crew.dismiss()
    return stop.is_set()


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
    job_id: JobId,
    settings: Settings,
    size: int,
    crew: Crew,
    view: View,
    stop: threading.Event,
) -> None:
    clock = SystemClock()
    dispatcher = Dispatcher(
        database,
        Doorbell(settings.broker_url, settings.pool),
        window=4 * size,
        re_ring=settings.re_ring_seconds,
        interval=_LOOK_SECONDS,
        job_id=job_id,
    )
    services: list[Service] = [
        dispatcher,
        Rescuer(database, interval=1.0),
        Finisher(database, interval=_LOOK_SECONDS),
    ]
    runner, narrator, shown = (
        Runner(services, clock),
        Narrator(database, job_id, view, 10 * size),
        0.0,
    )
    while not stop.is_set():
        delay = runner.step()
        crew.check()
        narrator.tell()
        with database.read() as connection:
            job = queries.job(connection, job_id)
            if job is None or job.state in JOB_TERMINAL:
                return
            if clock.monotonic() - shown > _SHOW_SECONDS:
                shown = clock.monotonic()
                view.update(Snapshot.of(queries.progress(connection, job_id)), shown)
        clock.wait(stop, min(delay, _LOOK_SECONDS))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second time they interrupt whatever runs."""
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(workers: int, device: str, state: Path | None) -> Settings:
    asked = {"state": state} if state is not None else {}
    settings = Settings.load(device=device, **asked)
    memory = settings.memory_bytes or int(psutil.virtual_memory().total * _MEMORY_SHARE / workers)
    return settings.model_copy(
        update={
            "state": settings.state.expanduser().absolute(),
            "threads": max(1, _cores() // workers),
            "memory_bytes": memory,
            "heartbeat_seconds": min(2.0, settings.heartbeat_seconds),
            "poll_seconds": min(1.0, settings.poll_seconds),
            "grace_seconds": 0.0,
        }
    )


def _cores() -> int:
    """Cores that this process may use."""
    return len(psutil.Process().cpu_affinity() or [0]) if psutil.LINUX else psutil.cpu_count() or 1
