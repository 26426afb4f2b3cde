"""Logging for all services: one line per fact, values in ``key=value`` form, no row contents."""

from __future__ import annotations

import logging
import re

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(level: str = "INFO") -> None:
    """Send the records of this process to standard error, once."""
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    for noisy in ("kombu", "celery", "amqp", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def fields(**values: object) -> str:
    """``a=1 b=x`` with control characters escaped, so that a value cannot forge a record."""
    return " ".join(
        f"{name}={_CONTROL.sub(_escaped, str(value))}" for name, value in values.items()
    )


def _escaped(sign: re.Match[str]) -> str:
    return sign[0].encode("unicode_escape").decode()
