"""A plan as a `tierwise.yaml` that explains itself. Pure; strangers' names are quoted, the environment is not."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

import yaml

from shared.policy import PriceSetting
from tierwise.setup import sizes
from tierwise.setup.hosted import DEAREST_OUTPUT
from tierwise.setup.plan import ALIASES, Plan, PlannedBackend, Tier

_WIDTH: Final = 110
_MOST_LEFT_OUT: Final = 30

_HEAD: Final = """\
# Written by `tierwise init` on {today}, and yours to change: `tierwise check FILE` says whether it holds, and a
# running Tierwise takes changes up within two seconds. Keys stay in the environment: ${{NAME}} is read there.

# Cheapest first. A request goes to the tier of its category, and there to the cheapest backend that can serve it; the
# others of the tier, then the tiers above, step in when that one fails.
tiers: [{tiers}]

backends:
"""
_END: Final = """\
# What unmodified clients send as `model`, by glob; auto lets Tierwise choose. Without an alias such a name is a 404.
aliases:
{aliases}

# Where each kind of work goes. Only what is recognised as easy goes to the cheapest tier. Begin so, and lower the
# rest when the quality windows show that the answers hold.
categories:
{categories}

# A limit for each service (the header X-Tierwise-Service says which, or its API key). What would pass it goes to the
# cheapest tier; `on_exhausted: reject` refuses instead.
budgets:
  default: {{daily_usd: 10, on_exhausted: downgrade}}

rate_limits:
  default: {{requests_per_second: 100, burst: 200}}

{quality}
# Repeated requests at temperature 0 are answered from memory, for nothing.
cache: {{enabled: true, ttl_s: 3600}}

# Savings are counted against what the same tokens would have cost here: name what you would use without Tierwise.
savings: {{baseline: {baseline}}}
"""
_ABOUT_LOCAL: Final = (
    "Prices are estimates by size, after what hosts ask for open models, in USD per million tokens. A model of one's "
    "own is not free: put in what your hardware and its power come to."
)
_ABOUT_HOSTED: Final = (
    "Prices, context and capabilities are looked up at each start; what was found now is told below, in USD per "
    "million tokens. Chosen from a table of {table_date}; what costs more than {dearest:g} out is for you to name."
)
_QUALITY: Final = """\
# A share of the answers is compared with what the reference model answers; where they agree too seldom, that kind of
# work moves a tier up. The reference is {which}; --reference NAME chooses another.
quality: {{sample_rate: 0.05, reference: {reference}, threshold: 0.90, daily_usd: 1}}
"""
_NO_QUALITY: Final = """\
# Answers of cheap tiers can be compared with those of a reference model. No local one is here to do it without a
# bill: name the backend that is to judge, and remove the mark.
# quality: {{sample_rate: 0.05, reference: {dearest}, threshold: 0.90, daily_usd: 1}}
"""


def config_text(plan: Plan, today: date, table_date: str) -> str:
    """`table_date`: of the table that hosted models were chosen from."""
    backends = [line for tier in plan.tiers for line in _tier(tier, table_date)] + list(_left_out(plan.left_out))
    head = _HEAD.format(today=today.isoformat(), tiers=", ".join(tier.name for tier in plan.tiers))
    end = _END.format(
        aliases="\n".join(f'  "{alias}": auto' for alias in ALIASES),
        categories="\n".join(f"  {category}: {tier}" for category, tier in plan.categories.items()),
        quality=_quality(plan),
        baseline=_scalar(plan.baseline),
    )
    return head + "\n".join([*backends, end])


def _tier(tier: Tier, table_date: str) -> Iterator[str]:
    yield f"  # {tier.name} " + "-" * (60 - len(tier.name))
    about = _ABOUT_LOCAL if all(backend.is_local for backend in tier.backends) else _ABOUT_HOSTED
    yield from _comment(about.format(table_date=table_date, dearest=DEAREST_OUTPUT))
    yield ""
    for backend in tier.backends:
        yield from _backend(backend, tier.name)
        yield ""


def _backend(backend: PlannedBackend, tier: str) -> Iterator[str]:
    yield f"  - name: {_scalar(backend.name)}"
    yield f"    tier: {tier}"
    yield f"    provider: {backend.provider}"
    if backend.base_url:
        if backend.stripped:
            yield "    # Its user and password were left out. To send them: http://${NAME_OF_USER}:${NAME_OF_PASSWORD}@host/v1"
        yield f"    base_url: {_scalar(backend.base_url)}"
    yield f"    model: {_scalar(backend.model)}"
    if backend.key_variable:
        yield f"    api_key: ${{{backend.key_variable}}}"
    yield from _of_local(backend) if backend.is_local else _of_hosted(backend)


def _of_local(backend: PlannedBackend) -> Iterator[str]:
    size = (
        sizes.written(backend.parameters)
        if backend.parameters
        else f"not told, taken for {sizes.written(sizes.ASSUMED)}"
    )
    yield f"    price: {_price(backend.price)}  # estimated by its size: {size}"
    if backend.context_window:
        unsure = "; Ollama cuts off what is longer than OLLAMA_CONTEXT_LENGTH" if backend.provider == "ollama" else ""
        yield f"    context_window: {backend.context_window}  # as its server says{unsure}"
    if backend.capabilities is not None:
        yield f"    capabilities: [{', '.join(backend.capabilities)}]  # as its server says"
    if backend.slots:
        yield f"    max_concurrent: {backend.slots}  # its slots"
    if backend.lora_adapters:
        yield f"    lora_adapters: [{', '.join(map(_scalar, backend.lora_adapters))}]"


def _of_hosted(backend: PlannedBackend) -> Iterator[str]:
    price = backend.price
    batch = (
        f"; by batch {price.batch_input_per_1m:g} and {price.batch_output_per_1m:g}"
        if price.batch_input_per_1m is not None and price.batch_output_per_1m is not None
        else ""
    )
    window = f"; {backend.context_window:,} tokens of context" if backend.context_window else ""
    yield f"    # {price.input_per_1m:g} in, {price.output_per_1m:g} out{batch}{window}"


def _left_out(names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _MOST_LEFT_OUT} more" if len(names) > _MOST_LEFT_OUT else ""
        told = f"Also there, and left out to begin with: {', '.join(names[:_MOST_LEFT_OUT])}{more}."
        yield from _comment(told)
        yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  # ", subsequent_indent="  # ")


def _quality(plan: Plan) -> str:
    if not plan.reference:
        dearest = plan.tiers[-1].backends[-1].name
        return _NO_QUALITY.format(dearest=_scalar(dearest))
    local = next(one for one in plan.backends if one.name == plan.reference).is_local
    which = "the largest local model, which sends no bill" if local else "the one you named"
    return _QUALITY.format(reference=_scalar(plan.reference), which=which)


def _price(price: PriceSetting) -> str:
    return f"{{input_per_1m: {price.input_per_1m:g}, output_per_1m: {price.output_per_1m:g}}}"


def _scalar(text: str) -> str:
    """As it is where YAML reads the same text back, alone and within brackets; else in quotes."""
    try:
        plain = yaml.safe_load(f"alone: {text}\nwithin: [{text}]") == {"alone": text, "within": [text]}
    except (yaml.YAMLError, ValueError):
        plain = False
    return text if plain else json.dumps(text)
