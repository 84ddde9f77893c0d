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
    except yaml.YAMLError as error:
        raise PolicyFault([f"{path}: is not YAML: {error}"]) from None
    return from_tree(tree, environment), tree
