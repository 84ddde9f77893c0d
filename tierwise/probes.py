"""Is an HTTP part ready? Its own words say what it waits for."""

from collections.abc import Awaitable, Callable

import httpx

from tierwise.part import NotReady


def answers_ok(url: str) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            raise NotReady("its port") from error
        if answer.status_code != httpx.codes.OK:
            raise NotReady(" ".join(answer.text.split())[:200])

    return probe
