"""`tierwise.yaml` from disk, with the line of every fault: what the ingress publishes, and `tierwise up` and
`tierwise check` look at before anything is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from shared.policy import Fault, Policy, PolicyFault, from_tree
from shared.policy import faults as places

LARGEST_BYTES: Final = 1024 * 1024

Repeated: TypeAlias = tuple[places.Path, str]


class Document:
    """A file that was read: its policy, and where in it everything stands."""

    def __init__(self, name: str, policy: Policy, sections: frozenset[str], lines: Lines) -> None:
        self.policy = policy  # hosted prices are not looked up yet
        self.sections = sections  # those that stand in the file
        self._name = name
        self._lines = lines

    def located(self, faults: Iterable[Fault | str]) -> list[str]:
        """The faults with file and line in front."""
        return [f"{self._name}:{self._lines.of(fault.path)}: {fault}" for fault in PolicyFault(faults).found]


def read(path: Path, environment: Mapping[str, str], *, with_secrets: bool = False) -> Document:
    """Raises PolicyFault: every fault that was found, each with file and line.

    `with_secrets`: what `api_key` and `base_url` name must be set too, as where the backends are called.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise PolicyFault([f"{path}: cannot be read: {error.strerror or error}"]) from None
    if len(content) > LARGEST_BYTES:
        raise PolicyFault([f"{path}: is larger than {LARGEST_BYTES} bytes; it is meant to be written by a person"])
    return read_bytes(content, str(path), environment, with_secrets=with_secrets)


def parsed(text: str) -> Any:
    """What stands in it, as it is written. Raises yaml.YAMLError, RecursionError."""
    return yaml.load(text, _Loader)  # noqa: S506 - it is PyYAML's safe one


def read_bytes(content: bytes, name: str, environment: Mapping[str, str], *, with_secrets: bool = False) -> Document:
    """The same of a file's content; `name` is what its faults call it."""
    node, tree, repeated = _parse(content, name)
    lines = Lines(node)
    found = [Fault(path, f"{places.place(path, tree)}: {what}") for path, what in repeated]
    policy = None
    try:
        policy = from_tree(tree, environment, with_secrets=with_secrets)
    except PolicyFault as fault:
        found += fault.found
    if found or policy is None:
        found.sort(key=lambda fault: lines.of(fault.path))
        raise PolicyFault([Fault(one.path, f"{name}:{lines.of(one.path)}: {one}") for one in found])
    return Document(name, policy, frozenset(tree), lines)


class Lines:
    """The line of every place in a file."""

    def __init__(self, root: yaml.Node | None) -> None:
        self._root = root

    def of(self, path: places.Path) -> int:
        """Counted from one. What is not there itself (a missing key) has the line of what it should stand in."""
        node, line = self._root, 1
        for step in path:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in reversed(node.value) if pair[0].value == step), None)
                if pair is None:
                    return line
                line = pair[0].start_mark.line + 1
                node = pair[1]
            else:
                return line
        return line


class _Loader(yaml.SafeLoader):
    """PyYAML's readers of dates, numbers and truth values fail as they happen to; here each has its place."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's own
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:
            what = f"what stands here is no {node.tag.rpartition(':')[2]}; put it into quotes if it is text"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error


def _parse(content: bytes, name: str) -> tuple[yaml.Node | None, Any, list[Repeated]]:
    """What stands in the file, as nodes and as values, and the keys that stand there twice.

    PyYAML's own words would quote the line, and whatever secret stands there: only what is wrong is told.
    """
    try:
        text = content.decode("utf-8-sig")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            repeated = list(_repeated(node))  # before `<<` is merged: what it brings may be said again
            tree = None if node is None else loader.construct_document(node)
            return node, tree, repeated
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        column = f" (column {mark.column + 1})" if mark else ""
        why = f"{name}{where}: is not YAML: {error.problem or error.context}{column}"
    except yaml.reader.ReaderError as error:
        why = f"{name}:{text.count(chr(10), 0, error.position) + 1}: is not YAML: {error.reason}"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        why = f"{name}:{line}: is not text in UTF-8; save it as such"
    except RecursionError:
        why = f"{name}: is nested too deeply"
    raise PolicyFault([why])


def _repeated(root: yaml.Node | None) -> Iterator[Repeated]:
    """Keys that stand twice in one mapping, of which PyYAML would silently take the last."""
    waiting: list[tuple[places.Path, yaml.Node | None]] = [((), root)]
    met: set[int] = set()  # an anchor may be referred to often, and by itself
    while waiting:
        path, node = waiting.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [((*path, i), below) for i, below in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, below in node.value:
                if isinstance(key, yaml.ScalarNode):
                    here = (*path, key.value)
                    waiting.append((here, below))
                    earlier = lines.get((key.tag, key.value))
                    if earlier is not None:
                        yield here, f"stands there twice (on line {earlier} too); only the last one would count"
                    lines[key.tag, key.value] = key.start_mark.line + 1
