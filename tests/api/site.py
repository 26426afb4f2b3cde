"""A whole API for one test: a server in a thread, tenants with a folder each, and their keys."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from api.main import Api, create_app
from millrace.access import keys, tenants
from millrace.access.caller import operator
from millrace.access.scopes import Scope
from millrace.db.session import Database
from millrace.settings import Settings
from tests import jobs as stage
from tests.waiting import until

EVERYTHING = tuple(scope.value for scope in Scope if scope not in (Scope.ADMIN,))


@dataclass
class Realm:
    """Tenants with folders and keys, with or without an API before them."""

    database: Database
    folder: Path

    def key(self, tenant: str = "acme", *scopes: str, lifetime: float | None = None) -> str:
        """A new key; without scopes, one for everything but administration."""
        with self.database.write() as connection:
            return keys.create(
                connection,
                operator(tenant),
                tenant=tenant,
                name="test",
                scopes=scopes or EVERYTHING,
                lifetime=lifetime,
            )

    def home(self, tenant: str) -> Path:
        """The folder that the tenant may use."""
        folder = self.folder / tenant
        folder.mkdir(exist_ok=True)
        with self.database.write() as connection:
            tenants.allow(connection, operator(tenant), tenant, [f"file://{folder}"])
        return folder

    def order(self, tenant: str = "acme", rows: int = 10, **changes: Any) -> dict[str, Any]:
        """The body of a request that can be done, over new files of the tenant's."""
        home = self.home(tenant)
        stage.written(home, stage.texts(rows))
        return {"model": "echo", "input": f"{home}/in", "output": f"{home}/out"} | changes


@dataclass
class Site(Realm):
    """Where the API answers, and what is behind it."""

    base: str
    app: Api
    _clients: list[httpx.Client] = field(default_factory=list)

    def client(self, tenant: str = "acme", *scopes: str) -> httpx.Client:
        """Somebody with a new key."""
        return self.anybody(Authorization=f"Bearer {self.key(tenant, *scopes)}")

    def anybody(self, **headers: str) -> httpx.Client:
        """Somebody with these headers only."""
        client = httpx.Client(base_url=self.base, headers=headers, timeout=30)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def serving(url: str, folder: Path, **settings: Any) -> Iterator[Site]:
    """The real application behind a real server, until the end of the block."""
    app = create_app(Settings(database_url=url, **settings))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    app.state.is_stopping = lambda: server.should_exit
    database = Database.connect(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started, "the server listens")
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        site = Site(database, folder, base, app)
        try:
            yield site
        finally:
            site.close()
            server.should_exit = True
            thread.join(20)
            database.close()
            assert not thread.is_alive()
