"""Fill a server's disk and free it again, on a small file system in a mount namespace.

Prints the number of acknowledged rows and the number of rows at the end.
"""

import ctypes
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import psycopg

from billing_app.database.embedded.cluster import Server, use_server
from tests.embedded.processes import connect, wait_until

DISK_BYTES = 160 << 20


def mount_small_disk(directory: Path) -> None:
    """Mount a file system of DISK_BYTES in memory."""
    directory.mkdir(mode=0o755)
    options = f"size={DISK_BYTES},mode=755".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options):
        raise OSError(ctypes.get_errno(), "mount")


def write_until_it_fails(to: Server, count: int) -> int:
    """Insert up to `count` rows, each with a megabyte of WAL. Return how many were acknowledged."""
    acknowledged = 0
    with suppress(psycopg.OperationalError), connect(to) as connection:
        for _ in range(count):
            connection.execute(
                "WITH log AS (SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000)) AS position)"
                " INSERT INTO event SELECT position FROM log"
            )
            acknowledged += 1
    return acknowledged


def can_connect(to: Server) -> bool:
    """Return whether the server accepts a connection."""
    with suppress(psycopg.OperationalError), connect(to):
        return True
    return False


def main(directory: str) -> None:
    """Run the scenario."""
    log: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: log.append(record.getMessage())
    logging.getLogger("billing_app").addHandler(handler)
    disk = Path(directory)
    mount_small_disk(disk)
    ballast = disk / "ballast"
    with use_server(disk / "pg") as entered:
        with connect(entered) as connection:
            connection.execute("CREATE TABLE event (position pg_lsn)")
        acknowledged = write_until_it_fails(entered, 3)
        room = os.statvfs(disk)
        ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - (1 << 20)))
        acknowledged += write_until_it_fails(entered, 100)
        wait_until(lambda: any("can't be started again yet" in line for line in log))
        assert not can_connect(entered)
        ballast.unlink()
        wait_until(lambda: can_connect(entered))
        wait_until(lambda: log[-1] == "PostgreSQL is running again")
        acknowledged += write_until_it_fails(entered, 3)
        with connect(entered) as connection:
            found = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    print(acknowledged, found)


if __name__ == "__main__":
    main(sys.argv[1])
