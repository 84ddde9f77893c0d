"""`tierwise.yaml` from disk: what the ingress publishes, and `tierwise up` checks before it starts anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from shared.policy import Policy, PolicyFault, from_tree


def read(path: Path, environment: Mapping[str, str]) -> tuple[Policy, dict[str, Any]]:
    """The policy, hosted prices not looked up yet, and the tree it was made of. Raises PolicyFault."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFault([f"{path}: cannot be read: {error}"]) from None
    try:
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # its own words would quote the line, and whatever secret stands there
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise PolicyFault([f"{path}: is not YAML: {error.problem or error.context}{where}"]) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that none is
        raise PolicyFault([f"{path}: is not YAML: {error}"]) from None
    return from_tree(tree, environment), tree
