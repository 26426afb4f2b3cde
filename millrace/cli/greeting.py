"""What `millrace up` says once it is there: where, with which key, what to do next."""

from __future__ import annotations

import os
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from millrace.access import keys
from millrace.access.caller import operator
from millrace.access.scopes import Scope
from millrace.cli.console import readable, say, show_json
from millrace.db.session import Database
from millrace.settings import Settings

_READY_SECONDS = 0.2
_TENANT = "default"


class Greeting:
    """Given once, when the API is ready; makes the first key there is."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        host: str,
        port: int,
        workers: int,
        as_json: bool,
    ) -> None:
        self._database = database
        self._settings = settings
        self._host = host
        self._port = port
        self._workers = workers
        self._as_json = as_json
        self._given = False

    def give(self) -> None:
        """Say it, if it is time and was not said yet."""
        if self._given or not self._is_ready():
            return
        self._given = True
        url, key = f"http://{self._host}:{self._port}", self._first_key()
        logs = self._settings.state / "logs"
        roots = [*self._settings.storage_roots]
        if self._as_json:
            told = {"url": url, "key": key, "workers": self._workers, "pid": os.getpid()}
            show_json(told | {"roots": roots, "logs": str(logs)})
            return
        say(f"Millrace is up at {url}; workers: {self._workers}, logs: {logs}")
        say(f"jobs may name what is below {', '.join(map(readable, roots))}")
        if key is not None:
            say("the admin key, which is shown only now:")
            say(f"  export MILLRACE_URL={url} MILLRACE_API_KEY={key}")
        else:
            say("the key is the one of the first start, or of: millrace keys create")
        say("hand in a job:  millrace submit --model echo --input FILE --output FOLDER --wait")
        say("Ctrl-C ends it")

    def _is_ready(self) -> bool:
        with closing(HTTPConnection(self._host, self._port, timeout=_READY_SECONDS)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False

    def _first_key(self) -> str | None:
        """For everything, also models that are code: whether they may run is a setting's matter."""
        with self._database.write() as connection:
            if keys.exist(connection):
                return None
            scopes = (Scope.ADMIN.value, Scope.MODELS_UNSAFE.value)
            return keys.create(
                connection, operator(_TENANT), tenant=_TENANT, name="millrace up", scopes=scopes
            )
