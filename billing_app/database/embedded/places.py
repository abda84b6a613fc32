"""Where the embedded PostgreSQL keeps its data and its socket.

Other users must not have access to either, but the account that the server runs as must. Under root that
account is `nobody`, who can't enter root's own directories.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from billing_app.database.embedded.accounts import Account, own_directory

# A socket's path has at most 103 bytes (on macOS), of which "/.s.PGSQL.5432" takes 14. These plain
# characters need no quoting in PostgreSQL's list of directories, in a shell, or in a URL.
_SOCKET_PATH = re.compile(r"[A-Za-z0-9._/-]{1,85}")
_HOMES_UNDER_ROOT = Path("/var/lib/tallybook")


def find_home(data_dir: Path) -> Path:
    """Return the directory that holds the cluster of this data directory, creating it if needed.

    It is the data directory itself, unless the process runs as root and `nobody` can't reach it. Then the
    home is a directory elsewhere, and a link in the data directory points to it. The link moves with the data
    directory. Deleting the data directory starts a new cluster.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    usual = data_dir.parent.resolve() / data_dir.name
    me = Account(os.geteuid(), os.getegid())
    mode = 0o711 if me.user == 0 else 0o700  # `nobody` must pass through root's directory.
    own_directory(usual, mode, me)
    link = usual / "elsewhere"
    if not link.is_symlink():
        if me.user != 0 or (usual / "cluster").exists() or _is_open_to_all(usual.parent):
            return usual
        _link_to_new_home(link)
    home = link.readlink()
    own_directory(home, mode, me)
    return home


def _link_to_new_home(link: Path) -> None:
    """Create a directory that `nobody` can reach, and link to it."""
    _HOMES_UNDER_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=_HOMES_UNDER_ROOT, prefix=""))
    try:
        link.symlink_to(home)
    except FileExistsError:  # Another process created it first.
        home.rmdir()


def _is_open_to_all(directory: Path) -> bool:
    """Return whether any account can pass through this directory and all those above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (directory, *directory.parents))


def find_socket_dir(home: Path) -> Path:
    """Return the socket's directory: in the home, or elsewhere if that path would be too long."""
    usual = home / "socket"
    if _SOCKET_PATH.fullmatch(str(usual)):
        return usual
    name = hashlib.sha256(bytes(home)).hexdigest()[:16]
    if os.geteuid() == 0:
        return Path(f"/var/run/tallybook-{name}")
    return Path(f"/tmp/tallybook-{os.geteuid()}-{name}")
