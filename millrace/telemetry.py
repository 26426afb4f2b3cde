"""Logging for all services: one line per fact, values in ``key=value`` form, no row contents."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure_logging(level: str = "INFO") -> None:
    """Send the records of this process to standard error, once."""
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    for noisy in ("kombu", "celery", "amqp", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def fields(**values: object) -> str:
    """``a=1 b=x`` with line breaks escaped, so that a value cannot forge a record."""
    return " ".join(
        f"{name}={str(value).encode('unicode_escape').decode()}" for name, value in values.items()
    )
