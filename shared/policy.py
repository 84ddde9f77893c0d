"""`tierwise.yaml` as types: decoded with unknown keys refused, then cross-checked, each fault a sentence.

Not here: reading the file (services/ingress/publisher.py), looking up hosted prices (services/ingress/catalogue.py).
The published form has prices filled in and `${NAME}` replaced, but for `api_key` and `base_url`: what they
name stays in the environment of whoever calls a backend, and is resolved there with `resolve`. The form may grow: a
reader passes over the keys that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec.inspect import DictType, StructType, Type, UnionType, VarTupleType, type_info

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
AUTO_NAMES: Final = ("auto", "default", "auto:cheap", "auto:quality")  # in `model`: Tierwise is to choose

LONGEST_NAME: Final = 64
LONGEST_MODEL: Final = 256
LARGEST_NUMBER: Final = 2**53  # more is no longer exact in everybody's JSON
DEAREST_PER_1M_USD: Final = 1e6
LONGEST_REQUEST_S: Final = 86_400

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


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the file. A key that it does not have is a fault there (`from_tree`), and ignored in KV."""


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
_USERINFO = re.compile(r"//([^/?#]*)@")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # names travel in headers: no line breaks, no spaces at the ends
_published = msgspec.json.Decoder(Policy)


def decode_published(payload: bytes) -> Policy:
    """A policy as an ingress of this version, or of a later one, put it into KV. ValueError where it is none."""
    return _published.decode(payload)


def encode_published(policy: Policy) -> bytes:
    """What goes into KV. PolicyFault where a reader could not decode it: nothing unreadable is ever put there."""
    try:
        payload = msgspec.json.encode(policy)
        decode_published(payload)
    except ValueError as error:
        raise PolicyFault([f"the policy cannot be published: {_sentence(str(error))}"]) from None
    return payload


def from_tree(tree: Any, environment: Mapping[str, str]) -> Policy:
    """A policy from a parsed YAML tree; `${NAME}` replaced but in `api_key` and `base_url`.

    These two need not be set here, for the reader may not be who uses them: `unset_secrets` asks for them.
    Raises PolicyFault with every fault that was found.
    """
    if not isinstance(tree, dict):
        kind = "empty" if tree is None else f"a {type(tree).__name__}"
        raise PolicyFault([f"the file is {kind}: it must be a mapping that starts with `tiers:` and `backends:`"])
    missing: list[str] = []
    replaced = _replace(tree, "", environment, missing)
    faults = [*missing, *_unknown_keys(replaced, type_info(Policy), ""), *_odd_numbers(replaced, "")]
    if faults:
        raise PolicyFault(faults)
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


def unset_secrets(policy: Policy, environment: Mapping[str, str]) -> list[str]:
    """A sentence for each `${NAME}` in an `api_key` or `base_url` that `environment` has not. Never a value."""
    missing: list[str] = []
    for i, backend in enumerate(policy.backends):
        at = f"backends[{i}] ({backend.name})"
        _substitute(backend.api_key, f"{at}.api_key", environment, missing)
        _substitute(backend.base_url, f"{at}.base_url", environment, missing)
    return missing


def written_out_keys(policy: Policy) -> list[str]:
    """A sentence for each `api_key` that is not a `${NAME}`: it works, and travels with the policy. Never a value."""
    return [
        f"backends[{i}] ({backend.name}).api_key: holds the key itself, which so gets into NATS' store; "
        "write ${NAME} and export NAME=…"
        for i, backend in enumerate(policy.backends)
        if _NAME_IN_BRACES.sub("", backend.api_key)
    ]


def _replace(node: Any, path: str, environment: Mapping[str, str], missing: list[str]) -> Any:
    if path.rpartition(".")[2] in SECRET_KEYS:
        return node
    if isinstance(node, dict):
        return {key: _replace(value, _below(path, key), environment, missing) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, f"{path}[{i}]", environment, missing) for i, value in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node
    resolved = _substitute(node, path, environment, missing)
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


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _unknown_keys(node: Any, kind: Type, path: str) -> Iterator[str]:
    """A sentence for each key that no section has: a misspelt one would be silently without effect."""
    if isinstance(kind, UnionType):
        for one in kind.types:
            yield from _unknown_keys(node, one, path)
    elif isinstance(kind, StructType) and isinstance(node, dict):
        known = {field.encode_name: field.type for field in kind.fields}
        for key, value in node.items():
            if key in known:
                yield from _unknown_keys(value, known[key], _below(path, key))
            else:
                yield f"{_below(path, key)}: there is no such key; the keys here are {', '.join(known)}"
    elif isinstance(kind, DictType) and isinstance(node, dict):
        for key, value in node.items():
            yield from _unknown_keys(value, kind.value_type, _below(path, key))
    elif isinstance(kind, VarTupleType) and isinstance(node, list):
        for i, value in enumerate(node):
            yield from _unknown_keys(value, kind.item_type, f"{path}[{i}]")


