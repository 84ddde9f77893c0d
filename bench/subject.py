"""What a subject is: something that forwards chat requests, how to start it, and where it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import traffic
from bench.load import Door
from bench.processes import CannotRun, Server

PATH = "/v1/chat/completions"
DIRECT, NGINX, TIERWISE, TENSORZERO, LITELLM = "direct", "nginx proxy_pass", "Tierwise", "TensorZero", "LiteLLM"
ANSWERS_WITHIN_S = 60.0

# There are two backends, and so two doors of each subject. `fast` answers small plain requests at once; `own` also
# reads large bodies and streams. They are the same where nginx is missing.
FAST, OWN = "fast", "own"
Backends = Mapping[str, Server]


@dataclass(frozen=True)
class Running:
    doors: Mapping[str, Door]  # by the backend behind it
    processes: Mapping[str, int] = field(default_factory=dict)  # PIDs by name
    state: Path | None = None  # Tierwise's state folder


@dataclass(frozen=True)
class Subject:
    name: str
    start: Callable[[], AbstractContextManager[Running]]  # runs while entered; raises CannotRun


def check_answers(running: Running) -> None:
    """Raises CannotRun unless each door gives 200 and what the backend said."""
    for door in running.doors.values():
        try:
            answer = httpx.post(
                door.url,
                content=traffic.request(door.model),
                headers={"content-type": "application/json", **door.headers},
                timeout=ANSWERS_WITHIN_S,
                trust_env=False,
            )
            said = answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, LookupError) as error:
            raise CannotRun(f"{door.url} for {door.model!r}: {error!r}") from error
        if said != traffic.ANSWER_TEXT:
            raise CannotRun(f"{door.url} answers {door.model!r} with {answer.status_code}: {answer.text[:300]}")
