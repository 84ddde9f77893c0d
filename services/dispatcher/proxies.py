"""Which proxy a backend is behind, if any: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say. Pure.

A name in lower case wins over the same in upper case. Unlike curl, we read HTTP_PROXY in upper case too, and
never send loopback through a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


class ProxyUnusable(ValueError):
    """What is set as a proxy is none that can be used. The message does not hold it: there may be a login in it."""


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The URL of the proxy on the way to `url`; None: there is none."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    proxy = _read(environment, f"{parts.scheme}_proxy") or _read(environment, "all_proxy")
    if not proxy or _is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    exceptions = _read(environment, "no_proxy").replace(",", " ").split()
    if any(_covers(exception.lower(), host, port) for exception in exceptions):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _read(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(exception: str, host: str, port: int) -> bool:
    """`*`, a name and all below it, an address, a network; each but the first may end with a port."""
    if exception == "*":
        return True
    try:
        return ip_address(host) in ip_network(exception.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, its_port = exception.rpartition(":")
    if colon and its_port.isdigit():
        return int(its_port) == port and _covers(name, host, port)
    name = exception.removeprefix("*").removeprefix(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
