from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.site import Site, serving


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> httpx.Client:
    """A user of the tenant acme with every scope but admin."""
    return site.client("acme")
