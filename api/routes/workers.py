"""The workers there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.deps import WorkerReader
from api.routing import router as new_router
from millrace.answers import WorkerAnswer, WorkerList

router = new_router("/v1/workers", "workers")


class WorkerFilter(BaseModel):
    """Which workers to list."""

    model_config = ConfigDict(extra="forbid")

    lost: Annotated[bool, Field(description="Also those not seen for a minute.")] = False


@router.get("")
def list_workers(view: WorkerReader, which: Annotated[WorkerFilter, Query()]) -> WorkerList:
    """The worker processes that were seen within a minute."""
    found = view.workers(lost=which.lost)
    return WorkerList(data=[WorkerAnswer.model_validate(each) for each in found])
