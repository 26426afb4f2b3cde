"""B4 to B23: what is no request gets a clear refusal, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httpx
import pytest

from tests.api.refusals import refused
from tests.api.site import Site

JSON = {"Content-Type": "application/json"}
DEEP = "[" * 33 + "]" * 33


def order(**changes: Any) -> str:
    return json.dumps({"model": "echo", "input": "/in", "output": "/out"} | changes)


BODIES: dict[str, tuple[str | bytes, int, str, str]] = {
    "nothing": ("", 422, "FIELD_MISSING", "body"),
    "no JSON": ("model=echo", 400, "JSON_INVALID", "line 1 column 1"),
    "trailing comma": ('{"model": "echo",\n "input": "/in",}', 400, "JSON_INVALID", "line 2 col"),
    "half": ('{"model": ', 400, "JSON_INVALID", "line 1"),
    "no UTF-8": (b'{"model": "\xff"}', 400, "JSON_INVALID", "byte 11"),
    "UTF-16": (order().encode("utf-16"), 400, "JSON_INVALID", "UTF-8"),
    "deep": (f'{{"options": {{"a": {DEEP}}}}}', 400, "JSON_TOO_DEEP", "32"),
    "very deep": ("[" * 100_000, 400, "JSON_TOO_DEEP", "32"),
    "huge integer": ('{"priority": 1' + "0" * 10_000 + "}", 400, "JSON_NUMBER", "10001 digits"),
    "huge float": ('{"priority": 1e400}', 400, "JSON_NUMBER", "1e400"),
    "twice": ('{"model": "a", "model": "b"}', 400, "JSON_DUPLICATE_KEY", "model"),
    "NaN": ('{"options": {"x": NaN}}', 400, "JSON_INVALID", "NaN"),
    "infinity": ('{"options": {"x": -Infinity}}', 400, "JSON_INVALID", "Infinity"),
    "NUL": (order(model="echo\0"), 422, "CONTROL_CHARACTER", "model"),
    "escape": (order(options={"a": ["x", "\x1b"]}), 422, "CONTROL_CHARACTER", "options.a.1"),
    "control in a name": (order(options={"\x07": 1}), 422, "CONTROL_CHARACTER", "options"),
    "half a character": ('{"model": "\\ud800"}', 422, "CONTROL_CHARACTER", "model"),
    "list": ("[]", 422, "FIELD_INVALID", "body"),
    "text": ('"echo"', 422, "FIELD_INVALID", "body"),
    "null": ("null", 422, "FIELD_INVALID", "body"),
    "unknown field": (order(chunk_row=5), 422, "UNKNOWN_FIELD", "chunk_row"),
    "missing field": ('{"model": "echo"}', 422, "FIELD_MISSING", "input"),
    "text for a number": (order(chunk_rows="ten"), 422, "FIELD_INVALID", "chunk_rows"),
    "digits for a number": (order(chunk_rows="10"), 422, "FIELD_INVALID", "chunk_rows"),
    "true for a number": (order(chunk_rows=True), 422, "FIELD_INVALID", "chunk_rows"),
    "part of a number": (order(chunk_rows=1.5), 422, "FIELD_INVALID", "chunk_rows"),
    "number for a text": (order(model=5), 422, "FIELD_INVALID", "model"),
    "null for a text": (order(model=None), 422, "FIELD_INVALID", "model"),
    "1 for true": (order(csv_multiline=1), 422, "FIELD_INVALID", "csv_multiline"),
    "no rows": (order(chunk_rows=0), 422, "FIELD_INVALID", "chunk_rows"),
    "fewer than no rows": (order(chunk_rows=-1), 422, "FIELD_INVALID", "greater than or equal"),
    "too many rows": (order(chunk_rows=10**9), 422, "FIELD_INVALID", "10000000"),
    "priority": (order(priority=10), 422, "FIELD_INVALID", "priority"),
    "deadline": (order(deadline="5x"), 422, "FIELD_INVALID", "45m"),
    "no deadline": (order(deadline="0s"), 422, "FIELD_INVALID", "45m"),
    "endless deadline": (order(deadline="9" * 400 + "s"), 422, "FIELD_INVALID", "deadline"),
    "digits of elsewhere": (order(deadline="１２s"), 422, "FIELD_INVALID", "45m"),
    "threshold": (order(error_threshold="150"), 422, "URI_NOT_ALLOWED", "tenant"),
    "threshold of words": (order(error_threshold="many"), 422, "FIELD_INVALID", "5%"),
    "threshold over 100": (
        order(error_threshold={"percent": 150}),
        422,
        "FIELD_INVALID",
        "error_threshold",
    ),
    "format": (order(output_format="xlsx"), 422, "FIELD_INVALID", "parquet"),
    "join": (order(join="outer"), 422, "FIELD_INVALID", "join"),
    "join without key": (order(join="key"), 422, "FIELD_INVALID", "key"),
    "pool": (order(pool="Big One"), 422, "FIELD_INVALID", "pool"),
    "columns": (order(input_columns="a,b"), 422, "FIELD_INVALID", "input_columns"),
    "a column twice": (order(input_columns=["a", "a"]), 422, "FIELD_INVALID", "once"),
    "no columns": (order(output_columns=[]), 422, "FIELD_INVALID", "output_columns"),
    "long name": (order(key="k" * 10_000), 422, "FIELD_INVALID", "256"),
    "long place": (order(input="/" + "x" * 10_000), 422, "FIELD_INVALID", "4096"),
    "no place": (order(input=""), 422, "URI_NOT_ALLOWED", "absolute"),
    "unknown engine": (order(model="telepathy:x"), 422, "URI_NOT_ALLOWED", "tenant"),
}


def test_a_body_that_cannot_be(client: httpx.Client, subtests: pytest.Subtests) -> None:
    for name, (body, status, code, said) in BODIES.items():
        with subtests.test(name):
            told = refused(client.post("/v1/jobs", content=body, headers=JSON), status, code)
            assert said in json.dumps(told, ensure_ascii=False)
    assert client.get("/v1/jobs").json() == {"data": [], "next": None}


def test_a_slip_of_the_pen_gets_a_suggestion(client: httpx.Client) -> None:
    told = refused(client.post("/v1/jobs", json={"modle": "echo"}), 422, "FIELD_MISSING")
    assert {each["field"] for each in told["errors"]} == {"model", "input", "output", "modle"}
    told = refused(
        client.post("/v1/jobs", content=order(chunk_row=1), headers=JSON), 422, "UNKNOWN_FIELD"
    )
    assert told["hint"] == "did you mean chunk_rows?"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "json"])
def test_a_body_that_says_it_is_something_else(client: httpx.Client, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = client.post("/v1/jobs", content=order(), headers=headers)
    assert "application/json" in refused(answer, 415, "MEDIA_TYPE")["hint"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large(client: httpx.Client, chunked: bool) -> None:
    large = order(options={"x": "y" * (1 << 20)}).encode()
    content = iter([large[:1000], large[1000:]]) if chunked else large
    answer = client.post("/v1/jobs", content=content, headers=JSON)
    assert "1,048,576" in refused(answer, 413, "BODY_TOO_LARGE")["detail"]


def test_a_length_that_is_a_lie(site: Site, client: httpx.Client) -> None:
    connection = http.client.HTTPConnection(site.base.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/jobs")
    connection.putheader("Authorization", client.headers["Authorization"])
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders(b"{")
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["code"]) == (413, "BODY_TOO_LARGE")
    connection.close()


@pytest.mark.parametrize("key", ["", "x" * 256, "k\x7f", "x" * 5_000])
def test_an_idempotency_key_that_cannot_be(client: httpx.Client, key: str) -> None:
    headers = [("Idempotency-Key", key), ("Content-Type", "application/json")]
    answer = client.post("/v1/jobs", content=order(), headers=headers)
    refused(answer, 400, "IDEMPOTENCY_KEY_INVALID")


QUERIES = [
    ("limit=-1", "FIELD_INVALID", "greater than or equal to 1"),
    ("limit=0", "FIELD_INVALID", "limit"),
    ("limit=1000000000", "FIELD_INVALID", "less than or equal to 100"),
    ("limit=ten", "FIELD_INVALID", "limit"),
    ("limit=１", "FIELD_INVALID", "limit"),
    ("after=nonsense", "CURSOR_INVALID", "cursor"),
    ("after=", "CURSOR_INVALID", "cursor"),
    ("after=%00", "CURSOR_INVALID", "cursor"),
    ("after=%F0%9F%98%80", "CURSOR_INVALID", "cursor"),
    ("sort=name", "UNKNOWN_FIELD", "sort"),
    ("stat=running", "UNKNOWN_FIELD", "did you mean state?"),
    ("state=flying", "FIELD_INVALID", "'running'"),
    ("limit=5&limit=6", "PARAMETER_TWICE", "limit"),
    ("model=a&model=b", "PARAMETER_TWICE", "2 times"),
]


def test_a_list_that_cannot_be(client: httpx.Client, subtests: pytest.Subtests) -> None:
    for query, code, said in QUERIES:
        with subtests.test(query):
            told = refused(client.get(f"/v1/jobs?{query}"), 422, code)
            assert said in json.dumps(told)


def test_a_filter_may_hold_anything(client: httpx.Client) -> None:
    for model in ("%00", "%", "' OR 1=1 --", "\u202e", "é"):
        answer = client.get("/v1/jobs", params={"model": model})
        assert answer.status_code in (200, 422), answer.text
    assert client.get("/v1/jobs?model=%00").status_code == 422


IDS = ["nonsense", "%00", "..", "%2e%2e", "%2e%2e%2fetc%2fpasswd", "é", "x" * 9_999, "a;b"]


def test_an_id_that_cannot_be(client: httpx.Client, subtests: pytest.Subtests) -> None:
    for path in (f"/v1/jobs/{each}{rest}" for each in IDS for rest in ("", "/results")):
        with subtests.test(path[:80]):
            answer = client.get(path)
            assert answer.status_code in (404, 422), answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"


def test_paths_and_methods_that_there_are_not(client: httpx.Client) -> None:
    for path in ("/", "/v1", "/v1/jobs/", "/v1//jobs", "//v1/jobs", "/docs", "/redoc", "/../etc"):
        refused(client.get(path), 404, "ROUTE_NOT_FOUND")
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        answer = client.request(method, "/v1/jobs")
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"]


def test_what_a_range_asks_for_is_ignored(client: httpx.Client) -> None:
    ranges = "bytes=" + ",".join(f"{n}-{n}" for n in range(1_000))
    assert client.get("/v1/jobs", headers={"Range": ranges}).status_code == 200
