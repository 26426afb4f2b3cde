"""What the verbs on jobs do beside moving the state."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select, text

from millrace.db import tables
from millrace.db.session import Database
from millrace.errors import Conflict
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import ChunkKind, Input, JobId, JobState, PlannedChunk, Span
from tests.lifecycle.stage import (
    NOW,
    A,
    chunk_row,
    claimed,
    finalizing,
    history,
    in_state,
    job_row,
    pinned,
    planned,
    result,
    running,
    spec,
    submitted,
)


class TestSubmit:
    def test_ids_sort_by_time(self, database: Database) -> None:
        with database.write() as conn:
            ids = [
                jobs.submit(conn, spec(f"file:///out/{at}"), now=NOW + at / 1000)
                for at in range(20)
            ]
        assert ids == sorted(ids)

    def test_the_spec_comes_back_as_it_was(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn, priority=7, deadline_seconds=60.0)
            view = queries.job(conn, job_id)
        assert view is not None
        assert view.spec == spec(priority=7, deadline_seconds=60.0)
        assert (view.priority, view.model_sha256) == (7, "ab" * 32)
        assert (view.created_at, view.expires_at) == (NOW, NOW + 60)

    @pytest.mark.parametrize(
        "state", [state for state in JobState if state.value in tables.OWNING_JOBS]
    )
    def test_an_output_has_one_owner(self, database: Database, state: JobState) -> None:
        with database.write() as conn:
            owner = in_state(conn, state)
        with pytest.raises(Conflict) as refusal, database.write() as conn:
            submitted(conn)
        assert refusal.value.code == "OUTPUT_OWNED"
        assert owner in refusal.value.message

    @pytest.mark.parametrize("state", ["failed", "expired", "cancelled"])
    def test_an_unsuccessful_job_lets_go_of_its_output(
        self, database: Database, state: str
    ) -> None:
        with database.write() as conn:
            loser = in_state(conn, JobState(state))
            heir = submitted(conn)
        with pytest.raises(Conflict) as refusal, database.write() as conn:
            jobs.retry(conn, loser, now=NOW)
        assert heir in refusal.value.message
        assert job_row(database, loser).state == state

    def test_a_superseded_job_lets_go_of_its_output(self, database: Database) -> None:
        with database.write() as conn:
            done = in_state(conn, JobState.SUCCEEDED)
            jobs.supersede(conn, done, now=NOW)
            submitted(conn)
        assert job_row(database, done).state == "succeeded"

    def test_a_live_job_is_not_superseded(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
        with pytest.raises(Conflict), database.write() as conn:
            jobs.supersede(conn, job_id, now=NOW)
        assert job_row(database, job_id).superseded_at is None

    def test_the_same_key_is_the_same_job(self, database: Database) -> None:
        with database.write() as conn:
            first = jobs.submit(conn, spec(), idempotency_key="k", now=NOW)
            again = jobs.submit(conn, spec(), idempotency_key="k", now=NOW)
            other = jobs.submit(
                conn, spec("file:///other"), tenant="other", idempotency_key="k", now=NOW
            )
        assert first == again != other
        assert history(database, first) == [("submit", "", "validating")]

    def test_a_key_is_good_for_one_request(self, database: Database) -> None:
        with database.write() as conn:
            jobs.submit(conn, spec(), idempotency_key="k", now=NOW)
        with pytest.raises(Conflict) as refusal, database.write() as conn:
            jobs.submit(conn, spec("file:///other"), idempotency_key="k", now=NOW)
        assert refusal.value.code == "IDEMPOTENCY_MISMATCH"


class TestPlanning:
    def test_the_plan_is_kept(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 3, 7, 10)
        row = job_row(database, job_id)
        assert (row.position_end, row.arrow_schema, row.plan_notes) == (10, "schema", ["a note"])
        found = [chunk_row(database, job_id, idx) for idx in range(3)]
        assert [(row.start_pos, row.end_pos, row.weight) for row in found] == [
            (0, 3, 3),
            (3, 7, 4),
            (7, 10, 3),
        ]

    def test_chunks_come_in_any_number_of_calls(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
            jobs.pin(conn, job_id, pinned(25_000), "")
            row_each = (PlannedChunk(Span(i, i + 1), 1) for i in range(24_999))
            assert jobs.add_chunks(conn, job_id, row_each) == 24_999
            assert jobs.add_chunks(conn, job_id, [PlannedChunk(Span(24_999, 25_000), 1)]) == 1
            jobs.queue(conn, job_id, now=NOW)
            assert queries.progress(conn, job_id).weight_total == 25_000

    @pytest.mark.parametrize(
        ("spans", "fault"),
        [
            ([], "end at None"),
            ([(0, 4)], "end at 4"),
            ([(1, 10)], "position 1"),
            ([(0, 4), (5, 10)], "position 5"),
            ([(0, 6), (4, 10)], "position 4"),
            ([(0, 6), (4, 8), (10, 12)], "position 4"),
            ([(0, 10), (10, 11)], "end at 11"),
        ],
    )
    def test_chunks_must_tile_the_inputs(
        self, database: Database, spans: list[tuple[int, int]], fault: str
    ) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
            jobs.pin(conn, job_id, pinned(10), "")
            jobs.add_chunks(conn, job_id, [PlannedChunk(Span(a, b), 1) for a, b in spans])
        with pytest.raises(Conflict, match=fault), database.write() as conn:
            jobs.queue(conn, job_id, now=NOW)
        assert job_row(database, job_id).state == "validating"

    def test_inputs_must_stand_one_behind_the_other(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
        gap = [*pinned(10), Input(1, "b", "jsonl", 5, "v", 11, 5, True)]
        with pytest.raises(Conflict, match="begins at 11"), database.write() as conn:
            jobs.pin(conn, job_id, gap, "")

    def test_an_interrupted_plan_is_replaced(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
            jobs.pin(conn, job_id, pinned(99), "")
            jobs.add_chunks(conn, job_id, [PlannedChunk(Span(0, 50), 50)])
            planned(conn, job_id, 10)
        assert job_row(database, job_id).position_end == 10
        with database.read() as conn:
            assert queries.progress(conn, job_id).weight_total == 10

    def test_a_plan_is_written_once(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
        with pytest.raises(Conflict), database.write() as conn:
            jobs.pin(conn, job_id, pinned(5), "")
        with pytest.raises(Conflict), database.write() as conn:
            jobs.add_chunks(conn, job_id, [PlannedChunk(Span(10, 11), 1)])
        assert job_row(database, job_id).position_end == 10


class TestFreeze:
    @pytest.mark.parametrize("left", ["pending", "leased"])
    def test_not_before_every_chunk_has_ended(self, database: Database, left: str) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            chunks.commit(conn, claimed(conn, job_id, 0), result(5), now=NOW)
            if left == "leased":
                claimed(conn, job_id, 1)
            assert not jobs.freeze(conn, job_id, now=NOW)
            assert queries.ready_to_freeze(conn) == []
        assert job_row(database, job_id).state == "running"

    def test_only_a_complete_plan(self, database: Database) -> None:
        with database.write() as conn:
            without_check(conn, "ck_job_planned")
            job_id = running(conn)
            chunks.commit(conn, claimed(conn, job_id), result(), now=NOW)
            # No verb leads here: the constraint alone would forbid it.
            conn.execute(tables.job.update().values(plan_complete=False))
            assert not jobs.freeze(conn, job_id, now=NOW)

    def test_it_adds_the_one_finalize_chunk(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.commit(conn, claimed(conn, job_id), result(), now=NOW)
            assert queries.ready_to_freeze(conn) == [job_id]
            assert jobs.freeze(conn, job_id, now=NOW)
            assert not jobs.freeze(conn, job_id, now=NOW)
        row = chunk_row(database, job_id, 1)
        assert (row.kind, row.start_pos, row.end_pos) == (ChunkKind.FINALIZE, 10, 11)


class TestPublish:
    @pytest.mark.parametrize(("rows_err", "state"), [(0, "succeeded"), (1, "partial")])
    def test_error_rows_make_it_partial(
        self, database: Database, rows_err: int, state: str
    ) -> None:
        with database.write() as conn:
            job_id = finalizing(conn, rows_err)
            lease = claimed(conn, job_id, 1)
            assert jobs.publish(conn, lease, "12" * 32, now=NOW) == state
            assert chunks.settled(conn, lease) == "committed"
        row = job_row(database, job_id)
        assert (row.state, row.manifest_sha256) == (state, "12" * 32)
        assert chunk_row(database, job_id, 1).state == "committed"

    def test_an_abandoned_job_can_be_retried_and_published(self, database: Database) -> None:
        with database.write() as conn:
            job_id = finalizing(conn)
            first = claimed(conn, job_id, 1)
            jobs.abandon(conn, first, "OUTPUT_CONFLICT", "another manifest", now=NOW)
        row = job_row(database, job_id)
        assert (row.state, row.reason_code) == ("failed", "OUTPUT_CONFLICT")
        with database.write() as conn:
            assert jobs.retry(conn, job_id, now=NOW) is JobState.RUNNING
            assert queries.due(conn, limit=9, now=NOW) == []
            assert chunks.claim(conn, job_id, 1, A, 60, now=NOW) is None
            assert jobs.freeze(conn, job_id, now=NOW)
            second = claimed(conn, job_id, 1)
            assert second.attempt > first.attempt
            jobs.publish(conn, second, "00" * 32, now=NOW)


class TestRetry:
    def test_committed_chunks_are_kept(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            chunks.commit(conn, claimed(conn, job_id, 0), result(5), now=NOW)
            committed = chunk_row_of(conn, job_id, 0)
            jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
            jobs.retry(conn, job_id, now=NOW)
        row = job_row(database, job_id)
        assert chunk_row(database, job_id, 0) == committed
        assert (row.run_epoch, row.reason, row.finished_at) == (1, None, None)
        assert queries_due(database) == [(job_id, 1)]

    def test_a_job_without_a_complete_plan_is_planned_anew(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
            jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
            assert jobs.retry(conn, job_id, now=NOW) is JobState.VALIDATING
            planned(conn, job_id, 10)

    def test_the_deadline_starts_again(self, database: Database) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState.EXPIRED)
            jobs.retry(conn, job_id, now=NOW + 100)
        assert job_row(database, job_id).expires_at == NOW + 101

    def test_another_deadline_and_priority_may_be_asked_for(self, database: Database) -> None:
        asked = spec(deadline_seconds=3600.0, priority=9)
        with database.write() as conn:
            job_id = in_state(conn, JobState.EXPIRED)
            jobs.retry(conn, job_id, asked, now=NOW + 100)
            view = queries.job(conn, job_id)
        assert view is not None
        assert (view.spec, view.priority, view.expires_at) == (asked, 9, NOW + 3700)

    def test_other_results_may_not(self, database: Database) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState.EXPIRED)
        with pytest.raises(Conflict) as refusal, database.write() as conn:
            jobs.retry(conn, job_id, spec(options={"n": 2}), now=NOW)
        assert refusal.value.code == "SPEC_CHANGED"
        assert job_row(database, job_id).state == "expired"


def without_check(conn: Connection, name: str) -> None:
    if conn.dialect.name == "sqlite":
        conn.execute(text("PRAGMA ignore_check_constraints = ON"))
    else:
        conn.execute(text(f"ALTER TABLE job DROP CONSTRAINT {name}"))


def chunk_row_of(conn: Connection, job_id: JobId, idx: int) -> object:
    chunk = tables.chunk.c
    return conn.execute(select(tables.chunk).where(chunk.job_id == job_id, chunk.idx == idx)).one()


def queries_due(database: Database) -> list[tuple[JobId, int]]:
    with database.read() as conn:
        return queries.due(conn, limit=10, now=NOW)
