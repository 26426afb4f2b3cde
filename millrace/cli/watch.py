"""Follows a job to its end, wherever it is computed."""

from __future__ import annotations

import math
import re
import time

from millrace.cli.console import complain, readable, say, show_json
from millrace.cli.desk import Desk
from millrace.cli.interruption import INTERRUPTED
from millrace.cli.narrator import Narrator
from millrace.cli.progress import Snapshot, View, progress_view
from millrace.cli.summary import EXIT_CODES, summary_text
from millrace.errors import Unavailable
from millrace.types import JOB_TERMINAL, JobState

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 300.0
_STANDSTILL_SECONDS = 3.0


def follow(desk: Desk, job_id: str, *, as_json: bool, news: str = "") -> int:
    """Show how far the job is until it ends, then what came out; returns the code of its state.

    Ctrl-C only stops looking. Raises `Unavailable` where the desk is away for five minutes.
    """
    with progress_view() as view:
        if news:
            view.note(readable(news))
        try:
            _Watch(desk, job_id, view).to_the_end()
        except KeyboardInterrupt:
            view.note(f"the job goes on; see millrace jobs watch {job_id}, or jobs cancel")
            return INTERRUPTED
    return conclude(desk, job_id, as_json=as_json)


def conclude(desk: Desk, job_id: str, *, as_json: bool, news: str = "") -> int:
    """Print how a job ended and return the exit code of its state."""
    summary = desk.job(job_id).model_dump(mode="json")
    if summary["reason"]:
        complain(summary["reason_code"], summary["reason"])
    if as_json:
        show_json(summary)
    else:
        say("\n".join(filter(None, (news, summary_text(summary, desk.options)))))
    return EXIT_CODES[JobState(summary["state"])]


class _Watch:
    def __init__(self, desk: Desk, job_id: str, view: View) -> None:
        self._desk = desk
        self._job_id = job_id
        self._view = view
        self._narrator = Narrator(desk, job_id, view, math.inf)
        self._waits = ("", math.inf)

    def to_the_end(self) -> None:
        answered = time.monotonic()
        told = False
        while True:
            try:
                if self._look():
                    return
                answered, told = time.monotonic(), False
            except Unavailable as error:
                if time.monotonic() - answered > _PATIENCE_SECONDS:
                    raise
                if not told:
                    self._view.note(readable(f"trying again: {error.message}"))
                told = True
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> bool:
        """Show what is new; true where the job has ended."""
        self._narrator.tell()
        job = self._desk.job(self._job_id)
        if job.state in JOB_TERMINAL:
            return True
        self._view.update(Snapshot.of(job), time.monotonic())
        self._tell_what_it_waits_for(readable(job.waits_for or ""), time.monotonic())
        return False

    def _tell_what_it_waits_for(self, waits: str, at: float) -> None:
        """Once it has lasted for some seconds; numbers in it may change meanwhile."""
        kind, since = re.sub(r"\d+", "", waits), self._waits[1]
        if kind != self._waits[0]:
            self._waits = (kind, at)
        elif kind and at - since > _STANDSTILL_SECONDS:
            self._view.note(f"waiting: {waits}")
            self._waits = (kind, math.inf)
