"""The OpenAPI document holds for whatever is sent: generated requests, all checks on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.main import create_app
from api.strict_json import StrictRoute
from millrace.settings import Settings
from tests.api.site import Site, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25
"""For each operation; scripts may ask for more."""

DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def generated(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all generated requests."""
    import shutil

    folder = tmp_path_factory.mktemp("generated")
    file = shutil.copy(migrated_sqlite, folder / "millrace.db")
    with serving(f"sqlite:///{file}", folder) as site:
        site.client().post("/v1/jobs", json=site.order())
        yield site


@SCHEMA.exclude(path="/v1/events").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_document_holds(case: Case[Any], generated: Site, key: str) -> None:
    asked = {"Authorization": f"Bearer {key}"}
    case.call_and_validate(base_url=generated.base, headers=asked, checks=CHECKS)


@pytest.fixture(scope="module")
def key(generated: Site) -> str:
    return generated.key()


def test_the_document_is_served(generated: Site) -> None:
    assert generated.anybody().get("/openapi.json").json() == json.loads(json.dumps(DOCUMENT))


def test_every_route_reads_strictly(generated: Site) -> None:
    from api.main import ROUTES

    routes = [route for group in ROUTES for route in group.router.routes]
    assert len(routes) >= 16
    assert all(isinstance(route, StrictRoute) for route in routes)
