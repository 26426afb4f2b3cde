"""What becomes of a submission here: a new job, one to go on with, or one that is done."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from millrace import storage
from millrace.access import audit
from millrace.access.caller import Caller, operator
from millrace.db.session import Database
from millrace.errors import Conflict, FieldInvalid, InvalidInput, NotFound
from millrace.failpoints import failpoint
from millrace.lifecycle import endpoints, jobs, queries, requests
from millrace.lifecycle.queries import JobView
from millrace.manifest import MANIFEST, Manifest, ManifestErrors
from millrace.spec import JobSpec
from millrace.storage import search
from millrace.storage.base import Storage, StoredObject
from millrace.types import JobId, JobState

_FINISHED = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})
_INPUT_IS_ANOTHER = frozenset({"INPUT_CHANGED", "INPUT_GONE"})
_GIVEN_UP = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Sender:
    """Who hands a job in; the same key of the same tenant again is the same job."""

    caller: Caller
    idempotency_key: str | None = None
    request_sha256: str = ""
    """What the key stands for."""

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    def may_know(self, job: JobView) -> bool:
        """Whether they may be told of this job; whoever has the database at hand may."""
        return self.caller.key_id is None or job.tenant == self.tenant


@dataclass(frozen=True, slots=True)
class Received:
    """The job that answers a submission, and one line of news about it."""

    job: JobView
    news: str
    is_new: bool = False


_NOBODY_ELSE = Sender(operator("default"))


def answered(database: Database, sender: Sender) -> Received | None:
    """What the same request was answered with before; `Conflict` where the key was for another."""
    if sender.idempotency_key is None:
        return None
    with database.read() as connection:
        job_id = requests.answered(
            connection, sender.tenant, sender.idempotency_key, sender.request_sha256
        )
        if job_id is None:
            return None
        return Received(queries.known_job(connection, job_id), f"job {job_id} was asked for before")


def receive(database: Database, spec: JobSpec, sender: Sender = _NOBODY_ELSE) -> Received:
    """The job that answers `spec`.

    Raises `Conflict` where the output belongs to something else, `InvalidInput` where the input or
    output cannot be what it is.
    """
    if earlier := answered(database, sender):
        return earlier
    with database.read() as connection:
        known = queries.newest_for_output(connection, spec.output)
    if known is None:
        return _submit(database, spec, sender, empty=True)
    if not sender.may_know(known) and known.state not in _GIVEN_UP:
        raise _taken(spec, "another job")
    if known.state in _FINISHED and not _is_published(spec.output):
        with database.write() as connection:
            jobs.supersede(connection, known.id)
        return _submit(database, spec, sender, empty=True)
    is_same = (known.spec_hash, known.tenant) == (spec.spec_hash(), sender.tenant)
    if is_same and known.reason_code not in _INPUT_IS_ANOTHER:
        return _go_on(database, known, spec, sender)
    if known.state in _GIVEN_UP and not _has_results(database, known):
        return _submit(database, spec, sender, empty=False)
    raise _taken(spec, _owner(known) if sender.may_know(known) else "another job")


def check_webhook(conn: Connection, spec: JobSpec, tenant: str) -> None:
    """`FieldInvalid` where the job names a webhook that the tenant does not have."""
    if spec.webhook is None:
        return
    try:
        endpoints.known(conn, spec.webhook, tenant=tenant)
    except NotFound as error:
        raise FieldInvalid("webhook", error.message, error.hint) from None


def _owner(job: JobView) -> str:
    why = "whose input was another" if job.reason_code in _INPUT_IS_ANOTHER else "another one"
    return f"job {job.id} ({job.state}), {why}"


def _taken(spec: JobSpec, owner: str) -> Conflict:
    return Conflict(
        "OUTPUT_EXISTS",
        f"{spec.output} belongs to {owner}",
        "choose another --output, or delete that folder",
    )


def _submit(database: Database, spec: JobSpec, sender: Sender, *, empty: bool) -> Received:
    check_places(spec)
    if empty:
        check_empty(spec)
    with database.write() as connection:
        check_webhook(connection, spec, sender.tenant)
        job_id = jobs.submit(
            connection,
            spec,
            tenant=sender.tenant,
            idempotency_key=sender.idempotency_key,
        )
        audit.record(connection, sender.caller, "job.submit", f"job:{job_id}")
        job_id = _remembered(connection, sender, job_id)
    failpoint("api.after_commit")
    return Received(
        _view(database, job_id), f"job {job_id}: {spec.input} → {spec.output}", is_new=True
    )


def _go_on(database: Database, job: JobView, spec: JobSpec, sender: Sender) -> Received:
    if job.state in _FINISHED:
        _check_standing(database, job)
        news = f"job {job.id} has finished already; nothing to do"
    elif job.state not in _GIVEN_UP:
        news = f"going on with job {job.id}{_kept(job.spec, spec)}"
    else:
        news = f"job {job.id} had {job.state}; trying again what is left of it"
    with database.write() as connection:
        if job.state in _GIVEN_UP:
            check_webhook(connection, spec, sender.tenant)
            jobs.retry(connection, job.id, spec)
            audit.record(connection, sender.caller, "job.retry", f"job:{job.id}")
        _remembered(connection, sender, job.id)
    return Received(_view(database, job.id), news)


def _remembered(conn: Connection, sender: Sender, job_id: JobId) -> JobId:
    if sender.idempotency_key is None:
        return job_id
    return requests.remember(
        conn, sender.tenant, sender.idempotency_key, sender.request_sha256, job_id
    )


def _kept(own: JobSpec, asked: JobSpec) -> str:
    """What of `asked` does not count any more, as the job has begun otherwise."""
    names = ("pool", "priority", "deadline_seconds", "webhook")
    kept = [name for name in names if getattr(own, name) != getattr(asked, name)]
    told = ", ".join(f"{name.partition('_')[0]} {getattr(own, name)}" for name in kept)
    return f" as it was submitted: {told}" if kept else ""


def _check_standing(database: Database, job: JobView) -> None:
    """`Conflict` where the results of a finished job are damaged, or its input is another now."""
    output = job.spec.output
    store = storage.for_uri(output)
    manifest = Manifest.from_bytes(store.read(f"{output}/{MANIFEST}"))
    published: tuple[ManifestErrors, ...] = (*manifest.parts, *manifest.errors)
    for part in published:
        if _size(store, f"{output}/{part.path}") != part.bytes:
            raise Conflict(
                "OUTPUT_DAMAGED",
                f"job {job.id} has finished, but {output}/{part.path} is not what it wrote",
                f"delete {output} to have it computed again; millrace verify tells more",
            )
    with database.read() as connection:
        pinned = {each.uri: each.version for each in queries.inputs(connection, job.id)}
    if any(pinned.get(found.uri) != found.version for found in _present(job.spec)):
        raise Conflict(
            "INPUT_CHANGED",
            f"job {job.id} has finished, but {job.spec.input} has changed since",
            f"choose another --output, or delete {output}",
        )


def _size(store: Storage, uri: str) -> int | None:
    try:
        return store.info(uri).size
    except NotFound:
        return None


def _present(spec: JobSpec) -> list[StoredObject]:
    """The input files that are there now; none where the input is gone, which harms no results."""
    try:
        return [*search.find(storage.for_uri(spec.input), spec.input)]
    except InvalidInput as error:
        if error.code in ("INPUT_NOT_FOUND", "EMPTY_PREFIX"):
            return []
        raise


def _view(database: Database, job_id: JobId) -> JobView:
    with database.read() as connection:
        return queries.known_job(connection, job_id)


def _has_results(database: Database, job: JobView) -> bool:
    with database.read() as connection:
        progress = queries.progress(connection, job.id)
    return bool(progress.rows_ok or progress.rows_err)


def check_places(spec: JobSpec) -> None:
    """`InvalidInput` where input and output overlap, or where nothing can be written."""
    inside = f"{spec.output}/".startswith(f"{spec.input}/")
    around = f"{spec.input}/".startswith(f"{spec.output}/")
    if inside or around:
        where = "inside the input" if inside else "around the input"
        raise InvalidInput(
            "OUTPUT_OVERLAPS_INPUT",
            f"the output {spec.output} lies {where} {spec.input}",
            "choose an --output beside the input",
        )
    storage.probe_output(spec.output)


def check_empty(spec: JobSpec) -> None:
    """`Conflict` where there is anything in the output already."""
    if is_empty(spec.output):
        return
    raise Conflict(
        "OUTPUT_EXISTS",
        f"{spec.output} is not empty and belongs to no job that is known here",
        "choose another --output, or the --state or database that its job was given to",
    )


def is_empty(folder: str) -> bool:
    """Whether there are neither results nor other objects below a folder."""
    listed = storage.for_uri(folder).list(folder)
    return next(iter(listed), None) is None and not _is_published(folder)


def _is_published(output: str) -> bool:
    try:
        storage.for_uri(output).info(f"{output}/{MANIFEST}")
    except NotFound:
        return False
    return True
