"""Processes that use the embedded PostgreSQL, started and observed by tests.

As a program, this is one user of a server: it prints `in` and the server's start time when it uses the
server, and leaves when its standard input ends.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg

from billing_app.database.embedded.cluster import Server, use_server
from billing_app.database.embedded.watcher import Watcher

DEADLINE_SECONDS = 120
ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def connect(to: Server) -> psycopg.Connection:
    """Connect as the superuser."""
    return psycopg.connect(
        host=str(to.socket_dir), port=to.port, user=to.superuser, dbname="postgres", autocommit=True
    )


def started_at(to: Server) -> str:
    """Return the server's start time, which identifies it."""
    with connect(to) as connection:
        return connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0]


def wait_until(condition: Callable[[], T]) -> T:
    """Return the first true value of the condition, and fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)
    return value


def server_processes(below: Path) -> list[psutil.Process]:
    """Return the live processes of the servers whose data is below a directory."""
    return [process for process in psutil.process_iter() if _works_below(process, str(below))]


def _works_below(process: psutil.Process, directory: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.name() == "postgres" and process.cwd().startswith(directory)
    return False


def postmasters(data_dir: Path) -> list[psutil.Process]:
    """Return the live processes of this cluster that are not children of another one."""
    home = data_dir / "elsewhere"
    processes = server_processes(home.readlink() if home.is_symlink() else data_dir)
    pids = {process.pid for process in processes}
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in pids:
                found.append(process)
    return found


def kill(process: psutil.Process) -> None:
    """Kill a process as `kill -9` does."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def crash(data_dir: Path) -> None:
    """Kill a whole server at once, as a power loss does, and wait until no process of it is left."""
    for process in server_processes(data_dir):
        kill(process)
    wait_until(lambda: not server_processes(data_dir))


class User:
    """A process that uses a server."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.embedded.processes", str(data_dir), *options]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # Ends its output, so that no test waits for it forever.
        self._end = threading.Timer(DEADLINE_SECONDS, self.process.kill)
        self._end.daemon = True
        self._end.start()

    def says(self) -> str:
        """Return the next line of its output, or an empty one if it has ended."""
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        """Make it leave, and return its exit code."""
        self.process.stdin.close()
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self._end.cancel()
        self.process.kill()
        self.process.wait()


def asks_the_server(user: User) -> bool:
    """Return whether a user is checking the state of the server right now."""
    for child in psutil.Process(user.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == "pg_isready":
                return True
    return False


def has_open(user: User, path: Path) -> bool:
    """Return whether a user has a file open."""
    return str(path) in [file.path for file in psutil.Process(user.process.pid).open_files()]


class Users:
    """Starts users, and kills them at the end."""

    def __init__(self) -> None:
        self._made: list[User] = []

    def __call__(self, data_dir: Path, *options: str) -> User:
        self._made.append(User(data_dir, *options))
        return self._made[-1]

    def kill_all(self) -> None:
        for user in self._made:
            user.kill()


@contextmanager
def interrupts_answered(to: Server) -> Iterator[None]:
    """On an interrupt, print whether the server still answers."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", started_at(to), flush=True)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, and never reap them."""
    import ctypes

    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0) == 0


def fork_and_unwind() -> None:
    """Fork a child that exits through this process's context managers, and wait for it."""
    if (child := os.fork()) == 0:
        sys.exit()
    os.waitpid(child, 0)


def main(data_dir: str, *options: str) -> None:
    """Be one user of a server."""
    if "--adopt-orphans" in options:
        adopt_orphans()
    if "--unwatched" in options:
        Watcher.run = lambda self: None
    with use_server(Path(data_dir)) as entered:
        if "--fork" in options:
            fork_and_unwind()
        print("in", started_at(entered), flush=True)
        with interrupts_answered(entered):
            sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
