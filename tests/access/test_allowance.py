"""B37 to B41: what somebody may name who is not trusted with all storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.errors import MillraceError
from millrace.storage.allowance import Allowance, root_uri
from millrace.storage.local import LocalStorage

NOT_ALLOWED, BUCKET = "URI_NOT_ALLOWED", "BUCKET_NOT_ALLOWED"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "rows.jsonl").write_text("{}\n")
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (tmp_path / "in-other").mkdir()
    (tmp_path / "in" / "out.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (tmp_path / "in" / "away").symlink_to(tmp_path / "in-other")
    (tmp_path / "in" / "near.jsonl").symlink_to(tmp_path / "in" / "rows.jsonl")
    return tmp_path / "in"


@pytest.fixture
def allowance(root: Path) -> Allowance:
    return Allowance((root_uri(str(root)), root_uri("s3://bucket/acme/")))


@pytest.mark.parametrize(
    "below", ["", "/rows.jsonl", "/deep", "/deep/new/folder", "/*.jsonl", "/**/x", "/near.jsonl"]
)
def test_what_lies_below_a_root(allowance: Allowance, root: Path, below: str) -> None:
    assert allowance.checked(f"{root}{below}") == f"file://{root}{below}".replace("*", "%2A")
    assert allowance.checked(f"file://{root}{below}")


@pytest.mark.parametrize(
    "typed",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "rows.jsonl",
        "~/rows.jsonl",
        "{root}/../secret.jsonl",
        "{root}/deep/../rows.jsonl",
        "{root}/./rows.jsonl",
        "file://{root}/%2e%2e/secret.jsonl",
        "file://{root}/%252e%252e/secret.jsonl",
        "{root}/..\\secret.jsonl",
        "{root}/out.jsonl",
        "{root}/away/x.jsonl",
        "{root}/away/*.jsonl",
        "{root}-other/x.jsonl",
        "/",
        "file://host/etc/passwd",
        "{root}/x\0y",
        "/*/../etc/passwd",
        "/*",
    ],
)
def test_what_leads_out(allowance: Allowance, root: Path, typed: str) -> None:
    with pytest.raises(MillraceError) as refusal:
        allowance.checked(typed.format(root=root))
    assert refusal.value.code == NOT_ALLOWED


@pytest.mark.parametrize("key", ["", "/rows.jsonl", "/a/*.jsonl", "/a..b/c"])
def test_keys_below_a_prefix(allowance: Allowance, key: str) -> None:
    assert allowance.checked(f"s3://bucket/acme{key}") == f"s3://bucket/acme{key}"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("s3://bucket/acme/../other/x", NOT_ALLOWED),
        ("s3://bucket/acme/%2e%2e/other/x", NOT_ALLOWED),
        ("s3://bucket/acme/%252e%252e/other/x", NOT_ALLOWED),
        ("s3://bucket/acme\\..\\other", NOT_ALLOWED),
        ("s3://bucket/acme2/x", NOT_ALLOWED),
        ("s3://bucket/ACME/x", NOT_ALLOWED),
        ("s3://bucket/*/x", NOT_ALLOWED),
        ("s3://bucket//acme/x", NOT_ALLOWED),
        ("s3://bucket", NOT_ALLOWED),
        ("s3://other/acme/x", BUCKET),
        ("s3://", "URI_NO_BUCKET"),
        ("S3://bucket/acme/x", "URI_SCHEME"),
        ("http://169.254.169.254/latest", "URI_SCHEME"),
        ("gopher://x/y", "URI_SCHEME"),
        ("jar:file:///x!/y", "URI_SCHEME"),
        ("hdfs://x/y", "URI_SCHEME"),
        ("s3://me:secret@bucket/acme/x", "URI_HOLDS_CREDENTIALS"),
        ("s3://bucket/acme/x?X-Amz-Signature=secret", "URI_HOLDS_CREDENTIALS"),
    ],
)
def test_keys_elsewhere(allowance: Allowance, typed: str, code: str) -> None:
    with pytest.raises(MillraceError) as refusal:
        allowance.checked(typed)
    assert refusal.value.code == code
    assert "secret" not in str(refusal.value)


def test_a_link_inside_a_folder_may_not_lead_out(allowance: Allowance, root: Path) -> None:
    (root / "away").unlink()
    found = LocalStorage().list(f"file://{root}")
    with pytest.raises(MillraceError, match=r"out\.jsonl") as refusal:
        allowance.refuse_links(found)
    assert refusal.value.code == NOT_ALLOWED
    (root / "out.jsonl").unlink()
    allowance.refuse_links(LocalStorage().list(f"file://{root}"))


def test_nothing_is_allowed_without_roots(root: Path) -> None:
    for typed in (str(root), "s3://bucket/x"):
        with pytest.raises(MillraceError, match="no storage is allowed"):
            Allowance(()).checked(typed)


@pytest.mark.parametrize("typed", ["/data/*", "s3://b/[x]", "s3://b/a?"])
def test_a_root_is_no_pattern(typed: str) -> None:
    with pytest.raises(MillraceError):
        root_uri(typed)
