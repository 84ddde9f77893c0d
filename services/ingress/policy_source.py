"""Has `tierwise.yaml` changed? Looked at several times a second, and read once it has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shared import policy_file
from shared.policy import PolicyFault


class Signature(NamedTuple):
    """What a change of a file changes. Through links: container mounts change where a link leads."""

    device: int
    inode: int  # editors replace a file by another one
    size: int
    modified_ns: int
    changed_ns: int


class Settling:
    """When to read a file: at first sight, and after a change as soon as two looks see the same. Pure.

    So half of a file that is just being written, which may well be valid, is not taken for a policy.
    """

    def __init__(self) -> None:
        self._last: Signature | None = None
        self._read: Signature | None = None
        self._is_new = True

    def is_due(self, seen: Signature | None) -> bool:
        """`seen` is what this look saw; None: no file is there."""
        rests = self._is_new or seen == self._last
        due = rests and (self._is_new or seen != self._read)
        self._last, self._is_new = seen, False
        if due:
            self._read = seen
        return due


class PolicySource:
    """One file."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment
        self._settling = Settling()

    async def changed(self) -> policy_file.Document | None:
        """What stands in the file, where that is news. Raises PolicyFault, once, where it is faulty or gone."""
        seen = await asyncio.to_thread(_look, self.path)  # a network mount that hangs must not stop the doors
        if not self._settling.is_due(seen):
            return None
        if seen is None:
            raise PolicyFault([f"{self.path}: is gone or cannot be reached; put it back, or remove TIERWISE_CONFIG"])
        return await asyncio.to_thread(policy_file.read, self.path, self._environment)


def _look(path: Path) -> Signature | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return Signature(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
