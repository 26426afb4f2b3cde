"""Batches in OpenAI's style."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.deps import BatchReader, BatchWriter, ScribeOf
from api.openai_schemas import AfterBatch, BatchAnswer, BatchIdPath, BatchList, BatchOrder
from api.routing import router as new_router
from api.scribe import Scribe
from millrace.front.openai.batch_desk import BatchRequest
from millrace.front.openai.status import BatchStatus

router = new_router("/v1/batches", "batches")


class BatchPage(BaseModel):
    """Which batches to list."""

    model_config = ConfigDict(extra="forbid")

    after: AfterBatch = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


@router.post("")
def create_batch(desk: BatchWriter, scribe: ScribeOf, order: BatchOrder) -> BatchAnswer:
    """Have the requests of a file answered; one with faults makes a batch that has failed."""
    asked = BatchRequest(
        order.input_file_id, order.endpoint, order.completion_window, order.metadata
    )
    return _shown(desk.create(asked), scribe)


@router.get("")
def list_batches(
    desk: BatchReader, scribe: ScribeOf, which: Annotated[BatchPage, Query()]
) -> BatchList:
    """Batches, newest first, a page at a time."""
    found = desk.page(limit=which.limit + 1, after=which.after)
    shown = [_shown(each, scribe) for each in found[: which.limit]]
    return BatchList(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(found) > which.limit,
    )


@router.get("/{batch_id}")
def show_batch(desk: BatchReader, scribe: ScribeOf, batch_id: BatchIdPath) -> BatchAnswer:
    """One batch: how far it is, its files, what is wrong with it."""
    return _shown(desk.batch(batch_id), scribe)


@router.post("/{batch_id}/cancel")
def cancel_batch(desk: BatchWriter, scribe: ScribeOf, batch_id: BatchIdPath) -> BatchAnswer:
    """Stop a batch; requests that are answered by then are in its output file."""
    return _shown(desk.cancel(batch_id), scribe)


def _shown(status: BatchStatus, scribe: Scribe) -> BatchAnswer:
    if status.is_due:
        scribe.settle(status.batch.id)
    return BatchAnswer.of(status)
