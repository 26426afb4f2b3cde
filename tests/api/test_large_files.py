"""The memory of the API does not grow with the size of what is uploaded, read or downloaded."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.db.session import Database
from tests.api.openai_site import ENDPOINT, line
from tests.api.site import Realm
from tests.api.test_health import served

log = logging.getLogger(__name__)

SIZE = int(os.environ.get("TEST_UPLOAD_BYTES", 64 << 20))
MAY_GROW = 40 << 20
"""Blocks that are on their way, and what the allocator keeps of them."""


def peak(pid: int) -> int:
    """The most bytes of memory that a process has had at once."""
    told = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert told is not None
    return int(told[1]) << 10


def written(path: Path, size: int) -> str:
    """A file of requests of about `size` bytes; returns its SHA-256."""
    digest, number = hashlib.sha256(), 0
    with path.open("wb") as target:
        while target.tell() < size:
            content = json.dumps(line(f"{number}", "word " * 3_000, model="echo")).encode() + b"\n"
            target.write(content)
            digest.update(content)
            number += 1
    return digest.hexdigest()


def through(client: httpx.Client, path: Path) -> str:
    """Upload a file, make a batch of it, and download it; returns the SHA-256 of what came back."""
    with path.open("rb") as source:
        form: Any = {"files": {"file": ("in.jsonl", source)}, "data": {"purpose": "batch"}}
        answer = client.post("/v1/files", **form)
    assert answer.status_code == 200, answer.text
    file = answer.json()
    assert file["bytes"] == path.stat().st_size
    order = {"input_file_id": file["id"], "endpoint": ENDPOINT, "completion_window": "24h"}
    batch = client.post("/v1/batches", json=order)
    assert (batch.status_code, batch.json()["status"]) == (200, "validating"), batch.text
    digest = hashlib.sha256()
    with client.stream("GET", f"/v1/files/{file['id']}/content") as content:
        for block in content.iter_bytes():
            digest.update(block)
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_stays_flat(
    environment: dict[str, str], migrated_sqlite: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'millrace.db')}"
    database = Database.connect(url)
    key = Realm(database, tmp_path).key()
    database.close()
    settings = {
        "MILLRACE_FILES_ROOT": str(tmp_path / "files"),
        "MILLRACE_MAX_FILE_BYTES": str(SIZE + (1 << 20)),
        "MILLRACE_MAX_BATCH_REQUESTS": "1000000",
        "MILLRACE_OPENAI_MODELS": '{"echo": "echo"}',
        "TMPDIR": str(tmp_path),
    }
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    with served(environment | settings, url) as (api, base):
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=base, headers=headers, timeout=300) as client:
            first = written(small, 4 << 20)
            assert through(client, small) == first
            before = peak(api.pid)
            whole = written(large, SIZE)
            assert through(client, large) == whole
            grown = peak(api.pid) - before
    told = f"{before >> 20} MiB at most before, {grown >> 20} MiB more for {SIZE >> 20} MiB"
    log.info(told)
    assert grown < MAY_GROW, told
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("tmp")]
