"""Who lives, by their beats. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

from shared.contracts import Beat

SILENT_AFTER_S: Final = 1.0  # five beats missed: longer than any pause of a healthy process that was seen
MOURNED_S: Final = 10.0  # how long a silent one may still be found to hold something (it may only be frozen)


class Liveness:
    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}  # by instance: its service, and when it was heard
        self._silent: dict[str, float] = {}  # by instance: since when

    def heard(self, beat: Beat, now: float) -> None:
        self._silent.pop(beat.instance, None)
        if beat.leaving:
            self._last.pop(beat.instance, None)
        else:
            self._last[beat.instance] = (beat.service, now)

    def deaf(self, now: float) -> None:
        """We could not have heard anyone (the bus was away, or we were stopped): everyone's time begins anew."""
        self._last = {instance: (service, now) for instance, (service, _) in self._last.items()}

    def silent(self, now: float) -> set[str]:
        """The instances that are taken for dead, until MOURNED_S has passed."""
        for instance, (_, last) in list(self._last.items()):
            if now - last >= SILENT_AFTER_S:
                del self._last[instance]
                self._silent[instance] = now
        self._silent = {instance: since for instance, since in self._silent.items() if now - since < MOURNED_S}
        return set(self._silent)

    def living(self, service: str | None = None) -> set[str]:
        return {instance for instance, (of, _) in self._last.items() if service in (None, of)}
