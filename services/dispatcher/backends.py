"""The backends of a policy as things that can be called: an address, a key, a price, how much they hold now.

The one place where `${NAME}` in `api_key` and `base_url` becomes a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from services.dispatcher.providers.openai import Changes
from services.dispatcher.proxies import ProxyUnusable, proxy_for
from services.dispatcher.upstream import Origin, Outlet, header_lines
from shared.policy import Backend, Policy, PolicyFault, resolve
from shared.prices import Price

# Plans made under the last versions are still under way: a classifier may hear of a version two seconds late, and
# reloads come as quickly as five a second.
VERSIONS_KEPT: Final = 12
_FREE = Price(0, 0, 0)


class Load:
    """How many calls of one backend this dispatcher has under way, whichever policy version they were made under."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0


class Target:
    """One backend of one policy version."""

    __slots__ = (
        "_asking", "_plain", "fault", "load", "longest_answer", "max_concurrent", "model", "name", "origin", "price",
        "tier",
    )  # fmt: skip

    def __init__(self, backend: Backend, origin: Outlet | None, load: Load, fault: str = "") -> None:
        self.name = backend.name
        self.tier = backend.tier
        self.model = backend.model
        self.price = backend.price.in_nano_usd() if backend.price is not None else _FREE
        self.longest_answer = backend.max_output_tokens or backend.context_window  # tokens; 0: not known
        self.max_concurrent = backend.max_concurrent
        cap_field = "max_completion_tokens" if backend.provider == "openai" else "max_tokens"
        self._plain = Changes(backend.model, cap_field=cap_field, thinking=backend.thinking)
        self._asking = msgspec.structs.replace(self._plain, ask_for_usage=True)
        self.load = load
        self.origin = origin  # None: `fault` says what its configuration lacks here
        self.fault = fault

    def changes(self, *, model: str, output_cap: int, ask_for_usage: bool) -> Changes:
        """What its request needs changed; `model` is a LoRA adapter's name, or empty."""
        if not model and not output_cap:
            return self._asking if ask_for_usage else self._plain
        return msgspec.structs.replace(
            self._plain, model=model or self.model, output_cap=output_cap, ask_for_usage=ask_for_usage
        )


class Backends:
    """The last versions of the policy, by version. Connections live on where a backend did not change."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._versions: dict[int, dict[str, Target]] = {}
        self._origins: dict[tuple[str, bytes, int], Outlet] = {}
        self._loads: dict[str, Load] = {}

    def publish(self, policy: Policy, version: int) -> None:
        targets = {backend.name: self._target(backend) for backend in policy.backends}
        # In the order in which they came: where NATS has lost its store, the newest has the lowest number.
        self._versions.pop(version, None)
        self._versions[version] = targets
        for old in list(self._versions)[:-VERSIONS_KEPT]:
            del self._versions[old]
        used = {id(target.origin) for targets in self._versions.values() for target in targets.values()}
        for key, origin in list(self._origins.items()):
            if id(origin) not in used:
                del self._origins[key]
                origin.close_when_idle()

    def of(self, version: int) -> dict[str, Target] | None:
        """The targets by name; None for a version that is not known (any more, or yet)."""
        return self._versions.get(version)

    @property
    def faults(self) -> list[str]:
        latest = list(self._versions.values())[-1:]
        return [target.fault for targets in latest for target in targets.values() if target.fault]

    async def close(self) -> None:
        await asyncio.gather(*(origin.close() for origin in self._origins.values()))

    def _target(self, backend: Backend) -> Target:
        load = self._loads.setdefault(backend.name, Load())
        try:
            url = resolve(backend.url, self._environment).rstrip("/")
            key = resolve(backend.api_key, self._environment)
            headers = {"authorization": f"Bearer {key}"} if key else {}
            lines = header_lines(headers)
            return Target(backend, self._origin(url, lines, backend.max_concurrent), load)
        except (PolicyFault, ProxyUnusable) as fault:
            return Target(backend, None, load, f"backend {backend.name}: {fault}")
        except ValueError:
            # Its message may hold the value.
            unusable = f"backend {backend.name}: its base_url or api_key cannot be used in a request"
            return Target(backend, None, load, unusable)

    def _origin(self, url: str, headers: bytes, max_connections: int) -> Outlet:
        origin = self._origins.get((url, headers, max_connections))
        if origin is None:
            origin = _outlet(url, headers, max_connections, proxy_for(url, self._environment))
            self._origins[url, headers, max_connections] = origin
        return origin


def _outlet(url: str, headers: bytes, max_connections: int, proxy: str | None) -> Outlet:
    if proxy is None:
        return Origin(url, headers=headers, max_connections=max_connections)
    from services.dispatcher.proxied import ProxiedOrigin  # with httpx, which takes 9 MB

    return ProxiedOrigin(url, proxy, headers=headers, max_connections=max_connections)
