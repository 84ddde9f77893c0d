"""Temporary folders that PostgreSQL's `nobody` may pass. Pytest's own `tmp_path` is none when root runs the tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tierwise test "))  # with a space: a path must not need to be without
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
