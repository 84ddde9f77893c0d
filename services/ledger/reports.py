"""Spend and savings over some days, from the days' sums and the validated pairs. Reads only.

Each amount is told twice, as in the views: `*_nano_usd`, a whole number, and `*_usd`, the same as a decimal string.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ledger.books import Payer
from services.ledger.savings import CONFIDENCE, FEWEST_PAIRS, Estimate, PairSums, ratio, total
from shared.contracts import SavingsAsked, SpendAsked
from shared.money import NanoUsd, decimal_usd

Row = RowMapping | Mapping[str, Any]

_OF_SERVICE: Final = "(:service = '' OR service = :service)"

_LINES: Final = text(f"""
    SELECT service, payer, tier, backend,
        sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
        sum(output_tokens)::bigint AS output_tokens, sum(cost_nano_usd)::bigint AS cost_nano_usd,
        sum(cache_saved_nano_usd)::bigint AS cache_saved_nano_usd,
        sum(batch_saved_nano_usd)::bigint AS batch_saved_nano_usd
    FROM tierwise.ledger_days WHERE day BETWEEN :first AND :last AND {_OF_SERVICE}
    GROUP BY service, payer, tier, backend
    HAVING sum(requests) > 0 OR sum(cost_nano_usd) > 0 OR sum(input_tokens + output_tokens) > 0
    ORDER BY service, payer, tier, backend
""")  # noqa: S608  # constants
_OPENINGS: Final = text(f"""
    SELECT service, sum(cost_nano_usd)::bigint AS cost_nano_usd
    FROM tierwise.ledger_days WHERE day < :first AND {_OF_SERVICE} GROUP BY service
""")  # noqa: S608  # constants
_CATEGORIES: Final = text(f"""
    SELECT service, category, sum(requests)::bigint AS requests, sum(cost_nano_usd)::bigint AS cost_nano_usd,
        sum(baseline_nano_usd)::bigint AS baseline_nano_usd,
        sum(cache_saved_nano_usd)::bigint AS cache_saved_nano_usd,
        sum(batch_saved_nano_usd)::bigint AS batch_saved_nano_usd,
        sum(validation_nano_usd)::bigint AS validation_nano_usd
    FROM tierwise.savings_daily WHERE day BETWEEN :first AND :last AND {_OF_SERVICE}
    GROUP BY service, category ORDER BY service, category
""")  # noqa: S608  # constants


def _pair_sums(known: str, true: str) -> str:
    """The columns of savings.PairSums, in its order."""
    known, true = f"({known} / probability)", f"({true} / probability)"
    products = [f"(1 - probability) * {a} * {b}" for a, b in ((known, known), (known, true), (true, true))]
    summed = [known, true, f"{known} * {known}", *products, *(f"{known} * {product}" for product in products)]
    return ", ".join(["count(*)", *(f"coalesce(sum({each}), 0)" for each in summed)])


def _pairs(known: str, true: str) -> str:
    return f"""
        SELECT category, {_pair_sums(known, true)} FROM tierwise.ledger_pairs
        WHERE day BETWEEN :first AND :last AND {_OF_SERVICE} AND {true} IS NOT NULL
        GROUP BY category
    """  # noqa: S608  # constants


_LENGTHS: Final = text(_pairs("baseline_nano_usd::float8", "paired_baseline_nano_usd::float8"))
_AGREEMENTS: Final = text(_pairs("1", "agreement"))


async def spend(engine: AsyncEngine, asked: SpendAsked) -> dict[str, Any]:
    """By service: what it had spent before `first`, each account's lines, and what that comes to."""
    within = {"first": asked.first, "last": asked.last, "service": asked.service}
    async with engine.connect() as connection:
        lines = (await connection.execute(_LINES, within)).mappings().all()
        openings = (await connection.execute(_OPENINGS, within)).mappings().all()
    return spend_report(asked, lines, {row["service"]: row["cost_nano_usd"] for row in openings})


async def savings(engine: AsyncEngine, asked: SavingsAsked) -> dict[str, Any]:
    within = {"first": asked.first, "last": asked.last, "service": asked.service}
    async with engine.connect() as connection:
        categories = (await connection.execute(_CATEGORIES, within)).mappings().all()
        lengths = {category: PairSums(*told) for category, *told in await connection.execute(_LENGTHS, within)}
        agreed = {category: PairSums(*told) for category, *told in await connection.execute(_AGREEMENTS, within)}
    return savings_report(asked, categories, lengths, agreed)


# What is told, pure -----------------------------------------------------------------------------------------

