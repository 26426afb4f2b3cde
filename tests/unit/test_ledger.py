"""What the scheduler remembers from tick to tick: who waits, how fast it goes, who had how much."""

from __future__ import annotations

from collections import Counter
from typing import Any

from millrace.lifecycle.queries import Backlog
from millrace.types import ChunkKind, JobId
from scheduler.ledger import Ledger

NOW = 1_000.0


def entry(name: str, **changes: Any) -> Backlog:
    asked: dict[str, Any] = {
        "tenant": "t",
        "priority": 5,
        "created_at": NOW,
        "expires_at": None,
        "model_sha256": None,
        "kind": ChunkKind.INFER,
        "pending_weight": 1_000,
        "leased_weight": 0,
        "chunks_open": 100,
    }
    return Backlog(job_id=JobId(name), **asked | changes)


def first(ledger: Ledger) -> str:
    """The job that would be given the next chunk."""
    return ledger.shares({}, 1)[0].job_id


def test_a_job_that_nobody_works_on_rises_step_by_step() -> None:
    ledger, rung = Ledger({}, ageing=600.0), Counter[JobId]()
    busy, waiting = entry("busy", priority=6, leased_weight=10), entry("waiting")
    ledger.read(NOW, [busy, waiting], rung)
    assert first(ledger) == "busy"
    ledger.read(NOW + 1_201, [busy, waiting], rung)
    assert first(ledger) == "waiting"


def test_a_job_that_chunks_were_begun_of_has_not_waited() -> None:
    ledger = Ledger({}, ageing=600.0)
    other, moving = entry("other", priority=6, leased_weight=10), entry("moving")
    ledger.read(NOW, [other, moving], Counter({JobId("moving"): 2}))
    ledger.read(NOW + 1_201, [other, moving], Counter({JobId("moving"): 1}))
    assert first(ledger) == "other"


def test_a_job_that_would_come_too_late_jumps_ahead() -> None:
    """At 10 a second there is time enough; then somebody else is given all workers."""
    ledger, rung = Ledger({}, ageing=600.0), Counter[JobId]()
    for second in range(100):
        left = 900 - 10 * min(second, 30)
        dated = entry("dated", pending_weight=left, expires_at=NOW + 240)
        ledger.read(NOW + second, [entry("high", priority=9, leased_weight=1), dated], rung)
        assert second > 30 or first(ledger) == "high"
    assert first(ledger) == "dated"


def test_a_deadline_that_is_far_away_is_no_reason_to_jump_ahead() -> None:
    ledger, rung = Ledger({}, ageing=600.0), Counter[JobId]()
    for second in range(120):
        dated = entry("dated", pending_weight=2_200 - 10 * second, expires_at=NOW + 2_000)
        ledger.read(NOW + second, [entry("high", priority=9, leased_weight=1), dated], rung)
    assert first(ledger) == "high"


def test_without_a_pace_of_its_own_a_job_may_hope_for_that_of_the_pool() -> None:
    ledger, rung = Ledger({}, ageing=600.0), Counter[JobId]()
    for second in range(60):
        high = entry("high", priority=9, pending_weight=10_000 - 10 * second, leased_weight=1)
        ledger.read(NOW + second, [high, entry("dated", expires_at=NOW + 60 + 130)], rung)
    assert first(ledger) == "high"
    ledger.read(NOW + 70, [high, entry("dated", expires_at=NOW + 60 + 130)], rung)
    assert first(ledger) == "dated"


def test_what_vanished_from_the_window_was_begun_and_is_paid_for() -> None:
    ledger = Ledger({}, ageing=600.0)
    both = [entry("a", tenant="a"), entry("b", tenant="b")]
    ledger.read(NOW, both, Counter())
    ledger.rang(Counter({JobId("a"): 3}))
    ledger.read(NOW + 1, both, Counter())
    found = Counter[str]()
    for share in ledger.shares({}, 9):
        found[share.job_id] += share.chunks
    assert found == {"a": 3, "b": 6}
    assert ledger.begun.per_second > 1.0
