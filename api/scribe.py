"""Who writes the files of batches that have ended: one thread beside those of the requests.

A batch is looked after when somebody asks for it. Nothing is lost if the process ends meanwhile:
the next one who asks has it begun again.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.front.openai.settling import settle
from millrace.settings import Settings
from millrace.telemetry import fields

log = logging.getLogger(__name__)


class Scribe:
    """Takes each batch in hand once at a time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scribe")
        self._in_hand: set[str] = set()
        self._lock = Lock()

    def settle(self, batch_id: str) -> None:
        """Have the batch end, soon."""
        with self._lock:
            if batch_id in self._in_hand:
                return
            self._in_hand.add(batch_id)
        self._pool.submit(self._settle, batch_id)

    def close(self) -> None:
        """End with the batch that is being written; those that wait are for the next process."""
        self._pool.shutdown(cancel_futures=True)

    def _settle(self, batch_id: str) -> None:
        try:
            settle(self._database, self._settings, batch_id)
        except Unavailable as error:
            log.warning("batch not settled yet %s", fields(batch=batch_id, reason=error))
        except Exception:
            log.exception("batch not settled %s", fields(batch=batch_id))
        finally:
            with self._lock:
                self._in_hand.discard(batch_id)
