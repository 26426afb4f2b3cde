"""The OpenAPI document holds for whatever is sent: generated requests, all checks on."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.main import create_app
from api.strict_json import StrictRoute
from millrace.settings import Settings
from tests.api.site import Site, serving

EXAMPLES = int(os.environ.get("MILLRACE_TEST_EXAMPLES", "25"))
"""For each operation."""

DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def generated(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all generated requests."""
    folder = tmp_path_factory.mktemp("generated")
    file = shutil.copy(migrated_sqlite, folder / "millrace.db")
    with serving(f"sqlite:///{file}", folder, files_root=str(folder / "files")) as site:
        site.client().post("/v1/jobs", json=site.order())
        yield site


@pytest.fixture(scope="module")
def key(generated: Site) -> str:
    return generated.key()


@pytest.fixture(scope="module")
def ids(generated: Site) -> Iterator[dict[str, str]]:
    """Ids that there are, every second time."""
    client = generated.client()
    job = client.post("/v1/jobs", json=generated.order()).json()["id"]
    form: Any = {"files": {"file": b"{}"}, "data": {"purpose": "batch"}}
    file = client.post("/v1/files", **form).json()["id"]
    order = {"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=order).json()["id"]
    return itertools.cycle([{"job_id": job, "file_id": file, "batch_id": batch}, {}])


@SCHEMA.exclude(path="/v1/events").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_document_holds(
    case: Case[Any], generated: Site, key: str, ids: Iterator[dict[str, str]]
) -> None:
    is_right = case.meta is None or case.meta.generation.mode.is_positive
    if is_right and case.path_parameters:
        there_are = next(ids)
        for name in case.path_parameters.keys() & there_are.keys():
            case.path_parameters[name] = there_are[name]
    case.call_and_validate(
        base_url=generated.base,
        headers={"Authorization": f"Bearer {key}"},
        # what has the right form may still name what is not there, or not theirs
        excluded_checks=[positive_data_acceptance],
    )


def test_the_document_is_served(generated: Site) -> None:
    assert generated.anybody().get("/openapi.json").json() == json.loads(json.dumps(DOCUMENT))


def test_every_route_reads_strictly(generated: Site) -> None:
    from api.main import ROUTES

    routes = [route for group in ROUTES for route in group.router.routes]
    assert len(routes) >= 16
    assert all(isinstance(route, StrictRoute) for route in routes)
