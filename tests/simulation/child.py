"""The compute process as part of its worker's actor: the real pipeline, without a process."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable

import pyarrow as pa

from millrace.errors import MillraceError
from tests.simulation.clocks import ProcessClock
from workers.child import Abandoned, Answer, Crashed
from workers.compute import _stopped
from workers.engines.base import Limits
from workers.engines.echo import EchoEngine
from workers.order import Progress, WorkOrder
from workers.pipeline import run_order
from workers.result_types import PinnedTypes

POISON = "poison"
"""A text that kills whatever computes it."""


class _Killed(BaseException):
    """Stands for the death of the compute process alone."""


class _Interrupted(BaseException):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Fragile(EchoEngine):
    def predict(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if POISON in batch.column("text").to_pylist():
            raise _Killed
        return super().predict(batch)


class Child:
    """Has the interface of `workers.child.ComputeChild`; beats the heart before every batch."""

    pid = None
    model = None

    def __init__(self, clock: ProcessClock) -> None:
        self._clock = clock
        self._engine = _Fragile()
        self._loaded = self._engine.load("", None, "cpu", Limits(None, 1), {"max_rows": 2})
        self._types = PinnedTypes()
        self._given: deque[WorkOrder] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._given)

    def start(self) -> None:
        """There is no process to start."""

    def shoot(self) -> None:
        """There is no process to kill."""

    def kill(self) -> None:
        self._given.clear()

    def give(self, order: WorkOrder) -> None:
        self._given.append(order)

    def answer(
        self, on_progress: Callable[[Progress], None], interrupted: Callable[[], str | None]
    ) -> Answer:
        order = self._given[0]
        suspects: tuple[int, ...] = ()

        def report(progress: Progress) -> None:
            nonlocal suspects
            suspects = progress.in_flight
            on_progress(progress)
            self._clock.beat()
            if reason := interrupted():
                raise _Interrupted(reason)

        try:
            report(Progress(rows=0))
            answer = run_order(order, self._engine, self._loaded, report, self._types)
        except _Killed:
            self.kill()
            return Crashed(f"killed by {signal.SIGSEGV.name}", suspects, loaded=True)
        except _Interrupted as interruption:
            self.kill()
            return Abandoned(interruption.reason, suspects)
        except MillraceError as error:
            self._given.popleft()
            return _stopped(order, error)
        self._given.popleft()
        return answer
