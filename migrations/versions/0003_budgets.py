"""budgets: what operators set, each service's days, the leases of them, and the view of today

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "tierwise"


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("budget", sa.Text, nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("service", name="pk_budgets"),
        schema=SCHEMA,
    )
    op.create_table(
        "budget_days",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resets_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("on_exhausted", sa.Text, nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("held_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("floor_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("granted_nano_usd_last", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("exhausted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("service", "day", name="pk_budget_days"),
        schema=SCHEMA,
    )
    op.create_index("ix_budget_days_resets_at", "budget_days", ["resets_at"], schema=SCHEMA)
    op.create_table(
        "budget_leases",
        sa.Column("lease_id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("day", sa.Date),
        sa.Column("kept_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("settled_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("charged", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("lease_id", name="pk_budget_leases"),
        schema=SCHEMA,
    )
    op.create_index("ix_budget_leases_due_at", "budget_leases", ["due_at"], schema=SCHEMA)
    op.execute("""
        CREATE VIEW tierwise.budget_status AS
        SELECT service, day,
            limit_nano_usd, limit_nano_usd * 1e-9 AS limit_usd,
            spent_nano_usd, spent_nano_usd * 1e-9 AS spent_usd,
            held_nano_usd AS reserved_nano_usd, held_nano_usd * 1e-9 AS reserved_usd,
            remaining AS remaining_nano_usd, remaining * 1e-9 AS remaining_usd,
            floor_nano_usd, floor_nano_usd * 1e-9 AS floor_usd,
            on_exhausted, exhausted_at, resets_at
        FROM (
            SELECT *, greatest(limit_nano_usd - spent_nano_usd - held_nano_usd, 0) AS remaining
            FROM tierwise.budget_days WHERE starts_at <= now() AND now() < resets_at
        ) AS today
    """)


def downgrade() -> None:
    op.execute(f"DROP VIEW {SCHEMA}.budget_status")
    for table in ("budget_leases", "budget_days", "budgets"):
        op.drop_table(table, schema=SCHEMA)
