"""Which providers the environment has a key for. Names of variables only: a value is never kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.policy import DEFAULT_BASE_URLS, Provider

_VARIABLES: Final[dict[Provider, tuple[str, ...]]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "together": ("TOGETHER_API_KEY",),
    "fireworks": ("FIREWORKS_API_KEY",),
}
ALL: Final = tuple(name for names in _VARIABLES.values() for name in names)
BASE_URL: Final = "OPENAI_BASE_URL"
_OPENAI_HOST: Final = urlsplit(DEFAULT_BASE_URLS["openai"]).hostname


@dataclass(frozen=True)
class ProviderKey:
    provider: Provider
    variable: str


def provider_keys(environment: Mapping[str, str]) -> tuple[ProviderKey, ...]:
    """One for each provider that has a key. OpenAI's belongs to `OPENAI_BASE_URL` where that names another server."""
    return tuple(
        ProviderKey(provider, variable)
        for provider, names in _VARIABLES.items()
        if (variable := next((name for name in names if environment.get(name, "").strip()), None))
        and not (provider == "openai" and other_openai(environment))
    )


def other_openai(environment: Mapping[str, str]) -> bool:
    """Does `OPENAI_BASE_URL` name a server that is not OpenAI's? Then the key is not for OpenAI's eyes."""
    url = environment.get(BASE_URL, "").strip()
    try:
        return bool(url) and urlsplit(url).hostname != _OPENAI_HOST
    except ValueError:
        return True
