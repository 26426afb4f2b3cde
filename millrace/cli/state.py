"""The state folder and its embedded database, the configured server, a lock for each `run`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millrace.cli.equipment import equipped
from millrace.db import migrations
from millrace.db.session import Database
from millrace.errors import Conflict, NotFound, Unavailable
from millrace.settings import Settings
from millrace.types import JobId


@contextmanager
def open_state(settings: Settings, *, create: bool = True) -> Iterator[Database]:
    """The configured database; an embedded one is made or migrated first where needed.

    A server's serves others too, so it is only looked at: `Unavailable` tells to upgrade it.
    """
    if not settings.database_url:
        _prepare_folder(settings, create=create)
    database = Database.connect(settings.database)
    try:
        if settings.is_embedded:
            migrations.upgrade(settings.database)
        else:
            migrations.require_current(database)
        yield database
    finally:
        database.close()


@contextmanager
def opened(folder: Path | None) -> Iterator[Database]:
    """The database of an existing state folder; without one, that which is configured.

    Raises `NotFound` where there is none.
    """
    asked: dict[str, Any] = {} if folder is None else {"state": folder, "database_url": ""}
    with open_state(equipped(**asked), create=False) as database:
        yield database


@contextmanager
def job_lock(settings: Settings, job_id: JobId) -> Iterator[None]:
    """Held by the one process that runs a job; the kernel drops it however that process ends."""
    told = (
        "ALREADY_RUNNING",
        f"job {job_id} is being run by process",
        "wait for it, or end it and run the command again",
    )
    with _locked(settings, job_id, *told):
        yield


@contextmanager
def house_lock(settings: Settings) -> Iterator[None]:
    """Held by the one `millrace up` of a state folder."""
    told = (
        "ALREADY_UP",
        f"the state folder {settings.state} is in use by a millrace up, process",
        "use that one, or end it, or choose another folder with --state",
    )
    with _locked(settings, "up", *told):
        yield


@contextmanager
def _locked(settings: Settings, name: str, code: str, taken_by: str, hint: str) -> Iterator[None]:
    folder = settings.state / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Conflict(code, f"{taken_by} {holder}", hint) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _prepare_folder(settings: Settings, *, create: bool) -> None:
    if not create and not (settings.state / "millrace.db").exists():
        raise NotFound(
            "STATE_NOT_FOUND",
            f"there is no Millrace state in {settings.state}",
            "give the --state that the job was run with, or configure a database_url",
        )
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            "STATE_NOT_WRITABLE",
            f"cannot use the state folder {settings.state}: {error.strerror}",
            "choose another with --state",
        ) from None
