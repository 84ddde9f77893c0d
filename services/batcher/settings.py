"""What the batcher can be told."""

from __future__ import annotations

import msgspec

from shared.settings import DatabaseSettings, NatsSettings, OpsSettings


class Settings(msgspec.Struct, frozen=True):
    nats: NatsSettings
    database: DatabaseSettings
    ops: OpsSettings

    @classmethod
    def read(cls) -> Settings:
        return cls(NatsSettings.read(), DatabaseSettings.read(), OpsSettings.read())
