"""The receiver of the documentation believes what is signed, once, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from millrace.db.session import Database
from millrace.lifecycle import endpoints, outbox
from tests.lifecycle.stage import NOW
from tests.servers.ports import await_port, free_port
from tests.webhooks.post import Post
from tests.webhooks.receiver import Receiver

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """One kind of database is enough here."""
    with request.getfixturevalue("postgres_server").database() as url:
        yield url


def test_the_receiver_of_the_documentation(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with database.write() as connection:
        url = f"http://127.0.0.1:{port}/"
        webhook_id, secret = endpoints.register(connection, "default", url)
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/webhook_receiver.py"), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        await_port(port, "the receiver")
        post = Post(database, Receiver(), webhook_id, secret)
        job_id = post.end_job(now=None)
        postman = post.postman()
        post.round(postman, now=None)
        [notice] = post.notices()
        assert (notice.state, notice.last_status) == ("delivered", 204)
        with database.write() as connection:
            outbox.redeliver(connection, webhook_id, str(notice.id), now=NOW)
        post.round(postman, now=None)
        assert httpx.post(url, content=b"{}", headers={"webhook-id": "msg_1"}).status_code == 401
    finally:
        process.kill()
        told, _ = process.communicate()
    assert told == f"job.failed {job_id} 0 0\n"
    assert [each.last_status for each in post.notices()] == [204]
