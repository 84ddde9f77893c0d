"""The sections of `tierwise.yaml` as types: their keys, defaults and ranges, and what each is for.

The descriptions and examples end in docs/tierwise.schema.json, which editors show. What only makes sense together is
looked at in checks.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

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
AUTO_NAMES: Final = ("auto", "default", "auto:cheap", "auto:quality")  # in `model`: Tierwise is to choose

DEAREST_PER_1M_USD: Final = 1e6
LARGEST_DAILY_USD: Final = 1e9  # as nano-dollars still a ninth of what a column holds
LONGEST_REQUEST_S: Final = 86_400

Provider: TypeAlias = Literal[
    "vllm", "ollama", "llamacpp", "openai", "anthropic", "gemini", "mistral", "groq", "together", "fireworks",
    "openai-compatible",
]  # fmt: skip
Category: TypeAlias = Literal["extraction", "summarisation", "classification", "reasoning", "code", "general"]
Capability: TypeAlias = Literal["json_schema", "tools", "vision"]
Priority: TypeAlias = Literal["interactive", "normal", "background", "bulk"]


def _is(description: str, *examples: Any, **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=description, examples=list(examples) or None, **limits)


UsdPer1M: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=DEAREST_PER_1M_USD)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Bytes: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the file. A key that it does not have is a fault there (`from_tree`), and ignored in KV."""


class Server(Section, frozen=True, kw_only=True):
    """Where Tierwise listens, and what it takes from a caller."""

    host: Annotated[str, _is("The address to listen on. Read at start only.", "127.0.0.1")] = "127.0.0.1"
    port: Annotated[int, _is("The port to listen on; 0 takes a free one. Read at start only.", ge=0, le=65_535)] = (
        8080
    )
    max_body_bytes: Annotated[Bytes, _is("The largest request body; a larger one is answered with 413.")] = (
        32 * 1024 * 1024
    )
    request_timeout_s: Annotated[
        float, _is("Seconds until a request without a deadline of its own is given up.", gt=0, le=LONGEST_REQUEST_S)
    ] = 600
    cors_origins: Annotated[
        tuple[str, ...],
        _is("Web pages that may ask from a browser, by origin; `*` is all.", ["https://chat.example.com"]),
    ] = ()


class Routing(Section, frozen=True, kw_only=True):
    """Whether decisions are acted on."""

    mode: Annotated[
        Literal["active", "observe"],
        _is("`observe`: everything goes to savings.baseline, and what would have been done is recorded."),
    ] = "active"


class PriceSetting(Section, frozen=True, kw_only=True):
    """US dollars per million tokens, as a person writes them."""

    input_per_1m: Annotated[UsdPer1M, _is("USD per million tokens that are sent.", 0.005)]
    output_per_1m: Annotated[UsdPer1M, _is("USD per million tokens that come back.", 0.005)]
    cached_input_per_1m: Annotated[
        UsdPer1M | None,
        _is("USD per million tokens that the provider had in its prompt cache; left out: as other input."),
    ] = None
    # Through the provider's batch API. None: no discount is known there, and the price above holds.
    batch_input_per_1m: Annotated[UsdPer1M | None, _is("As input_per_1m, through the provider's batch API.")] = None
    batch_output_per_1m: Annotated[UsdPer1M | None, _is("As output_per_1m, through the provider's batch API.")] = None
    batch_cached_input_per_1m: Annotated[
        UsdPer1M | None, _is("As cached_input_per_1m, through the provider's batch API.")
    ] = None

    def in_nano_usd(self) -> Price:
        cached = self.input_per_1m if self.cached_input_per_1m is None else self.cached_input_per_1m
        return Price(nano_usd(self.input_per_1m), nano_usd(self.output_per_1m), nano_usd(cached))


