"""Writing a file that appears under its name only when it is complete and on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.embedded.accounts import sync_directory


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Yield a file to write to, which gets its name when the block ends. Only this user can read it.

    If the block raises, nothing is left of it, and a file that had the name before is still there.

    Raises:
        BackupUnusable: The name is taken, or the file can't be written.
    """
    _refuse_taken_name(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        # An unfinished file of a killed process that had the same process ID.
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _publish(draft, path, overwrite=overwrite)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise BackupUnusable(
            f"{path} can't be written: {error.strerror or error}. No backup was created."
        ) from error


def _refuse_taken_name(path: Path, *, overwrite: bool) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupUnusable(f"{path} can't be written: {error.strerror}.") from error
    if not stat.S_ISREG(mode):
        raise BackupUnusable(f"{path} is not an ordinary file. Choose another name for the backup.")
    if not overwrite:
        raise BackupUnusable(f"{path} already exists. Choose another name, or replace it with --overwrite.")


def _publish(draft: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, and replace another file only if that was asked for."""
    if overwrite:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        raise BackupUnusable(
            f"{path} was created by someone else in the meantime. It is unchanged."
        ) from None
    except OSError:  # Some file systems have no links.
        _refuse_taken_name(path, overwrite=False)
        draft.rename(path)
