"""The faults. Each function causes one, and ends it; what has to recover then does so by itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from billing_app.database.provision import create_database, urls_of
from billing_app.domain.periods import label
from soak.installation import Installation
from soak.senders import Biller
from soak.servers import ROOT, billing

# What a fault leaves of the disk, for the load to fill.
_LEFT_BYTES = 512 << 10
_PIECE_BYTES = 256 << 10


@dataclass(frozen=True)
class Round:
    """What a fault may use: the installation, chance, how long it lasts, and the biller."""

    on: Installation
    chance: random.Random
    seconds: float
    freeze_seconds: float
    biller: Biller
    number: int


def kill_a_server(this: Round) -> str:
    """Kill -9 of a server: both of its processes, or one of them."""
    server = this.chance.choice(this.on.servers)
    which, processes = this.chance.choice(
        [("both processes", slice(None)), ("the first process", slice(1)), ("the second", slice(1, None))]
    )
    server.send(signal.SIGKILL, to=processes)
    return f"{server.name}, {which}"


def kill_the_database(this: Round) -> str:
    """Kill -9 of PostgreSQL's main process."""
    postmaster = this.on.postmaster()
    if postmaster is None:
        return "it was not running"
    postmaster.kill()
    return f"process {postmaster.pid}"


def kill_a_connection(this: Round) -> str:
    """Kill -9 of one of PostgreSQL's other processes, after which it restarts all of them."""
    postmaster = this.on.postmaster()
    children = postmaster.children() if postmaster else []
    busy = [each for each in children if "tallybook_app" in " ".join(each.cmdline())]
    if not busy:
        return "there was none"
    killed = this.chance.choice(busy)
    with suppress(psutil.NoSuchProcess):
        killed.kill()
    return f"process {killed.pid}"


def kill_everything(this: Round) -> str:
    """Kill -9 of the database and of all servers at once."""
    kill_the_database(this)
    for server in this.on.servers:
        server.send(signal.SIGKILL)
    return ""


def freeze_a_server(this: Round) -> str:
    """SIGSTOP of a server, and SIGCONT after a while."""
    server = this.chance.choice(this.on.servers)
    server.send(signal.SIGSTOP)
    time.sleep(this.freeze_seconds)
    server.send(signal.SIGCONT)
    return f"{server.name}, {this.freeze_seconds:.0f} s"


def take_the_database_away(this: Round) -> str:
    """The database is unreachable for 20 seconds at most."""
    seconds = min(20.0, this.seconds)
    this.on.to_database.go_away()
    time.sleep(seconds)
    this.on.to_database.come_back()
    return f"{seconds:.0f} s"


def cut_requests_and_answers(this: Round) -> str:
    """Cut the senders' connections in the middle of requests and of answers."""
    before = sum(proxy.cuts for proxy in this.on.to_servers)
    for proxy in this.on.to_servers:
        proxy.cuts_within_bytes = 1_000_000
        proxy.cut_all()
    time.sleep(this.seconds)
    for proxy in this.on.to_servers:
        proxy.cuts_within_bytes = 0
        proxy.cut_all()
    return f"{sum(proxy.cuts for proxy in this.on.to_servers) - before} cuts"


def cut_database_connections(this: Round) -> str:
    """Cut the servers' connections to the database in the middle of statements and of results."""
    proxy = this.on.to_database
    before = proxy.cuts
    proxy.cuts_within_bytes = 2_000_000
    proxy.cut_all()
    time.sleep(this.seconds)
    proxy.cuts_within_bytes = 0
    proxy.cut_all()
    return f"{proxy.cuts - before} cuts"


def run_on_two_servers(this: Round) -> str:
    """Start the same run on both servers, and kill the one that works on it, or not."""
    period = label(this.biller.period)
    answers = [
        this.biller.ask(server.port, "/invoice-runs", {"period": period}) for server in this.on.servers
    ]
    killed = this.chance.choice([None, *this.on.servers])
    if killed:
        time.sleep(this.chance.uniform(0, 0.3))
        killed.send(signal.SIGKILL)
    return f"{period}, answers {answers}, {killed.name if killed else 'no server'} killed"


def fill_the_disk(this: Round) -> str:
    """Leave no space on the database's disk, and free it again."""
    disk = this.on.disk
    assert disk is not None
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while free_bytes(disk) > _LEFT_BYTES:
            file.write(bytes(_PIECE_BYTES))
    # The load writes until nothing is left.
    time.sleep(this.seconds)
    left = free_bytes(disk)
    ballast.unlink()
    return f"{left >> 10} kB were left"


def free_bytes(disk: Path) -> int:
    """Return how much space a file system has."""
    room = os.statvfs(disk)
    return room.f_bavail * room.f_frsize


def kill_a_migration(this: Round) -> str:
    """Kill -9 of a migration of a new database, then run two at once."""
    name = f"migrated_{this.number}"
    create_database(this.on.postgres, name)
    urls = urls_of(this.on.postgres, name)
    environment = {
        **os.environ,
        "DATABASE_URL": urls.application,
        "DATABASE_OWNER_URL": urls.owner,
        "BILLING_DATA_DIR": os.devnull,
        "BILLING_DEMO": "0",
    }

    def migrate() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            billing("migrate"), env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    with psycopg.connect(urls.owner.replace("+psycopg", ""), autocommit=True) as db:
        first = migrate()
        busy = (
            "SELECT count(*) FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = %s)"
        )
        while first.poll() is None and db.execute(busy, [name]).fetchone()[0] < 20:
            time.sleep(0.01)
        time.sleep(this.chance.uniform(0, 0.3))
        first.kill()
        first.communicate()
        tables = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()[0]
        pair = [migrate(), migrate()]
        errors = [each.communicate(timeout=180)[1].decode() for each in pair]
        complete = db.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
    if any(each.returncode for each in pair) or complete != 1:
        this.biller.traffic.ledger.report(f"the migrations after a killed one failed: {errors}")
    return f"killed with {tables} tables committed"


Fault = Callable[[Round], str]

FAULTS: dict[str, Fault] = {
    "kill-server": kill_a_server,
    "kill-database": kill_the_database,
    "kill-connection": kill_a_connection,
    "kill-everything": kill_everything,
    "freeze-server": freeze_a_server,
    "database-away": take_the_database_away,
    "cut-requests": cut_requests_and_answers,
    "cut-database": cut_database_connections,
    "two-runs": run_on_two_servers,
    "full-disk": fill_the_disk,
    "kill-migration": kill_a_migration,
}


def possible_faults(on: Installation) -> list[str]:
    """Return the names of the faults that this machine allows."""
    return [name for name in FAULTS if name != "full-disk" or on.disk is not None]
