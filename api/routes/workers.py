"""The workers there are."""

from __future__ import annotations

from api.deps import WorkerReader
from api.routing import router as new_router
from api.schemas import WorkerAnswer, WorkerList

router = new_router("/v1/workers", "workers")


@router.get("")
def list_workers(view: WorkerReader) -> WorkerList:
    """The worker processes that were seen within a minute."""
    return WorkerList(data=[WorkerAnswer.model_validate(each) for each in view.workers()])
