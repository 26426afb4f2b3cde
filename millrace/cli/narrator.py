"""Tells people what goes wrong while a job goes on, once each, and when waiting has no sense."""

from __future__ import annotations

from millrace.cli.console import readable
from millrace.cli.progress import View
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import events
from millrace.lifecycle.events import Event
from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import JobId


class Narrator:
    """Reads the events of one job as they come."""

    def __init__(self, database: Database, job_id: JobId, view: View, patience: float) -> None:
        self._database = database
        self._job_id = job_id
        self._view = view
        self._patience = patience
        with database.read() as connection:
            self._last = events.newest(connection, job_id)
        self._told: set[str] = set()
        self._setbacks = 0

    def tell(self) -> None:
        """Note what is new; `Unavailable` after `patience` setbacks in a row from outside."""
        with self._database.read() as connection:
            fresh = events.page(connection, self._job_id, after=self._last)
        for event in fresh:
            self._last = event.id
            self._hear(event)

    def _hear(self, event: Event) -> None:
        detail = event.detail or {}
        match event.verb:
            case ChunkVerb.COMMIT:
                self._setbacks = 0
            case ChunkVerb.CRASH | ChunkVerb.REAP:
                self._note("a block crashed and is tried again", str(detail.get("detail")))
            case ChunkVerb.RELEASE if detail.get("infra"):
                reason = str(detail["reason"])
                self._setbacks += 1
                self._note("a block has to wait", reason)
                if self._setbacks >= self._patience:
                    raise Unavailable(
                        "GAVE_UP_WAITING",
                        f"no block came through in {self._setbacks} tries: {reason}",
                        "mend that, then run the same command again to go on",
                    )
            case _:
                pass

    def _note(self, what: str, why: str) -> None:
        """Say it, unless the same was said of the same kind of cause."""
        kind = f"{what} {why.partition(':')[0]}"
        if kind not in self._told:
            self._told.add(kind)
            self._view.note(readable(f"{what}: {why}"))
