"""Looks for model servers: on the usual ports, where `--probe` says, and at `OPENAI_BASE_URL`. A Tierwise is none."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from services.ingress import local_servers
from services.ingress.local_answers import LocalModel, items
from shared.policy import Provider
from tierwise.setup import keys

USUAL_PORTS: Final = (11434, 8000, 8001, 8002, 8080)
_OURSELVES: Final = "tierwise"


class NotAnAddress(Exception):
    """`--probe` was given something that cannot be asked; says why."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look. `url` may hold credentials and is never shown or written; `written` is what may be."""

    url: str  # with the API's /v1
    written: str  # in the config: without credentials, or `${OPENAI_BASE_URL}`
    key_variable: str = ""
    asked_for: bool = False  # by the user, who will want to hear that nothing is there
    stripped: bool = False  # `written` lacks the credentials that `url` has


@dataclass(frozen=True)
class Server:
    place: Place
    provider: Provider
    models: tuple[LocalModel, ...]


@dataclass(frozen=True)
class PassedOver:
    place: Place
    because: str


def places(
    environment: Mapping[str, str], probes: Sequence[str], ports: Iterable[int] = USUAL_PORTS
) -> tuple[Place, ...]:
    """The usual ports, then `--probe`'s, then `OPENAI_BASE_URL`; none twice, the later wins. Raises NotAnAddress."""
    wanted = [Place(url=url, written=url) for url in (f"http://127.0.0.1:{port}/v1" for port in ports)]
    wanted += [_asked_for(probe) for probe in probes]
    if keys.other_openai(environment):
        variable = "OPENAI_API_KEY" if environment.get("OPENAI_API_KEY", "").strip() else ""
        url = environment[keys.BASE_URL].strip().rstrip("/")
        wanted.append(Place(url=url, written=f"${{{keys.BASE_URL}}}", key_variable=variable, asked_for=True))
    return tuple({_where(place.url): place for place in wanted}.values())


async def look(there: Sequence[Place], environment: Mapping[str, str]) -> list[Server | PassedOver]:
    """What is at these places, in their order; all are asked at once. Of a usual port where nothing is, nothing."""
    async with local_servers.client(tls=any(place.url.startswith("https:") for place in there)) as asking:
        found = await asyncio.gather(*(_look_at(asking, place, environment) for place in there))
    # The same server may answer with and without /v1.
    servers = {_where(one.place.url).removesuffix("/v1"): one for one in found if isinstance(one, Server)}
    kept = list(servers.values())
    return [one for one in found if one is not None and (isinstance(one, PassedOver) or one in kept)]


async def _look_at(
    asking: httpx.AsyncClient, place: Place, environment: Mapping[str, str]
) -> Server | PassedOver | None:
    key = environment.get(place.key_variable, "").strip()
    if not _is_address(place.url):
        return PassedOver(place, "is no address: it must begin with http:// or https://")
    try:
        async with asyncio.timeout(local_servers.LISTING_PATIENCE_S):
            reply = await local_servers.fetch(asking, f"{place.url}/models", key)
    except TimeoutError:
        reply = None
    if reply is None:
        return PassedOver(place, "nothing answers there that lists models") if place.asked_for else None
    if _OURSELVES in reply.server.lower():
        return PassedOver(place, "is a Tierwise itself")
    if reply.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return PassedOver(place, "asks for a key: write it into the config as api_key: ${NAME}")
    for provider in _kinds(reply):
        models = await local_servers.models(asking, provider, place.url, key)
        if models is not None:
            return _judged(place, provider, models)
    return PassedOver(place, "nothing answers there that lists models") if place.asked_for else None


def _judged(place: Place, provider: Provider, models: tuple[LocalModel, ...]) -> Server | PassedOver:
    chatting = tuple(model for model in models if model.chats and not _embeds(model.name))
    if not chatting:
        return PassedOver(place, f"{provider} has no model there that chats" + _hint(provider))
    return Server(place, provider, chatting)


def _hint(provider: Provider) -> str:
    return "; `ollama pull llama3.2` fetches one" if provider == "ollama" else ""


def _kinds(reply: local_servers.Reply) -> tuple[Provider, ...]:
    """Of what kind it may be, by its list of models; Ollama's says nothing, so it is asked."""
    owners = {str(one.get("owned_by")) for one in items(reply.content, "data")}
    if "llama.cpp" in reply.server.lower() or "llamacpp" in owners:
        return ("llamacpp",)
    if "vllm" in owners:
        return ("vllm",)
    return ("ollama", "openai-compatible")


def _embeds(name: str) -> bool:
    return any(word in name.lower() for word in ("embed", "rerank", "bge-", "whisper"))


def _where(url: str) -> str:
    """The same for the same server, whatever user is named to it. What is no address is nobody's."""
    if not _is_address(url):
        return f"nowhere: {url}"
    return url.rpartition("@")[2].rpartition("//")[2].replace("localhost:", "127.0.0.1:")


def _is_address(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _asked_for(probe: str) -> Place:
    try:
        parts = urlsplit(probe if "//" in probe else f"http://{probe}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise NotAnAddress("--probe takes a URL, for example --probe http://10.0.0.7:8000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotAnAddress("--probe takes a URL with http:// or https://, for example --probe http://10.0.0.7:8000")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1") + "/v1"
    written = urlunsplit((parts.scheme, f"{host}{port}", path, "", ""))
    asked = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Place(url=asked, written=written, asked_for=True, stripped=asked.lower() != written)
