"""The policy in force, as the watch brings it, and who put it there."""

from __future__ import annotations

from datetime import datetime

from services.ingress.leadership import Leadership
from shared.policy import Policy


class CurrentPolicy:
    """`leadership` is there once NATS has been reached."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.version = 0
        self.since: datetime | None = None  # when it was put into KV, by NATS' clock
        self.leadership: Leadership | None = None

    def set(self, policy: Policy, version: int, since: datetime | None = None) -> None:
        self.policy, self.version, self.since = policy, version, since
