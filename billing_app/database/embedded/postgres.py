"""One PostgreSQL server: creating its data, starting it, stopping it.

Files in its home:

    cluster/        PostgreSQL's data, mode 0700
    socket/         its only way in, mode 0700; elsewhere when the path is too long for a socket
    server.log      the output of PostgreSQL and its tools
    server.lock     held while the server is being started, then inherited by all its processes
    postgresql-*/   a copy of the programs, under root only

All processes of the server hold a kernel lock, so it can only be taken when none of them is alive. Unlike
`postmaster.pid`, which may name an unrelated process or a zombie, the lock is also right after a crash.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import IO

from billing_app.database.embedded.accounts import (
    Account,
    EmbeddedPostgresError,
    own_directory,
    sync_directory,
)
from billing_app.database.embedded.places import find_socket_dir
from billing_app.database.embedded.programs import (
    ENVIRONMENT,
    Cancelled,
    installed_programs,
    major_version,
    run_program,
    runnable_programs,
)
from billing_app.database.embedded.server_settings import PORT, server_settings

SUPERUSER = "postgres"
# Recovery after a crash replays up to max_wal_size of log, which can take minutes.
START_SECONDS_MAX = 600
STOP_SECONDS_MAX = 120
LOG_BYTES_MAX = 10_000_000
_LOG_LINES_SHOWN = 5
_PING_STATES = {0: "accepting", 1: "refusing"}
_NEVER = Event()


@dataclass(frozen=True)
class Postgres:
    """A server and its data, in one home."""

    home: Path
    account: Account

    @cached_property
    def socket_dir(self) -> Path:
        """The directory of the server's socket."""
        return find_socket_dir(self.home)

    def open(self, name: str) -> IO[str]:
        """Open a file in the home for appending. Other accounts can neither read nor lock it."""
        handle = os.open(self.home / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(handle, "a")

    def ensure_running(self, cancelled: Event = _NEVER) -> None:
        """Start the server if it isn't running, and wait until it accepts connections.

        Raises:
            EmbeddedPostgresError: It can't start, or its data needs another major version.
            Cancelled: `cancelled` was set first.
        """
        self._refuse_other_version()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._start_if_stopped(cancelled) and self._state() != "accepting":
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() > deadline:
                raise self._error(f"PostgreSQL was not ready within {START_SECONDS_MAX} seconds.")
            time.sleep(0.05)

    def ensure_stopped(self) -> None:
        """Shut the server down cleanly, and wait until all of its processes have ended.

        Signals the process in postmaster.pid only if the server answers on its socket. Otherwise it may be an
        unrelated process.
        """
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while self.has_process():
            if self._state() != "silent":
                self._pg_ctl("stop", "-m", "fast", "-t", str(STOP_SECONDS_MAX))
            if time.monotonic() > deadline:
                raise self._error(f"PostgreSQL did not stop within {STOP_SECONDS_MAX} seconds.")
            time.sleep(0.01)
        if self.socket_dir.parent != self.home:
            with suppress(OSError):
                self.socket_dir.rmdir()

    def has_process(self) -> bool:
        """Return whether any process of the server is alive, even if it doesn't answer."""
        with self.open("server.lock") as lock:
            return not lock_exclusively(lock)

    def _start_if_stopped(self, cancelled: Event) -> bool:
        """Start the server if none of its processes is alive. Return whether it was started."""
        with self.open("server.lock") as lock:
            if not lock_exclusively(lock):
                return False
            self._rotate_log()
            self._create_cluster(cancelled)
            own_directory(self.socket_dir, 0o700, self.account)
            # These files name a dead server. If its process ID has been reused, PostgreSQL would refuse to
            # start. If someone started a server on this data by hand, PostgreSQL still refuses, because it
            # finds that server's shared memory.
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            (self.socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
            settings = server_settings(self.home, self.socket_dir)
            options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings)
            start = ("start", "-w", "-t", str(START_SECONDS_MAX), "-o", options)
            # The server inherits the lock and keeps it after this process closes the file.
            if self._pg_ctl(*start, inherited=lock, cancelled=cancelled):
                raise self._error("PostgreSQL did not start.")
            return True

    def _create_cluster(self, cancelled: Event) -> None:
        """Create the data directory if there is none, completely or not at all."""
        if self._cluster.exists():
            return
        unfinished = self.home / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        own_directory(unfinished, 0o700, self.account)
        initdb = [str(self._programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "-E", "UTF8"]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions"]
        if self._run([*initdb, *locale, *access], cancelled=cancelled):
            raise self._error("PostgreSQL could not create its data directory.")
        unfinished.rename(self._cluster)
        sync_directory(self.home)

    def _refuse_other_version(self) -> None:
        """Refuse data that another major version created, before anything is changed in it."""
        try:
            version = (self._cluster / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return
        if version != str(major_version()):
            raise EmbeddedPostgresError(
                f"The data in {self.home} was created by PostgreSQL {version}, and this version of "
                f"Tallybook runs PostgreSQL {major_version()}. Run `billing backup FILE` with the version of "
                f"Tallybook that created it, move {self.home} away, and run `billing restore FILE` with this one."
            )

    def _state(self) -> str:
        """Ask the server itself for its state: `accepting`, `refusing` or `silent`."""
        ping = [str(installed_programs() / "pg_isready"), "-q", "-h", str(self.socket_dir)]
        ping += ["-p", str(PORT), "-U", SUPERUSER, "-d", "postgres"]
        return _PING_STATES.get(subprocess.run(ping, env=ENVIRONMENT, cwd="/").returncode, "silent")

    def _pg_ctl(self, *arguments: str, inherited: IO[str] | None = None, cancelled: Event = _NEVER) -> int:
        """Run pg_ctl on the cluster and return its exit code."""
        command = [str(self._programs / "pg_ctl"), "-D", str(self._cluster), *arguments]
        return self._run(command, inherited=inherited, cancelled=cancelled)

    def _run(self, command: list[str], *, inherited: IO[str] | None = None, cancelled: Event) -> int:
        with self.open("server.log") as log:
            return run_program(command, self.account, log, inherited=inherited, cancelled=cancelled)

    def _rotate_log(self) -> None:
        """Rename a log that has grown long, replacing the previously renamed one."""
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.1"))

    @cached_property
    def _programs(self) -> Path:
        return runnable_programs(self.home)

    @property
    def _cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def _log(self) -> Path:
        return self.home / "server.log"

    def _error(self, sentence: str) -> EmbeddedPostgresError:
        """Build an error from the sentence and the end of the log."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return EmbeddedPostgresError(
            "\n  ".join([f"{sentence} Its log is {self._log}:", *lines[-_LOG_LINES_SHOWN:]])
        )


def lock_exclusively(file: IO[str]) -> bool:
    """Try to lock an open file exclusively. Return whether that succeeded."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
