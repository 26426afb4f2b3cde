"""A connection to Postgres on which nobody waits for ever.

What the server promises (`statement_timeout`) and what TCP notices does not help where something
between us and it goes on to acknowledge and passes nothing on. So we watch from our side, not how
long a statement takes, but for how long nothing at all was heard or could be said.
"""

from __future__ import annotations

from collections.abc import Generator
from math import inf
from time import monotonic
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.abc import RV, PQGen


class AttentiveConnection(Connection[Any]):
    """`OperationalError` after `silence` seconds without a sign; the connection is closed then."""

    silence: float = inf

    def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        """Every statement, commit and rollback waits here for its answer."""
        return super().wait(self._listening(gen), *args, **options)

    def _listening(self, gen: PQGen[RV]) -> Generator[Any, Any, RV]:
        try:
            wanted = next(gen)
            heard = monotonic()
            while True:
                # ten times a second at least, with what the socket is ready for, if anything
                ready = yield wanted
                now = monotonic()
                if ready:
                    heard = now
                elif now - heard > self.silence:
                    self.pgconn.finish()
                    raise OperationalError(f"no sign of the server in {self.silence:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as answered:
            answer: RV = answered.value
            return answer
