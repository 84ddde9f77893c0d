"""Where things are: read from the environment, once, in each service's app.py. msgspec, not pydantic: the
classifier and the dispatcher are to stay small.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec


class MissingSetting(Exception):
    """A required environment variable is not set; the message says which, and an example of it."""


def required(environment: Mapping[str, str], name: str, example: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise MissingSetting(f"{name} is not set; for example {name}={example}. `tierwise up` sets it for you.")
    return value


class NatsSettings(msgspec.Struct, frozen=True):
    url: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> NatsSettings:
        return cls(required(environment, "TIERWISE_NATS_URL", "nats://user:password@127.0.0.1:4222"))


class DatabaseSettings(msgspec.Struct, frozen=True):
    """`url` is for SQLAlchemy on asyncpg, whatever form of it the environment has."""

    url: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> DatabaseSettings:
        url = required(environment, "TIERWISE_DATABASE_URL", "postgresql://user:password@127.0.0.1:5432/tierwise")
        scheme, _, rest = url.partition("://")
        if scheme.split("+")[0] not in {"postgresql", "postgres"}:
            raise MissingSetting(f"TIERWISE_DATABASE_URL starts with {scheme}://; Tierwise needs postgresql://")
        return cls(f"postgresql+asyncpg://{rest}")


class OpsSettings(msgspec.Struct, frozen=True):
    """Where a process serves its health and metrics. Port 0: a free one."""

    host: str
    port: int

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> OpsSettings:
        return cls(environment.get("TIERWISE_OPS_HOST", "127.0.0.1"), int(environment.get("TIERWISE_OPS_PORT", "0")))
