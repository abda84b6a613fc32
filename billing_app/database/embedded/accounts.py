"""The account that the embedded PostgreSQL runs as, and directories that belong to it."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from billing_app.database.errors import DatabaseUnusable


class EmbeddedPostgresError(DatabaseUnusable):
    """The embedded PostgreSQL can't be used. The message says why and what to do."""


class Account(NamedTuple):
    """A user and its group, by number."""

    user: int
    group: int


def server_account() -> Account:
    """Return the account that the server runs as: this user, or `nobody` when this user is root.

    Raises:
        EmbeddedPostgresError: The account is not in the machine's list of users. PostgreSQL
            refuses to create its data directory then.
    """
    user = os.geteuid()
    if user != 0:
        try:
            pwd.getpwuid(user)
        except KeyError:
            raise EmbeddedPostgresError(
                f"User ID {user} has no account on this machine, which the embedded PostgreSQL needs. "
                "Run Tallybook as a user with an account, or set DATABASE_URL to a PostgreSQL server."
            ) from None
        return Account(user, os.getegid())
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL can't run as root, and this machine has no user `nobody` to run it as. "
            "Run Tallybook as another user, or set DATABASE_URL to a PostgreSQL server."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def own_directory(path: Path, mode: int, owner: Account) -> None:
    """Create a directory with this owner and mode. Refuse one that another user created.

    Raises:
        EmbeddedPostgresError: The path is not a directory, or belongs to another user.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=mode)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedPostgresError(f"{path} must be a directory. Remove what is there instead.")
    if found.st_uid not in (owner.user, os.geteuid()):
        raise EmbeddedPostgresError(
            f"{path} belongs to user ID {found.st_uid}, and this is user ID {os.geteuid()}. Run Tallybook "
            "as its owner, or set BILLING_DATA_DIR to a directory of your own."
        )
    if found.st_uid != owner.user:
        os.chown(path, *owner)
    path.chmod(mode)


def sync_directory(directory: Path) -> None:
    """Flush a directory's entries to disk, so that they survive a power loss."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
