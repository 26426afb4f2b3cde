"""Webhooks: who is told of the moves of jobs, and what became of telling them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, status
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.deps import AnyCaller, WebhookReader, WebhookWriter
from api.routing import router as new_router
from api.webhook_schemas import (
    DeliveryAnswer,
    DeliveryPage,
    Registration,
    Rotation,
    WebhookAnswer,
    WebhookList,
    WebhookSecret,
)

router = new_router("/v1/webhooks", "webhooks")

WebhookIdPath = Annotated[str, Path(description="A webhook's id.", max_length=64)]
DeliveryIdPath = Annotated[str, Path(description="The `webhook-id` of a notice.", max_length=64)]


class DeliveryFilter(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str | None, Field(description="`next` of the page before.")] = None


@router.post("", status_code=status.HTTP_201_CREATED)
def register_webhook(book: WebhookWriter, asked: Registration) -> WebhookSecret:
    """Have a URL told of your jobs. The secret in the answer is not shown again."""
    view, secret = book.register(asked.url, asked.events)
    return WebhookSecret.of_secret(view, secret)


@router.get("")
def list_webhooks(book: WebhookReader) -> WebhookList:
    """Your webhooks, oldest first, without their secrets."""
    return WebhookList(data=[WebhookAnswer.of(each) for each in book.list()])


@router.get("/{webhook_id}")
def show_webhook(book: WebhookReader, webhook_id: WebhookIdPath) -> WebhookAnswer:
    """One webhook, and whether it answers."""
    return WebhookAnswer.of(book.webhook(webhook_id))


@router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT)
def remove_webhook(book: WebhookWriter, webhook_id: WebhookIdPath) -> None:
    """Tell it nothing any more, not even what still waits."""
    book.remove(webhook_id)


@router.post("/{webhook_id}/rotate")
def rotate_secret(
    book: WebhookWriter, webhook_id: WebhookIdPath, how: Rotation | None = None
) -> WebhookSecret:
    """Give it a new secret; for a while the one before signs as well."""
    view, secret = book.rotate(webhook_id, (how or Rotation()).overlap_seconds)
    return WebhookSecret.of_secret(view, secret)


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    book: WebhookReader,
    caller: AnyCaller,
    webhook_id: WebhookIdPath,
    which: Annotated[DeliveryFilter, Query()],
) -> DeliveryPage:
    """What it was told in the last 30 days or is still to be told, newest first."""
    after = None if which.after is None else cursors.opened(caller, which.after)
    found = book.deliveries(webhook_id, limit=which.limit, after=after)
    return DeliveryPage(
        data=[DeliveryAnswer.of(each) for each in found],
        next=cursors.sealed(caller, found[-1].id) if len(found) == which.limit else None,
    )


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver")
def redeliver(
    book: WebhookWriter, webhook_id: WebhookIdPath, delivery_id: DeliveryIdPath
) -> DeliveryAnswer:
    """Tell it once more, at once and under the same id, whatever became of it before."""
    return DeliveryAnswer.of(book.redeliver(webhook_id, delivery_id))
