"""What the worker hears while a chunk is computed: rows done, and the rows now in flight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from millrace.failpoints import failpoint
from workers.order import Progress
from workers.window import Window

Report = Callable[[Progress], None]


class ProgressWatcher:
    """Reports before every single batch, so that a crash always has its exact suspects."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rows = 0
        self._place: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def preparing(self, window: Window) -> None:
        """All rows of `window` are suspects until it is prepared."""
        self._send(window.place)

    def enter(self, window: Window, refused: int) -> None:
        """The batches to come are of `window`; `refused` of its rows will be in none."""
        self._place = window.place
        self._rows += len(window.rejects) + refused

    def starting(self, row: NDArray[np.int64]) -> None:
        self._send(self._place[row])
        failpoint("w.mid_compute")

    def finished(self, rows: int) -> None:
        self._rows += rows

    def leave(self) -> None:
        """All batches are done; a crash from here on is no row's fault."""
        self._send(np.empty(0, dtype=np.int64))

    def _send(self, places: NDArray[np.int64]) -> None:
        self._report(Progress(rows=self._rows, in_flight=tuple(places.tolist())))
