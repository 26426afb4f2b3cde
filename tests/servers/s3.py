"""Private S3 servers: moto here, which is quick to start; a real one is in `tests.servers.ceph`.

Both are told of by boto3's own environment variables and `millrace.storage.s3.configure`, as any
server is; `connected` does so for the length of a test.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import boto3
import pytest
from botocore.config import Config

from millrace import lifeline
from millrace.storage import s3
from millrace.storage.s3_endpoint import Patience
from tests.servers.ports import await_port, free_port

KEY, SECRET = "AKIAMILLRACETESTS", "a-secret-of-the-tests"

QUICK = Patience(rounds=2, attempts=2, pause=0.01, connect=2.0, read=2.0)
"""For tests of servers that stay away: gives up within seconds."""

STUBBORN = Patience(rounds=10, attempts=1, pause=0.002, connect=2.0, read=2.0)
"""For tests of servers that fail often: tries again at once, and ten times."""

_numbers = itertools.count()


class S3Server(Protocol):
    url: str

    def start(self) -> None: ...

    def kill(self) -> None:
        """End it without a goodbye; nothing that was stored is there after a new start."""
        ...


@contextmanager
def connected(url: str, patience: Patience | None = None) -> Iterator[None]:
    """Have `millrace.storage`, here and in processes started meanwhile, use the server at `url`."""
    told = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL_S3": url,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in told.items():
            patch.setenv(name, value)
        s3.configure(endpoint_url=url, patience=patience)
        try:
            yield
        finally:
            s3.configure()


def client(url: str) -> Any:
    """boto3's own client, for what a test does beside Millrace."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def new_bucket(url: str, *, versioned: bool = False) -> str:
    """The URI of a new, empty bucket."""
    name, speaker = f"bucket-{os.getpid()}-{next(_numbers)}", client(url)
    speaker.create_bucket(Bucket=name)
    if versioned:
        enabled = {"Status": "Enabled"}
        speaker.put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
    return f"s3://{name}"


class Moto:
    """moto's server in a process of its own; it believes any signature and any checksum."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lifeline.die_with_caller,
        )
        await_port(self.port, "moto")

    def kill(self) -> None:
        """End it without a goodbye; nothing that was stored is there after a new start."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
