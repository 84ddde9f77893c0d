"""Is an HTTP part ready? Its own words say what it waits for."""

import ssl
from collections.abc import Awaitable, Callable

import httpx

from tierwise.part import NotReady


def loopback_client() -> httpx.AsyncClient:
    """For plain HTTP to our own children: no proxy, and no reading of 150 authorities' certificates at every poll."""
    return httpx.AsyncClient(timeout=2, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def answers_ok(url: str) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        try:
            async with loopback_client() as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            raise NotReady("its port") from error
        if answer.status_code != httpx.codes.OK:
            raise NotReady(_its_words(answer))

    return probe


def _its_words(answer: httpx.Response) -> str:
    """Our services list what they wait for; llama.cpp says it in OpenAI's error shape."""
    try:
        said = answer.json()
        if "waiting_for" in said:
            return ", ".join(said["waiting_for"]) or "nothing"
        return str(said["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text.split())[:200]
