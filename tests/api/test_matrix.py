"""Who may do what: every operation of the document stands here, with the scope that it needs."""

from __future__ import annotations

import pytest

from api.main import create_app
from millrace.access.scopes import Scope
from millrace.settings import Settings
from tests.api.site import Site

ANYBODY, ANY_KEY = "anybody", "any key"
READ, WRITE = Scope.JOBS_READ, Scope.JOBS_WRITE
HEARS, SETS_UP = Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE

MATRIX: dict[tuple[str, str], str] = {
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): Scope.METRICS_READ,
    ("GET", "/v1/me"): ANY_KEY,
    ("GET", "/v1/workers"): Scope.WORKERS_READ,
    ("GET", "/v1/webhooks"): HEARS,
    ("POST", "/v1/webhooks"): SETS_UP,
    ("GET", "/v1/webhooks/{webhook_id}"): HEARS,
    ("DELETE", "/v1/webhooks/{webhook_id}"): SETS_UP,
    ("POST", "/v1/webhooks/{webhook_id}/rotate"): SETS_UP,
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): HEARS,
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): SETS_UP,
    ("GET", "/v1/events"): READ,
    ("GET", "/v1/files"): READ,
    ("POST", "/v1/files"): WRITE,
    ("GET", "/v1/files/{file_id}"): READ,
    ("DELETE", "/v1/files/{file_id}"): WRITE,
    ("GET", "/v1/files/{file_id}/content"): READ,
    ("GET", "/v1/batches"): READ,
    ("POST", "/v1/batches"): WRITE,
    ("GET", "/v1/batches/{batch_id}"): READ,
    ("POST", "/v1/batches/{batch_id}/cancel"): WRITE,
    ("GET", "/v1/jobs"): READ,
    ("POST", "/v1/jobs"): WRITE,
    ("GET", "/v1/jobs/{job_id}"): READ,
    ("GET", "/v1/jobs/{job_id}/events"): READ,
    ("GET", "/v1/jobs/{job_id}/results"): READ,
    ("GET", "/v1/jobs/{job_id}/errors"): READ,
    ("GET", "/v1/jobs/{job_id}/manifest"): READ,
    ("POST", "/v1/jobs/{job_id}/pause"): WRITE,
    ("POST", "/v1/jobs/{job_id}/resume"): WRITE,
    ("POST", "/v1/jobs/{job_id}/cancel"): WRITE,
    ("POST", "/v1/jobs/{job_id}/retry"): WRITE,
}


def test_every_operation_is_in_the_matrix() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    there_are = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert there_are == MATRIX.keys()


def test_the_document_names_the_scopes() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    for (method, path), needs in MATRIX.items():
        security = paths[path][method.lower()].get("security", [])
        expected: list[dict[str, list[str]]] = [{"key": [] if needs == ANY_KEY else [needs]}]
        if needs == ANYBODY:
            expected = []
        assert security == expected, (method, path)


def outcome(site: Site, method: str, path: str, scope: str | None) -> int:
    """The status for somebody with a key of one scope, or without any."""
    client = site.client("acme", scope) if scope else site.anybody()
    ids = {"job_id": "0" * 32, "file_id": "file-0", "batch_id": "batch_0"}
    target = path.format(**ids, webhook_id="wh_0", delivery_id="msg_0")
    if path == "/v1/events":
        target += f"?job={'0' * 32}"
    return client.request(method, target).status_code


@pytest.mark.parametrize("scope", [None, *Scope])
def test_each_role_at_each_operation(site: Site, scope: Scope | None) -> None:
    for (method, path), needs in MATRIX.items():
        status = outcome(site, method, path, scope)
        if needs == ANYBODY:
            assert status == 200, (method, path)
        elif scope is None:
            assert status == 401, (method, path)
        elif needs in (ANY_KEY, scope) or scope is Scope.ADMIN:
            assert status in (200, 400, 404, 415, 422), (method, path, status)
        else:
            assert status == 403, (method, path)
