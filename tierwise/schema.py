"""The JSON Schema of tierwise.yaml, for editors: `make schema` writes it to docs/tierwise.schema.json.

Made of the types in shared/policy/sections.py. What is added: unknown keys are faults, `${NAME}` may stand for any
value that is no text already, and categories are a closed list.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from shared.policy import Category, Policy

FROM_ENVIRONMENT = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"}
_SAID_ABOVE = ("description", "examples", "default")


def schema() -> dict[str, Any]:
    made = msgspec.json.schema(Policy)
    sections = {name: _section(section) for name, section in sorted(made["$defs"].items())}
    sections["Policy"]["properties"]["categories"]["propertyNames"] = {"enum": list(get_args(Category))}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tierwise.yaml",
        "$ref": made["$ref"],
        "$defs": {**sections, "FromEnvironment": FROM_ENVIRONMENT},
    }


def _section(section: dict[str, Any]) -> dict[str, Any]:
    properties = {name: _value(value) for name, value in section["properties"].items()}
    return {**section, "properties": properties, "additionalProperties": False}


def _value(value: dict[str, Any]) -> dict[str, Any]:
    """What a key may hold, or `${NAME}`. A null is what a missing key means, and no value to offer."""
    said = {key: value[key] for key in _SAID_ABOVE if value.get(key) not in (None, [], {})}
    kind = {key: part for key, part in value.items() if key not in _SAID_ABOVE}
    kinds = [one for one in kind.get("anyOf", [kind]) if one.get("type") != "null"]
    if all(one.get("type") == "string" for one in kinds):
        return {**said, **kinds[0]}
    if isinstance(said.get("default"), dict):  # of a section: each of its keys has its own
        del said["default"]
    if len(kinds) == 1 and ("$ref" in kinds[0] or kinds[0].get("type") in {"array", "object"}):
        return {**said, **kinds[0]}
    return {**said, "anyOf": [*kinds, {"$ref": "#/$defs/FromEnvironment"}]}


def text() -> str:
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    print(text(), end="")
