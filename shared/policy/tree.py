"""A parsed file into a Policy: every key known, every value of its type and in its range, or a sentence for each.

What cannot be read leaves a placeholder behind, so that the rest is still looked at and all faults are told at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from msgspec.inspect import (
    BoolType,
    DictType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from shared.policy.checks import UNREADABLE, cross_check
from shared.policy.faults import Fault, Path, PolicyFault, did_you_mean, place
from shared.policy.names import NAME, substitute, without_names
from shared.policy.sections import SECRET_KEYS, Policy

LARGEST_NUMBER: Final = 2**53  # more is no longer exact in everybody's JSON
_SHORTEST_SECRET: Final = 6  # a shorter value from the environment is a number or a word, and in every sentence
_LONGEST_SHOWN: Final = 64
_NOT_SEEN: Final = "holds a line break or another character that cannot be seen"


def from_tree(tree: Any, environment: Mapping[str, str], *, with_secrets: bool = False) -> Policy:
    """A policy from a parsed YAML tree; `${NAME}` replaced but in `api_key` and `base_url`.

    What these two name need not be set here, for the reader may not be who uses them, unless `with_secrets`.
    Raises PolicyFault with every fault that was found.
    """
    if not isinstance(tree, dict):
        kind = "empty" if tree is None else _kind(tree)
        raise PolicyFault([f"the file is {kind}: it must be a mapping that starts with `tiers:` and `backends:`"])
    reading = _Reading(environment, with_secrets=with_secrets)
    policy: Policy = reading.take(tree, _policy_type(), ())
    found = reading.found
    found += [(path, what) for path, what in cross_check(policy) if not reading.is_told(path)]
    if found:
        raise PolicyFault([
            Fault(path, reading.unvalued(f"{where}: {what}" if (where := place(path, tree)) else what))
            for path, what in found
        ])  # fmt: skip
    return policy


class _Reading:
    """One walk through a tree, along the types. Nothing is looked at that no type has: YAML may refer to itself."""

    def __init__(self, environment: Mapping[str, str], *, with_secrets: bool) -> None:
        self._with_secrets = with_secrets
        self.found: list[tuple[Path, str]] = []
        self._environment = environment
        self._told: set[Path] = set()  # where something was wrong, or should stand under another name
        self._values: dict[str, str] = {}  # what came from the environment, and its name

    def is_told(self, path: Path) -> bool:
        """Whether a further fault there would only follow from one that was told."""
        return any(path[:length] in self._told for length in range(1, len(path) + 1))

    def unvalued(self, sentence: str) -> str:
        """With the name in place of every value that came from the environment: it may be a secret."""
        for value, name in self._values.items():
            sentence = sentence.replace(value, name).replace(repr(value)[1:-1], name)
        return sentence

    def take(self, node: Any, kind: Type, path: Path) -> Any:
        """What `node` is as a `kind`, or a placeholder and a fault."""
        kind = _bare(kind)
        if isinstance(kind, UnionType):  # of ours each is "this, or null"
            if node is None:
                return None
            kind = _beside_none(kind)
        if isinstance(node, str) and "${" in node:
            node = self._replace(node, kind, path)
            if node is None:
                return _placeholder(kind)
        if isinstance(kind, StructType):
            return self._section(node, kind, path)
        if isinstance(kind, DictType):
            return self._mapping(node, kind, path)
        if isinstance(kind, VarTupleType):
            if not isinstance(node, list):
                return self._fault(path, f"must be a list, as [a, b], not {_kind(node)}", kind)
            return tuple([self.take(one, kind.item_type, (*path, i)) for i, one in enumerate(node)])
        if isinstance(kind, LiteralType):
            return self._one_of(node, kind, path)
        if isinstance(kind, StrType):
            if isinstance(node, str):
                return node if node.isprintable() else self._fault(path, _NOT_SEEN, kind)
            quotes = "" if node is None or isinstance(node, dict | list) else "; put it into quotes"
            return self._fault(path, f"must be text, not {_kind(node)}{quotes}", kind)
        if isinstance(kind, BoolType):
            return node if isinstance(node, bool) else self._fault(path, "must be true or false", kind)
        assert isinstance(kind, IntType | FloatType), kind
        return self._number(node, kind, path)

    def _section(self, node: Any, kind: StructType, path: Path) -> Any:
        known = {field.encode_name: field for field in kind.fields}
        if not isinstance(node, dict):
            return self._fault(path, f"must be a mapping of {', '.join(known)}, not {_kind(node)}", kind)
        values = {}
        for key, value in node.items():
            if key in known:
                values[key] = self.take(value, known[key].type, (*path, key))
                continue
            meant = did_you_mean(str(key), [name for name in known if name not in node])
            hint = f"did you mean `{meant}`? The" if meant else "the"
            self._fault((*path, _as_key(key)), f"there is no such key; {hint} keys here are {', '.join(known)}")
            if meant:
                self._told.add((*path, meant))
        for key, field in known.items():
            if field.required and key not in node:
                if (*path, key) not in self._told:
                    self._fault((*path, key), f"is missing{_example(key, field.type)}")
                values[key] = _placeholder(_bare(field.type))
        return kind.cls(**values)

    def _mapping(self, node: Any, kind: DictType, path: Path) -> dict[str, Any]:
        if not isinstance(node, dict):
            return dict(self._fault(path, f"must be a mapping, as {{name: value}}, not {_kind(node)}", kind))
        values = {}
        for key, value in node.items():
            below = (*path, _as_key(key))
            if not isinstance(key, str):
                self._fault(below, f"must be text, not {_kind(key)}; put it into quotes")
            elif not key.isprintable():
                self._fault(below, _NOT_SEEN)
            elif isinstance(names := _bare(kind.key_type), LiteralType) and key not in names.values:
                self._one_of(key, names, below)
            else:
                values[key] = self.take(value, kind.value_type, below)
        return values

    def _one_of(self, node: Any, kind: LiteralType, path: Path) -> Any:
        if node in kind.values:
            return node
        choice = [str(value) for value in kind.values]
        if not isinstance(node, str):
            return self._fault(path, f"must be one of {', '.join(choice)}, not {_kind(node)}", kind)
        meant = did_you_mean(node, choice)
        hint = f"did you mean {meant}? It" if meant else "it"
        shown = f"{node!r} is not known here" if len(node) <= _LONGEST_SHOWN else "what stands here is not known"
        return self._fault(path, f"{shown}; {hint} must be one of {', '.join(choice)}", kind)

    def _number(self, node: Any, kind: IntType | FloatType, path: Path) -> float:
        whole = isinstance(kind, IntType)
        if isinstance(node, bool) or not isinstance(node, int if whole else int | float):
            hint = "; YAML takes this one for text: write it out in digits" if _looks_like_a_number(node) else ""
            return float(self._fault(path, f"must be a {'whole ' * whole}number, not {_kind(node)}{hint}", kind))
        low = kind.ge if kind.ge is not None else 0
        high = kind.le if kind.le is not None else LARGEST_NUMBER
        too_low = node <= kind.gt if kind.gt is not None else node < low
        too_high = node >= kind.lt if kind.lt is not None else node > high
        if too_low or too_high or math.isnan(node):
            least = f"more than {kind.gt:g}" if kind.gt is not None else f"at least {low:g}"
            most = f"less than {kind.lt:g}" if kind.lt is not None else f"at most {high:.0f}"
            return float(self._fault(path, f"must be a number of {least} and {most}", kind))
        return node if whole else float(node)

    def _replace(self, text: str, kind: Type, path: Path) -> Any:
        """`text` with its names' values; None where one is not set. Secrets stay as they are written."""
        if "${" in without_names(text):
            self._fault(path, "holds `${` without a name and a brace after it; write ${NAME}")
            return None
        is_secret = path[-1] in SECRET_KEYS
        unset: list[str] = []
        replaced = substitute(text, self._environment, unset.append)
        if unset and (self._with_secrets or not is_secret):
            for what in unset:
                self._fault(path, what)
            return text if is_secret else None
        if is_secret:
            return text
        for name in NAME.findall(text):
            if len(self._environment[name]) >= _SHORTEST_SECRET:
                self._values[self._environment[name]] = f"${{{name}}}"
        if isinstance(kind, StrType | LiteralType) or not NAME.fullmatch(text):
            return replaced
        try:  # `port: ${PORT}` means a number, as it would without the braces
            return msgspec.json.decode(replaced)
        except msgspec.DecodeError:
            return replaced

    def _fault(self, path: Path, what: str, kind: Type | None = None) -> Any:
        self.found.append((path, what))
        self._told.add(path)
        return None if kind is None else _placeholder(kind)


