"""What every refusal has in common."""

from __future__ import annotations

import re
from typing import Any

import httpx

_INNER_LIFE = re.compile(r"Traceback|sqlalchemy|psycopg|sqlite3|site-packages|File \"")


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem details; they are whole, and tell nothing of what is inside."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["request_id"] == answer.headers["X-Request-Id"]
    assert told["detail"]
    assert told["title"]
    assert told["type"].startswith("urn:millrace:problem:")
    assert not _INNER_LIFE.search(answer.text)
    return told
