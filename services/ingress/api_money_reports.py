"""/api/spend and /api/savings: the ledger's reports over some days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from services.ingress import replies
from services.ingress.questions import Questions
from shared.contracts import LedgerAsked, Refusal, SavingsAsked, SpendAsked, encode

Day = Annotated[str, Query(description="A day, as 2026-11-26.", examples=["2026-11-26"])]
_FIRST: Final = Query(alias="from", description="The first day; `to` where it is left out.")
_LAST: Final = Query(alias="to", description="The last day; today in UTC where it is left out.")
_SERVICE: Final = Query(description="Only this service.")

_SPEND: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "By service; each amount as `*_nano_usd` and `*_usd`. `payer`: budget, floor, validation, or "
        "lost, which is what leases of the budget were charged of which nobody told.",
        "content": {
            "application/json": {
                "example": {
                    "first": "2026-11-26",
                    "last": "2026-11-26",
                    "services": [
                        {
                            "service": "billing",
                            "opening_nano_usd": 1_250_000_000,
                            "opening_usd": "1.25",
                            "lines": [
                                {
                                    "payer": "budget",
                                    "tier": "small",
                                    "backend": "small-1",
                                    "requests": 420,
                                    "input_tokens": 88_000,
                                    "output_tokens": 20_160,
                                    "cost_nano_usd": 540_800,
                                    "cost_usd": "0.0005408",
                                }
                            ],
                            "total_nano_usd": 540_800,
                            "total_usd": "0.0005408",
                        }
                    ],
                }
            }
        },
    }
}


def money_reports(questions: Questions, mint: Callable[[], str]) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["money"])

    @router.get("/spend", responses=_SPEND)
    async def spend(
        first: Annotated[str, _FIRST] = "",
        last: Annotated[str, _LAST] = "",
        day: Day = "",
        service: Annotated[str, _SERVICE] = "",
    ) -> Response:
        """What was spent, by service, account, tier and backend, with what it came to before. Money is exact."""
        return await answer(SpendAsked, first, last, day, service)

    @router.get("/savings")
    async def savings(
        first: Annotated[str, _FIRST] = "",
        last: Annotated[str, _LAST] = "",
        day: Day = "",
        service: Annotated[str, _SERVICE] = "",
    ) -> Response:
        """What was saved against the baseline, net of validation, by service and category; negative where it was not.

        `estimate` corrects for how long the baseline's own answers are, with a 95 % interval, from validated
        requests; `null` where there are too few. `quality` is how far answers agreed with the reference's.
        """
        return await answer(SavingsAsked, first, last, day, service)

    async def answer(
        question: type[SpendAsked | SavingsAsked], first: str, last: str, day: str, service: str
    ) -> Response:
        request_id = mint()
        days = between(first, last, day, datetime.now(UTC).date())
        if isinstance(days, Refusal):
            return replies.refused(days, request_id)
        if "\0" in service:  # PostgreSQL has no such text
            unknown = Refusal(400, "invalid_service", "service must be printable", param="service")
            return replies.refused(unknown, request_id)
        told = await questions.ask(LedgerAsked.subject, encode(question(*days, service)), "ledger")
        if isinstance(told, Refusal):
            return replies.refused(told, request_id)
        return replies.json(told, request_id)

    return router


def between(first: str, last: str, day: str, today: date) -> tuple[date, date] | Refusal:
    """The days that were asked for: one `day`, or from `first` to `last`, each as 2026-11-26; today where none is."""
    if day and (first or last):
        return Refusal(400, "invalid_days", "give either day, or from and to", param="day")
    found = {}
    for name, said in (("day", day), ("from", first), ("to", last)):
        try:
            found[name] = date.fromisoformat(said) if said else None
        except ValueError:
            return Refusal(400, "invalid_day", f"{name} must be a day, for example 2026-11-26", param=name)
    end = found["day"] or found["to"] or today
    begin = found["day"] or found["from"] or end
    if begin > end:
        return Refusal(400, "invalid_days", f"from ({begin}) is after to ({end}); turn them round", param="from")
    return begin, end
