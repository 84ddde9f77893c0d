"""tierwise.yaml into KV: read, checked, prices looked up, put there once. All others read KV, never the file.

For now at start only; watching the file, and electing one ingress to do it, come later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from services.ingress.catalogue import with_prices
from shared import policy_file
from shared.policy import Policy, encode_published
from shared.streams import CURRENT

# Sections that are read and checked, and not acted on yet: an operator must not believe in them.
NOT_YET: Final = ("rules", "budgets", "rate_limits", "quality", "cache", "batch", "auth", "retention")
_MAX_TRIES: Final = 5


def load(path: Path, environment: Mapping[str, str]) -> tuple[Policy, list[str]]:
    """The policy of a file, priced, and the names of its sections that are not acted on. Raises PolicyFault."""
    policy, tree = policy_file.read(path, environment)
    policy = with_prices(policy)
    idle: list[str] = [name for name in NOT_YET if name in tree]
    if policy.routing.mode != "active":
        idle.append("routing.mode")
    encode_published(policy)  # what could not be published is refused here, with the file's other faults
    return policy, idle


async def publish(bucket: KeyValue, policy: Policy) -> int:
    """Puts `policy` where it is not there already; the revision that it has. Several may do so at once.

    PolicyFault where its readers could not decode it.
    """
    payload = encode_published(policy)
    for _ in range(_MAX_TRIES):
        try:
            entry = await bucket.get(CURRENT)
        except KeyNotFoundError:
            entry = None
        if entry is not None and entry.value == payload and entry.revision is not None:
            return entry.revision
        try:
            if entry is None:
                return await bucket.create(CURRENT, payload)
            return await bucket.update(CURRENT, payload, last=entry.revision)
        except (KeyWrongLastSequenceError, APIError):
            await asyncio.sleep(0)  # another ingress was quicker: see what it put there
    raise TimeoutError("the policy in KV changed at every try to put ours there")
