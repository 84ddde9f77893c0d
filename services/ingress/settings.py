"""What the ingress can be told by its environment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class RefusedToListen(Exception):
    """An address that strangers can reach, and nothing that keeps them out."""


class Settings(msgspec.Struct, frozen=True):
    host: str
    port: int
    config: Path | None  # None: whoever else published a policy has done so
    insecure: bool

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        config = environment.get("TIERWISE_CONFIG", "")
        return cls(
            host=environment.get("TIERWISE_HOST", "127.0.0.1"),
            port=int(environment.get("TIERWISE_PORT", "8080")),
            config=Path(config) if config else None,
            insecure=environment.get("TIERWISE_INSECURE", "") == "1",
        )

    def refuse_strangers(self) -> None:
        """Raises RefusedToListen. Virtual keys (`auth.required`) are not built yet, so only --insecure opens."""
        if not self.insecure and not _is_loopback(self.host):
            raise RefusedToListen(
                f"refusing to listen on {self.host}: anyone who can reach it could spend on your keys. Listen on "
                "127.0.0.1, or say --insecure (TIERWISE_INSECURE=1) where something in front keeps strangers out"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
