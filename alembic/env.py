"""Runs migrations inside the transaction of `millrace.db.migrations.upgrade`, or on a URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.db.tables import METADATA


def run(connection: Connection) -> None:
    """Migrate on a connection whose transaction somebody else began."""
    context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with Database.connect(os.environ["MILLRACE_DATABASE_URL"]).write() as connection:
        run(connection)
