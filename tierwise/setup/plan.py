"""From what was found to tiers and backends. Pure."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from services.ingress.local_answers import LocalModel
from shared.policy import AUTO_NAMES, Capability, PriceSetting, Provider
from shared.policy.checks import LONGEST_NAME
from tierwise.setup import sizes
from tierwise.setup.hosted import HostedModel, blended
from tierwise.setup.keys import ProviderKey
from tierwise.setup.probe import Server

# What unmodified clients ask for. A backend of such a name could not be asked for by it: ours begin with a provider.
ALIASES: Final = ("gpt-4o*", "gpt-3.5*", "gpt-4*", "gpt-5*", "gpt-6*", "claude-*", "gemini-*")
_PREFIXES: Final[dict[Provider, str]] = {"openai-compatible": "server", "gemini": "google"}
EASY: Final = ("extraction", "summarisation", "classification")
HARD: Final = ("reasoning", "code")
MOST_OF_ONE_SERVER: Final = 3  # models: its smallest, its median and its largest
_NEXT_TIER: Final = 2.5  # times as large as the smallest of the tier: another class of models
_MOST_LOCAL_TIERS: Final = 3
_HOSTED_FROM: Final = (
    1.0,
    4.0,
)  # blended US dollars per million tokens, at which the second and the third tier begin


class NoSuchReference(Exception):
    """`--reference` names nothing that was found; says what there is."""


@dataclass(frozen=True, kw_only=True)
class PlannedBackend:
    name: str
    provider: Provider
    model: str
    price: PriceSetting
    base_url: str = ""  # as it is written; empty: the provider's own
    key_variable: str = ""
    parameters: int = 0  # of a local model; 0: not known
    context_window: int = 0
    capabilities: tuple[Capability, ...] | None = None
    slots: int = 0
    lora_adapters: tuple[str, ...] = ()
    stripped: bool = False  # credentials were left out of `base_url`

    @property
    def is_local(self) -> bool:
        return bool(self.base_url)


@dataclass(frozen=True)
class Tier:
    name: str
    backends: tuple[PlannedBackend, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    tiers: tuple[Tier, ...]  # cheapest first
    categories: dict[str, str]
    baseline: str
    reference: str = ""  # empty: no model to judge by
    left_out: tuple[str, ...] = field(default=())  # models of servers that have more than a config should begin with

    @property
    def backends(self) -> tuple[PlannedBackend, ...]:
        return tuple(backend for tier in self.tiers for backend in tier.backends)


def plan(
    servers: Sequence[Server],
    hosted: Sequence[tuple[ProviderKey, Sequence[HostedModel]]],
    reference: str | None = None,
) -> Plan:
    """Something must have been found. Raises NoSuchReference."""
    local = [_local(server, model) for server in servers for model in _some_of(server.models)]
    chosen = [(key, models) for key, models in hosted if models]
    tiers = _in_order_of_price(_named(_local_tiers(local), _hosted_tiers(chosen)))
    assert tiers
    kept = {backend.model for backend in local}
    return Plan(
        tiers=tiers,
        categories=_categories([tier.name for tier in tiers]),
        baseline=min(tiers[-1].backends, key=lambda one: blended(one.price)).name,
        reference=_reference(tiers, reference),
        left_out=tuple(sorted({one.name for server in servers for one in server.models} - kept)),
    )


def _some_of(models: Sequence[LocalModel]) -> Sequence[LocalModel]:
    if len(models) <= MOST_OF_ONE_SERVER:
        return models
    by_size = sorted(models, key=lambda one: (_parameters(one), one.name))
    return [by_size[0], by_size[len(by_size) // 2], by_size[-1]]


def _parameters(model: LocalModel) -> int:
    return model.parameters or sizes.parameters_by_name(model.name)


def _local(server: Server, model: LocalModel) -> PlannedBackend:
    parameters = _parameters(model)
    return PlannedBackend(
        name="",
        provider=server.provider,
        model=model.name,
        price=sizes.estimated_price(parameters or sizes.ASSUMED),
        base_url=server.place.written,
        key_variable=server.place.key_variable,
        parameters=parameters,
        context_window=model.context_window,
        capabilities=model.capabilities,
        slots=model.slots,
        lora_adapters=model.lora_adapters,
        stripped=server.place.stripped,
    )


def _local_tiers(local: Iterable[PlannedBackend]) -> list[list[PlannedBackend]]:
    """By size, a tier's largest less than _NEXT_TIER times its smallest; of more than three the inner ones join."""
    tiers: list[list[PlannedBackend]] = []
    for backend in sorted(local, key=lambda one: (one.parameters or sizes.ASSUMED, one.model)):
        size = backend.parameters or sizes.ASSUMED
        if not tiers or size >= _NEXT_TIER * (tiers[-1][0].parameters or sizes.ASSUMED):
            tiers.append([])
        tiers[-1].append(backend)
    if len(tiers) > _MOST_LOCAL_TIERS:
        tiers = [tiers[0], [backend for tier in tiers[1:-1] for backend in tier], tiers[-1]]
    return tiers


