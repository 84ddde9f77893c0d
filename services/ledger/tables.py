"""The ledger's tables. Dashboards read the views over them (docs/tables.md), which stay as the tables change.

`received_at` and `day` are on every row, and no write names a constraint, so that both large tables can become
partitioned by month: their keys then take `received_at` in, which is the same in every copy of a record.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
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
    ]


requests = Table(
    "ledger_requests",
    metadata,
    *_request_columns(),
    Column("resent_cost_nano_usd", BigInteger, nullable=False, server_default="0"),  # of its rows in ledger_resends
    Index(None, "received_at"),
    Index(None, "day", postgresql_using="brin"),  # days come in order; a tree would be a tenth of what a row costs
)

# The other send of a request that was sent twice and worked on twice: paid, but not what the caller got.
resends = Table("ledger_resends", metadata, *_request_columns(by_send=True))

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
