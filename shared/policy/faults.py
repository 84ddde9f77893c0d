"""What is wrong with a policy, and where: a path into the file, so that its line can be found, and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]  # keys and places in lists, from the top

_LONGEST_LABEL: Final = 64
_LONGEST_KEY: Final = 256
_OF_A_BACKEND = re.compile(r"backends\[(\d+)\](?: \([^)]*\))?((?:\.\w+)*): ")


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong. As text: where, what, and how to mend it."""

    path: Path
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class PolicyFault(Exception):
    """A policy that cannot be used. A fault that is told as text alone may begin with its backend's place."""

    def __init__(self, faults: Iterable[Fault | str]) -> None:
        self.found = tuple(fault if isinstance(fault, Fault) else Fault(_path_in(fault), fault) for fault in faults)
        super().__init__("\n".join(self.faults))

    @property
    def faults(self) -> list[str]:
        """One sentence a fault."""
        return [fault.sentence for fault in self.found]


def place(path: Path, tree: Any) -> str:
    """`backends[0] (small-1).price`: with the names that a person knows these by, where `tree` has them."""
    text = ""
    node = tree
    for step in path:
        if isinstance(step, int):
            node = node[step] if isinstance(node, list) and step < len(node) else None
            name = node.get("name") if isinstance(node, dict) else None
            text += f"[{step}]"
            if isinstance(name, str) and name and name.isprintable() and len(name) <= _LONGEST_LABEL:
                text += f" ({name})"
        else:
            node = node.get(step) if isinstance(node, dict) else None
            key = step if step.isprintable() and len(step) <= _LONGEST_KEY else repr(step[:_LONGEST_KEY])
            text += f".{key}" if text else key
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was perhaps to be, or nothing."""
    from difflib import get_close_matches  # only once something is wrong: not for processes that only follow KV

    return next(iter(get_close_matches(word, list(known), n=1)), "")


def _path_in(sentence: str) -> Path:
    found = _OF_A_BACKEND.match(sentence)
    return ("backends", int(found[1]), *found[2].split(".")[1:]) if found else ()