_SAVED: Final = ("cache_saved", "batch_saved")


def spend_report(asked: SpendAsked, lines: Iterable[Row], openings: Mapping[str, NanoUsd]) -> dict[str, Any]:
    by_service: dict[str, list[Row]] = {service: [] for service in openings}
    for line in lines:
        by_service.setdefault(line["service"], []).append(line)
    services = [_service(service, openings.get(service, 0), by_service[service]) for service in sorted(by_service)]
    summed = ("opening", *Payer, "total", "closing", *_SAVED)
    return {
        "first": asked.first,
        "last": asked.last,
        "services": services,
        "total": _amounts({name: sum(each[f"{name}_nano_usd"] for each in services) for name in summed}),
    }


def _service(service: str, opening: NanoUsd, lines: list[Row]) -> dict[str, Any]:
    paid = {str(payer): sum(line["cost_nano_usd"] for line in lines if line["payer"] == payer) for payer in Payer}
    spent = sum(paid.values())
    saved = {name: sum(line[f"{name}_nano_usd"] for line in lines) for name in _SAVED}
    counted = ("payer", "tier", "backend", "requests", "input_tokens", "output_tokens")
    return {
        "service": service,
        **_amounts({"opening": opening}),
        "lines": [
            {**{name: line[name] for name in counted}, **_amounts({"cost": line["cost_nano_usd"]})} for line in lines
        ],
        **_amounts({**paid, "total": spent, "closing": opening + spent, **saved}),
    }


def savings_report(
    asked: SavingsAsked, rows: Iterable[Row], lengths: Mapping[str, PairSums], agreements: Mapping[str, PairSums]
) -> dict[str, Any]:
    """By service and category, by category, and in all. `lengths` and `agreements` are of each category.

    `estimate` is there where enough pairs tell how long the baseline's own answers are; else the baseline is known
    for the answers' own lengths only, and says so by `null`. `quality` likewise.
    """
    known = list(rows)
    categories = sorted({row["category"] for row in known} | set(lengths) | set(agreements))
    nothing = PairSums()
    return {
        "first": asked.first,
        "last": asked.last,
        "services": [{"service": row["service"], "category": row["category"], **_saved([row])} for row in known],
        "categories": [
            {
                "category": category,
                **_judged(
                    [row for row in known if row["category"] == category],
                    lengths.get(category, nothing),
                    agreements.get(category, nothing),
                ),
            }
            for category in categories
        ],
        "total": _judged(known, sum(lengths.values(), nothing), sum(agreements.values(), nothing)),
        "confidence": CONFIDENCE,
        "fewest_pairs": FEWEST_PAIRS,
    }


_SAVING: Final = ("cost", "baseline", "cache_saved", "batch_saved", "validation")


def _saved(rows: Iterable[Row]) -> dict[str, Any]:
    taken = list(rows)
    amounts: dict[str, NanoUsd] = {name: sum(row[f"{name}_nano_usd"] for row in taken) for name in _SAVING}
    net = amounts["baseline"] - amounts["cost"] - amounts["validation"]
    return {"requests": sum(row["requests"] for row in taken), **_amounts({**amounts, "net_saved": net})}


def _judged(rows: Iterable[Row], lengths: PairSums, agreements: PairSums) -> dict[str, Any]:
    saved = _saved(rows)
    return {**saved, "estimate": _estimate(saved, lengths), "quality": _quality(agreements)}


def _estimate(saved: Mapping[str, Any], lengths: PairSums) -> dict[str, Any] | None:
    baseline = total(saved["baseline_nano_usd"], lengths)
    if baseline is None:
        return None
    paid = saved["cost_nano_usd"] + saved["validation_nano_usd"]
    bounds: dict[str, NanoUsd] = {}
    for name, value in (("", baseline.value), ("_low", baseline.low), ("_high", baseline.high)):
        bounds[f"baseline{name}"] = round(value)
        bounds[f"net_saved{name}"] = round(value) - paid
    return {"pairs": lengths.pairs, **_amounts(bounds)}


def _quality(agreements: PairSums) -> dict[str, Any] | None:
    found: Estimate | None = ratio(agreements)
    if found is None:
        return None
    low, high = max(found.low, 0.0), min(found.high, 1.0)
    return {"pairs": agreements.pairs, "agreement": found.value, "agreement_low": low, "agreement_high": high}


def _amounts(named: Mapping[str, NanoUsd]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, amount in named.items():
        told[f"{name}_nano_usd"], told[f"{name}_usd"] = amount, decimal_usd(amount)
    return told
