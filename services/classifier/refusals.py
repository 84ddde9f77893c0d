"""The classifier's no, in words for the caller: what is wrong, what would be right. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from shared.contracts import Refusal
from shared.money import NanoUsd, decimal_usd

if TYPE_CHECKING:
    from services.classifier.outlook import Purse

_MOST_TOLD: Final = 20  # backends; a policy may have thousands
OPERATORS_TIME_S: Final = 30  # to mend what only an operator can
MOMENT_S: Final = 1
EXHAUSTED: Final = "budget_exhausted"


def unknown(what: str, value: str, valid: Sequence[str], *, said_in_header: bool) -> Refusal:
    param = f"X-Tierwise-{what.capitalize()}" if said_in_header else f"metadata.tierwise_{what}"
    return Refusal(
        400,
        f"unknown_{what}",
        f"There is no {what} {_short(value)}. Use one of: {', '.join(valid)}.",
        param=param,
    )


def unknown_model(asked: str, model: str, known_names: str) -> Refusal:
    alias = "" if asked == model else f" (what the alias for {_short(asked)} names)"
    return Refusal(
        404,
        "model_not_found",
        f"There is no model {_short(model)}{alias}. Use one of: {known_names}.",
        param="model",
    )


def incapable(lacks: Sequence[tuple[str, str]], *, pinned: bool) -> Refusal:
    """The request is the reason: `lacks` has each backend that was looked at, and what stands against it."""
    return Refusal(
        400,
        "no_capable_backend",
        f"No backend{_pinned(pinned)} can serve this request ({_told(lacks)}). Change the request, or ask the "
        "operator for a backend that can.",
        param="model" if pinned else "",
    )


def unavailable(lacks: Sequence[tuple[str, str]], *, pinned: bool, passes: bool) -> Refusal:
    """The operator's or the moment's reason; the latter `passes`."""
    what = "Try again in a moment" if passes else "The operator must change the policy"
    return Refusal(
        503,
        "no_backend_available",
        f"No backend{_pinned(pinned)} is there for this request now ({_told(lacks)}). {what}.",
        "server_error",
        retry_after_s=MOMENT_S if passes else OPERATORS_TIME_S,
    )


def too_dear(cheapest: str, worst_case: NanoUsd, limit: NanoUsd) -> Refusal:
    return Refusal(
        402,
        "max_cost_exceeded",
        f"Every backend that can serve this request may cost more than it allows (the cheapest, {cheapest}, "
        f"{above(worst_case, limit)}). Raise X-Tierwise-Max-Cost-Usd, or lower max_tokens.",
        type="insufficient_quota",
        param="X-Tierwise-Max-Cost-Usd",
        may_retry=False,
    )


def over_budget(service: str, purse: Purse, because: str) -> Refusal:
    """The budget has no room, or nobody knows; `because` is why there is no cheaper answer."""
    if purse.unknown:
        return budget_unknown(service)
    resets = f", and it begins anew at {purse.resets_at}" if purse.resets_at else ""
    spent, reserved = decimal_usd(purse.spent_nano_usd), decimal_usd(purse.reserved_nano_usd)
    return Refusal(
        402,
        EXHAUSTED,
        f"The budget of service {_short(service)} has no room for this request: {spent} USD are spent and {reserved} "
        f"reserved of {decimal_usd(purse.limit_nano_usd)}{resets}; {because}.",
        type="insufficient_quota",
        may_retry=False,
    )


def budget_unknown(service: str) -> Refusal:
    """The ledger is away, and the budget says `when_ledger_is_away: reject`, or there is nothing to fall back to."""
    return Refusal(
        503,
        "budget_unknown",
        f"Nobody can say whether the budget of service {_short(service)} has room for this request: the ledger does "
        "not answer. Try again in a moment.",
        type="server_error",
        retry_after_s=1,
    )


def above(worst_case: NanoUsd, limit: NanoUsd) -> str:
    return f"may cost {decimal_usd(worst_case)} USD, the request allows {decimal_usd(limit)}"


def _told(lacks: Sequence[tuple[str, str]]) -> str:
    return "; ".join([f"{name}: {lack}" for name, lack in lacks[:_MOST_TOLD]])


def _pinned(pinned: bool) -> str:  # noqa: FBT001  # the whole of its meaning
    return " that `model` names" if pinned else ""


def _short(value: str) -> str:
    return repr(value if len(value) <= 100 else f"{value[:100]}…")
