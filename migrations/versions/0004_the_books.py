"""the books: transfers, the sums of days, pairs; what grows with traffic is kept by the month; a role for dashboards

Rows that are there are attached as they are, as the partition of all months until now: nothing is rewritten. Their
transfers and their days' sums are made from them.

Revision ID: 0004
Revises: 0003
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "tierwise"
KEYS = {
    "ledger_requests": "request_id",
    "ledger_resends": "request_id, send",
    "ledger_attempts": "request_id, send, attempt",
}
SAVED = ("cache_saved_nano_usd", "batch_saved_nano_usd")
INDEXES = (
    ("ledger_requests", "received_at", "btree"),
    ("ledger_requests", "day", "brin"),
    ("ledger_requests", "call_started_at", "brin"),
    ("ledger_attempts", "day_service", "btree"),
    ("ledger_attempts", "started_at", "brin"),
    ("ledger_transfers", "day", "brin"),
    ("ledger_pairs", "day", "brin"),
)

REQUESTS = """
    CREATE OR REPLACE VIEW tierwise.requests AS
    SELECT request_id, received_at, service, priority, category, tier, backend, model, reason, cache, status,
        attempts, input_tokens, cached_input_tokens, output_tokens, usage_source, latency_ms, first_token_ms,
        paid AS cost_nano_usd, paid * 1e-9 AS cost_usd,
        baseline_nano_usd, baseline_nano_usd * 1e-9 AS baseline_usd,
        baseline_nano_usd - paid AS saved_nano_usd, (baseline_nano_usd - paid) * 1e-9 AS saved_usd,
        policy_version
    FROM tierwise.ledger_requests, LATERAL (SELECT cost_nano_usd + resent_cost_nano_usd AS paid) AS total
"""
ATTEMPTS = """
    CREATE OR REPLACE VIEW tierwise.attempts AS
    SELECT request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens,
        cost_nano_usd, cost_nano_usd * 1e-9 AS cost_usd, latency_ms
    FROM (
        SELECT request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens,
            cost_nano_usd, latency_ms
        FROM tierwise.ledger_attempts
        UNION ALL
        SELECT request_id, send, 1::smallint, backend, call_started_at, 'answered', status, input_tokens,
            output_tokens, cost_nano_usd, call_latency_ms
        FROM tierwise.ledger_requests WHERE call_started_at IS NOT NULL
        UNION ALL
        SELECT request_id, send, 1::smallint, backend, call_started_at, 'answered', status, input_tokens,
            output_tokens, cost_nano_usd, call_latency_ms
        FROM tierwise.ledger_resends WHERE call_started_at IS NOT NULL
    ) AS call
"""
# A request counts at the backend that answered it; tokens and money where they were spent.
SPEND_DAILY = """
    CREATE OR REPLACE VIEW tierwise.spend_daily AS
    SELECT day, service, tier, backend, sum(requests)::bigint AS requests,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
        sum(cost_nano_usd)::bigint AS cost_nano_usd, sum(cost_nano_usd)::bigint * 1e-9 AS cost_usd
    FROM {entries} AS entry
    GROUP BY day, service, tier, backend
    HAVING sum(requests) > 0 OR sum(cost_nano_usd) > 0 OR sum(input_tokens + output_tokens) > 0
"""
TOLD_ENTRIES = """(
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
)"""
SAVINGS_DAILY = """
    CREATE VIEW tierwise.savings_daily AS
    SELECT day, service, category, requests,
        cost_nano_usd, cost_nano_usd * 1e-9 AS cost_usd,
        baseline_nano_usd, baseline_nano_usd * 1e-9 AS baseline_usd,
        cache_saved_nano_usd, cache_saved_nano_usd * 1e-9 AS cache_saved_usd,
        batch_saved_nano_usd, batch_saved_nano_usd * 1e-9 AS batch_saved_usd,
        validation_nano_usd, validation_nano_usd * 1e-9 AS validation_usd,
        baseline_nano_usd - cost_nano_usd - validation_nano_usd AS net_saved_nano_usd,
        (baseline_nano_usd - cost_nano_usd - validation_nano_usd) * 1e-9 AS net_saved_usd
    FROM (
        SELECT day, service, category, sum(requests)::bigint AS requests,
            sum(CASE WHEN payer = 'validation' THEN 0 ELSE cost_nano_usd END)::bigint AS cost_nano_usd,
            sum(baseline_nano_usd)::bigint AS baseline_nano_usd,
            sum(cache_saved_nano_usd)::bigint AS cache_saved_nano_usd,
            sum(batch_saved_nano_usd)::bigint AS batch_saved_nano_usd,
            sum(CASE WHEN payer = 'validation' THEN cost_nano_usd ELSE 0 END)::bigint AS validation_nano_usd
        FROM tierwise.ledger_days
        GROUP BY day, service, category
    ) AS sums
    WHERE requests > 0 OR cost_nano_usd > 0 OR validation_nano_usd > 0
