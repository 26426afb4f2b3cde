"""What a worker works with: one of each, for as long as it lives."""

from __future__ import annotations

from dataclasses import dataclass

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.settings import Settings
from workers.child import ComputeChild
from workers.drain import Drain
from workers.pace import Pace
from workers.recovery import Recovery


@dataclass(frozen=True, slots=True)
class Bench:
    """The tools of one worker, handed from batch to batch."""

    database: Database
    child: ComputeChild
    settings: Settings
    clock: Clock
    drain: Drain
    pace: Pace
    recovery: Recovery
