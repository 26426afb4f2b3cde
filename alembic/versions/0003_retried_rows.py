"""jobs that compute the failed rows of another one, and what their chunks keep of it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RETRIES = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("chunk", sa.Column("kept", sa.JSON(none_as_null=True), nullable=True))
    op.create_index(
        "ix_job_parent", "job", ["parent_id"], sqlite_where=RETRIES, postgresql_where=RETRIES
    )


def downgrade() -> None:
    op.drop_index("ix_job_parent", "job")
    op.drop_column("chunk", "kept")
