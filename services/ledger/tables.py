"""The ledger's tables. Dashboards read the views over them (docs/tables.md), which stay as the tables change.

What grows with traffic is partitioned by the month of `received_at`, which is the same in every copy of a record. Its
key is each partition's own (services/ledger/partitions.py), and no write names a constraint. `ledger_days` has the
sums of each day: they are kept for good.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    false,
    func,
)

from shared.database import metadata


def _request_columns(*, by_send: bool = False) -> list[Column[Any]]:
    return [
        Column("request_id", Text, primary_key=True),
        Column("send", SmallInteger, primary_key=by_send, nullable=False),
        Column("received_at", DateTime(timezone=True), nullable=False),
        Column("day", Date, nullable=False),  # of the service's budget
        Column("answered_at", DateTime(timezone=True), nullable=False),
        Column("service", Text, nullable=False),
        Column("priority", Text, nullable=False),
        Column("category", Text, nullable=False),
        Column("tier", Text, nullable=False),
        Column("backend", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("cache", Text, nullable=False),
        Column("status", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("cached_input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("usage_source", Text, nullable=False),
        Column("latency_ms", Double, nullable=False),
        Column("first_token_ms", Double),
        Column("cost_nano_usd", BigInteger, nullable=False),  # of this send
        Column("baseline_nano_usd", BigInteger, nullable=False),
        Column("policy_version", BigInteger, nullable=False),
        Column("lease_id", Text, nullable=False),
        Column("reserved_nano_usd", BigInteger, nullable=False),
        Column("features", LargeBinary, nullable=False),  # contracts.Features as MessagePack, for `replay`
        Column("fingerprint", BigInteger, nullable=False),
        Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        # Of the only call, where its row in ledger_attempts would say what this one says: then it has none there.
        Column("call_started_at", DateTime(timezone=True)),
        Column("call_latency_ms", Double),
        # Of what was not paid, who spared it: the baseline less the cost has both in it.
        Column("cache_saved_nano_usd", BigInteger, nullable=False, server_default="0"),
        Column("batch_saved_nano_usd", BigInteger, nullable=False, server_default="0"),
    ]


_BY_MONTH: dict[str, Any] = {"postgresql_partition_by": "RANGE (received_at)"}


requests = Table(
    "ledger_requests",
    metadata,
    *_request_columns(),
    Column("resent_cost_nano_usd", BigInteger, nullable=False, server_default="0"),  # of its rows in ledger_resends
    Index(None, "received_at"),
    Index(None, "day", postgresql_using="brin"),  # days come in order; a tree would be a tenth of what a row costs
    Index(None, "call_started_at", postgresql_using="brin"),
    **_BY_MONTH,
)

# The other send of a request that was sent twice and worked on twice: paid, but not what the caller got.
resends = Table("ledger_resends", metadata, *_request_columns(by_send=True), **_BY_MONTH)

# Calls that the row of their request does not tell: of those that had several, or whose only one failed.
attempts = Table(
    "ledger_attempts",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("send", SmallInteger, primary_key=True),
    Column("attempt", SmallInteger, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("day", Date, nullable=False),
    Column("service", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("usage_source", Text, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Index(None, "day", "service"),
    Index(None, "started_at", postgresql_using="brin"),
    **_BY_MONTH,
)

# Money that moved. Append-only: the database refuses to change or to delete a row (migration 0004).
transfers = Table(
    "ledger_transfers",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("send", SmallInteger, primary_key=True),
    Column("attempt", SmallInteger, primary_key=True),
    Column("cause", Text, primary_key=True),  # call, batch_line, validation; lost_lease, of the lease `request_id`
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("day", Date, nullable=False),
    Column("debit_account", Text, nullable=False),  # the service, its `:floor` or its `:validation`
    Column("credit_account", Text, nullable=False),  # `backend:` and its name, or the service's `:lost`
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("amount_source", Text, nullable=False),  # reported, priced, assumed
    Column("policy_version", BigInteger, nullable=False),  # whose prices they were
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("amount_nano_usd > 0", name="amount"),
    CheckConstraint("debit_account <> credit_account", name="accounts"),
    Index(None, "day", postgresql_using="brin"),
    **_BY_MONTH,
)

# Answers that were compared with the reference model's.
pairs = Table(
    "ledger_pairs",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("day", Date, nullable=False),
    Column("service", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("backend", Text, nullable=False),  # whose answer was compared
    Column("policy_version", BigInteger, nullable=False),
    Column("probability", Double, nullable=False),  # with which the request was chosen
    Column("baseline_nano_usd", BigInteger, nullable=False),  # with the answer's own length
    Column("paired_baseline_nano_usd", BigInteger),  # with the reference's
    Column("agreement", Double),
    Column("calls", Integer, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("fingerprint", BigInteger, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("probability > 0 AND probability <= 1", name="probability"),
    Index(None, "day", postgresql_using="brin"),
    **_BY_MONTH,
)

# What each day came to, brought up to date in the transaction that records a batch (services/ledger/books.py).
days = Table(
    "ledger_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("backend", Text, primary_key=True),
    Column("payer", Text, primary_key=True),  # budget, floor, validation, lost
    Column("requests", BigInteger, nullable=False, server_default="0"),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("baseline_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("cache_saved_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("batch_saved_nano_usd", BigInteger, nullable=False, server_default="0"),
)

# A record whose key is taken by one with other content. Somebody must look at it.
conflicts = Table(
    "ledger_conflicts",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("send", SmallInteger, primary_key=True),
    Column("fingerprint", BigInteger, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What can never be recorded: a whole message, or one record of it.
poison = Table(
    "ledger_poison",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of `raw`: the same poison again is the same row
    Column("raw", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What an operator set over the file's budget, as the file would have it, in JSON.
budgets = Table(
    "budgets",
    metadata,
    Column("service", Text, primary_key=True),
    Column("budget", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# services/ledger/leases.py's Day.
budget_days = Table(
    "budget_days",
    metadata,
    Column("service", Text, primary_key=True),
    Column("day", Date, primary_key=True),  # by the budget's time zone
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("resets_at", DateTime(timezone=True), nullable=False),
    Column("on_exhausted", Text, nullable=False),
    Column("limit_nano_usd", BigInteger, nullable=False),
    Column("spent_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("held_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("floor_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("granted_nano_usd_last", BigInteger, nullable=False, server_default="0"),  # for the statement that grants
    Column("exhausted_at", DateTime(timezone=True)),  # when a wish was first refused for good
    Index(None, "resets_at"),
)

# services/ledger/leases.py's Lease.
budget_leases = Table(
    "budget_leases",
    metadata,
    Column("lease_id", Text, primary_key=True),
    Column("service", Text, nullable=False),  # empty: given back before it was asked for, and never granted
    Column("day", Date),
    Column("kept_nano_usd", BigInteger, nullable=False),
    Column("settled_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("charged", Boolean, nullable=False, server_default=false()),
    Column("transfers", SmallInteger, nullable=False, server_default="0"),  # of its charge and of what corrects it
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("granted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "due_at"),
)
