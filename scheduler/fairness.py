"""Whose chunks come next: fair shares between tenants, ranks inside a tenant. Pure.

Weighted deficit round robin with a quantum of one lot: the tenant that has had least, by its
weight, is next, and pays for what it gets. A chunk costs its weight, so big chunks pay more. Jobs
of a tenant that are of equal rank take turns in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import groupby

from millrace.types import JobId
from scheduler.debts import Debts
from scheduler.ranking import Rank

LOTS = 32
"""A window is given out in about so many lots, as each of them costs a statement."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A job with chunks that workers may begin, of equal `cost` each."""

    job_id: JobId
    tenant: str
    rank: Rank
    chunks: int
    cost: float
    finalizing: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """So many chunks of one job in a row."""

    job_id: JobId
    chunks: int


def shares(
    contenders: Collection[Contender], tenants: Debts, jobs: Debts, limit: int
) -> list[Share]:
    """The next `limit` chunks (fewer where there are no more) in the order to begin them.

    Chunks that end a job go first, whoever's they are.
    """
    finals = [Share(each.job_id, 1) for each in contenders if each.finalizing][:limit]
    rest = [each for each in contenders if each.chunks > 0 and not each.finalizing]
    picks = _picks(rest, tenants, jobs, limit - len(finals))
    merged = (
        Share(job_id, sum(share.chunks for share in run))
        for job_id, run in groupby(picks, key=lambda share: share.job_id)
    )
    return [*finals, *merged]


def _picks(
    contenders: Collection[Contender], tenants: Debts, jobs: Debts, limit: int
) -> Iterator[Share]:
    known = {each.job_id: each for each in contenders}
    left = {each.job_id: each.chunks for each in contenders}
    queues: dict[str, list[tuple[Rank, float, JobId]]] = {}
    for each in contenders:
        heappush(queues.setdefault(each.tenant, []), (each.rank, jobs.of(each.job_id), each.job_id))
    turns = [(tenants.of(tenant), tenant) for tenant in queues]
    heapify(turns)
    lot = max(1, limit // LOTS)
    while turns and limit > 0:
        debt, tenant = turns[0]
        rank, had, job_id = heappop(queues[tenant])
        count = min(lot, left[job_id], limit)
        cost = count * known[job_id].cost
        yield Share(job_id, count)
        limit -= count
        left[job_id] -= count
        if left[job_id]:
            heappush(queues[tenant], (rank, had + jobs.price(job_id, cost), job_id))
        if queues[tenant]:
            heapreplace(turns, (debt + tenants.price(tenant, cost), tenant))
        else:
            heappop(turns)