"""

# Every call with the request that it was made for: `category` and `reason` are the request's.
CALLS = """
    SELECT request_id, send, 1::smallint AS attempt, received_at, day, service, category, reason, policy_version, tier,
        backend, input_tokens, output_tokens, usage_source, cost_nano_usd
    FROM tierwise.ledger_requests WHERE call_started_at IS NOT NULL
    UNION ALL
    SELECT request_id, send, 1::smallint, received_at, day, service, category, reason, policy_version, tier,
        backend, input_tokens, output_tokens, usage_source, cost_nano_usd
    FROM tierwise.ledger_resends WHERE call_started_at IS NOT NULL
    UNION ALL
    SELECT call.request_id, call.send, call.attempt, call.received_at, call.day, call.service,
        coalesce(request.category, resend.category, ''), coalesce(request.reason, resend.reason, ''),
        coalesce(request.policy_version, resend.policy_version, 0), call.tier, call.backend, call.input_tokens,
        call.output_tokens, call.usage_source, call.cost_nano_usd
    FROM tierwise.ledger_attempts AS call
    LEFT JOIN tierwise.ledger_requests AS request USING (request_id, send)
    LEFT JOIN tierwise.ledger_resends AS resend USING (request_id, send)
"""
IS_FLOOR = "'budget_downgrade' = ANY (string_to_array(reason, ','))"
TRANSFERS = f"""
    INSERT INTO tierwise.ledger_transfers (request_id, send, attempt, cause, received_at, day, debit_account,
        credit_account, amount_nano_usd, amount_source, policy_version)
    SELECT request_id, send, attempt, 'call', received_at, day,
        CASE WHEN service LIKE '%:%' OR service LIKE '"%' OR service = 'backend' THEN '"' || service || '"'
            ELSE service END || CASE WHEN {IS_FLOOR} THEN '\\:floor' ELSE '' END,
        'backend:' || backend, cost_nano_usd,
        CASE WHEN usage_source = 'unknown' THEN 'assumed' ELSE 'priced' END, policy_version
    FROM ({CALLS}) AS paid WHERE cost_nano_usd > 0
"""
DAYS = f"""
    INSERT INTO tierwise.ledger_days (day, service, category, tier, backend, payer, requests, input_tokens,
        output_tokens, cost_nano_usd, baseline_nano_usd)
    SELECT day, service, category, tier, backend, CASE WHEN {IS_FLOOR} THEN 'floor' ELSE 'budget' END AS payer,
        sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_nano_usd), sum(baseline_nano_usd)
    FROM (
        SELECT day, service, category, tier, backend, reason, 1 AS requests, 0 AS input_tokens, 0 AS output_tokens,
            0 AS cost_nano_usd, baseline_nano_usd
        FROM tierwise.ledger_requests
        UNION ALL
        SELECT day, service, category, tier, backend, reason, 0, input_tokens, output_tokens, cost_nano_usd, 0
        FROM ({CALLS}) AS call
    ) AS entry
    GROUP BY day, service, category, tier, backend, payer
"""

# Views run with the rights of their owner: who may read them need not, and may not, read the tables.
DASHBOARDS = """
    DO $$
    DECLARE
        name text;
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tierwise_dashboards') THEN
            BEGIN
                CREATE ROLE tierwise_dashboards NOLOGIN;
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration was first
                WHEN insufficient_privilege THEN
                    RAISE WARNING 'the role tierwise_dashboards is left out: this user may not create roles';
                    RETURN;
            END;
        END IF;
        GRANT USAGE ON SCHEMA tierwise TO tierwise_dashboards;
        FOR name IN SELECT viewname FROM pg_views WHERE schemaname = 'tierwise' LOOP
            EXECUTE format('GRANT SELECT ON tierwise.%I TO tierwise_dashboards', name);
        END LOOP;
    END $$
"""
# The role is the cluster's, and other databases may use it: it stays.
NO_DASHBOARDS = """
    DO $$
    DECLARE
        name text;
    BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tierwise_dashboards') THEN
            FOR name IN SELECT viewname FROM pg_views WHERE schemaname = 'tierwise' LOOP
                EXECUTE format('REVOKE SELECT ON tierwise.%I FROM tierwise_dashboards', name);
            END LOOP;
            REVOKE USAGE ON SCHEMA tierwise FROM tierwise_dashboards;
        END IF;
    END $$
