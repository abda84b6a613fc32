"""Point-in-time recovery of a PostgreSQL server, as docs/operations.md describes it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import psycopg
import pytest

from billing_app.database.embedded.accounts import own_directory, server_account
from billing_app.database.embedded.cluster import Server, use_server
from billing_app.database.embedded.programs import run_program, runnable_programs
from billing_app.database.migrations import migrate
from billing_app.database.provision import create_database, urls_of
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.verification import verify
from tests.billing.shop import Shop
from tests.embedded.processes import connect, wait_until


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that the server's account can reach."""
    directory = Path(tempfile.mkdtemp(prefix="tb-"))
    directory.chmod(0o711)
    own_directory(directory / "archive", 0o700, server_account())
    own_directory(directory / "base", 0o700, server_account())
    yield directory
    shutil.rmtree(directory)


def configure(home: Path, *lines: str) -> None:
    with (home / "cluster/postgresql.conf").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def archived(server: Server) -> bool:
    """Return whether the log so far has left the server, having ended its current segment."""
    with connect(server) as superuser:
        (segment,) = superuser.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        wait_until(
            lambda: superuser.execute(
                "SELECT last_archived_wal >= %s FROM pg_stat_archiver", [segment]
            ).fetchone() == (True,)
        )  # fmt: skip
    return True


def take_base_backup(server: Server, home: Path, target: Path) -> None:
    command = [
        str(runnable_programs(home) / "pg_basebackup"),
        "-D",
        str(target),
        "-h",
        str(server.socket_dir),
    ]
    with (target.parent / "log").open("w") as log:
        arguments = [*command, "-U", server.superuser, "--checkpoint=fast"]
        assert run_program(arguments, server_account(), log, inherited=None, cancelled=Event()) == 0


def is_promoted(server: Server) -> bool:
    try:
        with connect(server) as superuser:
            return superuser.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.OperationalError:
        return False


def test_database_is_recovered_as_of_a_moment(place: Path) -> None:
    with use_server(place / "old"):
        pass
    configure(
        place / "old", "archive_mode = on",
        f"archive_command = 'test ! -f {place}/archive/%f && cp %p {place}/archive/%f'",
    )  # fmt: skip
    with use_server(place / "old") as server:
        create_database(server, "books")
        migrate(urls_of(server, "books"))
        database = Database(urls_of(server, "books").application)
        shop = Shop(database, SYSTEM)
        with psycopg.connect(urls_of(server, "books").owner.replace("+psycopg", "")) as owner:
            owner.execute("UPDATE issuer SET name = 'Tally Ltd', address = '1 High Street'")
        shop.customer("acme", "2026-01")
        shop.use("acme", "before the base backup", 1)
        take_base_backup(server, place / "old", place / "base")
        shop.use("acme", "before the moment", 2)
        shop.invoice("acme", "2026-01")
        moment = datetime.now(UTC)
        shop.use("acme", "after the moment", 3)
        database.close()
        assert archived(server)
    # The server is lost. Only the base backup and the archive remain.
    shutil.rmtree(place / "old")

    (place / "new").mkdir()
    (place / "base").rename(place / "new/cluster")
    configure(
        place / "new", f"restore_command = 'cp {place}/archive/%f %p'",
        f"recovery_target_time = '{moment.isoformat()}'", "recovery_target_action = promote",
        "archive_mode = off",
    )  # fmt: skip
    (place / "new/cluster/recovery.signal").touch()
    with use_server(place / "new") as server:
        wait_until(lambda: is_promoted(server))
        database = Database(urls_of(server, "books").application)
        assert verify(database, SYSTEM).ok
        again = Shop(database, SYSTEM)
        keys = ("before the base backup", "before the moment", "after the moment")
        assert [again.use("acme", key, amount).status for amount, key in enumerate(keys, 1)] == [
            "duplicate", "duplicate", "recorded",
        ]  # fmt: skip
        assert again.invoice("acme", "2026-02").number == "ACME-0002"
        database.close()
