"""Real jobs over real files in one line: submitted, planned and started, for workers to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millrace import storage
from millrace.db.session import Database
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.queries import JobView, Progress
from millrace.manifest import MANIFEST
from millrace.spec import JobSpec, ModelRef
from millrace.types import JobId
from scheduler.planner import Planner


def texts(count: int, **scripted: str) -> list[str]:
    """Lines ``{"id": N, "text": "text N"}``; ``_7="::raise"`` scripts row 7."""
    rows = [{"id": n, "text": scripted.get(f"_{n}", f"text {n}")} for n in range(count)]
    return [json.dumps(row) for row in rows]


def written(folder: Path, *files: Sequence[str]) -> None:
    """Files of lines below ``folder/in``, named so that they sort as given."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for index, lines in enumerate(files):
        content = "".join(f"{line}\n" for line in lines)
        (folder / "in" / f"{index}.jsonl").write_text(content)


def spec_of(folder: Path, **changes: Any) -> JobSpec:
    """An echo of ``folder/in`` to ``folder/out`` that obeys scripted rows."""
    asked: dict[str, Any] = {
        "model": ModelRef(engine="echo", location=""),
        "input": storage.normalise(str(folder / "in")),
        "output": storage.normalise(str(folder / "out")),
        "output_format": "jsonl",
        "join": "key",
        "key": "id",
        "options": {"scripted": True},
    }
    return JobSpec.model_validate(asked | changes)


def submitted(database: Database, folder: Path, **changes: Any) -> JobId:
    with database.write() as connection:
        return jobs.submit(connection, spec_of(folder, **changes))


def started(database: Database, folder: Path, **changes: Any) -> JobId:
    """A running job over ``folder/in``, planned by the real planner."""
    job_id = submitted(database, folder, **changes)
    Planner(database, slots=1, interval=1.0).tick(0.0)
    with database.write() as connection:
        assert jobs.start(connection, job_id), seen(database, job_id).reason
    return job_id


def seen(database: Database, job_id: JobId) -> JobView:
    with database.read() as connection:
        job = queries.job(connection, job_id)
    assert job is not None
    return job


def progress(database: Database, job_id: JobId) -> Progress:
    with database.read() as connection:
        return queries.progress(connection, job_id)


def manifest_bytes(job: JobView) -> bytes:
    return storage.for_uri(job.spec.output).read(f"{job.spec.output}/{MANIFEST}")


def results(job: JobView) -> list[dict[str, Any]]:
    """All published rows, in the manifest's order."""
    return _lines(job, "parts")


def errors(job: JobView) -> list[dict[str, Any]]:
    """All published error records."""
    return _lines(job, "errors")


def _lines(job: JobView, kind: str) -> list[dict[str, Any]]:
    store = storage.for_uri(job.spec.output)
    entries = json.loads(manifest_bytes(job))[kind]
    files = [store.read(f"{job.spec.output}/{entry['path']}") for entry in entries]
    return [json.loads(line) for content in files for line in content.decode().splitlines()]
