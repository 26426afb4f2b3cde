"""pools, twins, leaders, and sums that are kept instead of counted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RUNG = "state = 'pending' AND rung_at IS NOT NULL"
INDEXES = {
    "ix_chunk_rung_job": (["job_id", "rung_at"], RUNG),
    "ix_chunk_leased_job": (["job_id"], "state = 'leased'"),
    "ix_chunk_offered": (["offered_at"], "offered_at IS NOT NULL"),
    "ix_chunk_twin": (["twin_until"], "twin_until IS NOT NULL"),
}
JOB = ("pool", "weight_total", "chunks_planned", "parent_id")
CHUNK = (
    "lost_count",
    "leased_at",
    "rung_to",
    "offered_at",
    "twin_token",
    "twin_owner",
    "twin_until",
    "twin_at",
)
WORKER = ("pool", "device", "version", "models", "draining")

# Frozen here: what the code does today may change, what this revision did may not.
SUM_UP_JOBS = """
UPDATE job SET
    weight_total = coalesce((SELECT sum(weight) FROM chunk
        WHERE job_id = job.id AND kind = 'infer' AND state <> 'split'), 0),
    chunks_planned = (SELECT count(*) FROM chunk
        WHERE job_id = job.id AND kind = 'infer' AND parent_idx IS NULL)
"""
SUM_UP_CHUNKS = """
INSERT INTO tally (job_id, slot, rows_ok, rows_err, weight_done, committed, dead, split, added)
SELECT job_id, idx % 16, coalesce(sum(rows_ok), 0), coalesce(sum(rows_err), 0),
    sum(CASE WHEN state IN ('committed', 'dead') THEN weight ELSE 0 END),
    sum(CASE WHEN state = 'committed' THEN 1 ELSE 0 END),
    sum(CASE WHEN state = 'dead' THEN 1 ELSE 0 END),
    sum(CASE WHEN state = 'split' THEN 1 ELSE 0 END),
    sum(CASE WHEN parent_idx IS NULL THEN 0 ELSE 1 END)
FROM chunk WHERE kind = 'infer' GROUP BY job_id, idx % 16
"""


def upgrade() -> None:
    widen_job()
    widen_chunk()
    widen_worker()
    op.create_table(
        "leader",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leader")),
    )
    op.create_table(
        "tally",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("rows_ok", sa.BigInteger(), nullable=False),
        sa.Column("rows_err", sa.BigInteger(), nullable=False),
        sa.Column("weight_done", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Integer(), nullable=False),
        sa.Column("split", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_tally_job_id")),
        sa.PrimaryKeyConstraint("job_id", "slot", name=op.f("pk_tally")),
    )
    op.execute(SUM_UP_JOBS)
    op.execute(SUM_UP_CHUNKS)


def widen_job() -> None:
    pool, weight, planned, parent = JOB
    op.add_column("job", sa.Column(pool, sa.String(), nullable=False, server_default="default"))
    op.add_column("job", sa.Column(weight, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column(planned, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column(parent, sa.String(), nullable=True))


def widen_chunk() -> None:
    lost_count, leased_at, rung_to, offered_at, twin_token, twin_owner, twin_until, twin_at = CHUNK
    counter = sa.Column(lost_count, sa.Integer(), nullable=False, server_default="0")
    op.add_column("chunk", counter)
    add_column(leased_at, sa.Double())
    add_column(rung_to, sa.String())
    add_column(offered_at, sa.Double(), "offered", "offered_at IS NULL OR state = 'leased'")
    add_column(twin_token, sa.String(), "twin", "twin_token IS NULL OR state = 'leased'")
    for column, type_, name in (
        (twin_owner, sa.String(), "twin_owner"),
        (twin_until, sa.Double(), "twin_lease"),
    ):
        add_column(column, type_, name, f"({column} IS NOT NULL) = (twin_token IS NOT NULL)")
    add_column(twin_at, sa.Double())
    for name, (columns, rows) in INDEXES.items():
        where = sa.text(rows)
        op.create_index(name, "chunk", columns, sqlite_where=where, postgresql_where=where)


def add_column(name: str, type_: sa.types.TypeEngine, check: str = "", condition: str = "") -> None:
    # As part of its column the check can be added on SQLite without making the table anew.
    checks = [sa.CheckConstraint(condition, name=op.f(f"ck_chunk_{check}"))] if check else []
    op.add_column("chunk", sa.Column(name, type_, *checks, nullable=True))


def widen_worker() -> None:
    pool, device, version, models, draining = WORKER
    op.add_column("worker", sa.Column(pool, sa.String(), nullable=False, server_default="default"))
    op.add_column("worker", sa.Column(device, sa.String(), nullable=False, server_default=""))
    op.add_column("worker", sa.Column(version, sa.String(), nullable=False, server_default=""))
    op.add_column("worker", sa.Column(models, sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "worker", sa.Column(draining, sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_table("tally")
    op.drop_table("leader")
    for name in INDEXES:
        op.drop_index(name, "chunk")
    for table, columns in (("worker", WORKER), ("chunk", CHUNK), ("job", JOB)):
        for column in reversed(columns):
            op.drop_column(table, column)
