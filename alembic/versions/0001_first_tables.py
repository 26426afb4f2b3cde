"""first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason_code", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_epoch", sa.Integer(), nullable=False),
        sa.Column("model_refusals", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("output_uri", sa.String(), nullable=False),
        sa.Column("model_sha256", sa.String(), nullable=True),
        sa.Column("arrow_schema", sa.Text(), nullable=False),
        sa.Column("position_end", sa.BigInteger(), nullable=False),
        sa.Column("plan_complete", sa.Boolean(), nullable=False),
        sa.Column("plan_notes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("manifest_sha256", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("superseded_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('succeeded', 'partial', 'failed', 'expired', 'cancelled'))",
            name=op.f("ck_job_finished"),
        ),
        sa.CheckConstraint(
            "(manifest_sha256 IS NOT NULL) = (state IN ('succeeded', 'partial'))",
            name=op.f("ck_job_published"),
        ),
        sa.CheckConstraint(
            "plan_complete OR state NOT IN ('queued', 'running', 'paused', 'finalizing', 'succeeded', 'partial')",
            name=op.f("ck_job_planned"),
        ),
        sa.CheckConstraint(
            "state IN ('validating', 'queued', 'running', 'paused', 'finalizing', 'succeeded', 'partial', 'failed', 'expired', 'cancelling', 'cancelled')",
            name=op.f("ck_job_state_known"),
        ),
        sa.CheckConstraint(
            "(reason_code IS NOT NULL) = (reason IS NOT NULL)", name=op.f("ck_job_reason_whole")
        ),
        sa.CheckConstraint("position_end >= 0", name=op.f("ck_job_position_end_range")),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name=op.f("ck_job_priority_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("tenant", "idempotency_key", name=op.f("uq_job_tenant")),
    )
    op.create_index("ix_job_output", "job", ["output_uri", "id"], unique=False)
    op.create_index("ix_job_state", "job", ["state"], unique=False)
    op.create_index(
        "uq_job_owned_output",
        "job",
        ["output_uri"],
        unique=True,
        sqlite_where=sa.text(
            "state IN ('validating', 'queued', 'running', 'paused', 'finalizing', 'succeeded', 'partial', 'cancelling') AND superseded_at IS NULL"
        ),
        postgresql_where=sa.text(
            "state IN ('validating', 'queued', 'running', 'paused', 'finalizing', 'succeeded', 'partial', 'cancelling') AND superseded_at IS NULL"
        ),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("left_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "chunk",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("start_pos", sa.BigInteger(), nullable=False),
        sa.Column("end_pos", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("parent_idx", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("rung_at", sa.Double(), nullable=True),
        sa.Column("crash_count", sa.Integer(), nullable=False),
        sa.Column("infra_count", sa.Integer(), nullable=False),
        sa.Column("progress_rows", sa.BigInteger(), nullable=False),
        sa.Column("in_flight", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("suspects", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("rows_ok", sa.BigInteger(), nullable=True),
        sa.Column("rows_err", sa.BigInteger(), nullable=True),
        sa.Column("part_path", sa.String(), nullable=True),
        sa.Column("part_bytes", sa.BigInteger(), nullable=True),
        sa.Column("part_sha256", sa.String(), nullable=True),
        sa.Column("error_path", sa.String(), nullable=True),
        sa.Column("error_bytes", sa.BigInteger(), nullable=True),
        sa.Column("error_sha256", sa.String(), nullable=True),
        sa.Column("error_rows", sa.BigInteger(), nullable=True),
        sa.Column("input_rows", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("fingerprint", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "(error_code IS NOT NULL) = (state = 'dead')", name=op.f("ck_chunk_buried")
        ),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('committed', 'split', 'dead'))",
            name=op.f("ck_chunk_finished"),
        ),
        sa.CheckConstraint(
            "(lease_until IS NOT NULL) = (state = 'leased')", name=op.f("ck_chunk_lease")
        ),
        sa.CheckConstraint(
            "(owner IS NOT NULL) = (state IN ('leased', 'committed'))", name=op.f("ck_chunk_owner")
        ),
        sa.CheckConstraint(
            "(rows_err IS NOT NULL) = (state IN ('committed', 'dead'))",
            name=op.f("ck_chunk_counted_err"),
        ),
        sa.CheckConstraint(
            "(rows_ok IS NOT NULL) = (state IN ('committed', 'dead'))",
            name=op.f("ck_chunk_counted_ok"),
        ),
        sa.CheckConstraint(
            "(token IS NOT NULL) = (state IN ('leased', 'committed'))", name=op.f("ck_chunk_token")
        ),
        sa.CheckConstraint("kind IN ('infer', 'finalize')", name=op.f("ck_chunk_kind_known")),
        sa.CheckConstraint(
            "state = 'committed' OR (part_path IS NULL AND error_path IS NULL)",
            name=op.f("ck_chunk_parts"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'committed', 'split', 'dead')",
            name=op.f("ck_chunk_state_known"),
        ),
        sa.CheckConstraint(
            "(error_path IS NOT NULL) = (error_sha256 IS NOT NULL)",
            name=op.f("ck_chunk_error_part_whole"),
        ),
        sa.CheckConstraint(
            "(part_path IS NOT NULL) = (part_sha256 IS NOT NULL)", name=op.f("ck_chunk_part_whole")
        ),
        sa.CheckConstraint(
            "attempt >= 0 AND crash_count >= 0 AND infra_count >= 0 AND progress_rows >= 0 AND rows_ok >= 0 AND rows_err >= 0",
            name=op.f("ck_chunk_counters"),
        ),
        sa.CheckConstraint("start_pos >= 0 AND start_pos < end_pos", name=op.f("ck_chunk_span")),
        sa.CheckConstraint("weight >= 0", name=op.f("ck_chunk_weight_range")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_chunk_job_id")),
        sa.PrimaryKeyConstraint("job_id", "idx", name=op.f("pk_chunk")),
    )
    op.create_index(
        "ix_chunk_due",
        "chunk",
        ["job_id", "start_pos"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_chunk_lease",
        "chunk",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_chunk_rung",
        "chunk",
        ["rung_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending' AND rung_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'pending' AND rung_at IS NOT NULL"),
    )
    op.create_index(
        "uq_chunk_finalize",
        "chunk",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'finalize'"),
        postgresql_where=sa.text("kind = 'finalize'"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=True),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_event_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_job", "event", ["job_id", "id"], unique=False)
    op.create_table(
        "job_input",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("extent", sa.BigInteger(), nullable=False),
        sa.Column("divisible", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "extent >= 0 AND base >= 0 AND size >= 0", name=op.f("ck_job_input_extent_range")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_input_job_id")),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_job_input")),
    )
