"""What must be true between any two steps (I1 to I26 of the protocol, as far as they apply).

Not here: I18 to I21 and I23 (schedules, triggers, webhooks, tenants and audit are not built), I25
(growth is measured on real processes).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from millrace.db import tables
from millrace.lifecycle import queries
from millrace.lifecycle.retry import CRASHES_BEFORE_VERDICT
from millrace.lifecycle.transitions import (
    CHUNK_SETTLED,
    CHUNK_TERMINAL,
    JOB_TERMINAL,
    ChunkVerb,
    JobVerb,
)
from millrace.manifest import MANIFEST, Manifest, tombstone
from millrace.storage.uri import local_path
from millrace.types import ChunkKind, ChunkState, JobId, JobState
from tests.simulation.world import Asked, World

PUBLISHED = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of one moment."""

    jobs: Mapping[str, Row[Any]]
    chunks: Mapping[tuple[str, int], Row[Any]]
    manifests: Mapping[str, bytes]
    twinned: Collection[tuple[str, int, int]]
    """Attempts (job, chunk, attempt) that two workers have, or had."""
    sent_back: Mapping[str, int]
    """How often each job went back from its publication, for results that were damaged."""

    @classmethod
    def of(cls, world: World) -> Snapshot:
        with world.database.read() as connection:
            jobs = connection.execute(select(tables.job)).all()
            chunks = connection.execute(select(tables.chunk)).all()
            event = tables.event.c
            twins = connection.execute(
                select(event.job_id, event.idx, event.attempt).where(event.verb == ChunkVerb.TWIN)
            ).all()
            back = connection.execute(
                select(event.job_id).where(event.verb == JobVerb.RECOMPUTE)
            ).scalars()
            sent_back = Counter(back)
        files = {each.job_id: local_path(each.spec.output) / MANIFEST for each in world.asked}
        return cls(
            {row.id: row for row in jobs},
            {(row.job_id, row.idx): row for row in chunks},
            {job_id: file.read_bytes() for job_id, file in files.items() if file.exists()},
            {(row.job_id, row.idx, row.attempt) for row in twins},
            sent_back,
        )


def check(world: World, before: Snapshot, after: Snapshot) -> None:
    """Fail where a step from `before` to `after` broke a promise."""
    undamaged = {*after.sent_back} - world.damaged
    assert not undamaged, f"nothing was damaged, and yet {undamaged} went back"
    for asked in world.asked:
        broken = [
            *_tiling(asked, after),
            *_moves(asked, before, after),
            *_publication(asked, before, after),
        ]
        assert not broken, broken
    with world.database.read() as connection:
        for asked in world.asked:
            broken = [*_progress(connection, asked, after)]
            assert not broken, broken


def _tiling(asked: Asked, seen: Snapshot) -> Iterator[str]:
    """I3: what is not split tiles the input, from the moment that the plan is complete."""
    job = seen.jobs[asked.job_id]
    if not job.plan_complete:
        return
    spans = sorted(
        (chunk.start_pos, chunk.end_pos)
        for chunk in _chunks(asked.job_id, seen)
        if chunk.kind == ChunkKind.INFER and chunk.state != ChunkState.SPLIT
    )
    edges = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != edges[:-1] or edges[-1] != job.position_end:
        yield f"I3: {spans} do not tile 0 to {job.position_end}"