@cache
def _policy_type() -> Type:
    return type_info(Policy)


def _bare(kind: Type) -> Type:
    return kind.type if isinstance(kind, Metadata) else kind


def _beside_none(kind: UnionType) -> Type:
    return next(_bare(one) for one in kind.types if not isinstance(one, NoneType))


def _placeholder(kind: Type) -> Any:
    """Stands where something could not be read. cross_check knows it, and nobody else sees it."""
    kind = _bare(kind)
    if isinstance(kind, UnionType):
        return _placeholder(_beside_none(kind))
    if isinstance(kind, StrType | LiteralType):
        return UNREADABLE
    if isinstance(kind, VarTupleType):
        return (_placeholder(kind.item_type),)
    if isinstance(kind, DictType):
        return {}
    if isinstance(kind, StructType):
        return kind.cls(**{field.name: _placeholder(field.type) for field in kind.fields if field.required})
    return 0


def _example(key: str, kind: Type) -> str:
    shown = (kind.extra_json_schema or {}).get("examples") if isinstance(kind, Metadata) else None
    if not shown:
        return ""
    written = msgspec.json.encode(shown[0]).decode().replace('"', "").replace(":", ": ").replace(",", ", ")
    return f"; for example `{key}: {written}`"


def _as_key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)[:_LONGEST_SHOWN]


def _kind(node: Any) -> str:
    if node is None:
        return "an empty value"
    for types, name in ((bool, "true or false"), (str, "text"), (int | float, "a number"), (list, "a list"),
                        (dict, "a mapping")):  # fmt: skip
        if isinstance(node, types):
            return name
    return f"a {type(node).__name__}"


def _looks_like_a_number(node: Any) -> bool:
    try:
        float(node)
    except (TypeError, ValueError):
        return False
    return isinstance(node, str)