"""


def upgrade() -> None:
    for table in ("ledger_requests", "ledger_resends"):
        for column in SAVED:
            op.add_column(
                table, sa.Column(column, sa.BigInteger, nullable=False, server_default="0"), schema=SCHEMA
            )
    bound = after(month_of(datetime.now(UTC)))
    filled = [table for table in KEYS if one(f"SELECT EXISTS (SELECT FROM tierwise.{table})")]
    for table in KEYS:
        keep_by_month(table)
    create_transfers()
    create_pairs()
    for table, columns, method in INDEXES:
        named = columns.replace("_service", ", service")
        op.execute(f"CREATE INDEX ix_{table}_{columns} ON tierwise.{table} USING {method} ({named})")
    for table, key in KEYS.items():
        if table in filled:
            attach(table, bound)
        move_what_is_later(table, key, bound)
    if filled:
        create_partition("ledger_transfers", f"ledger_transfers_before_{bound:%Y_%m}", None, bound)
    create_days()
    for view in (REQUESTS, ATTEMPTS, SPEND_DAILY.format(entries="tierwise.ledger_days"), SAVINGS_DAILY):
        op.execute(view)
    for table in KEYS:
        if table not in filled:
            op.execute(f"DROP TABLE tierwise.{table}_old")
    op.execute(TRANSFERS)
    op.execute(DAYS)
    op.execute(DASHBOARDS)


def keep_by_month(table: str) -> None:
    """What is there steps aside, with its indexes, for a table of the same columns that is kept by the month."""
    op.execute(f"ALTER TABLE tierwise.{table} RENAME TO {table}_old")
    op.execute(f"ALTER INDEX tierwise.pk_{table} RENAME TO pk_{table}_old")
    for index in indexes_of(f"{table}_old"):
        op.execute(f"ALTER INDEX tierwise.{index} RENAME TO {index}_old")
    op.execute(
        f"CREATE TABLE tierwise.{table} (LIKE tierwise.{table}_old INCLUDING DEFAULTS) PARTITION BY RANGE (received_at)"
    )


def indexes_of(table: str) -> list[str]:
    return all_of(
        f"SELECT indexname FROM pg_indexes WHERE schemaname = 'tierwise' AND tablename = '{table}' "
        "AND indexname NOT LIKE 'pk_%'"
    )


def attach(table: str, bound: datetime) -> None:
    name = f"{table}_before_{bound:%Y_%m}"
    op.execute(f"ALTER TABLE tierwise.{table}_old RENAME TO {name}")
    op.execute(f"CREATE TEMPORARY TABLE later_{table} ON COMMIT DROP AS SELECT * FROM tierwise.{name} LIMIT 0")
    op.execute(
        f"WITH later AS (DELETE FROM tierwise.{name} WHERE received_at >= {utc(bound)} RETURNING *) "
        f"INSERT INTO later_{table} SELECT * FROM later"
    )
    op.execute(
        f"ALTER TABLE tierwise.{table} ATTACH PARTITION tierwise.{name} FOR VALUES FROM (MINVALUE) TO ({utc(bound)})"
    )


def move_what_is_later(table: str, key: str, bound: datetime) -> None:
    """A clock was wrong: into months of their own, of every table, lest the ledger lacks one."""
    if not one(f"SELECT to_regclass('pg_temp.later_{table}') IS NOT NULL"):
        return
    months = all_of(f"SELECT DISTINCT date_trunc('month', received_at, 'UTC') FROM later_{table} ORDER BY 1")
    for month in months:
        for each, its_key in {**KEYS, "ledger_transfers": "request_id, send, attempt, cause"}.items():
            name = f"{each}_{month.astimezone(UTC):%Y_%m}"
            if not one(f"SELECT to_regclass('tierwise.{name}') IS NOT NULL"):
                create_partition(each, name, month, after(month), its_key)
    op.execute(f"INSERT INTO tierwise.{table} SELECT * FROM later_{table}")


def create_partition(
    table: str, name: str, begin: datetime | None, end: datetime, key: str = "request_id, send, attempt, cause"
) -> None:
    first = "MINVALUE" if begin is None else utc(begin)
    op.execute(
        f"CREATE TABLE tierwise.{name} PARTITION OF tierwise.{table} (CONSTRAINT pk_{name} PRIMARY KEY ({key})) "
        f"FOR VALUES FROM ({first}) TO ({utc(end)})"
    )
    if table == "ledger_transfers":
        op.execute(
            f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON tierwise.{name} "
            "EXECUTE FUNCTION tierwise.refuse_change()"
        )


def create_transfers() -> None:
    op.execute("""
        CREATE TABLE tierwise.ledger_transfers (
            request_id text NOT NULL,
            send smallint NOT NULL,
            attempt smallint NOT NULL,
            cause text NOT NULL,
            received_at timestamptz NOT NULL,
            day date NOT NULL,
            debit_account text NOT NULL,
            credit_account text NOT NULL,
            amount_nano_usd bigint NOT NULL CONSTRAINT ck_ledger_transfers_amount CHECK (amount_nano_usd > 0),
            amount_source text NOT NULL,
            policy_version bigint NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT ck_ledger_transfers_accounts CHECK (debit_account <> credit_account)
        ) PARTITION BY RANGE (received_at)
    """)
    op.execute("""
        CREATE FUNCTION tierwise.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: what is wrong is put right by another transfer', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON tierwise.ledger_transfers
        FOR EACH ROW EXECUTE FUNCTION tierwise.refuse_change()
    """)
    op.execute("""
        CREATE TRIGGER never_emptied BEFORE TRUNCATE ON tierwise.ledger_transfers
        EXECUTE FUNCTION tierwise.refuse_change()
    """)


def create_pairs() -> None:
    op.execute("""
        CREATE TABLE tierwise.ledger_pairs (
            request_id text NOT NULL,
            received_at timestamptz NOT NULL,
            day date NOT NULL,
            service text NOT NULL,
            category text NOT NULL,
            backend text NOT NULL,
            policy_version bigint NOT NULL,
            probability double precision NOT NULL
                CONSTRAINT ck_ledger_pairs_probability CHECK (probability > 0 AND probability <= 1),
            baseline_nano_usd bigint NOT NULL,
            paired_baseline_nano_usd bigint,
            agreement double precision,
            calls integer NOT NULL,
            cost_nano_usd bigint NOT NULL,
            fingerprint bigint NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now()
        ) PARTITION BY RANGE (received_at)
    """)


def create_days() -> None:
    sums = (
        "requests", "input_tokens", "output_tokens", "cost_nano_usd", "baseline_nano_usd", "cache_saved_nano_usd",
        "batch_saved_nano_usd",
    )  # fmt: skip
    # Room on each page for the new version of a row, of which five a second are made.
    op.execute(f"""
        CREATE TABLE tierwise.ledger_days (
            day date NOT NULL, service text NOT NULL, category text NOT NULL, tier text NOT NULL,
            backend text NOT NULL, payer text NOT NULL,
            {", ".join(f"{column} bigint NOT NULL DEFAULT 0" for column in sums)},
            CONSTRAINT pk_ledger_days PRIMARY KEY (day, service, category, tier, backend, payer)
        ) WITH (fillfactor = 50)
    """)


def downgrade() -> None:
    """Every request and call stays; validations have no place in the tables of before."""
    op.execute(NO_DASHBOARDS)
    for table, key in KEYS.items():
        op.execute(f"ALTER TABLE tierwise.{table} RENAME TO {table}_by_month")
        for index in indexes_of(f"{table}_by_month"):
            op.execute(f"ALTER INDEX tierwise.{index} RENAME TO {index}_by_month")
        op.execute(f"CREATE TABLE tierwise.{table} (LIKE tierwise.{table}_by_month INCLUDING DEFAULTS)")
        op.execute(f"INSERT INTO tierwise.{table} SELECT * FROM tierwise.{table}_by_month")
        op.execute(f"ALTER TABLE tierwise.{table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({key})")
    for table, columns, method in INDEXES[:4]:
        if columns != "call_started_at":
            named = columns.replace("_service", ", service")
            op.execute(f"CREATE INDEX ix_{table}_{columns} ON tierwise.{table} USING {method} ({named})")
    op.execute("DROP VIEW tierwise.savings_daily")
    for view in (REQUESTS, ATTEMPTS, SPEND_DAILY.format(entries=TOLD_ENTRIES)):
        op.execute(view)
    for table in KEYS:
        op.execute(f"DROP TABLE tierwise.{table}_by_month")
    for table in ("ledger_transfers", "ledger_pairs", "ledger_days"):
        op.execute(f"DROP TABLE tierwise.{table}")
    op.execute("DROP FUNCTION tierwise.refuse_change")
    for table in ("ledger_requests", "ledger_resends"):
        for column in SAVED:
            op.drop_column(table, column, schema=SCHEMA)


def one(query: str) -> object:
    return op.get_bind().execute(sa.text(query)).scalar_one()


def all_of(query: str) -> list:
    return list(op.get_bind().execute(sa.text(query)).scalars())


def month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(month: datetime) -> datetime:
    return month_of(month_of(month) + timedelta(days=31))


def utc(moment: datetime) -> str:
    return f"'{moment.astimezone(UTC):%Y-%m-%d %H:%M}+00'"
