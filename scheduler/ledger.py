"""What the scheduler remembers of one pool from tick to tick; losing it is harmless."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from millrace.lifecycle.queries import Backlog
from millrace.types import ChunkKind, JobId
from scheduler.debts import Debts
from scheduler.fairness import Contender, Share, shares
from scheduler.pace import Pace
from scheduler.ranking import Rank, rank

_POOL_HALF_LIFE = 1.0
_JOB_HALF_LIFE = 60.0


class Ledger:
    """Who was given how much, how fast it went, and who has been waiting for how long."""

    def __init__(self, weights: Mapping[str, float], ageing: float) -> None:
        self._tenants = Debts(weights)
        self._turns = Debts()
        self.begun = Pace(_POOL_HALF_LIFE)
        """Chunks that the workers of the pool began."""
        self.seconds = 0.0
        """Between the last two readings."""
        self._ageing = ageing
        self._moment = -math.inf
        self._jobs: dict[JobId, Backlog] = {}
        self._rung: Counter[JobId] = Counter()
        self._paces: dict[JobId, Pace] = {}
        self._waited: dict[JobId, float] = {}
        self._ranks: dict[JobId, Rank] = {}

    def read(self, moment: float, jobs: Iterable[Backlog], rung: Counter[JobId]) -> None:
        """Note how things stand, and charge tenants for what was begun since the last reading."""
        found = {job.job_id: job for job in jobs}
        self.seconds = max(0.0, moment - self._moment) if self._jobs else 0.0
        begun = {job_id: max(0, n - rung[job_id]) for job_id, n in self._rung.items()}
        for job_id, count in begun.items():
            self._charge(self._jobs[job_id], count)
        self.begun.note(sum(begun.values()), self.seconds)
        self._waited = {each: self._wait(job, begun.get(each, 0)) for each, job in found.items()}
        self._paces = {each: self._pace(job) for each, job in found.items()}
        self._moment, self._jobs = moment, found
        self._rung = Counter({job_id: n for job_id, n in rung.items() if job_id in found})
        self._ranks = {job_id: self._rank(job) for job_id, job in found.items()}
        self._tenants.gather(dict.fromkeys((job.tenant for job in found.values()), None))
        self._turns.gather({each: (job.tenant, self._ranks[each]) for each, job in found.items()})

    def rang(self, more: Counter[JobId]) -> None:
        """Note that so many more chunks of each job are rung."""
        self._rung += more

    def shares(self, limits: Mapping[JobId, int], count: int) -> list[Share]:
        """Who is due for the next `count` chunks; of some jobs there are no more than `limits`."""
        contenders = [
            Contender(
                job_id=job_id,
                tenant=job.tenant,
                rank=self._ranks[job_id],
                chunks=min(job.chunks_open, limits.get(job_id, job.chunks_open)),
                cost=cost(job),
                finalizing=job.kind is ChunkKind.FINALIZE,
            )
            for job_id, job in self._jobs.items()
        ]
        return shares(contenders, self._tenants, self._turns, count)

    def _charge(self, job: Backlog, chunks: int) -> None:
        self._tenants.charge(job.tenant, chunks * cost(job))
        self._turns.charge(job.job_id, chunks * cost(job))

    def _rank(self, job: Backlog) -> Rank:
        return rank(
            job.priority,
            waited=self._waited[job.job_id],
            ageing=self._ageing,
            remaining=remaining(job),
            pace=self._paces[job.job_id].per_second or self._pool_pace(),
            deadline=job.expires_at,
            now=self._moment,
        )

    def _pool_pace(self) -> float | None:
        """What a job may hope for that nobody has worked on yet, if anything is known."""
        return math.fsum(pace.per_second for pace in self._paces.values()) or None

    def _wait(self, job: Backlog, begun: int) -> float:
        waits = job.job_id in self._jobs and not job.leased_weight and not begun
        return self._waited.get(job.job_id, 0.0) + (self.seconds if waits else 0.0)

    def _pace(self, job: Backlog) -> Pace:
        pace = self._paces.get(job.job_id, Pace(_JOB_HALF_LIFE))
        before = self._jobs.get(job.job_id)
        if before is not None:
            pace.note(max(0.0, remaining(before) - remaining(job)), self.seconds)
        return pace


def cost(job: Backlog) -> float:
    """The weight of one of its chunks."""
    return remaining(job) / max(1, job.chunks_open)


def remaining(job: Backlog) -> float:
    """The weight that is not done yet."""
    return float(job.pending_weight + job.leased_weight)
