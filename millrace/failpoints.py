"""Named places where a test may make this process fail; next to nothing while none is armed.

``MILLRACE_FAILPOINTS="w.after_put=kill@2;r.rung=sleep:3;s.put=raise:SLOW%30;seed=7"`` arms them for
a whole process: an action, then ``@N`` for the N-th pass only or ``%P`` for P of a hundred passes,
drawn by the seed. Actions: ``kill`` and ``stop`` (SIGKILL and SIGSTOP to this process), ``exit``,
``sleep:SECONDS``, ``raise:CODE`` (`Unavailable`), ``enospc``.
"""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from millrace.errors import Unavailable, UsageError

VARIABLE = "MILLRACE_FAILPOINTS"

FAILPOINTS: dict[str, str] = {
    "w.received": "a worker was rung for",
    "w.before_claim": "about to claim what it has found",
    "w.after_claim": "leases in hand, nothing done yet",
    "w.hb": "about to renew its leases",
    "w.before_read": "the compute process is about to open the input",
    "w.mid_compute": "a batch of rows is announced and about to be computed",
    "w.before_put": "all rows computed, no part stored",
    "w.mid_put": "the results are stored, the error records are not",
    "w.after_put": "all parts stored, the worker not told",
    "w.before_commit": "the worker was told of the parts, nothing recorded",
    "w.in_commit": "recorded in a transaction that is still open",
    "w.after_commit": "the results are recorded",
    "w.done": "a batch of chunks has come to its end",
    "api.after_commit": "a job is taken in, nobody has been told",
    "p.before_plan": "a job waits to be planned",
    "p.surveyed": "the inputs are known, nothing is recorded",
    "p.in_plan": "chunks are recorded in a transaction that is still open",
    "p.planned": "the plan is recorded",
    "r.before_reap": "about to take back leases that have run out",
    "r.reaped": "leases that have run out are taken back",
    "r.marked": "chunks are marked as rung, no message is sent",
    "r.rung": "messages are sent",
    "r.before_freeze": "all chunks have come to their end, the job is about to be frozen",
    "r.frozen": "a job was frozen, failed or expired",
    "r.offered": "slow chunks are offered, no message is sent",
    "r.delivered": "a webhook has answered, nothing is recorded",
    "r.elected": "this scheduler leads",
    "f.built": "the manifest is built, nothing is published",
    "f.put": "the manifest is in its place, the job does not know",
    "f.swept": "leftovers are deleted, the job does not know of its end",
    "f.published": "the job has ended",
    "s.before_put": "a spooled file is about to get its final name",
    "s.after_put": "a file has its final name, the caller does not know",
    "s.before_settle": "files have their final names and are not synced",
    "s.before_put_once": "a manifest is about to be created",
    "s.after_put_once": "a manifest was created, the caller does not know",
}
"""Every name there is, and what holds where it stands."""

_ARM = re.compile(r"(?P<action>[a-z]+)(:(?P<argument>[^@%]+))?(@(?P<nth>\d+)|%(?P<percent>\d+))?")

Action = Callable[[], None]
_armed: dict[str, Action] = {}


def failpoint(name: str) -> None:
    """Do what was armed for this place, if anything."""
    if _armed and (action := _armed.get(name)) is not None:
        action()


def arm(text: str) -> None:
    """Arm what a ``MILLRACE_FAILPOINTS`` says, in place of what was armed before.

    Raises `UsageError` for a name that there is not, or an action that cannot be read.
    """
    entries = [entry.strip() for entry in text.split(";") if entry.strip()]
    pairs = dict(entry.partition("=")[::2] for entry in entries)
    seed = pairs.pop("seed", "0")
    _armed.clear()
    _armed.update(
        {name: _read(name, told, random.Random(f"{seed} {name}")) for name, told in pairs.items()}
    )


@contextmanager
def armed(*names: str, action: Callable[[str], None]) -> Iterator[None]:
    """Call `action` with the name wherever one of these places is passed, for the length of a
    block.
    """
    before = dict(_armed)
    _armed.update({name: _bound(action, name) for name in names})
    try:
        yield
    finally:
        _armed.clear()
        _armed.update(before)


def _bound(action: Callable[[str], None], name: str) -> Action:
    return lambda: action(name)


def _read(name: str, told: str, dice: random.Random) -> Action:
    found = _ARM.fullmatch(told)
    try:
        if name not in FAILPOINTS or found is None:
            raise ValueError(name)
        action = _ACTIONS[found["action"]](found["argument"] or "")
    except (KeyError, ValueError):
        raise UsageError(
            "FAILPOINT_INVALID",
            f"{VARIABLE} cannot be used: {name}={told}",
            f"places are {', '.join(FAILPOINTS)}; actions {', '.join(_ACTIONS)}, "
            "with @N for the N-th pass or %P for P of a hundred",
        ) from None
    nth, percent = int(found["nth"] or 0), int(found["percent"] or 100)
    passes = 0

    def act() -> None:
        nonlocal passes
        passes += 1
        if (passes == nth) if nth else (dice.random() * 100 < percent):
            action()

    return act


def _signal(number: signal.Signals) -> Action:
    return lambda: os.kill(os.getpid(), number)


def _sleep(seconds: float) -> Action:
    return lambda: time.sleep(seconds)


def _exit(status: int) -> Action:
    return lambda: os._exit(status)


def _raise(error: Exception) -> Action:
    def act() -> None:
        raise error

    return act


_ACTIONS: dict[str, Callable[[str], Action]] = {
    "kill": lambda _: _signal(signal.SIGKILL),
    "stop": lambda _: _signal(signal.SIGSTOP),
    "exit": lambda status: _exit(int(status or 1)),
    "sleep": lambda seconds: _sleep(float(seconds or 1)),
    "raise": lambda code: _raise(Unavailable(code or "AWAY", "a failpoint wants it to be away")),
    "enospc": lambda _: _raise(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
}

# read here and not where it is used: the compute process forgets its variables when it starts
try:
    arm(os.environ.get(VARIABLE, ""))
except UsageError as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(UsageError.exit_code)
