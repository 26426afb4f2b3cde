"""Rings from a thread of its own, so that a broker that is slow or away delays nobody."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from millrace.errors import Unavailable
from millrace.telemetry import fields
from millrace.types import JobId, WorkerId

log = logging.getLogger(__name__)

_MOST_WAITING = 256
_PATIENCE_SECONDS = 5.0


class Bell(Protocol):
    """What wakes workers up; see `millrace.broker.Doorbell`."""

    def ring(
        self,
        chunks: Sequence[tuple[JobId, int]],
        *,
        pool: str = "default",
        worker: WorkerId | None = None,
    ) -> None:
        """Tell the workers of a pool, or one of them, of these chunks."""
        ...

    def close(self) -> None:
        """Let go of the broker."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    chunks: Sequence[tuple[JobId, int]]
    pool: str
    worker: WorkerId | None


class Ringer:
    """A bell that returns at once. While the broker is away nothing is kept for later: by then
    the chunks are rung for again, or were found by workers that looked by themselves.
    """

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._calls: queue.Queue[_Call | None] = queue.Queue(_MOST_WAITING)
        self._silent = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def ring(
        self,
        chunks: Sequence[tuple[JobId, int]],
        *,
        pool: str = "default",
        worker: WorkerId | None = None,
    ) -> None:
        """Have them rung for soon, unless there is a jam."""
        try:
            self._calls.put_nowait(_Call(chunks, pool, worker))
        except queue.Full:
            self._clear()

    def close(self) -> None:
        """Ring for nothing more; a broker that does not answer is given a few seconds."""
        self._ended.set()
        self._clear()
        self._calls.put(None)
        self._thread.join(_PATIENCE_SECONDS)
        self._bell.close()

    def _run(self) -> None:
        while not self._ended.is_set() and (call := self._calls.get()) is not None:
            try:
                self._bell.ring(call.chunks, pool=call.pool, worker=call.worker)
            except Unavailable as error:
                self._fall_silent(error)
            except Exception:
                log.exception("cannot ring")
            else:
                self._speak_again()

    def _fall_silent(self, error: Unavailable) -> None:
        if not self._silent:
            log.warning("nobody is rung for until the broker is back %s", fields(reason=error))
        self._silent = True
        self._clear()

    def _speak_again(self) -> None:
        if self._silent:
            log.info("the broker is back")
        self._silent = False

    def _clear(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait()
