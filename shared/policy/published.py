"""A policy as it stands in KV: JSON. It may grow: a reader passes over the keys that it does not know."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.policy.faults import PolicyFault
from shared.policy.sections import Policy

LARGEST_BYTES: Final = 1_000_000  # a message of NATS holds 1 MiB, with its headers

_published = msgspec.json.Decoder(Policy)


def decode_published(payload: bytes) -> Policy:
    """A policy as an ingress of this version, or of a later one, put it into KV. ValueError where it is none."""
    return _published.decode(payload)


def encode_published(policy: Policy) -> bytes:
    """What goes into KV. PolicyFault where a reader could not decode it: nothing unreadable is ever put there."""
    try:
        payload = msgspec.json.encode(policy)
        decode_published(payload)
    except ValueError as error:
        raise PolicyFault([f"the policy cannot be published: {_sentence(str(error))}"]) from None
    if len(payload) > LARGEST_BYTES:
        size = f"it takes {len(payload)} bytes, and a message holds {LARGEST_BYTES}"
        raise PolicyFault([f"the policy cannot be published: {size}; list fewer backends, adapters or aliases"])
    return payload


def _sentence(message: str) -> str:
    """Msgspec's `… - at `$.backends[0].price`` with the place in front."""
    what, _, where = message.partition(" - at ")
    place = where.removeprefix("`key` in ").strip("`").removeprefix("$").lstrip(".")
    return f"{place}: {what}" if place else what
