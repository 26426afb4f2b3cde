"""Webhooks as one tenant sees them: the only door through which the API reaches them.

Every verb looks the webhook up with the caller's tenant, in the transaction of the answer, and
each change leaves an audit record there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from millrace.access import audit
from millrace.access.caller import Caller
from millrace.db.session import Database
from millrace.errors import InvalidInput
from millrace.lifecycle import endpoints, outbox
from millrace.lifecycle.endpoints import WebhookView
from millrace.lifecycle.outbox import DeliveryView
from millrace.outbound.client import Outbound
from millrace.outbound.targets import Forbidden, Rules, TargetForbidden
from millrace.settings import Settings
from millrace.types import WebhookEvent

_SAID: dict[Forbidden, str] = {
    Forbidden.LENGTH: "it is longer than 2,048 characters",
    Forbidden.CHARACTERS: "it has characters that a URL cannot have; encode them",
    Forbidden.SCHEME: "only https:// is called",
    Forbidden.CREDENTIALS: "it holds a user or a password; the signature says that it is us",
    Forbidden.FRAGMENT: "it has a fragment, which is never sent",
    Forbidden.HOST: "its host cannot be one; write international names in their xn-- form",
    Forbidden.PORT: "its port is not one of those that may be called",
    Forbidden.ADDRESS: "its host has no address, or one that is not on the public internet",
}


class WebhookBook:
    """What one caller may see and do: the webhooks of their tenant, or all for an administrator."""

    def __init__(self, database: Database, settings: Settings, caller: Caller) -> None:
        self._database = database
        self._settings = settings
        self._caller = caller
        self._tenant = None if caller.sees_all else caller.tenant

    def register(self, url: str, events: Sequence[WebhookEvent] | None) -> tuple[WebhookView, str]:
        """A new webhook and its secret, which is shown this once.

        Raises `InvalidInput` for a URL that must not be called, `Conflict` for one too many.
        """
        try:
            Outbound(Rules.of(self._settings)).check(url)
        except TargetForbidden as error:
            raise _forbidden(error.reason) from None

        def add(connection: Connection) -> tuple[WebhookView, str]:
            webhook_id, secret = endpoints.register(connection, self._caller.tenant, url, events)
            self._note(connection, "webhook.create", webhook_id)
            return self._own(connection, webhook_id), secret

        return self._database.transact(add)

    def list(self) -> list[WebhookView]:
        with self._database.read() as connection:
            return endpoints.views(connection, tenant=self._tenant)

    def webhook(self, webhook_id: str) -> WebhookView:
        with self._database.read() as connection:
            return self._own(connection, webhook_id)

    def rotate(self, webhook_id: str, overlap: float) -> tuple[WebhookView, str]:
        """A new secret; the one before is good for `overlap` seconds more."""

        def change(connection: Connection) -> tuple[WebhookView, str]:
            own = self._own(connection, webhook_id)
            secret = endpoints.rotate(connection, own.id, overlap=overlap)
            self._note(connection, "webhook.rotate", own.id)
            return self._own(connection, own.id), secret

        return self._database.transact(change)

    def remove(self, webhook_id: str) -> None:
        def change(connection: Connection) -> None:
            own = self._own(connection, webhook_id)
            endpoints.remove(connection, own.id)
            self._note(connection, "webhook.delete", own.id)

        self._database.transact(change)

    def deliveries(
        self, webhook_id: str, *, limit: int, after: str | None = None
    ) -> Sequence[DeliveryView]:
        """A page of what it was told, newest first."""
        with self._database.read() as connection:
            own = self._own(connection, webhook_id)
            return outbox.page(connection, own.id, limit=limit, after=after)

    def redeliver(self, webhook_id: str, notice_id: str) -> DeliveryView:
        """Tell it again, under the same id."""

        def change(connection: Connection) -> DeliveryView:
            own = self._own(connection, webhook_id)
            put_up = outbox.redeliver(connection, own.id, notice_id)
            self._note(connection, "webhook.redeliver", own.id)
            return put_up

        return self._database.transact(change)

    def _own(self, conn: Connection, webhook_id: str) -> WebhookView:
        return endpoints.known(conn, webhook_id, tenant=self._tenant)

    def _note(self, conn: Connection, action: str, webhook_id: str) -> None:
        audit.record(conn, self._caller, action, f"webhook:{webhook_id}")


def _forbidden(reason: Forbidden) -> InvalidInput:
    return InvalidInput(
        "WEBHOOK_URL_FORBIDDEN",
        f"url: {_SAID[reason]} ({reason.value})",
        "give a public https:// URL; an operator may allow more: webhook_ports, webhook_networks",
    )