def _hosted_tiers(hosted: Iterable[tuple[ProviderKey, Sequence[HostedModel]]]) -> list[list[PlannedBackend]]:
    """By price, for prices are what tells one provider's class of models from another's."""
    tiers: list[list[PlannedBackend]] = [[] for _ in range(len(_HOSTED_FROM) + 1)]
    for key, models in hosted:
        for model in models:
            tiers[bisect(_HOSTED_FROM, blended(model.price))].append(
                PlannedBackend(
                    name="",
                    provider=key.provider,
                    model=model.model,
                    price=model.price,
                    key_variable=key.variable,
                    context_window=model.context_window,
                )
            )
    return [sorted(tier, key=lambda one: (blended(one.price), one.model)) for tier in tiers if tier]


def _named(local: list[list[PlannedBackend]], hosted: list[list[PlannedBackend]]) -> list[Tier]:
    clouds = [name if name == "cloud" or not local else f"cloud-{name}" for name in _names_of(hosted, "cloud")]
    names = [*_names_of(local, "local"), *clouds]
    taken = {*names, *AUTO_NAMES}
    tiers = []
    for name, backends in zip(names, [*local, *hosted], strict=True):
        named = []
        for backend in backends:
            free = _free_name(backend, taken)
            taken.add(free)
            named.append(replace(backend, name=free))
        tiers.append(Tier(name, tuple(named)))
    return tiers


def _names_of(tiers: Sequence[object], alone: str) -> tuple[str, ...]:
    return ((), (alone,), ("small", "large"), ("small", "medium", "large"))[len(tiers)]


def _free_name(backend: PlannedBackend, taken: set[str]) -> str:
    prefix = _PREFIXES.get(backend.provider, backend.provider)
    own = "".join(c if c.isalnum() or c in "._-" else "-" for c in backend.model.rpartition("/")[2].lower()).strip(
        "-._"
    )
    name = f"{prefix}-{own}"[: LONGEST_NAME - 4].rstrip("-._")
    assert not any(fnmatchcase(name, alias) for alias in ALIASES)
    return next(one for n in range(1, 1000) if (one := name if n == 1 else f"{name}-{n}") not in taken)


def _in_order_of_price(tiers: list[Tier]) -> tuple[Tier, ...]:
    """Of their cheapest backends. Local ones stand first in `tiers`, and so where prices are equal."""
    return tuple(sorted(tiers, key=lambda tier: min(blended(one.price) for one in tier.backends)))


def _categories(tiers: list[str]) -> dict[str, str]:
    """Easy work where it is cheapest, hard work to the best; what is not recognised just below, if there is room."""
    middle = tiers[-2] if len(tiers) > len(("easy", "hard")) else tiers[-1]
    return dict.fromkeys(EASY, tiers[0]) | dict.fromkeys(HARD, tiers[-1]) | {"general": middle}


def _reference(tiers: tuple[Tier, ...], wanted: str | None) -> str:
    """The largest model of the dearest local tier, unless told otherwise: it judges without a bill."""
    backends = [backend for tier in tiers for backend in tier.backends]
    if wanted is not None:
        found = next((one for one in backends if wanted in (one.name, one.model)), None)
        if found is None:
            there = ", ".join(backend.name for backend in backends)
            raise NoSuchReference(f"--reference: there is no {wanted!r}; name one of {there}")
        return found.name
    local = [backend for backend in backends if backend.is_local]
    return max(local, key=lambda one: blended(one.price)).name if local else ""
