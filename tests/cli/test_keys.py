"""Keys and tenants from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands import Millrace


def test_a_key_is_made_listed_and_revoked(millrace: Millrace) -> None:
    made = millrace("keys", "create", "--name", "ana", "--tenant", "acme", "--json")
    key = json.loads(made.stdout)
    assert key["key"].startswith(f"mr_{key['id']}_")
    (listed,) = json.loads(millrace("keys", "list", "--json").stdout)["data"]
    assert (listed["id"], listed["tenant"], listed["active"]) == (key["id"], "acme", True)
    assert listed["scopes"] == ["jobs:read", "jobs:write", "models:read"]
    assert key["key"].split("_")[2] not in millrace("keys", "list").stdout
    assert millrace("keys", "revoke", key["id"]).returncode == 0
    (listed,) = json.loads(millrace("keys", "list", "--json").stdout)["data"]
    assert listed["active"] is False
    unknown = millrace("keys", "revoke", "nobody")
    assert (unknown.returncode, "KEY_NOT_FOUND" in unknown.stderr) == (4, True)


def test_keys_that_cannot_be(millrace: Millrace) -> None:
    for option, value, code, said in (
        ("--scope", "jobs:eat", 3, "jobs:write"),
        ("--tenant", "../x", 3, "TENANT_INVALID"),
        ("--expires", "soon", 2, "30d"),
    ):
        refused = millrace("keys", "create", "--name", "x", option, value)
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr


def test_a_tenant_is_allowed_storage(millrace: Millrace, tmp_path: Path) -> None:
    allowed = millrace("tenants", "allow", "acme", "--root", "data", "--root", "s3://bucket/acme/")
    assert allowed.returncode == 0, allowed.stderr
    (listed,) = json.loads(millrace("tenants", "list", "--json").stdout)["data"]
    assert listed["roots"] == [f"file://{tmp_path}/data", "s3://bucket/acme"]
    assert "s3://bucket/acme" in millrace("tenants", "list").stdout
    pattern = millrace("tenants", "allow", "acme", "--root", "s3://bucket/*")
    assert (pattern.returncode, "ROOT_INVALID" in pattern.stderr) == (3, True)
