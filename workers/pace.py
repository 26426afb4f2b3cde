"""How many chunks make a batch: as many as take about a second, and one where one takes longer."""

from __future__ import annotations

from millrace.types import JobId

_GROWTH = 8
_AHEAD_SECONDS = 0.1
_MOST_AHEAD = 16


class Pace:
    """What the chunks of the present job take on this worker."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._job_id: JobId | None = None
        self._size = 1
        self._each = seconds

    def size(self, job_id: JobId) -> int:
        """How many chunks of this job to claim at once; one of a job that is new here."""
        return self._size if job_id == self._job_id else 1

    @property
    def ahead(self) -> int:
        """How many orders to give before the one that runs is answered."""
        return min(_MOST_AHEAD, int(_AHEAD_SECONDS / self._each))

    def learn(self, job_id: JobId, chunks: int, seconds: float) -> None:
        """So many chunks have taken so long; the size grows step by step, and shrinks at once."""
        before = self.size(job_id)
        self._job_id = job_id
        self._each = max(seconds / chunks, 1e-6)
        wanted = int(self._seconds / self._each)
        self._size = max(1, min(wanted, before * _GROWTH, self._most))
