"""Events as they happen, each once, although overlapping transactions show them out of order."""

from __future__ import annotations

from millrace.front.tenant_view import TenantView
from millrace.lifecycle.events import Event
from millrace.lifecycle.transitions import JOB_TERMINAL

_PAGE = 1_000
_SETTLED_SECONDS = 10.0
_MOST_REMEMBERED = 5_000


class EventFeed:
    """What is new to one reader; `fresh` may be asked for ever.

    An id is drawn before its transaction ends, so an event can show up after one with a greater id.
    Therefore the last ten seconds are read again each time, and what was told is remembered.
    """

    def __init__(
        self, view: TenantView, after: int, job_id: str | None = None, *, chunks: bool = True
    ) -> None:
        self._view = view
        self._job_id = job_id
        self._chunks = chunks
        self._floor = after
        self._told: dict[int, float] = {}
        self.is_over = False
        """The one job that it is about has come to its end."""

    def fresh(self) -> list[Event]:
        """The events that were not told yet, a page at most."""
        page = self._view.events(
            after=self._floor,
            limit=_PAGE + len(self._told),
            job_id=self._job_id,
            chunks=self._chunks,
        )
        new = [event for event in page if event.id not in self._told]
        self._told |= {event.id: event.at for event in new}
        self._settle()
        moves = [event for event in new if event.idx is None]
        # behind an end that is past there may be a retry
        ended = bool(moves) and moves[-1].to_state in JOB_TERMINAL
        self.is_over = self._job_id is not None and ended
        return new

    @property
    def remembered(self) -> int:
        """How many events are still kept in mind."""
        return len(self._told)

    def _settle(self) -> None:
        """Forget what no transaction can come before any more."""
        newest = max(self._told.values(), default=0.0)
        for each in sorted(self._told):
            is_old = newest - self._told[each] > _SETTLED_SECONDS
            if not is_old and len(self._told) <= _MOST_REMEMBERED:
                return
            self._floor = each
            del self._told[each]
