"""Asks a running Tierwise over HTTP, as any client would: for commands that operate one, from wherever they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tierwise.choices import DEFAULT_HOST, DEFAULT_PORT

WITHIN_S = 30.0


class NoAnswer(Exception):
    """Nobody is there, or it refuses; says what to do."""


def url_of(environment: Mapping[str, str], folder: Path) -> str:
    """TIERWISE_URL, else where a `tierwise up` in `folder` says that it listens, else the default."""
    if environment.get("TIERWISE_URL"):
        return environment["TIERWISE_URL"].rstrip("/")
    try:
        return str(json.loads((folder / ".tierwise" / "run.json").read_bytes())["url"])
    except (OSError, ValueError, KeyError):
        return f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def get(path: str, parameters: Mapping[str, str], environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """The JSON that is there. Raises NoAnswer."""
    url = url_of(environment, folder)
    token = environment.get("TIERWISE_ADMIN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A proxy for the world outside knows nothing of this machine.
        is_here = httpx.URL(url).host in {"localhost", "127.0.0.1", "::1"}
        answer = httpx.get(
            url + path, params=dict(parameters), headers=headers, timeout=WITHIN_S, trust_env=not is_here
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswer(
            f"no answer from {url}: {error}; is `tierwise up` running? TIERWISE_URL names another"
        ) from None
    except UnicodeEncodeError:  # an argument or a variable that is no UTF-8
        raise NoAnswer("what was asked for is not text in UTF-8, so it can be sent to nobody") from None
    try:
        told = answer.json()
    except ValueError:
        raise NoAnswer(f"{url}{path} answered {answer.status_code} without JSON: is it a Tierwise?") from None
    if answer.status_code != httpx.codes.OK:
        raise NoAnswer(_reason(told) or f"{url}{path} answered {answer.status_code}")
    if not isinstance(told, dict):
        raise NoAnswer(f"{url}{path} answered something else than was asked for: is it a Tierwise?")
    return told


def _reason(told: Any) -> str:
    error = told.get("error") if isinstance(told, dict) else None
    return str(error.get("message") or "") if isinstance(error, dict) else ""
