"""Logging for all services: one line per record, on standard error, no row contents, no secrets.

Text for people, ``key=value`` behind each message; JSON lines for programs, the values as keys.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal, assert_never

LogFormat = Literal["auto", "text", "json"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# up to the last @ before a space, as a password may hold quotes and an @ of its own
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):\S+@")
_QUERY_PASSWORD = re.compile(r"(?i)\b((?:ssl)?password=)[^\s&]+")
_CHATTY = ("kombu", "celery", "amqp", "alembic", "boto3", "botocore", "urllib3", "s3transfer")


class Fields(str):
    """``a=1 b=x``, and the values themselves for those who read JSON."""

    __slots__ = ("values",)

    values: dict[str, object]


def configure_logging(level: str = "info", log_format: LogFormat = "auto") -> None:
    """Send the records of this process to standard error, once."""
    outlet = logging.StreamHandler()
    outlet.setFormatter(_formatter(log_format))
    logging.basicConfig(level=level.upper(), handlers=[outlet], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def fields(**values: object) -> Fields:
    """``a=1 b=x`` with control characters escaped, so that a value cannot forge a record."""
    text = Fields(" ".join(f"{name}={one_line(str(value))}" for name, value in values.items()))
    text.values = values
    return text


def one_line(text: str) -> str:
    """The same text with control characters escaped."""
    return _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def redact(text: str) -> str:
    """The same text with ``***`` for each password of a URL."""
    return _QUERY_PASSWORD.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact(one_line(super().format(record)))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = record.args if isinstance(record.args, tuple) else ()
        structured = next((each.values for each in told if isinstance(each, Fields)), {})
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in structured.items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False, default=str))


def _formatter(log_format: LogFormat) -> logging.Formatter:
    match log_format:
        case "auto":
            return _Text() if sys.stderr.isatty() else _JsonLines()
        case "text":
            return _Text()
        case "json":
            return _JsonLines()
        case _:
            assert_never(log_format)
