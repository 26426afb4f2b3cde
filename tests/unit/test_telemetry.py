"""What stands in one line of a log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from millrace.telemetry import configure_logging, fields, redact

log = logging.getLogger("millrace.test")


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    outlets, level = root.handlers[:], root.level
    yield
    root.handlers[:] = outlets
    root.setLevel(level)


def test_text_of_any_language_is_left_as_it_is() -> None:
    assert fields(file="größer/日本.jsonl", rows=3) == "file=größer/日本.jsonl rows=3"


@pytest.mark.parametrize("sign", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_no_value_can_end_a_line_or_steer_a_terminal(sign: str) -> None:
    line = fields(reason=f"a{sign}b")
    assert sign not in line
    assert line.isprintable()
    assert line.splitlines() == [line]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_is_one_line_whatever_it_holds(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging("info", "text" if log_format == "text" else "json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed\r\nat %s", "x\ny")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_json_lines_carry_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "auto")
    log.info("started %s", fields(pool="gpu", processes=2))
    log.debug("unheard")
    line = json.loads(capsys.readouterr().err)
    assert (line["pool"], line["processes"], line["level"]) == ("gpu", 2, "info")
    assert line["message"] == "started pool=gpu processes=2"
    assert line["at"].endswith("+00:00")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_is_logged(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging("info", "text" if log_format == "text" else "json")
    log.info("cannot reach %s", "redis://:s3cret@host:6379/0")
    log.info("started %s", fields(database="postgresql+psycopg://me:s3cret@host/db"))
    said = capsys.readouterr().err
    assert "s3cret" not in said
    assert "me:***@host" in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://a:b:c@h//", "amqp://a:***@h//"),
        ("redis://host:6379/0 and user@host", "redis://host:6379/0 and user@host"),
        ("postgresql:///db?host=h&password=x y", "postgresql:///db?host=h&password=*** y"),
        ("s3://bucket/key:with@signs", "s3://bucket/key:with@signs"),
    ],
)
def test_only_the_password_of_a_url_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
