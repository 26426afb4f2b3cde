"""What the API takes and answers about webhooks."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from millrace.answers import Answer
from millrace.front.summary import utc
from millrace.lifecycle.endpoints import OVERLAP_SECONDS, WebhookView
from millrace.lifecycle.outbox import DeliveryView
from millrace.types import DeliveryState, WebhookEvent

_Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=20)]


class Registration(BaseModel):
    """A webhook to be."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: Annotated[str, Field(max_length=65_536)]
    """Where to POST to, `https://…`."""
    events: _Events | None = None
    """Which events to tell of; all without it."""


class Rotation(BaseModel):
    """How to give a webhook another secret."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    overlap_seconds: Annotated[float, Field(ge=0, le=30 * 86_400.0, allow_inf_nan=False)] = (
        OVERLAP_SECONDS
    )
    """How long the secret before is good for, beside the new one."""


class WebhookAnswer(Answer):
    """A webhook; its secret is not shown again."""

    id: str
    url: str
    events: list[WebhookEvent]
    created_at: str | None
    failures: int
    """Tries in a row that have failed."""
    rests_until: str | None
    """After ten of them it is left alone until then."""
    previous_secret_until: str | None
    """Until then the secret before the last rotation signs as well."""

    @classmethod
    def of(cls, view: WebhookView) -> WebhookAnswer:
        return cls(**_shown(view))


class WebhookSecret(WebhookAnswer):
    """A webhook with its secret, which is shown this once."""

    secret: str
    """`whsec_…`, what its signatures are made with."""

    @classmethod
    def of_secret(cls, view: WebhookView, secret: str) -> WebhookSecret:
        return cls(**_shown(view), secret=secret)


class WebhookList(Answer):
    data: list[WebhookAnswer]
    next: None = None


class DeliveryAnswer(Answer):
    """One notice and what became of it."""

    id: str
    """The `webhook-id` of every try."""
    job: str
    event: WebhookEvent
    state: DeliveryState
    tries: int
    created_at: str | None
    next_at: str | None
    """When it is tried again, if it is."""
    ended_at: str | None
    last_status: int | None
    last_fault: str | None
    """Why the last try has failed: forbidden, connection, tls, timeout, protocol, status."""

    @classmethod
    def of(cls, view: DeliveryView) -> DeliveryAnswer:
        waits = view.state is DeliveryState.PENDING
        return cls(
            id=view.id,
            job=view.job_id,
            event=WebhookEvent(view.event),
            state=view.state,
            tries=view.tries,
            created_at=utc(view.created_at),
            next_at=utc(view.next_at) if waits else None,
            ended_at=utc(view.ended_at),
            last_status=view.last_status,
            last_fault=view.last_fault,
        )


class DeliveryPage(Answer):
    """Deliveries, newest first."""

    data: list[DeliveryAnswer]
    next: str | None
    """Give it as `after` for the next page."""


def _shown(view: WebhookView) -> dict[str, object]:
    return {
        "id": view.id,
        "url": view.url,
        "events": list(view.events),
        "created_at": utc(view.created_at),
        "failures": view.failures,
        "rests_until": utc(view.rests_until),
        "previous_secret_until": utc(view.previous_secret_until),
    }
