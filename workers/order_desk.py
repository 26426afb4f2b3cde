"""Turns a lease into the order that the compute child gets."""

from __future__ import annotations

from sqlalchemy import Connection

from millrace.errors import LeaseLost
from millrace.lifecycle import queries
from millrace.types import Lease
from workers.order import WorkOrder


def write_order(connection: Connection, lease: Lease) -> WorkOrder:
    """Everything the child needs to know, read in one transaction; it never sees the database."""
    job = queries.job(connection, lease.job_id)
    if job is None:
        raise LeaseLost
    return WorkOrder(
        job_id=lease.job_id,
        idx=lease.idx,
        attempt=lease.attempt,
        token=lease.token,
        start=lease.span.start,
        end=lease.span.end,
        inputs=queries.inputs(connection, lease.job_id, lease.span),
        arrow_schema=job.arrow_schema,
        spec=job.spec,
        suspects=lease.suspects,
        part_stem=part_stem(lease, job.position_end),
    )


def part_stem(lease: Lease, position_end: int) -> str:
    """A name that no other attempt has and that sorts by place in the input.

    Attempt numbers may repeat after the database was restored from a backup; the token does not.
    """
    width = len(str(position_end))
    return f"{lease.span.start:0{width}d}-a{lease.attempt}-{lease.token[:8]}"
