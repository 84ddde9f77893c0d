"""Which models of a provider `tierwise init` begins with: chosen by rule from what the libraries know, from no list.

Of the models that chat, take tools and LEAST_WINDOW, have not been withdrawn, are at most LONGEST_AGE older than the
provider's newest, and whose price two sources agree on, the newest of each family; of these the cheapest, and the
dearest within DEAREST_OUTPUT.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from math import isclose
from typing import Final

from services.ingress import hosted_prices, model_facts
from services.ingress.model_facts import Known
from shared.policy import PriceSetting, Provider

LONGEST_AGE: Final = timedelta(days=548)  # a year and a half
LEAST_WINDOW: Final = 100_000  # tokens: whole documents, and no model that is made for sound
DEAREST_OUTPUT: Final = 25.0  # US dollars per million tokens; whoever wants a dearer one names it
_SAME_PRICE: Final = 0.02  # of sources that differ by more, one is out of date
_PASSING: Final = "preview"  # in the names of models that are withdrawn soon


@dataclass(frozen=True)
class HostedModel:
    provider: Provider
    model: str
    price: PriceSetting
    context_window: int = 0  # tokens; 0: not known


def blended(price: PriceSetting) -> float:
    """One figure, for comparing: three tokens in for one out, as chats go."""
    return (3 * price.input_per_1m + price.output_per_1m) / 4


def cheapest_and_dearest(provider: Provider) -> tuple[HostedModel, ...]:
    """Two; or one, or none, where no more fit the rule."""
    fit = list(_newest_of_each_family(provider, model_facts.by_provider()[provider].values()))
    affordable = [one for one in fit if one.price.output_per_1m <= DEAREST_OUTPUT]
    if not affordable:
        return ()
    cheapest = min(affordable, key=lambda one: (blended(one.price), one.model))
    dearest = max(affordable, key=lambda one: (blended(one.price), one.model))
    return (cheapest,) if cheapest == dearest else (cheapest, dearest)


def _newest_of_each_family(provider: Provider, models: Iterable[Known]) -> Iterator[HostedModel]:
    there = [(released, one) for one in models if (released := _released(one)) and _lasts(one)]
    newest = max((released for released, _ in there), default=date.min)
    # Of one family and day there may be a dated name, a moving one and a faster one: the cheapest's shortest name.
    families: dict[str, tuple[date, float, int, str]] = {}
    found: dict[str, HostedModel] = {}
    for released, one in there:
        if newest - released > LONGEST_AGE or (price := _agreed_price(provider, one)) is None:
            continue
        family = one.family or one.id
        rank = (released, -blended(price), -len(one.id), one.id)
        if family not in families or rank > families[family]:
            families[family] = rank
            found[family] = HostedModel(provider, one.id, price, one.context.input or 0)
    yield from found.values()


def _lasts(model: Known) -> bool:
    return (
        model.type in ("chat", None)
        and model.tool_call is True
        and model.structured_output is not False
        and model.modalities.output == ("text",)
        and (model.context.input or 0) >= LEAST_WINDOW
        and model.lifecycle.status == "active"
        and model.lifecycle.deprecation_date is None
        and _PASSING not in model.id
    )


def _released(model: Known) -> date | None:
    try:
        return date.fromisoformat(model.lifecycle.release_date or "")
    except ValueError:
        return None


def _agreed_price(provider: Provider, model: Known) -> PriceSetting | None:
    """The one that Tierwise will look up, where the table has about the same."""
    priced, listed = hosted_prices.look_up(provider, model.id), hosted_prices.as_known(provider, model)
    if priced is None or listed is None or blended(priced.price) == 0:
        return None
    return priced.price if isclose(blended(priced.price), blended(listed), rel_tol=_SAME_PRICE) else None
