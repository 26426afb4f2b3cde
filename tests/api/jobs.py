"""Jobs in any state, of rows in the database only."""

from __future__ import annotations

from sqlalchemy import update

from millrace.db import tables
from millrace.types import JobId, JobState
from tests.api.site import Realm
from tests.lifecycle import stage


def in_state(realm: Realm, state: JobState, tenant: str = "acme") -> JobId:
    """A job of a tenant's in this state, of rows in the database only."""
    with realm.database.write() as connection:
        job_id = stage.in_state(connection, state)
        owned = update(tables.job).where(tables.job.c.id == job_id)
        connection.execute(owned.values(tenant=tenant))
    return job_id
