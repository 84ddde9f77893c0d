"""Who lives, by their beats; and what nobody who lives holds any more. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared.contracts import Beat

SILENT_AFTER_S: Final = 1.0  # five beats missed: longer than any pause of a healthy process that was seen
# A killed process leaves NATS at once; a frozen one stays in its queue group and is sent requests all the while.
FROZEN_S: Final = 3600.0
LEFT_S: Final = 3.0  # how long one that left is asked about: a request may have reached it as it went
ASKED_AGAIN_S: Final = 2.0  # a question or its answer was lost; who merely died is not waited for by then


class Liveness:
    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}  # by instance: its service, and when it was heard
        self._silent: dict[str, float] = {}  # by instance: until when it may be found to hold something

    def heard(self, beat: Beat, now: float) -> None:
        self._silent.pop(beat.instance, None)
        if beat.leaving:
            self._last.pop(beat.instance, None)
            self._silent[beat.instance] = now + LEFT_S
        else:
            self._last[beat.instance] = (beat.service, now)

    def deaf(self, now: float) -> None:
        """We could not have heard anyone (the bus was away, or we were stopped): everyone's time begins anew."""
        self._last = {instance: (service, now) for instance, (service, _) in self._last.items()}

    def silent(self, now: float) -> set[str]:
        """The instances that hold nothing any more, or cannot say what: dead, frozen, or gone."""
        for instance, (_, last) in list(self._last.items()):
            if now - last >= SILENT_AFTER_S:
                del self._last[instance]
                self._silent[instance] = now + FROZEN_S
        for instance in [instance for instance, until in self._silent.items() if now >= until]:
            del self._silent[instance]
        return set(self._silent)

    def living(self, service: str | None = None) -> set[str]:
        return {instance for instance, (of, _) in self._last.items() if service in (None, of)}


class Inquiry:
    """Who holds these requests? All the living are asked twice: what nobody claims both times is lost.

    Once would not do: a dispatcher may have answered just before a plan reached it. Whatever a classifier sent on
    before its first answer is with its dispatcher before the second question is.
    """

    def __init__(self, requests: Iterable[str], living: set[str], now: float) -> None:
        self.unclaimed = set(requests)
        self.is_second = False
        self._asked = set(living)
        self._until = now + ASKED_AGAIN_S

    def answered(self, instance: str, requests: Iterable[str]) -> None:
        self._asked.discard(instance)
        self.unclaimed.difference_update(requests)

    def is_over(self, living: set[str]) -> bool:
        """All have answered that still live."""
        return not self._asked & living

    def is_late(self, now: float) -> bool:
        return now >= self._until

    def ask_again(self, living: set[str], now: float) -> None:
        self.is_second = True
        self._asked = set(living)
        self._until = now + ASKED_AGAIN_S
