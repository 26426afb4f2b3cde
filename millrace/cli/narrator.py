"""Tells people what goes wrong while a job goes on, once each, and when waiting has no sense."""

from __future__ import annotations

from millrace.answers import EventAnswer
from millrace.cli.console import readable
from millrace.cli.desk import Desk
from millrace.cli.progress import View
from millrace.errors import Unavailable
from millrace.lifecycle.transitions import ChunkVerb


class Narrator:
    """Reads the events of one job as they come to a desk."""

    def __init__(self, desk: Desk, job_id: str, view: View, patience: float) -> None:
        self._desk = desk
        self._job_id = job_id
        self._view = view
        self._patience = patience
        self._last = desk.newest_event(job_id)
        self._told: set[str] = set()
        self._setbacks = 0

    def tell(self) -> None:
        """Note what is new; `Unavailable` after `patience` setbacks in a row from outside."""
        for event in self._desk.history(self._job_id, self._last):
            self._last = event.id
            self._hear(event)

    def _hear(self, event: EventAnswer) -> None:
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
