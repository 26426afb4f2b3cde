"""Turns leases into the orders that the compute child gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from millrace.errors import LeaseLost
from millrace.lifecycle import kept, queries
from millrace.lifecycle.queries import JobView
from millrace.types import Input, JobId, Kept, Lease, Span
from workers.order import WorkOrder


def write_orders(connection: Connection, leases: Sequence[Lease]) -> list[WorkOrder]:
    """Everything the child needs to know about these chunks of one job; it never sees the database.

    Raises `LeaseLost` where there is no such job any more.
    """
    job_id = leases[0].job_id
    job = queries.job(connection, job_id)
    if job is None:
        raise LeaseLost
    keeps: dict[int, Kept] = {}
    if job.parent_id is not None:
        keeps = kept.of_chunks(connection, job_id, [lease.idx for lease in leases])
    spans = [_reach(lease, keeps.get(lease.idx)) for lease in leases]
    inputs = _inputs(connection, job_id, spans)
    asked = job.spec.model_dump_json()
    return [_order(job, asked, lease, inputs, keeps.get(lease.idx)) for lease in leases]


def _reach(lease: Lease, keeps: Kept | None) -> Span:
    """What is to be read: also what stands before it where kept rows are counted from there."""
    return lease.span if keeps is None else Span(keeps.span.start, lease.span.end)


def _order(
    job: JobView, asked: str, lease: Lease, inputs: Iterable[Input], keeps: Kept | None
) -> WorkOrder:
    lead = Span(_reach(lease, keeps).start, lease.span.start)
    return WorkOrder(
        job_id=lease.job_id,
        idx=lease.idx,
        attempt=lease.attempt,
        token=f"{lease.token}-{lease.idx}",
        start=lease.span.start,
        end=lease.span.end,
        inputs=tuple(each for each in inputs if _overlap(each, lease.span)),
        arrow_schema=job.arrow_schema,
        asked=asked,
        kept=keeps,
        lead=tuple(each for each in inputs if lead.length and _overlap(each, lead)),
        suspects=lease.suspects,
        part_stem=part_stem(lease, job.position_end),
    )


def part_stem(lease: Lease, position_end: int) -> str:
    """A name that no other attempt has and that sorts by place in the input.

    Attempt numbers may repeat after the database was restored from a backup; the token does not.
    """
    width = len(str(position_end))
    return f"{lease.span.start:0{width}d}-a{lease.attempt}-{lease.token[:8]}"


def _inputs(connection: Connection, job_id: JobId, spans: list[Span]) -> list[Input]:
    """The inputs of all these chunks; asked for once where the chunks are neighbours."""
    found: dict[int, Input] = {}
    for span in _joined(spans):
        found |= {each.index: each for each in queries.inputs(connection, job_id, span)}
    return [found[index] for index in sorted(found)]


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start):
        if joined and joined[-1].end == span.start:
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return joined


def _overlap(source: Input, span: Span) -> bool:
    return source.base < span.end and source.base + source.extent > span.start
