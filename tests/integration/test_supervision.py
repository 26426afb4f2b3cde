"""Keeping workers alive without starting a hopeless one again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.cli.crew import Crew
from millrace.cli.supervision import _replace_the_dead
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.types import WorkerId
from tests.waiting import until


def started(log: Path) -> int:
    """How many workers have refused their settings."""
    return log.read_text().count("no such setting") if log.exists() else 0


def test_workers_that_die_at_once_are_started_a_few_at_a_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state=tmp_path)
    monkeypatch.setenv("MILLRACE_NO_SUCH_SETTING", "kills a worker at its start")
    log = tmp_path / "log"
    with Crew(1, settings, database, output=log) as crew:

        def three_have_died() -> bool:
            _replace_the_dead(crew, most_deaths=2)
            return crew.recent_deaths() == 3

        until(three_have_died, "the third one dies")
        before = started(log)
        for _ in range(50):
            _replace_the_dead(crew, most_deaths=2)
        assert crew.is_gone()
        assert started(log) == before == 3


def test_chunks_are_taken_back_later_where_the_database_is_away(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_NO_SUCH_SETTING", "kills a worker at its start")
    away = Database.connect(f"sqlite:///{tmp_path / 'no such folder' / 'x.db'}")
    with Crew(1, Settings(state=tmp_path), away, output=tmp_path / "log") as crew:
        until(crew.bury, "the worker dies")
        (fallen,) = crew._fallen
        crew._database = database
        crew.bury()
        assert not crew._fallen
    assert fallen.endswith(WorkerId("-1"))
    away.close()
