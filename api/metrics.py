"""What Prometheus is told: the state of all jobs, asked of the database, and our own requests.

No tenant is named, as there may be any number of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from millrace.db.session import Database
from millrace.lifecycle.census import Census, census

REQUEST_SECONDS = Histogram(
    "millrace_request_seconds",
    "How long requests took, until the last byte was sent.",
    ("method", "route", "status"),
    registry=None,
)
"""Of this process, for all applications in it."""


def exposition(database: Database) -> bytes:
    """All metrics in the text format of Prometheus."""
    with database.read() as connection:
        counted = census(connection)
    registry = CollectorRegistry()
    registry.register(_Counted(counted))
    registry.register(REQUEST_SECONDS)
    return generate_latest(registry)


class _Counted(Collector):
    def __init__(self, counted: Census) -> None:
        self._counted = counted

    def collect(self) -> Iterable[Metric]:
        counted = self._counted
        jobs = GaugeMetricFamily("millrace_jobs", "Jobs by state.", labels=["state"])
        for state, number in counted.jobs.items():
            jobs.add_metric([state], number)
        yield jobs
        chunks = GaugeMetricFamily("millrace_chunks", "Chunks by state.", labels=["state"])
        for kind, number in counted.chunks.items():
            chunks.add_metric([kind], number)
        yield chunks
        rows = CounterMetricFamily(
            "millrace_rows", "Rows with an end, by status and model.", labels=["status", "model"]
        )
        for (status, model), number in counted.rows.items():
            rows.add_metric([status, model], number)
        yield rows
        yield from _of_pools(counted)


def _of_pools(counted: Census) -> Iterable[Metric]:
    alive = GaugeMetricFamily("millrace_workers", "Worker processes alive.", labels=["pool"])
    demand = GaugeMetricFamily(
        "millrace_worker_demand_ratio",
        "Chunks at work or waiting for each worker; for autoscalers.",
        labels=["pool"],
    )
    for name, pool in counted.pools.items():
        alive.add_metric([name], pool.workers)
        demand.add_metric([name], (pool.leased + pool.waiting) / max(1, pool.workers))
    yield alive
    yield demand
