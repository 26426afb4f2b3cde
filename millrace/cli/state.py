"""The state folder: the embedded database, brought up to date, and a lock for each running job."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millrace.db import migrations
from millrace.db.session import Database
from millrace.errors import Conflict, NotFound, Unavailable
from millrace.settings import Settings
from millrace.types import JobId


@contextmanager
def open_state(settings: Settings, *, create: bool = True) -> Iterator[Database]:
    """The database of the state folder, made or migrated first where needed."""
    if not create and not settings.database_url and not (settings.state / "millrace.db").exists():
        raise NotFound(
            "STATE_NOT_FOUND",
            f"there is no Millrace state in {settings.state}",
            "give the --state that the job was run with",
        )
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            "STATE_NOT_WRITABLE",
            f"cannot use the state folder {settings.state}: {error.strerror}",
            "choose another with --state",
        ) from None
    database = Database.connect(settings.database)
    try:
        if not migrations.is_current(database):
            migrations.upgrade(settings.database)
        yield database
    finally:
        database.close()


@contextmanager
def job_lock(settings: Settings, job_id: JobId) -> Iterator[None]:
    """Held by the one process that runs a job; the kernel drops it however that process ends."""
    folder = settings.state / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / job_id).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Conflict(
                "ALREADY_RUNNING",
                f"job {job_id} is being run by process {lock.read().strip() or 'unknown'}",
                "wait for it, or end it and run the command again",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def opened(folder: Path | None) -> Iterator[Database]:
    """The database of a state folder that exists already; `NotFound` where it does not."""
    settings = Settings.load(**({"state": folder} if folder is not None else {}))
    with open_state(settings, create=False) as database:
        yield database
