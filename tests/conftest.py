"""Fixtures: one embedded server for the test run, and a migrated database for each test that needs one."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from billing_app.database.embedded import cluster, postgres
from billing_app.database.embedded.server_settings import server_settings
from billing_app.database.migrations import migrate
from billing_app.database.provision import OWNER_ROLE, Urls, create_database, urls_of
from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.services.identity import passwords
from tests.distributed.databases import Cluster

# Shells make background jobs ignore Ctrl-C, but some tests send it to their processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

_TEST_URL = os.environ.get("TALLYBOOK_TEST_URL")
# The Citus cluster that tests use instead of a server of their own, with usage distributed over it.
CLUSTER = Cluster(_TEST_URL) if _TEST_URL else None
# These tests need one.
collect_ignore = [] if CLUSTER else ["distributed"]
_TEMPLATE = f"template_{os.getpid()}"
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 6 << 30
_numbers = itertools.count(1)


class Clock:
    """The clock of a test's database, which only moves when the test sets it."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def set(self, year: int, month: int, day: int = 1, hour: int = 12) -> None:
        self.moment = datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture(scope="session")
def server() -> Iterator[cluster.Server]:
    """Run an embedded server for this test run alone.

    Nothing that it writes has to reach a disk: tests of what survives a crash start servers of their own.
    """
    if CLUSTER:
        with CLUSTER.template(_TEMPLATE, _set_issuer) as coordinator:
            yield coordinator
        return
    with tempfile.TemporaryDirectory(prefix="tallybook-", dir=_directory_in_memory()) as directory:
        # Its mode is 0700, and under root the server's account must pass through.
        Path(directory).chmod(0o711)
        with ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(postgres, "server_settings", _settings_without_syncing)
                running = stack.enter_context(cluster.use_server(Path(directory) / "postgres"))
            create_database(running, _TEMPLATE)
            migrate(urls_of(running, _TEMPLATE))
            _set_issuer(running, _TEMPLATE)
            yield running


def _directory_in_memory() -> Path | None:
    """Return a directory in memory, or None if there is none with room that programs can run from."""
    if not _MEMORY.is_dir() or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _ROOM_BYTES else None


def _settings_without_syncing(home: Path, socket_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the product's settings, except that the server doesn't wait for the disk."""
    yield from server_settings(home, socket_dir)
    yield "fsync", "off"


def _set_issuer(server: cluster.Server, database: str) -> None:
    """Set the issuer, which every invoice needs, without changing its version."""
    url = urls_of(server, database).owner.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("UPDATE issuer SET name = 'Tally Ltd', address = '1 High Street'")


@contextmanager
def new_database(server: cluster.Server) -> Iterator[Urls]:
    """Create a copy of the migrated template, and drop it afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    if CLUSTER:
        with CLUSTER.copy(_TEMPLATE, name) as urls:
            yield urls
        return
    admin = f"host={server.socket_dir} port={server.port} user={server.superuser} dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY OWNER {OWNER_ROLE}"  # type: ignore[arg-type]
        )
        try:
            yield urls_of(server, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def urls(server: cluster.Server) -> Iterator[Urls]:
    with new_database(server) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 15, 12, tzinfo=UTC))


@pytest.fixture
def database(urls: Urls, clock: Clock) -> Iterator[Database]:
    """Return an empty, migrated database, as the application's role, with a clock that the test sets."""
    made = Database(urls.application, clock=clock, pool_size=60)
    yield made
    made.close()


@pytest.fixture
def owner(urls: Urls) -> Iterator[psycopg.Connection]:
    """Return a plain connection as the owner of the tables, for tampering."""
    url = urls.owner.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def no_issuer(owner: psycopg.Connection) -> None:
    """Clear the issuer, as in a new installation."""
    owner.execute("UPDATE issuer SET name = '', address = '', email = '', payment_instructions = ''")


@pytest.fixture
def fast_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use bcrypt at its lowest cost, for tests that don't depend on how long hashing takes."""
    monkeypatch.setattr(passwords, "COST", 4)
    passwords.unmatched_hash.cache_clear()
    yield
    passwords.unmatched_hash.cache_clear()


@pytest.fixture
def admin() -> Actor:
    return Actor("user", "usr_1", "Ada Admin", Role.ADMIN)


@pytest.fixture
def billing() -> Actor:
    return Actor("user", "usr_2", "Bea Billing", Role.BILLING)


@pytest.fixture
def finance() -> Actor:
    return Actor("user", "usr_3", "Finn Finance", Role.FINANCE)