class Backend(Section, frozen=True, kw_only=True):
    """One model at one address with one price."""

    name: Annotated[str, _is("What headers, tables and rules call it.", "small-1")]
    tier: Annotated[str, _is("Its tier, one of `tiers`.", "small")]
    provider: Annotated[Provider, _is("Whose API it speaks.", "vllm")]
    model: Annotated[str, _is("The model's name there.", "qwen-9b")]
    base_url: Annotated[
        str, _is("Where its API is; the hosted providers have a default.", "http://127.0.0.1:8001/v1")
    ] = ""
    api_key: Annotated[
        str, _is("${NAME} of the environment variable that holds the key; never the key itself.", "${OPENAI_API_KEY}")
    ] = ""
    price: Annotated[
        PriceSetting | None,
        _is(
            "Hosted models: looked up where left out. Local ones need it, for electricity and machines are not free.",
            {"input_per_1m": 0.005, "output_per_1m": 0.005},
        ),
    ] = None
    context_window: Annotated[
        int, _is("Tokens of question and answer together; left out: asked of the server or looked up.", 32_768, ge=0)
    ] = 0  # 0: not known
    max_output_tokens: Annotated[
        int, _is("Tokens at which the model itself stops; left out: looked up.", 8192, ge=0)
    ] = 0  # 0: not known
    capabilities: Annotated[
        tuple[Capability, ...] | None,
        _is("What it can do beside text; left out: asked of the server or looked up.", ["json_schema", "tools"]),
    ] = None  # None: not known, so nothing is ruled out
    max_concurrent: Annotated[int, _is("Requests that it takes at once; then the next backend is asked.", ge=1)] = 64
    thinking: Annotated[
        bool | None, _is("false: switch Qwen-style thinking off, and strip what leaks into the answer.")
    ] = None
    lora_adapters: Annotated[
        tuple[str, ...], _is("LoRA adapters that it has, besides those that the server itself reports.", ["sdr"])
    ] = ()

    @property
    def is_local(self) -> bool:
        return self.provider in LOCAL_PROVIDERS

    @property
    def url(self) -> str:
        """Where it is, `${NAME}` unresolved, without a slash at the end."""
        return (self.base_url or DEFAULT_BASE_URLS.get(self.provider, "")).rstrip("/")


class When(Section, frozen=True, kw_only=True):
    """What a request must be like; all of it must hold."""

    service: Annotated[str | None, _is("The service that pays.", "legal")] = None
    category: Annotated[Category | None, _is("The kind of task.")] = None
    priority: Annotated[Priority | None, _is("X-Tierwise-Priority.")] = None
    model: Annotated[str | None, _is("A glob over the `model` that was asked for.", "chat-*")] = None
    headers: Annotated[dict[str, str], _is("Request headers and their values.", {"X-Team": "search"})] = {}


class Rule(Section, frozen=True, kw_only=True):
    """The first rule that matches decides, before the classifier's own answer."""

    name: Annotated[str, _is("What the reasons of a decision call it.", "contracts")]
    when: Annotated[When, _is("What a request must be like.", {"service": "legal"})]
    tier: Annotated[str | None, _is("The tier that it goes to.", "large")] = None
    backends: Annotated[
        tuple[str, ...],
        _is("The backends that are asked, in this order instead of by price.", ["small-1", "cloud-1"]),
    ] = ()


class Budget(Section, frozen=True, kw_only=True):
    """What a service may spend a day."""

    daily_usd: Annotated[float, _is("US dollars a day.", 50, ge=0, le=LARGEST_DAILY_USD)]
    on_exhausted: Annotated[
        Literal["downgrade", "reject"],
        _is("Once it is spent: answer from `downgrade_to`, or refuse with 402 until the next day."),
    ] = "downgrade"
    downgrade_to: Annotated[str | None, _is("The floor's tier; left out: the cheapest that is capable.", "small")] = (
        None
    )
    timezone: Annotated[str, _is("Where its day begins at midnight.", "Europe/Berlin")] = "UTC"
    when_ledger_is_away: Annotated[
        Literal["downgrade", "allow", "reject"],
        _is("What to do where nobody can say what was spent, once what is leased is used up."),
    ] = "downgrade"


class RateLimit(Section, frozen=True, kw_only=True):
    """How fast a service may ask."""

    requests_per_second: Annotated[float, _is("Requests a second, on average.", 100, gt=0)]
    burst: Annotated[int, _is("Requests at once, after a pause.", 200, ge=1)]


class Quality(Section, frozen=True, kw_only=True):
    """Whether the cheap answers agree with those of a reference model."""

    sample_rate: Annotated[Share, _is("The share of requests that the reference is asked too.")] = 0.05
    reference: Annotated[str | None, _is("The backend that the others are compared with.", "large-1")] = None
    threshold: Annotated[float, _is("The agreement below which a model is taken out for a category.", gt=0, lt=1)] = (
        0.90
    )
    window: Annotated[int, _is("The last so many samples that are shown.", ge=10, le=1_000_000)] = 500
    daily_usd: Annotated[float, _is("What watching may cost a day, in USD.", ge=0, le=LARGEST_DAILY_USD)] = 5
    max_share_of_savings: Annotated[
        Share, _is("What watching may cost, as a share of the last seven days' savings.")
    ] = 0.10
    escalate: Annotated[
        tuple[Category, ...], _is("Categories whose doubtful answers are asked for again, a tier higher.")
    ] = ()
    exclude_services: Annotated[tuple[str, ...], _is("Services whose requests are never sampled.", ["medical"])] = ()


