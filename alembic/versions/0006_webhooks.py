"""webhooks, the outbox of what they are told, and the webhook that a job names"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("secret", sa.String(), nullable=True),
        sa.Column("previous_secret", sa.String(), nullable=True),
        sa.Column("previous_until", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("removed_at", sa.Double(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rests_until", sa.Double(), nullable=True),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_webhook_failures_range")),
        sa.CheckConstraint(
            "(previous_secret IS NOT NULL) = (previous_until IS NOT NULL)",
            name=op.f("ck_webhook_previous_whole"),
        ),
        sa.CheckConstraint(
            "(secret IS NOT NULL) = (removed_at IS NULL)", name=op.f("ck_webhook_secret")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index("ix_webhook_tenant", "webhook", ["tenant", "id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("put_up_at", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_fault", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'given_up')", name=op.f("ck_outbox_state_known")
        ),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state <> 'pending')", name=op.f("ck_outbox_ended")
        ),
        sa.CheckConstraint("attempt >= 0 AND tries >= 0", name=op.f("ck_outbox_counters")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_outbox_webhook_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_outbox_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["webhook_id", "next_at"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_index("ix_outbox_webhook", "outbox", ["webhook_id", "id"])
    op.create_index("ix_outbox_ended", "outbox", ["ended_at"])
    op.add_column("job", sa.Column("webhook", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("job", "webhook")
    op.drop_table("outbox")
    op.drop_table("webhook")
