"""One leads, until it resigns or falls silent; every change of holder is a new term."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from millrace.db.session import Database
from millrace.lifecycle import leadership
from tests.lifecycle.stage import NOW

NAME = "scheduler"
THREADS = 4


def campaign(database: Database, holder: str, now: float) -> int | None:
    with database.write() as conn:
        return leadership.campaign(conn, NAME, holder, 15.0, now=now)


def test_one_leads_until_it_falls_silent(database: Database) -> None:
    assert campaign(database, "a", NOW) == 1
    assert campaign(database, "b", NOW) is None
    assert campaign(database, "a", NOW + 10) == 1
    assert campaign(database, "b", NOW + 20) is None
    assert campaign(database, "b", NOW + 26) == 2
    assert campaign(database, "a", NOW + 27) is None
    assert campaign(database, "a", NOW + 50) == 3


def test_who_comes_back_to_an_empty_seat_keeps_the_term(database: Database) -> None:
    assert campaign(database, "a", NOW) == 1
    assert campaign(database, "a", NOW + 99) == 1


def test_who_resigns_lets_the_next_one_lead_at_once(database: Database) -> None:
    campaign(database, "a", NOW)
    with database.write() as conn:
        assert not leadership.resign(conn, NAME, "b")
    assert campaign(database, "b", NOW) is None
    with database.write() as conn:
        assert leadership.resign(conn, NAME, "a")
    assert campaign(database, "b", NOW) == 2


def test_other_tasks_have_other_leaders(database: Database) -> None:
    assert campaign(database, "a", NOW) == 1
    with database.write() as conn:
        assert leadership.campaign(conn, "sweeper", "b", 15.0, now=NOW) == 1


def test_by_the_clock_of_the_database(database: Database) -> None:
    with database.write() as conn:
        assert leadership.campaign(conn, NAME, "a", -1.0) == 1
        assert leadership.campaign(conn, NAME, "b", 60.0) == 2
        assert leadership.campaign(conn, NAME, "a", 60.0) is None


def test_of_many_at_once_one_leads(database: Database) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for turn in range(20):
            names = [f"{turn}-{number}" for number in range(THREADS)]
            at = NOW + 100 * turn
            terms = list(pool.map(lambda name, at=at: campaign(database, name, at), names))
            assert [term for term in terms if term] == [turn + 1]
