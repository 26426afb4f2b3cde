"""Batches as one tenant sees them: the only door through which the API reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from millrace import storage
from millrace.access import audit
from millrace.access.caller import Caller
from millrace.db.session import Database
from millrace.durations import seconds_in
from millrace.errors import Conflict, FieldInvalid, MillraceError, Unavailable
from millrace.filing import batches, files
from millrace.filing.batches import BatchView, NewBatch
from millrace.filing.files import FileView, Purpose
from millrace.front.openai.endpoints import endpoint_of
from millrace.front.openai.places import batch_folder
from millrace.front.openai.request_lines import RequestLines
from millrace.front.openai.status import BatchStatus, status_of
from millrace.front.openai.translation import KEY, TEXT, Translation, translate
from millrace.front.reception import check_places
from millrace.ids import new_id
from millrace.lifecycle import jobs, queries
from millrace.registry import models
from millrace.settings import Settings
from millrace.spec import JobSpec, ModelRef
from millrace.storage.uri import join
from millrace.types import Join

_ID = re.compile(r"batch_[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What somebody asks for."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None = None


class BatchDesk:
    """What one caller may do with batches: those of their tenant; an administrator with all."""

    def __init__(self, database: Database, settings: Settings, caller: Caller) -> None:
        self._database = database
        self._settings = settings
        self._caller = caller
        self._tenant = None if caller.sees_all else caller.tenant

    def create(self, asked: BatchRequest) -> BatchStatus:
        """Read the input file and hand in the job that it asks for.

        A file with faults makes a batch that has failed, with all of them. `FieldInvalid` and
        `NotFound` for an endpoint, window or file that cannot be.
        """
        endpoint = endpoint_of(asked.endpoint)
        window = _seconds(asked.completion_window)
        source = self._input_file(asked.input_file_id)
        batch_id = f"batch_{new_id()}"
        folder = batch_folder(self._settings, self._caller.tenant, batch_id)
        requests = RequestLines(
            asked.endpoint,
            frozenset(self._settings.openai_models),
            self._settings.max_batch_requests,
        )
        written = self._translated(source, requests, f"{folder}/rows.jsonl")
        new = NewBatch(
            id=batch_id,
            tenant=self._caller.tenant,
            endpoint=asked.endpoint,
            input_file_id=source.id,
            completion_window=asked.completion_window,
            labels=asked.metadata,
            model=requests.model,
            job_id=None,
            requests=written.requests,
            rows=written.rows,
            faults=tuple(requests.faults),
        )
        if new.faults:
            return self._added(replace(new, requests=0, rows=0), None, window)
        spec = JobSpec(
            model=self._model(requests.model or ""),
            input=f"{folder}/rows.jsonl",
            output=join(folder, "results"),
            input_format="jsonl",
            output_format="jsonl",
            input_columns=(TEXT,),
            output_columns=(endpoint.column,),
            join=Join.KEY,
            key=KEY,
            deadline_seconds=window,
        )
        check_places(spec)
        return self._added(new, spec, window)

    def page(self, *, limit: int, after: str | None) -> list[BatchStatus]:
        """A page of batches, newest first."""
        with self._database.read() as connection:
            found = batches.page(connection, tenant=self._tenant, limit=limit, after=after)
            return [_status(connection, batch) for batch in found]

    def batch(self, batch_id: str) -> BatchStatus:
        """One batch; `NotFound` where it is not there, or not theirs."""
        with self._database.read() as connection:
            return _status(connection, self._own(connection, batch_id))

    def cancel(self, batch_id: str) -> BatchStatus:
        """Ask for the end of a batch; what is done by then is in its output file.

        `Conflict` for one that has ended by itself.
        """

        def change(connection: Connection) -> BatchStatus:
            batch = self._own(connection, batch_id)
            before = _status(connection, batch)
            if before.word in ("cancelling", "cancelled"):
                return before
            if batch.job_id is None or batch.outcome is not None or before.is_due:
                raise Conflict(
                    "STATE_FORBIDS",
                    f"Cannot cancel a batch with status '{before.word}'.",
                    "it has ended already",
                )
            jobs.stop(connection, batch.job_id)
            batches.note_cancelling(connection, batch_id)
            audit.record(connection, self._caller, "batch.cancel", f"batch:{batch_id}")
            return _status(connection, self._own(connection, batch_id))

        return self._database.transact(change)

    def _input_file(self, file_id: str) -> FileView:
        with self._database.read() as connection:
            found = files.known(connection, file_id[:64], tenant=self._caller.tenant)
        if found.purpose is not Purpose.BATCH:
            raise FieldInvalid(
                "input_file_id",
                f"the file {found.id} is for {found.purpose}",
                "upload one with the purpose 'batch'",
            )
        return found

    def _translated(self, source: FileView, requests: RequestLines, uri: str) -> Translation:
        """Write the rows of the job; nothing is stored where a line has a fault."""
        given, store = storage.for_uri(source.uri), storage.for_uri(uri)
        with store.spool(uri.rpartition("/")[0]) as spooled:
            with closing(given.open(given.info(source.uri))) as stream:
                written = translate(requests.read(stream), spooled)
            if not requests.faults:
                store.put(spooled, uri, written.sha256)
                store.settle([uri])
        return written

    def _model(self, name: str) -> ModelRef:
        try:
            return models.resolve(self._settings.openai_models[name])
        except MillraceError:
            raise Unavailable(
                "MODEL_UNAVAILABLE",
                f"the model {name!r} is not where this server was told",
                "an operator has to correct the setting openai_models",
            ) from None

    def _added(self, new: NewBatch, spec: JobSpec | None, window: float) -> BatchStatus:
        def add(connection: Connection) -> BatchStatus:
            batch = self._with_job(connection, new, spec)
            added = batches.add(connection, batch, window=window)
            audit.record(
                connection,
                self._caller,
                "batch.create",
                f"batch:{new.id}",
                {"input_file_id": new.input_file_id, "job": batch.job_id},
            )
            return _status(connection, added)

        return self._database.transact(add)

    def _with_job(self, conn: Connection, new: NewBatch, spec: JobSpec | None) -> NewBatch:
        if spec is None:
            return new
        return replace(new, job_id=jobs.submit(conn, spec, tenant=self._caller.tenant))

    def _own(self, conn: Connection, batch_id: str) -> BatchView:
        if not _ID.fullmatch(batch_id):
            raise batches.no_such_batch(batch_id[:64])
        return batches.known(conn, batch_id, tenant=self._tenant)


def _status(conn: Connection, batch: BatchView) -> BatchStatus:
    if batch.job_id is None:
        return status_of(batch, None, None)
    job = queries.known_job(conn, batch.job_id)
    return status_of(batch, job, queries.progress(conn, job.id))


def _seconds(window: str) -> float:
    try:
        return seconds_in(window)
    except ValueError as error:
        raise FieldInvalid("completion_window", str(error), "OpenAI's own is 24h") from None
