"""A private Postgres for one test session: on a Unix socket, not durable, gone afterwards."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from sqlalchemy import URL, create_engine, text

from millrace.db import migrations

_QUICK = " -c fsync=off -c full_page_writes=off"
_TEMPLATE = "migrated"


class PostgresServer:
    """Hands out databases that are migrated and empty."""

    def __init__(self, host: str, port: int | None = None) -> None:
        self._host = host
        self.port = port
        self._numbers = itertools.count()
        self._admin = create_engine(
            self._url("postgres"), isolation_level="AUTOCOMMIT", pool_pre_ping=True
        )
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

    @property
    def socket(self) -> Path:
        """The file on which it listens, where it is reached by one."""
        return Path(self._host) / ".s.PGSQL.5432"

    def close(self) -> None:
        self._admin.dispose()

    def url(self, name: str) -> str:
        return self._url(name).render_as_string(hide_password=False)

    def _url(self, name: str) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            port=self.port,
            database=name,
            query={"host": self._host},
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


class Postmaster:
    """The processes of one server in a folder of its own, which may be ended and started again.

    With `port` it listens there on 127.0.0.1 too, and what it has committed survives `crash`.
    """

    def __init__(self, binary: Path, port: int | None = None, *, durable: bool = False) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="millrace-pg-"))
        # Postgres refuses to run as root.
        self._owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._owner is not None:
            os.chown(self.home, self._owner.pw_uid, self._owner.pw_gid)
        self.port = port
        self._binary = binary
        self._options = f"-k {self.home} -c max_connections=100" + ("" if durable else _QUICK)
        if port is None:
            self._options += " -c listen_addresses="
            self._options += "" if durable else " -c synchronous_commit=off"
        else:
            self._options += f" -c listen_addresses=127.0.0.1 -c port={port}"
        encoding = ("-E", "UTF8", "--no-locale")
        self._run("initdb", "-A", "trust", "-U", "postgres", "-N", *encoding)

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-o", self._options, "-l", str(self.home / "log"), "start")

    def crash(self) -> None:
        """End it as a crash does: no goodbye to clients, recovery at the next start."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server, as SIGSTOP to have it hang."""
        pid = int((self.home / "data/postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.home)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            (str(self._binary / program), "-D", str(self.home / "data"), *arguments),
            check=True,
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            user=self._owner.pw_uid if self._owner else None,
            group=self._owner.pw_gid if self._owner else None,
            extra_groups=[] if self._owner else None,
        )


@contextmanager
def serve(binary: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server of our own and stop it at the end; `durable` for what is to be timed."""
    postmaster = Postmaster(binary, durable=durable)
    try:
        postmaster.start()
        server = PostgresServer(str(postmaster.home))
        yield server
        server.close()
    finally:
        postmaster.remove()
