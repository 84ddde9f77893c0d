"""What the options, the environment and the files amount to. Pure, but for looking whether a config exists."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared import policy_file
from shared.policy.names import substitute

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


class Misused(Exception):
    """Asked for something that cannot be; says what to do."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    config: Path | None  # None: the demo's own
    demo: bool


def choose_config(
    option: Path | None, environment: Mapping[str, str], folder: Path, *, demo: bool | None, large: bool = False
) -> Choice:
    """A config that is named must be there; the demo is the default where there is none at all."""
    config = _existing(option, environment, folder)
    if config is None and demo is False:
        raise Misused(
            "--no-demo needs a config: name one with --config FILE, or let `tierwise init` write ./tierwise.yaml"
        )
    with_demo = config is None if demo is None else demo
    if large and not with_demo:
        raise Misused("--large is about the demo's models: add --demo, or leave it out")
    return Choice(config=config, demo=with_demo)


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        """For a client on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def choose_address(
    host: str | None, port: int | None, environment: Mapping[str, str], config_text: str | None
) -> Address:
    """The option, else the environment, else the config's `server`, else the default. Port 0 stays 0."""
    server = _server_section(config_text, environment)
    chosen_host = host or environment.get("TIERWISE_HOST") or server.get("host") or DEFAULT_HOST
    chosen_port: Any = port
    for source in (environment.get("TIERWISE_PORT") or None, server.get("port"), DEFAULT_PORT):
        chosen_port = source if chosen_port is None else chosen_port
    try:
        return Address(str(chosen_host), int(chosen_port))
    except (ValueError, TypeError) as error:
        raise Misused(f"{chosen_port!r} is no port: --port takes a number") from error


def must_be_guarded(host: str) -> bool:
    """Can others than this machine's users reach it?"""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def _existing(option: Path | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    from_environment = Path(environment["TIERWISE_CONFIG"]) if environment.get("TIERWISE_CONFIG") else None
    for path, source in ((option, "--config"), (from_environment, "TIERWISE_CONFIG")):
        if path is not None:
            if not (folder / path).is_file():
                raise Misused(f"{source}: there is no file {path}; `tierwise init` writes one")
            return folder / path
    default = folder / "tierwise.yaml"
    return default if default.is_file() else None


def _server_section(config_text: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Faults of the file are for the ingress to explain; here it only may have an opinion on the address."""
    try:
        document = policy_file.parsed(config_text or "")
    except (yaml.YAMLError, RecursionError):
        return {}
    server = document.get("server") if isinstance(document, dict) else None
    if not isinstance(server, dict):
        return {}
    known = {
        key: substitute(value, environment, _unsaid) if isinstance(value, str) else value
        for key, value in server.items()
    }
    return {key: value for key, value in known.items() if value != ""}


def _unsaid(_: str) -> None:
    """A name that is not set is a fault, and the check of the whole file tells it."""
