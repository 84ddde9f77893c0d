"""lost leases in the books: what a lease was charged of which nobody told has its transfer, and so its day's sum

Charges that still may be corrected get theirs here. Of older ones the leases are gone, and with them which they were.

Revision ID: 0005
Revises: 0004
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "tierwise"

CHARGED = "charged AND kept_nano_usd > settled_nano_usd"
ACCOUNT = """
    CASE WHEN service LIKE '%:%' OR service LIKE '"%' OR service = 'backend' THEN '"' || service || '"'
        ELSE service END
"""
TRANSFERS = f"""
    INSERT INTO tierwise.ledger_transfers (request_id, send, attempt, cause, received_at, day, debit_account,
        credit_account, amount_nano_usd, amount_source, policy_version)
    SELECT lease_id, 0, 1, 'lost_lease', now(), day, {ACCOUNT}, {ACCOUNT} || '\\:lost',
        kept_nano_usd - settled_nano_usd, 'assumed', 0
    FROM tierwise.budget_leases WHERE {CHARGED}
"""
DAYS = f"""
    INSERT INTO tierwise.ledger_days (day, service, category, tier, backend, payer, cost_nano_usd)
    SELECT day, service, '', '', '', 'lost', sum(kept_nano_usd - settled_nano_usd)
    FROM tierwise.budget_leases WHERE {CHARGED} GROUP BY day, service
"""


def upgrade() -> None:
    op.add_column(
        "budget_leases",
        sa.Column("transfers", sa.SmallInteger, nullable=False, server_default="0"),
        schema=SCHEMA,
    )
    if not one(f"SELECT EXISTS (SELECT FROM tierwise.budget_leases WHERE {CHARGED})"):
        return
    have_this_month()
    op.execute(TRANSFERS)
    op.execute(DAYS)
    op.execute(f"UPDATE tierwise.budget_leases SET transfers = 1 WHERE {CHARGED}")


def downgrade() -> None:
    """The release of before knows nothing of these transfers, and its reports would not add up with their sums."""
    op.execute("ALTER TABLE tierwise.ledger_transfers DISABLE TRIGGER never_changed")
    op.execute("DELETE FROM tierwise.ledger_transfers WHERE cause = 'lost_lease'")
    op.execute("ALTER TABLE tierwise.ledger_transfers ENABLE TRIGGER never_changed")
    op.execute("DELETE FROM tierwise.ledger_days WHERE payer = 'lost'")
    op.drop_column("budget_leases", "transfers", schema=SCHEMA)


def have_this_month() -> None:
    """The ledger makes it a week ahead (services/ledger/retention.py), unless it stood still for so long."""
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    name = f"ledger_transfers_{month:%Y_%m}"
    bounds = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class JOIN pg_inherits ON inhrelid = oid"
    op.execute("SET LOCAL timezone = 'UTC'")
    op.execute("SET LOCAL datestyle = 'ISO'")
    ends = op.get_bind().execute(
        sa.text(f"{bounds} WHERE inhparent = 'tierwise.ledger_transfers'\\:\\:regclass")
    ).scalars()
    after = (month + timedelta(days=31)).replace(day=1)
    if any(f"TO ('{after:%Y-%m-%d} 00:00:00+00')" in each for each in ends):
        return
    op.execute(
        f"CREATE TABLE tierwise.{name} PARTITION OF tierwise.ledger_transfers (CONSTRAINT pk_{name} PRIMARY KEY "
        f"(request_id, send, attempt, cause)) FOR VALUES FROM ('{month:%Y-%m-%d} 00:00+00') "
        f"TO ('{after:%Y-%m-%d} 00:00+00')"
    )
    op.execute(
        f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON tierwise.{name} EXECUTE FUNCTION tierwise.refuse_change()"
    )


def one(query: str) -> object:
    return op.get_bind().execute(sa.text(query)).scalar_one()
