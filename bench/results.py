"""The kept figures, one JSON file a run, and how the main ones went from run to run.

Keys of a file: `schema` (2), `at` (UTC), `took_s`, `quick`, `machine`, `versions`, `load` and `backend` (who asked
and who answered), `noise_rule`, `unavailable` (why, by subject), `cases` (by case: `title`, `per`, `connections`,
`seconds`, `rounds`, and `subjects`: `series.Measured` by name), `soak` (`soak.Soak`; null where there was none),
`main` (`targets.main_figures`), `targets` (`targets.Verdict`, in order). Keys are added, never changed; another
meaning is another `schema`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.cases import Case
from bench.targets import Cases

SCHEMA = 2


def keep(result: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.fromisoformat(result["at"])
    file = folder / f"{at:%Y-%m-%d-%H%M%S}.json"
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return file


def kept(folder: Path) -> list[dict[str, Any]]:
    """All of this schema, the oldest first."""
    found = []
    for file in sorted(folder.glob("*.json")):
        result = json.loads(file.read_text())
        if result.get("schema") == SCHEMA:
            found.append(result)
    return found


def cases_as_json(chosen: Sequence[Case], measured: Cases) -> dict[str, Any]:
    return {
        case.name: {
            "title": case.title,
            "per": case.per,
            "connections": case.wanted.connections,
            "seconds": case.wanted.seconds,
            "rounds": case.rounds,
            "subjects": {name: one.as_json() for name, one in measured[case.name].items()},
        }
        for case in chosen
        if case.name in measured
    }