class Cache(Section, frozen=True, kw_only=True):
    """Answers to the very same question, kept."""

    enabled: Annotated[bool, _is("Whether answers are kept.")] = True
    ttl_s: Annotated[float, _is("Seconds for which an answer is kept.", gt=0)] = 3600
    max_entries: Annotated[int, _is("Answers that are kept at most.", ge=1)] = 10_000
    max_bytes: Annotated[Bytes, _is("Bytes that they may take.")] = 256 * 1024 * 1024


class Batch(Section, frozen=True, kw_only=True):
    """Bulk work at half price, through the providers' batch APIs."""

    max_wait_s: Annotated[float, _is("Seconds that a request waits for others to go with.", ge=0)] = 60
    max_requests: Annotated[int, _is("Requests of one provider job.", ge=1, le=100_000)] = 1000
    max_file_bytes: Annotated[Bytes, _is("Bytes of one provider job.")] = 200 * 1024 * 1024


class Savings(Section, frozen=True, kw_only=True):
    """What savings are counted against."""

    baseline: Annotated[
        str | None,
        _is("The backend where the same tokens would have been; left out: the dearest of the last tier.", "cloud-1"),
    ] = None


class Auth(Section, frozen=True, kw_only=True):
    """Who may ask."""

    required: Annotated[bool, _is("Whether every request needs one of Tierwise's own API keys.")] = False


class Retention(Section, frozen=True, kw_only=True):
    """How long the books are kept."""

    requests_days: Annotated[int, _is("Days for which a request's row is kept.", ge=1, le=36_500)] = 90
    samples_days: Annotated[int, _is("Days for which a sample's score is kept.", ge=1, le=36_500)] = 14
    store_bodies: Annotated[bool, _is("Whether questions and answers themselves are stored.")] = False


class Policy(Section, frozen=True, kw_only=True):
    """Tierwise's configuration. Every backend has a price once it is published."""

    tiers: Annotated[
        tuple[str, ...], _is("Classes of models, cheapest first; at least one.", ["small", "large", "cloud"])
    ]
    backends: Annotated[tuple[Backend, ...], _is("The models, each at one address with one price.")]
    server: Annotated[Server, _is("Where Tierwise listens, and what it takes from a caller.")] = Server()
    routing: Annotated[Routing, _is("Whether decisions are acted on.", {"mode": "observe"})] = Routing()
    aliases: Annotated[
        dict[str, str],
        _is(
            "What unmodified clients send as `model`, by glob, and what is meant: auto, a tier, a backend, a "
            "model or an adapter. The first that matches counts.",
            {"gpt-4o*": "auto", "claude-*": "auto"},
        ),
    ] = {}
    categories: Annotated[
        dict[Category, str],
        _is("The tier of each kind of task.", {"extraction": "small", "reasoning": "large", "general": "large"}),
    ] = {}
    rules: Annotated[
        tuple[Rule, ...], _is("Exceptions; the first that matches decides, before the classifier's own answer.")
    ] = ()
    budgets: Annotated[
        dict[str, Budget],
        _is("What each service may spend a day; `default` is for each of the rest.", {"default": {"daily_usd": 50}}),
    ] = {}
    rate_limits: Annotated[
        dict[str, RateLimit], _is("How fast each service may ask; `default` is for each of the rest.")
    ] = {}
    quality: Annotated[Quality | None, _is("Whether cheap answers agree with those of a reference model.")] = None
    cache: Annotated[Cache | None, _is("Answers to the very same question, kept.")] = None
    batch: Annotated[Batch | None, _is("Bulk work at half price, through the providers' batch APIs.")] = None
    savings: Annotated[Savings, _is("What savings are counted against.")] = Savings()
    auth: Annotated[Auth, _is("Who may ask.")] = Auth()
    retention: Annotated[Retention | None, _is("How long the books are kept.")] = None

    def backend(self, name: str) -> Backend | None:
        return next((backend for backend in self.backends if backend.name == name), None)
