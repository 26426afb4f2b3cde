"""The end of a batch: once its job has ended, its output and error files are written, once.

Anybody may try at any time. Whoever is first has the batch end; the files of others are removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from millrace import storage
from millrace.db.session import Database
from millrace.errors import MillraceError, Unavailable
from millrace.filing import batches, files
from millrace.filing.batches import BatchView, Ending, Fault, Outcome
from millrace.filing.files import NewFile, Purpose
from millrace.front import rows
from millrace.front.openai.outcomes import Answered, Failure, answers
from millrace.front.openai.places import file_uri
from millrace.front.openai.status import outcome_of
from millrace.ids import new_id
from millrace.lifecycle import queries
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.lifecycle.views import JobView
from millrace.settings import Settings
from millrace.storage.os_errors import translated


def settle(database: Database, settings: Settings, batch_id: str) -> bool:
    """Have a batch end whose job has ended; false where there was nothing to do.

    Results that cannot be used make the batch fail; `Unavailable` means to try again later.
    """
    with database.read() as connection:
        batch = batches.known(connection, batch_id, tenant=None)
        if batch.outcome is not None or batch.job_id is None:
            return False
        job = queries.known_job(connection, batch.job_id)
    if job.state not in JOB_TERMINAL:
        return False
    outcome, faults = outcome_of(job)
    try:
        ending, made = _written(database, settings, batch, job, outcome)
        ending = replace(ending, faults=faults)
    except Unavailable:
        raise
    except MillraceError as error:
        fault = Fault(error.code.lower(), error.message)
        ending, made = Ending(Outcome.FAILED, faults=(*faults, fault)), ()
    is_ended = database.transact(lambda connection: _end(connection, batch, job, ending, made))
    if not is_ended:
        for each in made:
            storage.for_uri(each.uri).delete(each.uri)
    return is_ended


def _end(
    conn: Connection, batch: BatchView, job: JobView, ending: Ending, made: tuple[NewFile, ...]
) -> bool:
    """Whether this was the end; not where the job was taken up again in the meantime."""
    now = queries.known_job(conn, job.id)
    if (now.state, now.run_epoch) != (job.state, job.run_epoch):
        return False
    if not batches.end(conn, batch.id, ending):
        return False
    for each in made:
        files.add(conn, each)
    return True


def _written(
    database: Database, settings: Settings, batch: BatchView, job: JobView, outcome: Outcome
) -> tuple[Ending, tuple[NewFile, ...]]:
    found = answers(
        batch,
        outcome.value,
        job.spec.input,
        rows.whole_lines(rows.result_lines(database, job)),
        (Failure(*each) for each in rows.failures(database, job)),
    )
    with ExitStack() as stack:
        output = _Pending(stack, settings, batch, "output")
        errors = _Pending(stack, settings, batch, "error")
        _sort(found, output, errors)
        made = [each.stored() for each in (output, errors)]
    ending = Ending(
        outcome,
        requests_ok=output.lines,
        requests_err=errors.lines,
        output_file_id=made[0].id if made[0] else None,
        error_file_id=made[1].id if made[1] else None,
    )
    return ending, tuple(each for each in made if each is not None)


def _sort(found: Iterable[Answered], output: _Pending, errors: _Pending) -> None:
    for each in found:
        (output if each.is_ok else errors).write(each.line)


class _Pending:
    """A file that is being written; stored only if it has any lines."""

    def __init__(self, stack: ExitStack, settings: Settings, batch: BatchView, kind: str) -> None:
        self._batch = batch
        self._name = f"{batch.id}_{kind}.jsonl"
        self._id = f"file-{new_id()}"
        self._uri = file_uri(settings, batch.tenant, self._id)
        self._store = storage.for_uri(self._uri)
        folder = self._uri.rpartition("/")[0]
        self._spooled: Path = stack.enter_context(self._store.spool(folder))
        with translated(self._spooled):
            self._target = stack.enter_context(self._spooled.open("wb"))
        self._digest = hashlib.sha256()
        self.lines = 0
        self._bytes = 0

    def write(self, line: bytes) -> None:
        with translated(self._spooled):
            self._target.write(line)
        self._digest.update(line)
        self.lines += 1
        self._bytes += len(line)

    def stored(self) -> NewFile | None:
        with translated(self._spooled):
            self._target.close()
        if not self.lines:
            return None
        sha256 = self._digest.hexdigest()
        self._store.put(self._spooled, self._uri, sha256)
        self._store.settle([self._uri])
        tenant, purpose = self._batch.tenant, Purpose.BATCH_OUTPUT
        return NewFile(self._id, tenant, purpose, self._name, self._bytes, sha256, self._uri)
