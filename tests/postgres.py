"""A private Postgres for one test session: on a Unix socket, not durable, gone afterwards."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text

from millrace.db import migrations

_OPTIONS = (
    "-c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    " -c max_connections=100"
)
_TEMPLATE = "migrated"


class PostgresServer:
    """Hands out databases that are migrated and empty."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = itertools.count()
        self._admin = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        self._execute(f"CREATE DATABASE {_TEMPLATE}")
        migrations.upgrade(self.url(_TEMPLATE))

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, dropped at the end."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template0'}")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()

    def url(self, name: str) -> str:
        return self._url(name).render_as_string(hide_password=False)

    def _url(self, name: str) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=name,
            query={"host": str(self._socket)},
        )

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


def binaries() -> Path | None:
    """The folder of the newest Postgres on this machine, if there is any."""
    found = [each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    return max(found, key=_version, default=None)


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


@contextmanager
def serve(binary: Path) -> Iterator[PostgresServer]:
    """Start a server of our own and stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="millrace-pg-"))
    # Postgres refuses to run as root.
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if owner is not None:
        os.chown(home, owner.pw_uid, owner.pw_gid)

    def run(*command: str) -> None:
        subprocess.run(
            command,
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )

    place = ("-D", str(home / "data"))
    encoding = ("-E", "UTF8", "--no-locale")
    run(str(binary / "initdb"), *place, "-A", "trust", "-U", "postgres", "-N", *encoding)
    control = str(binary / "pg_ctl")
    run(control, *place, "-w", "-o", f"-k {home} {_OPTIONS}", "-l", str(home / "log"), "start")
    try:
        server = PostgresServer(home)
        yield server
        server.close()
    finally:
        run(control, *place, "-m", "immediate", "stop")
        shutil.rmtree(home)
