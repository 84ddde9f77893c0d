"""`${NAME}` in a policy: what the environment has for it. Values of secrets are never told, only names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.policy.faults import PolicyFault

if TYPE_CHECKING:
    from shared.policy.sections import Policy

NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def substitute(text: str, environment: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """`text` with every `${NAME}` replaced; `missing` hears of each that is not set."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            missing(f"${{{name}}} is not set in the environment; export {name}=… and try again")
            return ""
        return environment[name]

    return NAME.sub(value_of, text)


def without_names(text: str) -> str:
    """What of `text` is written out."""
    return NAME.sub("", text)


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """`${NAME}` from the environment. PolicyFault where one is not set; the message has the name, never a value."""
    missing: list[str] = []
    resolved = substitute(text, environment, missing.append)
    if missing:
        raise PolicyFault(missing)
    return resolved


def written_out_keys(policy: Policy) -> list[str]:
    """A sentence for each `api_key` that is not a `${NAME}`: it works, and travels with the policy. Never a value."""
    return [
        f"backends[{i}] ({backend.name}).api_key: holds the key itself, which so gets into NATS' store; "
        "write ${NAME} and export NAME=…"
        for i, backend in enumerate(policy.backends)
        if without_names(backend.api_key)
    ]
