"""Real code as a coroutine: a thread that runs only while the test stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from millrace import failpoints

IN_TRANSACTION = frozenset({"w.in_commit", "p.in_plan"})
"""Places where others would wait for a lock: an actor may die there, but not rest."""

_current = threading.local()


class Died(BaseException):
    """What ends an actor where it stands, as SIGKILL ends a process."""


class Actor:
    """Runs `work` from one failpoint to the next at each `step`.

    Whatever `work` raises, other than `Died`, is raised by the step in which it happened.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.at = "start"
        self.over = False
        self.result: object = None
        self._dying = self._doomed = False
        self._work = work
        self._error: BaseException | None = None
        self._thrown: Exception | None = None
        self._go = threading.Semaphore(0)
        self._rest = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Go on to the next failpoint, or to the end."""
        self._go.release()
        self._rest.acquire()
        if self._error is not None:
            raise self._error

    def die(self) -> None:
        """Die where it stands."""
        self._dying = True
        self.finish()

    def die_inside(self) -> None:
        """Go on, and die in the next transaction that holds such a place, if any."""
        self._doomed = True

    def fail(self, error: Exception) -> None:
        """Go on with `error`, as if what stands at this place had failed."""
        self._thrown = error
        self.step()

    def finish(self) -> None:
        """Go on to the end."""
        while not self.over:
            self.step()

    def _run(self) -> None:
        self._go.acquire()
        _current.actor = self
        try:
            self._live()
        except Died:
            pass
        except BaseException as error:
            self._error = error
        self.over = True
        self._rest.release()

    def _live(self) -> None:
        if not self._dying:
            self.result = self._work()

    def pause(self, place: str) -> None:
        """Stand still here until the next step; called by the actor's own thread."""
        if place in IN_TRANSACTION:
            self._dying = self._dying or self._doomed
        elif not self._dying:
            self.at = place
            self._rest.release()
            self._go.acquire()
        if self._dying:
            raise Died
        if self._thrown is not None:
            thrown, self._thrown = self._thrown, None
            raise thrown


def pause(place: str) -> None:
    """Let the actor whose thread this is stand still; nothing for any other thread."""
    actor: Actor | None = getattr(_current, "actor", None)
    if actor is not None:
        actor.pause(place)


def acting() -> bool:
    """Whether this thread is an actor's."""
    return getattr(_current, "actor", None) is not None


def armed() -> AbstractContextManager[None]:
    """Let all actors stand still at every failpoint."""
    return failpoints.armed(*failpoints.FAILPOINTS, action=pause)
