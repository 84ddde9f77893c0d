"""Looks that are taken while a run goes on, in a thread of their own: peak memory, and the machine's pace."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from statistics import median
from typing import ClassVar, Self


class Watch(ABC):
    """Looks every `every_s` while entered, the first time at once."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @abstractmethod
    def look(self) -> None: ...

    def _watch(self) -> None:
        while True:
            self.look()
            if self._over.wait(self._every_s):
                return


class Peak(Watch):
    """`by_name` is what `taken` gave when its sum was highest."""

    def __init__(self, taken: Callable[[], Mapping[str, float]]) -> None:
        super().__init__(every_s=0.1)
        self._taken = taken
        self.by_name: Mapping[str, float] = {}

    def look(self) -> None:
        seen = self._taken()
        if sum(seen.values()) > sum(self.by_name.values()):
            self.by_name = seen


class Pace(Watch):
    """How fast the processor is just now: `ms` is the CPU time that a fixed piece of work takes, in the median.

    A virtual machine's cores may be half as fast from one second to the next, by what runs beside them, and neither
    the load nor the stolen time tells. Figures compare where the pace was the same. It takes a hundredth of a core.
    """

    WORK: ClassVar = {"messages": [{"role": "user", "content": "a text of forty letters and a few more"}] * 20}
    TIMES = 60

    def __init__(self) -> None:
        super().__init__(every_s=0.2)
        self._ms: list[float] = []

    @property
    def ms(self) -> float:
        return median(self._ms)

    def look(self) -> None:
        began = time.thread_time()
        for _ in range(self.TIMES):
            json.loads(json.dumps(self.WORK))
        self._ms.append((time.thread_time() - began) * 1000)
