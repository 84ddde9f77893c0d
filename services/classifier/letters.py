"""What this classifier tells the ledger of its leases, until the ledger has heard it.

A message may be lost, come twice, or be overtaken, and so may its answer. What is told of a lease only falls, so that
it can be told again; its last word is, until an answer shows that it was heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from shared.contracts import Grant, GrantAsked, GrantRequested, LeaseReported

# A grant takes a few milliseconds. A ledger that is silent for this long is away; one that is only slow, on a busy
# machine, must not send anybody to the floor.
ANSWERS_WITHIN_S: Final = 0.5
LOST_AFTER_S: Final = 2.0  # a message without an answer: what it told is told again
MAX_REPORTS: Final = 1000  # in a message
OVER_REMEMBERED: Final = 10_000  # leases


class Letters:
    def __init__(self, holder: str, send: Callable[[GrantRequested], int]) -> None:
        """`send` returns the number under which the message's answer comes."""
        self._holder = holder
        self._send = send
        self._ended: dict[str, LeaseReported] = {}  # what is given back, until the ledger has heard of it
        self._untold: dict[str, None] = {}  # those of them that are in no message under way
        self._over: dict[str, LeaseReported] = {}  # the last word about others, the oldest first
        self._sent: dict[int, tuple[float, list[LeaseReported], tuple[GrantAsked, ...]]] = {}
        self._late: dict[int, tuple[float, list[LeaseReported]]] = {}  # messages whose answer may still come
        self._last_lease = 0

    def new_lease_id(self) -> str:
        self._last_lease += 1
        return f"{self._holder}.{self._last_lease}"

    # Last words ---------------------------------------------------------------------------------------------

    def end(self, report: LeaseReported) -> None:
        """A lease's last word, to be told with the next message."""
        self._ended[report.lease_id] = report
        self._untold[report.lease_id] = None

    def is_over(self, report: LeaseReported) -> None:
        """The last word about a lease, which the ledger knows."""
        self._over[report.lease_id] = report
        if len(self._over) > OVER_REMEMBERED:
            del self._over[next(iter(self._over))]

    def last_word(self, lease_id: str) -> LeaseReported | None:
        return self._ended.get(lease_id) or self._over.get(lease_id)

    def answer_again(self, grant: Grant) -> None:
        """Nobody waits for this grant: where its lease is over, the message came twice, and late."""
        last = self._over.get(grant.lease_id)
        if last is not None and grant.granted > last.kept and grant.lease_id not in self._ended:
            self.end(last)

    # Messages -----------------------------------------------------------------------------------------------

    def write(
        self,
        now: float,
        asked: Iterable[GrantAsked],
        reported: Iterable[LeaseReported],
        *,
        is_away: bool,
        probe: bool = False,
    ) -> None:
        """With everything that has ended and that no other message tells: each once, or services by the thousand
        would make of every message a list of all the others' leases. One that is away is asked whether it is back.
        """
        wishes, reports = tuple(asked), list(reported)
        if not is_away:
            reports += [self._ended[lease_id] for lease_id in self._untold]
            self._untold.clear()
        if not wishes and not reports and not probe:
            return
        for start in range(0, max(len(reports), 1), MAX_REPORTS):
            some, with_it = reports[start : start + MAX_REPORTS], wishes if start == 0 else ()
            number = self._send(GrantRequested(self._holder, with_it, tuple(some)))
            self._sent[number] = (now, some, with_it)

    def answered(self, number: int, now: float) -> tuple[GrantAsked, ...]:
        """It was heard. Returns what it asked for, if nobody has given it up meanwhile."""
        _, heard, asked = self._sent.pop(number, (now, [], ()))
        _, heard_late = self._late.pop(number, (now, []))
        for report in heard or heard_late:
            if self._ended.get(report.lease_id) == report:
                del self._ended[report.lease_id]
                self._untold.pop(report.lease_id, None)
                self.is_over(report)
        return asked

    def unheard(self, number: int, now: float) -> None:
        """Nobody was there to hear it."""
        _, reports, _ = self._sent.pop(number, (now, [], ()))
        self._say_again(reports)

    def unanswered(self, now: float) -> list[tuple[float, tuple[GrantAsked, ...]]]:
        """When those were sent, and what they asked for, that have waited for their answer long enough."""
        waited = []
        for number in [number for number, (at, *_) in self._sent.items() if now - at >= ANSWERS_WITHIN_S]:
            at, reports, asked = self._sent.pop(number)
            self._late[number] = (at, reports)
            waited.append((at, asked))
        return waited

    def give_up_lost(self, now: float) -> None:
        for number in [number for number, (at, _) in self._late.items() if now - at >= LOST_AFTER_S]:
            self._say_again(self._late.pop(number)[1])

    def say_all_again(self) -> None:
        self._say_again(self._ended.values())

    def _say_again(self, unheard: Iterable[LeaseReported]) -> None:
        for report in unheard:
            if report.lease_id in self._ended:
                self._untold[report.lease_id] = None
