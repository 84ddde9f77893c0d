"""Asks vLLM, Ollama, llama.cpp and other OpenAI-compatible servers for their models.

Anybody may sit on the port: what is asked is bounded in time and an answer in size, redirects are not followed, and
nothing here raises for what a server does. What their answers mean is local_answers.py's.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import httpx
import msgspec

from services.ingress.local_answers import (
    MOST_MODELS,
    LocalModel,
    items,
    of_llamacpp,
    of_ollama,
    of_openai,
    usable_name,
)
from shared.policy import Provider

PATIENCE_S: Final = 1.0  # for all that one server is asked of one model: a changed file is due everywhere after two
LISTING_PATIENCE_S: Final = 5.0  # for all its models: Ollama is asked of each by itself
LONGEST_REPLY: Final = 4 * 1024 * 1024  # Ollama sends licences along; a hundred models with theirs are below 1 MiB


class Reply(msgspec.Struct, frozen=True):
    status: int
    server: str  # the header
    content: Any  # the JSON of the body; None where it is none


def client(*, tls: bool = True) -> httpx.AsyncClient:
    """No proxies: these are servers of one's own. `tls=False` spares the reading of 150 authorities' certificates.

    The authorities are the system's, as for the calls that a dispatcher makes.
    """
    return httpx.AsyncClient(
        timeout=PATIENCE_S,
        trust_env=False,
        follow_redirects=False,
        verify=ssl.create_default_context() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        headers={"accept": "application/json", "accept-encoding": "identity"},
    )


async def ask(
    asking: httpx.AsyncClient, provider: Provider, url: str, model: str, key: str = ""
) -> LocalModel | None:
    """What the server at `url` (with its `/v1`) says of `model`, within PATIENCE_S; None where that is nothing."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            if provider == "ollama":
                return await _told_by_ollama(asking, _root(url), model, key)
            told = await _listed(asking, provider, url, key)
    except TimeoutError:
        return None
    if told is None:
        return None
    # llama.cpp has one model, and answers under whatever name it is asked for.
    alone = told[0] if provider == "llamacpp" and len(told) == 1 else None
    # Others may serve what they don't list: they have answered, and there is nothing more to learn.
    silent = LocalModel(name=model) if provider == "openai-compatible" else None
    return next((one for one in told if one.name == model), alone or silent)


async def models(
    asking: httpx.AsyncClient, provider: Provider, url: str, key: str = ""
) -> tuple[LocalModel, ...] | None:
    """All models of the server at `url`, within LISTING_PATIENCE_S; None where it is no `provider`."""
    try:
        async with asyncio.timeout(LISTING_PATIENCE_S):
            return await _listed(asking, provider, url, key)
    except TimeoutError:
        return None


async def fetch(asking: httpx.AsyncClient, url: str, key: str = "", body: Any = None) -> Reply | None:
    """One request, a POST where there is a body; None where nothing that speaks HTTP answers in reason."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    method = "GET" if body is None else "POST"
    auth = _as_it_is if key else None  # else httpx would put the URL's user in the key's place
    try:
        async with asking.stream(method, url, json=body, headers=headers, auth=auth) as response:
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_REPLY:
                    return None
            return Reply(response.status_code, response.headers.get("server", ""), _json(bytes(content)))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError):  # ValueError: a key that is no header
        return None


# What each kind of server is asked ------------------------------------------------------------------------------


async def _listed(asking: httpx.AsyncClient, provider: Provider, url: str, key: str) -> tuple[LocalModel, ...] | None:
    if provider == "ollama":
        return await _listed_by_ollama(asking, _root(url), key)
    if provider == "llamacpp":
        listed, props, adapters = await asyncio.gather(
            fetch(asking, f"{url}/models", key),
            fetch(asking, f"{_root(url)}/props", key),
            fetch(asking, f"{_root(url)}/lora-adapters", key),
        )
        return None if listed is None else of_llamacpp(listed.content, _good(props), _good(adapters))
    listed = await fetch(asking, f"{url}/models", key)
    return None if listed is None else of_openai(listed.content)


async def _listed_by_ollama(asking: httpx.AsyncClient, root: str, key: str) -> tuple[LocalModel, ...] | None:
    tags, running = await asyncio.gather(fetch(asking, f"{root}/api/tags", key), fetch(asking, f"{root}/api/ps", key))
    if tags is None or not isinstance(tags.content, dict) or "models" not in tags.content:
        return None
    names = [name for one in items(tags.content, "models") if (name := usable_name(one.get("name")))][:MOST_MODELS]
    shown = await asyncio.gather(*(fetch(asking, f"{root}/api/show", key, {"model": name}) for name in names))
    told = [of_ollama(name, one and one.content, _good(running)) for name, one in zip(names, shown, strict=True)]
    return tuple(one for one in told if one is not None)


async def _told_by_ollama(asking: httpx.AsyncClient, root: str, model: str, key: str) -> LocalModel | None:
    shown, running = await asyncio.gather(
        fetch(asking, f"{root}/api/show", key, {"model": model}), fetch(asking, f"{root}/api/ps", key)
    )
    return of_ollama(model, shown and shown.content, _good(running))


def _as_it_is(request: httpx.Request) -> httpx.Request:
    return request


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _good(reply: Reply | None) -> Any:
    return reply.content if reply is not None and reply.status == httpx.codes.OK else None


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None