def _odd_numbers(node: Any, path: str) -> Iterator[str]:
    """A sentence for each number below nought or beyond all use. Not a number and infinite ones are in no range."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _odd_numbers(value, _below(path, key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _odd_numbers(value, f"{path}[{i}]")
    elif isinstance(node, int | float) and not 0 <= node <= LARGEST_NUMBER:
        yield f"{path}: must be a number from 0 to {LARGEST_NUMBER}"


def _sentence(message: str) -> str:
    """Msgspec's `… - at `$.backends[0].price`` with the place in front."""
    what, _, where = message.partition(" - at ")
    place = where.removeprefix("`key` in ").strip("`").removeprefix("$").lstrip(".")
    return f"{place}: {what}" if place else what


def _faults(policy: Policy) -> Iterator[str]:
    if not policy.tiers:
        yield "tiers: at least one tier is needed, cheapest first, for example `tiers: [small, large]`"
    if not policy.backends:
        yield "backends: at least one backend is needed"
    tiers = set(policy.tiers)
    if len(tiers) < len(policy.tiers):
        yield "tiers: a tier is named twice; each may stand there once"
    for i, tier in enumerate(policy.tiers):
        yield from _name_fault(f"tiers[{i}]", tier)
    known_tiers = ", ".join(policy.tiers)
    names: set[str] = set()
    for i, backend in enumerate(policy.backends):
        yield from _name_fault(f"backends[{i}].name", backend.name)
        at = f"backends[{i}] ({backend.name})" if backend.name.isprintable() else f"backends[{i}]"
        if backend.name in names:
            yield f"{at}.name: two backends have this name; give each its own"
        names.add(backend.name)
        if backend.tier not in tiers:
            yield f"{at}.tier: there is no tier {backend.tier!r}; the tiers are {known_tiers}"
        yield from _backend_faults(backend, at)
    for tier in policy.tiers:
        if policy.backends and all(backend.tier != tier for backend in policy.backends):
            yield f"tiers: tier {tier!r} has no backend; add one with `tier: {tier}` or remove the tier"
    for category, tier in policy.categories.items():
        if tier not in tiers:
            yield f"categories.{category}: there is no tier {tier!r}; the tiers are {known_tiers}"
    models = {backend.model for backend in policy.backends}
    adapters = {adapter for backend in policy.backends for adapter in backend.lora_adapters}
    for alias, target in policy.aliases.items():
        if target not in tiers | names | models | adapters | set(AUTO_NAMES):
            yield (
                f"aliases.{alias}: nothing is called {target!r}; name auto, auto:cheap, auto:quality, a tier, "
                "a backend, its model or a LoRA adapter that is listed"
            )
    for i, rule in enumerate(policy.rules):
        yield from _name_fault(f"rules[{i}].name", rule.name)
    if policy.savings.baseline is not None and policy.savings.baseline not in names:
        yield f"savings.baseline: there is no backend {policy.savings.baseline!r}; name one of {', '.join(names)}"
    if policy.server.max_body_bytes < 1:
        yield "server.max_body_bytes: must be at least 1"
    if policy.server.request_timeout_s == 0 or policy.server.request_timeout_s > LONGEST_REQUEST_S:
        yield f"server.request_timeout_s: must be more than 0 and at most {LONGEST_REQUEST_S} seconds"


def _backend_faults(backend: Backend, at: str) -> Iterator[str]:
    yield from _name_fault(f"{at}.model", backend.model, LONGEST_MODEL)
    for i, adapter in enumerate(backend.lora_adapters):
        yield from _name_fault(f"{at}.lora_adapters[{i}]", adapter, LONGEST_MODEL)
    if backend.is_local and backend.price is None:
        yield (
            f"{at}.price: a local model needs a price, for it is not free: "
            "price: {input_per_1m: 0.005, output_per_1m: 0.005}"
        )
    if backend.price is not None:
        price = backend.price
        if max(price.input_per_1m, price.output_per_1m, price.cached_input_per_1m or 0) > DEAREST_PER_1M_USD:
            yield f"{at}.price: is above {DEAREST_PER_1M_USD:.0f}; give US dollars per million tokens"
    if not backend.url:
        yield f"{at}.base_url: is needed for provider {backend.provider}, for example http://127.0.0.1:8001/v1"
    elif not _NAME_IN_BRACES.search(backend.url) and not backend.url.startswith(("http://", "https://")):
        yield f"{at}.base_url: must start with http:// or https://"
    # No value is told below: it may be the secret itself.
    userinfo = _USERINFO.search(backend.base_url)
    if userinfo and _NAME_IN_BRACES.sub("", userinfo.group(1)).replace(":", ""):
        yield f"{at}.base_url: holds a user or a password; write ${{NAME}} in their place and export NAME=…"
    if backend.max_concurrent < 1:
        yield f"{at}.max_concurrent: must be at least 1"


def _name_fault(at: str, name: str, longest: int = LONGEST_NAME) -> Iterator[str]:
    if len(name) > longest or not _PRINTABLE.fullmatch(name):
        shown = repr(name if len(name) <= longest else f"{name[:longest]}…")
        yield f"{at}: {shown} must be 1 to {longest} printable ASCII characters without a space at either end"
