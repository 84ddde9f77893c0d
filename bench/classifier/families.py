"""Which items share a template, and which families are set aside.

Items of one family share wording, so they are never split: a figure is honest only on families that nobody looked at
while the rules were written. The thirty that are set aside are chosen by a hash of their name, before anybody reads
an item, and never by results.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

SET_ASIDE: Final = 30
_SALT: Final = "tierwise-2026-11-26:"

# Source tasks that are one family: one template, or the same items under several.
_ONE_TEMPLATE: Final = frozenset(
    {"lm-eval", "universalner", "typechat", "mbxp", "mgsm", "promptsource", "self-instruct"}
)
_SAME_ITEMS: Final = {
    "anthropic-cookbook/classification/rag_chain_of_thought_classify": "anthropic-cookbook/classification",
    "anthropic-cookbook/classification/rag_classify": "anthropic-cookbook/classification",
    "anthropic-cookbook/classification/simple_classify": "anthropic-cookbook/classification",
    "bigbench/semantic_parsing_in_context_sparc": "bigbench/spider",
    "bigbench/semantic_parsing_spider": "bigbench/spider",
}


def family(source: str) -> str:
    """The family of a source task, as the data's card groups them."""
    origin = source.partition("/")[0]
    return origin if origin in _ONE_TEMPLATE else _SAME_ITEMS.get(source, source)


def set_aside(families: Iterable[str]) -> frozenset[str]:
    """The thirty families with the lowest hash."""
    ordered = sorted(set(families), key=lambda name: sha256((_SALT + name).encode()).hexdigest())
    return frozenset(ordered[:SET_ASIDE])
