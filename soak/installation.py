"""What the soak runs on: a database in a small file system, two servers on it, and proxies in front of both."""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psutil
import psycopg

from billing_app.database.embedded import cluster
from billing_app.database.migrations import migrate
from billing_app.database.provision import OWNER_ROLE, create_database, urls_of
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity.api_tokens import create_token
from billing_app.services.invoices.issuer import update_issuer
from soak.proxy import Proxies, Proxy
from soak.servers import Server, environment_of
from tests.factories import actor_of, make_customer, make_plan, make_user
from tests.processes.servers import free_port

DATABASE = "soak"
SERVERS = 2
# Room for the database's log of changes. The disk is in memory, and filled in one of the faults.
DISK_BYTES = 1536 << 20
_CUSTOMERS = 40


@dataclass(frozen=True)
class Installation:
    """The servers, the database's server, and the proxies: one per server, and one before the database."""

    postgres: cluster.Server
    servers: list[Server]
    to_servers: list[Proxy]
    to_database: Proxy
    # A file system of its own, or None.
    disk: Path | None
    customers: list[str]
    admin: str
    token: str

    @property
    def owner_url(self) -> str:
        """The owner's URL, around the proxy."""
        return urls_of(self.postgres, DATABASE).owner

    def owner(self) -> psycopg.Connection:
        """Connect as the owner of the tables, around the proxy."""
        url = self.postgres.url(DATABASE, OWNER_ROLE).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=10)

    def postmaster(self) -> psutil.Process | None:
        """Return the main process of the database's server, if it runs."""
        found = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "postgres"]
        home = str(self.postgres.socket_dir.parent)
        for process in found:
            try:
                is_ours = home in " ".join(process.cmdline())
            except psutil.Error:
                continue
            if is_ours and process.parent() not in found:
                return process
        return None


def mount_disk(directory: Path) -> bool:
    """Mount a small file system in memory. Only possible in a mount namespace of this process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={DISK_BYTES},mode=755".encode()
    return libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options) == 0


@contextmanager
def installed(
    directory: Path, first: date, chance: random.Random, *, has_disk: bool
) -> Iterator[Installation]:
    """Set everything up below the directory, and stop it when the block ends."""
    disk = directory / "disk"
    disk.mkdir(mode=0o755)
    is_mounted = has_disk and mount_disk(disk)
    with ExitStack() as stack:
        postgres = stack.enter_context(cluster.use_server(disk / "postgres"))
        create_database(postgres, DATABASE)
        migrate(urls_of(postgres, DATABASE))
        admin, token, customers = _create_business(urls_of(postgres, DATABASE).application, first)
        proxies = Proxies()
        sockets = directory / "sockets"
        sockets.mkdir()
        name = f".s.PGSQL.{postgres.port}"
        to_database = proxies.unix(sockets / name, postgres.socket_dir / name, chance)
        url = urls_of(replace(postgres, socket_dir=sockets), DATABASE).application
        environment = environment_of(url, directory)
        servers = [
            Server(f"server {number}", free_port(), environment, directory / f"server-{number}.log")
            for number in range(1, SERVERS + 1)
        ]
        for server in servers:
            server.start()
            stack.callback(server.stop)
        to_servers = [proxies.tcp(server.port, chance) for server in servers]
        yield Installation(
            postgres, servers, to_servers, to_database, disk if is_mounted else None,
            customers, admin, token,
        )  # fmt: skip


def _create_business(url: str, first: date) -> tuple[str, str, list[str]]:
    """Create an admin, a token and customers. Return the admin's email, the token, and the customers' keys."""
    database = Database(url)
    user = make_user(database, Role.ADMIN)
    with database.transaction(SYSTEM) as session:
        update_issuer(
            session, SYSTEM, name="Soak", address="1 Main Street", email="soak@example.com",
            payment_instructions="",
        )  # fmt: skip
    with database.transaction(actor_of(user)) as session:
        token = create_token(session, actor_of(user), name="soak", scopes=["usage:write", "read"]).token
    plan = make_plan(database)
    customers = [make_customer(database, plan, start=first).key for _ in range(_CUSTOMERS)]
    database.close()
    return user.email, token, customers
