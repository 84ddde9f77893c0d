"""What the ledger tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter("tierwise_ledger_records", "Usage records written", registry=self.registry)
        self.resends = Counter(
            "tierwise_ledger_resends",
            "Requests that were worked on twice, and paid twice",
            registry=self.registry,
        )
        self.duplicates = Counter(
            "tierwise_ledger_duplicates", "Records that were there already", registry=self.registry
        )
        self.conflicts = Counter(
            "tierwise_ledger_conflicts",
            "Records whose key is taken by other content; kept in ledger_conflicts",
            registry=self.registry,
        )
        self.poison = Counter(
            "tierwise_ledger_poison",
            "Messages and records that can never be recorded; kept in ledger_poison",
            registry=self.registry,
        )
        self.pending = Gauge(
            "tierwise_ledger_pending_messages", "Messages of the stream not yet fetched", registry=self.registry
        )
        self.lag = Gauge(
            "tierwise_ledger_lag_seconds",
            "Age of the oldest message of the batch in hand; 0: nothing waits",
            registry=self.registry,
        )
        self.grants = Counter("tierwise_ledger_grants", "Leases of budgets that were granted", registry=self.registry)
        self.refused_grants = Counter(
            "tierwise_ledger_refused_grants", "Wishes for a lease that were not granted", registry=self.registry
        )
        self.charged_nano_usd = Counter(
            "tierwise_ledger_charged_nano_usd",
            "Reservations of which nobody told what became of them, charged in full",
            registry=self.registry,
        )
