"""GET /api/policy: what is in force, since when, and what was refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from services.ingress import errors
from services.ingress.api import CurrentPolicy
from services.ingress.replies import json, refused
from shared.policy import SECRET_KEYS, Policy
from shared.policy.names import without_names


def policy_routes(current: CurrentPolicy, mint: Callable[[], str]) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["policy"])

    @routes.get("/policy")
    async def policy() -> Response:
        """The policy in force and its version, one everywhere; and the file that was refused, with its faults.

        Where the first file was refused there is no policy yet, and its faults are all there is to tell.
        """
        lease = current.leadership.lease if current.leadership is not None else None
        if current.policy is None and (lease is None or lease.refused is None):
            return refused(errors.NO_POLICY, mint())
        said = {
            "version": current.version,
            "since": current.since.astimezone(UTC) if current.since is not None else None,
            "leader": lease.holder if lease is not None else None,
            "file": lease.file if lease is not None else None,
            "refused": lease.refused if lease is not None else None,
            "policy": shown(current.policy) if current.policy is not None else None,
        }
        return json(msgspec.json.encode(said), mint())

    return routes


def shown(policy: Policy) -> dict[str, Any]:
    """`policy` as JSON values. What may be or hold a secret is shown as `${NAME}`, or as "set"."""
    tree: dict[str, Any] = msgspec.to_builtins(policy)
    for backend in tree["backends"]:
        for key in SECRET_KEYS & backend.keys():
            if without_names(backend[key]):
                backend[key] = "set"
    return tree
