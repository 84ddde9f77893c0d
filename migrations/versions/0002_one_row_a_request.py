"""usage: a request's only call is told by the request's own row; rows of before stay as they are

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "tierwise"

ATTEMPTS = """
    CREATE OR REPLACE VIEW tierwise.attempts AS
    SELECT request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens,
        cost_nano_usd, cost_nano_usd * 1e-9 AS cost_usd, latency_ms
    FROM ({calls}) AS call
"""

OWN_CALLS = """
    SELECT request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens,
        cost_nano_usd, latency_ms
    FROM tierwise.ledger_attempts
"""

TOLD_CALLS = """
    SELECT request_id, send, 1::smallint, backend, call_started_at, 'answered', status, input_tokens, output_tokens,
        cost_nano_usd, call_latency_ms
    FROM tierwise.ledger_{table} WHERE call_started_at IS NOT NULL
"""

# A request counts at the backend that answered it; tokens and money where they were spent.
SPEND_DAILY = """
    CREATE OR REPLACE VIEW tierwise.spend_daily AS
    SELECT day, service, tier, backend, sum(requests)::bigint AS requests,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
        sum(cost_nano_usd)::bigint AS cost_nano_usd, sum(cost_nano_usd)::bigint * 1e-9 AS cost_usd
    FROM ({entries}) AS entry
    GROUP BY day, service, tier, backend
    HAVING sum(requests) > 0 OR sum(cost_nano_usd) > 0 OR sum(input_tokens + output_tokens) > 0
"""

OWN_ENTRIES = """
    SELECT day, service, tier, backend, 1 AS requests, 0::bigint AS input_tokens, 0::bigint AS output_tokens,
        0::bigint AS cost_nano_usd
    FROM tierwise.ledger_requests
    UNION ALL
    SELECT day, service, tier, backend, 0, input_tokens, output_tokens, cost_nano_usd
    FROM tierwise.ledger_attempts
"""

TOLD_ENTRIES = """
    SELECT day, service, tier, backend, 1 AS requests,
        CASE WHEN call_started_at IS NULL THEN 0 ELSE input_tokens END AS input_tokens,
        CASE WHEN call_started_at IS NULL THEN 0 ELSE output_tokens END AS output_tokens,
        CASE WHEN call_started_at IS NULL THEN 0 ELSE cost_nano_usd END AS cost_nano_usd
    FROM tierwise.ledger_requests
    UNION ALL
    SELECT day, service, tier, backend, 0, input_tokens, output_tokens, cost_nano_usd
    FROM tierwise.ledger_attempts
    UNION ALL
    SELECT day, service, tier, backend, 0, input_tokens, output_tokens, cost_nano_usd
    FROM tierwise.ledger_resends WHERE call_started_at IS NOT NULL
"""

UNTOLD = """
    INSERT INTO tierwise.ledger_attempts (request_id, send, attempt, received_at, day, service, tier, backend, started_at,
        outcome, status, input_tokens, cached_input_tokens, output_tokens, usage_source, cost_nano_usd, latency_ms)
    SELECT request_id, send, 1, received_at, day, service, tier, backend, call_started_at,
        'answered', status, input_tokens, cached_input_tokens, output_tokens, usage_source, cost_nano_usd, call_latency_ms
    FROM tierwise.ledger_{table} WHERE call_started_at IS NOT NULL
"""


def upgrade() -> None:
    """Nothing is rewritten: the new columns are empty in the rows that are there, whose calls have their own rows."""
    for table in ("ledger_requests", "ledger_resends"):
        op.add_column(table, sa.Column("call_started_at", sa.DateTime(timezone=True)), schema=SCHEMA)
        op.add_column(table, sa.Column("call_latency_ms", sa.Double), schema=SCHEMA)
    op.drop_index("ix_ledger_requests_day_service", "ledger_requests", schema=SCHEMA)
    op.create_index("ix_ledger_requests_day", "ledger_requests", ["day"], schema=SCHEMA, postgresql_using="brin")
    told = [TOLD_CALLS.format(table=table) for table in ("requests", "resends")]
    op.execute(ATTEMPTS.format(calls=" UNION ALL ".join([OWN_CALLS, *told])))
    op.execute(SPEND_DAILY.format(entries=TOLD_ENTRIES))


def downgrade() -> None:
    op.execute(ATTEMPTS.format(calls=OWN_CALLS))
    op.execute(SPEND_DAILY.format(entries=OWN_ENTRIES))
    for table in ("requests", "resends"):
        op.execute(UNTOLD.format(table=table))
        op.drop_column(f"ledger_{table}", "call_latency_ms", schema=SCHEMA)
        op.drop_column(f"ledger_{table}", "call_started_at", schema=SCHEMA)
    op.drop_index("ix_ledger_requests_day", "ledger_requests", schema=SCHEMA)
    op.create_index("ix_ledger_requests_day_service", "ledger_requests", ["day", "service"], schema=SCHEMA)
