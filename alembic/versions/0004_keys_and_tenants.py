"""keys, tenants, an audit trail, answered requests, and the model of a job as a column"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FILL_IN_MODELS = {
    "sqlite": """
UPDATE job SET model = coalesce(rtrim(
    json_extract(spec, '$.model.engine') || ':' || json_extract(spec, '$.model.location'), ':'), '')
""",
    "postgresql": """
UPDATE job SET model = coalesce(rtrim(
    (spec::json #>> '{model,engine}') || ':' || (spec::json #>> '{model,location}'), ':'), '')
""",
}


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_table(
        "tenant",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("roots", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenant")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_tenant", "audit", ["tenant", "id"])
    op.create_table(
        "idempotency_key",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_idempotency_key_job_id")),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_idempotency_key")),
    )
    op.add_column(
        "job", sa.Column("model", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.execute(FILL_IN_MODELS[op.get_bind().dialect.name])
    op.create_index("ix_job_tenant", "job", ["tenant", "id"])
    op.create_index("ix_job_model", "job", ["tenant", "model", "id"])


def downgrade() -> None:
    op.drop_index("ix_job_model", "job")
    op.drop_index("ix_job_tenant", "job")
    op.drop_column("job", "model")
    for table in ("idempotency_key", "audit", "tenant", "api_key"):
        op.drop_table(table)
