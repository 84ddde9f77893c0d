"""`tierwise.yaml` as types: decoded with unknown keys refused, then cross-checked, each fault a sentence.

Not here: reading the file (services/ingress/publisher.py), looking up hosted prices (services/ingress/catalogue.py).
The published form has prices filled in and `${NAME}` replaced, but for `api_key` and `base_url`: secrets never
travel, whoever calls a backend resolves these two from its own environment with `resolve`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from shared.money import nano_usd
from shared.prices import Price

LOCAL_PROVIDERS: Final = frozenset({"vllm", "ollama", "llamacpp", "openai-compatible"})
DEFAULT_BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "together": "https://api.together.xyz/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
}
SECRET_KEYS: Final = frozenset({"api_key", "base_url"})

Provider: TypeAlias = Literal[
    "vllm", "ollama", "llamacpp", "openai", "anthropic", "gemini", "mistral", "groq", "together", "fireworks",
    "openai-compatible",
]  # fmt: skip
Category: TypeAlias = Literal["extraction", "summarisation", "classification", "reasoning", "code", "general"]
Capability: TypeAlias = Literal["json_schema", "tools", "vision"]
Priority: TypeAlias = Literal["interactive", "normal", "background", "bulk"]


class PolicyFault(Exception):
    """A policy that cannot be used: one sentence a fault, each with where, what, and how to mend it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the file in which a misspelt key is a fault."""


class Server(Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 32 * 1024 * 1024
    request_timeout_s: float = 600
    cors_origins: tuple[str, ...] = ()


class Routing(Section, frozen=True, kw_only=True):
    mode: Literal["active", "observe"] = "active"


class PriceSetting(Section, frozen=True, kw_only=True):
    """US dollars per million tokens, as a person writes them."""

    input_per_1m: float
    output_per_1m: float
    cached_input_per_1m: float | None = None

    def in_nano_usd(self) -> Price:
        cached = self.input_per_1m if self.cached_input_per_1m is None else self.cached_input_per_1m
        return Price(nano_usd(self.input_per_1m), nano_usd(self.output_per_1m), nano_usd(cached))


class Backend(Section, frozen=True, kw_only=True):
    name: str
    tier: str
    provider: Provider
    model: str
    base_url: str = ""
    api_key: str = ""
    price: PriceSetting | None = None
    context_window: int = 0  # tokens; 0: not known
    capabilities: tuple[Capability, ...] | None = None  # None: not known, so nothing is ruled out
    max_concurrent: int = 64
    thinking: bool | None = None
    lora_adapters: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        return self.provider in LOCAL_PROVIDERS

    @property
    def url(self) -> str:
        """Where it is, `${NAME}` unresolved, without a slash at the end."""
        return (self.base_url or DEFAULT_BASE_URLS.get(self.provider, "")).rstrip("/")


class When(Section, frozen=True, kw_only=True):
    service: str | None = None
    category: Category | None = None
    priority: Priority | None = None
    model: str | None = None
    headers: dict[str, str] = {}


class Rule(Section, frozen=True, kw_only=True):
    name: str
    when: When
    tier: str | None = None
    backends: tuple[str, ...] = ()


class Budget(Section, frozen=True, kw_only=True):
    daily_usd: float
    on_exhausted: Literal["downgrade", "reject"] = "downgrade"
    downgrade_to: str | None = None
    timezone: str = "UTC"
    when_ledger_is_away: Literal["downgrade", "allow", "reject"] = "downgrade"


class RateLimit(Section, frozen=True, kw_only=True):
    requests_per_second: float
    burst: int


class Quality(Section, frozen=True, kw_only=True):
    sample_rate: float = 0.05
    reference: str | None = None
    threshold: float = 0.90
    window: int = 500
    daily_usd: float = 5
    max_share_of_savings: float = 0.10
    escalate: tuple[str, ...] = ()
    exclude_services: tuple[str, ...] = ()


class Cache(Section, frozen=True, kw_only=True):
    enabled: bool = True
    ttl_s: float = 3600
    max_entries: int = 10_000
    max_bytes: int = 256 * 1024 * 1024


class Batch(Section, frozen=True, kw_only=True):
    max_wait_s: float = 60
    max_requests: int = 1000
    max_file_bytes: int = 200 * 1024 * 1024


class Savings(Section, frozen=True, kw_only=True):
    baseline: str | None = None


class Auth(Section, frozen=True, kw_only=True):
    required: bool = False


class Retention(Section, frozen=True, kw_only=True):
    requests_days: int = 90
    samples_days: int = 14
    store_bodies: bool = False


class Policy(Section, frozen=True, kw_only=True):
    """The whole file. Every backend has a price once the policy is published."""

    tiers: tuple[str, ...]
    backends: tuple[Backend, ...]
    server: Server = Server()
    routing: Routing = Routing()
    aliases: dict[str, str] = {}
    categories: dict[Category, str] = {}
    rules: tuple[Rule, ...] = ()
    budgets: dict[str, Budget] = {}
    rate_limits: dict[str, RateLimit] = {}
    quality: Quality | None = None
    cache: Cache | None = None
    batch: Batch | None = None
    savings: Savings = Savings()
    auth: Auth = Auth()
    retention: Retention | None = None

    def backend(self, name: str) -> Backend | None:
        return next((backend for backend in self.backends if backend.name == name), None)


# Reading ----------------------------------------------------------------------------------------------------

_NAME_IN_BRACES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_published = msgspec.json.Decoder(Policy)


def decode_published(payload: bytes) -> Policy:
    """A policy as the ingress put it into KV. ValueError (msgspec's) where it is none."""
    return _published.decode(payload)


def from_tree(tree: Any, environment: Mapping[str, str]) -> Policy:
    """A policy from a parsed YAML tree; `${NAME}` replaced but in `api_key` and `base_url`.

    Raises PolicyFault with every fault that was found.
    """
    if not isinstance(tree, dict):
        kind = "empty" if tree is None else f"a {type(tree).__name__}"
        raise PolicyFault([f"the file is {kind}: it must be a mapping that starts with `tiers:` and `backends:`"])
    missing: list[str] = []
    replaced = _replace(tree, "", environment, missing)
    if missing:
        raise PolicyFault(missing)
    try:
        policy = msgspec.convert(replaced, Policy, strict=True)
    except msgspec.ValidationError as error:
        raise PolicyFault([_sentence(str(error))]) from None
    faults = list(_faults(policy))
    if faults:
        raise PolicyFault(faults)
    return policy


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """`${NAME}` from the environment. PolicyFault where one is not set; the message has the name, never a value."""
    missing: list[str] = []
    resolved = _substitute(text, "", environment, missing)
    if missing:
        raise PolicyFault(missing)
    return resolved


def _replace(node: Any, path: str, environment: Mapping[str, str], missing: list[str]) -> Any:
    if isinstance(node, dict):
        return {
            key: _replace(value, f"{path}.{key}" if path else str(key), environment, missing)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_replace(value, f"{path}[{i}]", environment, missing) for i, value in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node
    resolved = _substitute(node, path, environment, missing)
    if path.rpartition(".")[2] in SECRET_KEYS:
        return node
    try:  # `port: ${PORT}` means a number, as it would without the braces
        return msgspec.json.decode(resolved) if _NAME_IN_BRACES.fullmatch(node) else resolved
    except msgspec.DecodeError:
        return resolved


def _substitute(text: str, path: str, environment: Mapping[str, str], missing: list[str]) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            where = f"{path}: " if path else ""
            missing.append(f"{where}${{{name}}} is not set in the environment; export {name}=… and try again")
            return ""
        return environment[name]

    return _NAME_IN_BRACES.sub(value_of, text)


def _sentence(message: str) -> str:
    """Msgspec's `… - at `$.backends[0].price`` with the place in front."""
    what, _, where = message.partition(" - at `$")
    place = where.rstrip("`").lstrip(".")
    return f"{place}: {what}" if place else what


def _faults(policy: Policy) -> Iterator[str]:
    if not policy.tiers:
        yield "tiers: at least one tier is needed, cheapest first, for example `tiers: [small, large]`"
    if not policy.backends:
        yield "backends: at least one backend is needed"
    tiers = set(policy.tiers)
    if len(tiers) < len(policy.tiers):
        yield "tiers: a tier is named twice; each may stand there once"
    known_tiers = ", ".join(policy.tiers)
    names: set[str] = set()
    for i, backend in enumerate(policy.backends):
        at = f"backends[{i}] ({backend.name})"
        if not backend.name:
            yield f"backends[{i}].name: is empty; every backend needs a name of its own"
        if backend.name in names:
            yield f"{at}.name: two backends have this name; give each its own"
        names.add(backend.name)
        if backend.tier not in tiers:
            yield f"{at}.tier: there is no tier {backend.tier!r}; the tiers are {known_tiers}"
        if backend.is_local and backend.price is None:
            yield (
                f"{at}.price: a local model needs a price, for it is not free: "
                "price: {input_per_1m: 0.005, output_per_1m: 0.005}"
            )
        if backend.price is not None and min(backend.price.input_per_1m, backend.price.output_per_1m) < 0:
            yield f"{at}.price: is negative; give US dollars per million tokens"
        if not backend.url:
            yield f"{at}.base_url: is needed for provider {backend.provider}, for example http://127.0.0.1:8001/v1"
        elif "${" not in backend.url and not backend.url.startswith(("http://", "https://")):
            yield f"{at}.base_url: {backend.url!r} must start with http:// or https://"
        if backend.max_concurrent < 1:
            yield f"{at}.max_concurrent: must be at least 1"
    for tier in policy.tiers:
        if policy.backends and all(backend.tier != tier for backend in policy.backends):
            yield f"tiers: tier {tier!r} has no backend; add one with `tier: {tier}` or remove the tier"
    for category, tier in policy.categories.items():
        if tier not in tiers:
            yield f"categories.{category}: there is no tier {tier!r}; the tiers are {known_tiers}"
    if policy.savings.baseline is not None and policy.savings.baseline not in names:
        yield f"savings.baseline: there is no backend {policy.savings.baseline!r}; name one of {', '.join(names)}"
    if policy.server.max_body_bytes < 1:
        yield "server.max_body_bytes: must be at least 1"
    if policy.server.request_timeout_s <= 0:
        yield "server.request_timeout_s: must be more than 0 seconds"
