"""usage: requests, their attempts, and the views that dashboards read

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SCHEMA = "tierwise"


def request_columns() -> list[sa.Column]:
    return [
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("send", sa.SmallInteger, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cache", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_source", sa.Text, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("first_token_ms", sa.Double),
        sa.Column("cost_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("baseline_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("lease_id", sa.Text, nullable=False),
        sa.Column("reserved_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("features", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    ]


def upgrade() -> None:
    op.create_table(
        "ledger_requests",
        *request_columns(),
        sa.Column("resent_cost_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("request_id", name="pk_ledger_requests"),
        schema=SCHEMA,
    )
    op.create_index("ix_ledger_requests_received_at", "ledger_requests", ["received_at"], schema=SCHEMA)
    op.create_index("ix_ledger_requests_day_service", "ledger_requests", ["day", "service"], schema=SCHEMA)
    op.create_table(
        "ledger_resends",
        *request_columns(),
        sa.PrimaryKeyConstraint("request_id", "send", name="pk_ledger_resends"),
        schema=SCHEMA,
    )
    op.create_table(
        "ledger_attempts",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("send", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_source", sa.Text, nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "send", "attempt", name="pk_ledger_attempts"),
        schema=SCHEMA,
    )
    op.create_index("ix_ledger_attempts_day_service", "ledger_attempts", ["day", "service"], schema=SCHEMA)
    op.create_table(
        "ledger_conflicts",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("send", sa.SmallInteger, nullable=False),
        sa.Column("fingerprint", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("request_id", "send", "fingerprint", name="pk_ledger_conflicts"),
        schema=SCHEMA,
    )
    op.create_table(
        "ledger_poison",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("digest", name="pk_ledger_poison"),
        schema=SCHEMA,
    )
    # 1e-9 is a numeric: exact, nine digits after the point.
    op.execute("""
        CREATE VIEW tierwise.requests AS
        SELECT request_id, received_at, service, priority, category, tier, backend, model, reason, cache, status,
            attempts, input_tokens, cached_input_tokens, output_tokens, usage_source, latency_ms, first_token_ms,
            paid AS cost_nano_usd, paid * 1e-9 AS cost_usd,
            baseline_nano_usd, baseline_nano_usd * 1e-9 AS baseline_usd,
            baseline_nano_usd - paid AS saved_nano_usd, (baseline_nano_usd - paid) * 1e-9 AS saved_usd,
            policy_version
        FROM (SELECT *, cost_nano_usd + resent_cost_nano_usd AS paid FROM tierwise.ledger_requests) AS request
    """)
    op.execute("""
        CREATE VIEW tierwise.attempts AS
        SELECT request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens,
            cost_nano_usd, cost_nano_usd * 1e-9 AS cost_usd, latency_ms
        FROM tierwise.ledger_attempts
    """)
    # A request counts at the backend that answered it; tokens and money where they were spent.
    op.execute("""
        CREATE VIEW tierwise.spend_daily AS
        SELECT day, service, tier, backend, sum(requests)::bigint AS requests,
            sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
            sum(cost_nano_usd)::bigint AS cost_nano_usd, sum(cost_nano_usd)::bigint * 1e-9 AS cost_usd
        FROM (
            SELECT day, service, tier, backend, 1 AS requests, 0 AS input_tokens, 0 AS output_tokens,
                0 AS cost_nano_usd
            FROM tierwise.ledger_requests
            UNION ALL
            SELECT day, service, tier, backend, 0, input_tokens, output_tokens, cost_nano_usd
            FROM tierwise.ledger_attempts
        ) AS entry
        GROUP BY day, service, tier, backend
        HAVING sum(requests) > 0 OR sum(cost_nano_usd) > 0 OR sum(input_tokens + output_tokens) > 0
    """)


def downgrade() -> None:
    for view in ("spend_daily", "attempts", "requests"):
        op.execute(f"DROP VIEW {SCHEMA}.{view}")
    for table in ("poison", "conflicts", "attempts", "resends", "requests"):
        op.drop_table(f"ledger_{table}", schema=SCHEMA)
