"""Fixtures: a bucket behind a proxy that can be told to misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from millrace.storage.s3_endpoint import Patience
from tests.servers.s3 import STUBBORN, Moto, connected, new_bucket
from tests.servers.s3_faults import S3Faults


@pytest.fixture
def faults(moto: Moto) -> Iterator[S3Faults]:
    """A proxy before the server, that this process is connected to; it tries again at once."""
    with S3Faults(moto.url) as proxy, connected(proxy.url, STUBBORN):
        yield proxy


@pytest.fixture
def impatient(moto: Moto) -> Iterator[Callable[[Patience], S3Faults]]:
    """Proxies to connect to with another patience than usual."""
    with ExitStack() as stack:

        def connect(patience: Patience) -> S3Faults:
            proxy = stack.enter_context(S3Faults(moto.url))
            stack.enter_context(connected(proxy.url, patience))
            return proxy

        yield connect


@pytest.fixture
def folder(moto: Moto) -> str:
    """The URI of a folder in an empty bucket."""
    return f"{new_bucket(moto.url)}/folder"
