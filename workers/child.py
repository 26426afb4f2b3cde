"""The compute child as its worker sees it: spawned, spoken to in JSON, killed as a tree."""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import multiprocess
import multiprocess.connection
import psutil

from millrace.spec import JobSpec
from workers.line import Line
from workers.order import FROM_CHILD, Finished, Progress, Stopped, WorkOrder
from workers.spawn import ComputeSettings, begin


@dataclass(frozen=True, slots=True)
class Crashed:
    """The child ended, or broke the protocol, before it answered."""

    detail: str
    suspects: tuple[int, ...]
    loaded: bool
    """Whether the model was in its place by then."""

    @property
    def killed(self) -> bool:
        """Somebody else ended it: an operator, or the kernel for want of memory."""
        return self.detail == _killed_by(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """We killed the child ourselves, for the reason that `interrupted` gave."""

    reason: str
    suspects: tuple[int, ...]


Answer = Finished | Stopped | Crashed | Abandoned

Entry = Callable[[Any, ComputeSettings], None]
"""What the process runs, with its end of the pipe; must be importable by name."""

_TICK_SECONDS = 0.1
_DEATH_SECONDS = 5.0
_ROUNDS = 5


class ComputeChild:
    """One process that holds a model; replaced by a fresh one after it was killed or crashed."""

    def __init__(self, settings: ComputeSettings, entry: Entry = begin) -> None:
        self._settings = settings
        self._entry = entry
        self._bystanders: frozenset[int] = frozenset()
        self._context = multiprocess.get_context("spawn")
        self._process: Any = None
        self._line: Any = None
        self._given: deque[WorkOrder] = deque()
        self._loaded: JobSpec | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def busy(self) -> bool:
        """Whether it has orders that were not answered."""
        return bool(self._given)

    @property
    def model(self) -> str | None:
        """What it holds: the SHA-256 of a model, or the name of an engine that has none."""
        if self._loaded is None:
            return None
        return self._loaded.model.sha256 or self._loaded.model.engine

    def start(self) -> None:
        """Start the process unless one is alive; returns before it is ready.

        One that has died of its orders stays until `answer` has told so: whatever a new one said
        would be taken for their answer.
        """
        if self.busy or (self._process is not None and self._process.is_alive()):
            return
        self.kill()
        self._bystanders = frozenset(each.pid for each in psutil.Process().children())
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=self._entry, args=(theirs, self._settings), name="compute", daemon=False
        )
        self._process.start()
        theirs.close()
        self._line = Line(ours)

    def give(self, order: WorkOrder) -> None:
        """Hand over an order, to be carried out after those before it; waits for nothing."""
        self.start()
        self._given.append(order)
        self._line.say(order.model_dump_json().encode())

    def answer(
        self, on_progress: Callable[[Progress], None], interrupted: Callable[[], str | None]
    ) -> Answer:
        """Wait for what becomes of the oldest order that was given.

        `interrupted` is asked ten times a second; a reason makes us kill the child. Anything but a
        well-formed answer to this very order counts as a crash. After a crash or a kill no order is
        with the child any more.
        """
        order = self._given[0]
        suspects: tuple[int, ...] = ()
        loaded = self._has_loaded(order.spec)
        try:
            while True:
                reason = interrupted()
                if reason is not None:
                    self.kill()
                    return Abandoned(reason, suspects)
                message = self._hear()
                if message is None:
                    continue
                match FROM_CHILD.validate_json(message):
                    case Progress() as progress:
                        suspects = progress.in_flight
                        if progress.loaded:
                            loaded, self._loaded = True, order.spec
                        on_progress(progress)
                    case answer if answer.token == order.token:
                        self._given.popleft()
                        return answer
                    case answer:
                        raise ValueError(f"an answer to another order: {answer.token}")
        except (EOFError, OSError):
            reason, epitaph = interrupted(), self._epitaph()
            if reason is not None:
                return Abandoned(reason, suspects)
            return Crashed(epitaph, suspects, loaded)
        except ValueError as error:
            self.kill()
            return Crashed(f"CHILD_PROTOCOL: {str(error)[:200]}", suspects, loaded)

    def _has_loaded(self, spec: JobSpec) -> bool:
        held = self._loaded
        return held is spec or (
            held is not None and (held.model, held.options) == (spec.model, spec.options)
        )

    def _hear(self) -> bytes | None:
        alive = self._process.is_alive()
        message: bytes | None = self._line.hear(_TICK_SECONDS)
        if message is None and not alive:
            # a process that it has forked may still hold its end of the pipe
            raise EOFError
        return message

    def kill(self) -> None:
        """End the child, its process group and whatever it has started; safe at any time."""
        if self._process is None:
            return
        # whoever is killed may have started another just before
        for _ in range(_ROUNDS):
            if not (family := self._family()):
                break
            _kill(family)
            self._process.join(_DEATH_SECONDS)
            orphans = [each for each in family if each.pid != self._process.pid]
            psutil.wait_procs(orphans, timeout=_DEATH_SECONDS)
        self._process.join(_DEATH_SECONDS)
        self._line.close()
        self._process = self._line = self._loaded = None
        self._given.clear()

    def shoot(self) -> None:
        """Kill what computes, from another thread than the one that waits for its answer."""
        if self.busy:
            _kill(self._family())

    def _family(self) -> list[psutil.Process]:
        """The child, its descendants, and orphans of theirs that this process has adopted."""
        keep = self._bystanders | _helpers_of_multiprocess()
        ours = [each for each in psutil.Process().children() if each.pid not in keep]
        return [each for one in ours for each in (one, *_descendants(one))]

    def _epitaph(self) -> str:
        """Say how the child died; waits for it a moment and makes sure that it is dead."""
        process = self._process
        process.join(_DEATH_SECONDS)
        code = process.exitcode
        self.kill()
        if code is None:
            return "closed its connection and did not end"
        if code < 0:
            return _killed_by(-code)
        return f"exited with status {code}"


def _kill(family: list[psutil.Process]) -> None:
    for victim in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


def _helpers_of_multiprocess() -> set[int]:
    """The resource tracker is a child of this process too, and not to be harmed."""
    from multiprocess import resource_tracker

    pid = resource_tracker._resource_tracker._pid
    return set() if pid is None else {pid}


def _killed_by(number: int) -> str:
    # not every real-time signal has a name
    named = number in {*signal.Signals}
    return f"killed by {signal.Signals(number).name if named else f'signal {number}'}"