def _moves(asked: Asked, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """I4, I5, I9, I15: what only grows, and what is left never or by a retry alone."""
    job, was = after.jobs[asked.job_id], before.jobs.get(asked.job_id)
    again = was is not None and job.run_epoch > was.run_epoch
    old_state = None if was is None else was.state
    left = old_state in JOB_TERMINAL and job.state != old_state
    if left and (not again or old_state in PUBLISHED):
        yield f"I9: a job went from {old_state} to {job.state}"
    computed_again = after.sent_back.get(asked.job_id, 0) > before.sent_back.get(asked.job_id, 0)
    for chunk in _chunks(asked.job_id, after):
        old = before.chunks.get((chunk.job_id, chunk.idx))
        if old is None:
            continue
        if chunk.attempt < old.attempt:
            yield f"I4: attempt {chunk.attempt} of chunk {chunk.idx} after {old.attempt}"
        twinned = (chunk.job_id, chunk.idx, chunk.attempt) in after.twinned
        if chunk.attempt == old.attempt and chunk.token not in {None, old.token} and not twinned:
            yield f"I4: attempt {chunk.attempt} of chunk {chunk.idx} has two tokens"
        if old.state in CHUNK_TERMINAL and chunk != old and not computed_again:
            yield f"I5: chunk {chunk.idx} was {old.state} and is {chunk.state} now"
        if chunk.kind == ChunkKind.INFER and chunk.crash_count > CRASHES_BEFORE_VERDICT:
            yield f"I15: chunk {chunk.idx} crashed {chunk.crash_count} times"


def _publication(asked: Asked, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """I1, I2, I7, I8, I10, I11, I14, I16."""
    job, content = after.jobs[asked.job_id], after.manifests.get(asked.job_id)
    if asked.job_id in before.manifests and content != before.manifests[asked.job_id]:
        yield "I8: another manifest"
    ours = content is not None and content != tombstone(asked.job_id)
    if job.state in PUBLISHED and not ours:
        yield f"I10: {job.state} without a manifest"
    if ours and job.state not in PUBLISHED | {JobState.FINALIZING}:
        yield f"I10, I11: a manifest of a job that is {job.state}"
    if content is None or not ours:
        return
    yield from _results(asked, Manifest.from_bytes(content))


def _results(asked: Asked, manifest: Manifest) -> Iterator[str]:
    folder = local_path(asked.spec.output)
    for entry in (*manifest.parts, *manifest.errors):
        file = folder / entry.path
        if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != entry.sha256:
            yield f"I7: {entry.path} is not what was published"
            return
    lines = [(folder / part.path).read_text().splitlines() for part in manifest.parts]
    found = [json.loads(line)["id"] for each in lines for line in each]
    wanted = [row for row in range(asked.rows) if row not in asked.poison]
    if found != wanted:
        yield f"I1, I2: results for rows {found}, wanted {wanted}"
    records = [(folder / part.path).read_text().splitlines() for part in manifest.errors]
    bad = Counter(json.loads(line)["row"] for each in records for line in each)
    if bad != Counter(asked.poison):
        yield f"I14: error records for rows {sorted(bad)}, wanted {sorted(asked.poison)}"


def _progress(connection: Connection, asked: Asked, seen: Snapshot) -> Iterator[str]:
    """I22: the sums that are kept are those that can be counted."""
    told = queries.progress(connection, asked.job_id)
    infer = [chunk for chunk in _chunks(asked.job_id, seen) if chunk.kind == ChunkKind.INFER]
    counted = Counter(chunk.state for chunk in infer)
    if any(told.chunks[state] != counted[state] for state in ChunkState):
        yield f"I22: chunks are {told.chunks}, counted {counted}"
    rows = sum(chunk.rows_ok or 0 for chunk in infer), sum(chunk.rows_err or 0 for chunk in infer)
    if (told.rows_ok, told.rows_err) != rows:
        yield f"I22: rows are {told.rows_ok} and {told.rows_err}, counted {rows}"
    done = sum(chunk.weight for chunk in infer if chunk.state in CHUNK_SETTLED)
    total = sum(chunk.weight for chunk in infer if chunk.state != ChunkState.SPLIT)
    if (told.weight_done, told.weight_total) != (done, total):
        yield f"I22: {told.weight_done} of {told.weight_total}, counted {done} of {total}"


def _chunks(job_id: JobId, seen: Snapshot) -> list[Row[Any]]:
    return [row for (job, _), row in seen.chunks.items() if job == job_id]
