"""The steps of the container: its scripts are run here, as other users and without places to write to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from billing_app.database.embedded import cluster
from billing_app.database.embedded.programs import installed_programs
from billing_app.project_files import ROOT
from billing_app.server import serving

PASSWORDS = {"OWNER_PASSWORD": 'an owner\'s "password"', "APP_PASSWORD": "the application's $password"}


@pytest.fixture
def empty_server() -> Iterator[cluster.Server]:
    """Run a PostgreSQL that nobody has prepared for Tallybook."""
    with cluster.use_temporary_server() as running:
        yield running


def as_superuser(server: cluster.Server) -> psycopg.Connection:
    return psycopg.connect(
        host=str(server.socket_dir), port=server.port, user=server.superuser, dbname="postgres"
    )


def create_database(server: cluster.Server) -> None:
    environment = {
        "PATH": f"{installed_programs()}:{os.environ['PATH']}",
        "PGHOST": str(server.socket_dir),
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        **PASSWORDS,
    }
    subprocess.run(["sh", "deploy/create-database.sh"], cwd=ROOT, env=environment, check=True)


def test_database_is_created_and_migrated_and_accepted_by_the_server(
    empty_server: cluster.Server, tmp_path: Path
) -> None:
    create_database(empty_server)
    where = f"@/tallybook?host={empty_server.socket_dir}&port={empty_server.port}"
    urls = {
        "DATABASE_URL": f"postgresql://tallybook_app{where}",
        "DATABASE_OWNER_URL": f"postgresql://tallybook_owner{where}",
        "BILLING_DATA_DIR": str(tmp_path / "nothing"),
    }
    billing = [sys.executable, "-m", "billing_app.cli"]
    subprocess.run([*billing, "migrate"], env={**os.environ, **urls}, check=True)
    # Without the owner's access, as the servers have it.
    del urls["DATABASE_OWNER_URL"]
    done = subprocess.run(
        [*billing, "verify"], env={**os.environ, "DATABASE_OWNER_URL": "", **urls}, check=False
    )
    assert done.returncode == 0
    with as_superuser(empty_server) as connection:
        stored = connection.execute(
            "SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname LIKE 'tallybook%'"
        ).fetchall()
    assert sorted(stored) == [("tallybook_app", True), ("tallybook_owner", True)]
    assert not (tmp_path / "nothing").exists()


def test_composition_gives_servers_time_to_stop_and_never_the_owners_password() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert set(services) == {"database", "migrate", "api1", "api2", "pages", "caddy"}
    for name in ("api1", "api2", "pages"):
        service = services[name]
        assert int(service["stop_grace_period"].removesuffix("s")) > serving.STOP_SECONDS_MAX
        assert service["read_only"]
        assert "BILLING_JWT_SECRET" in service["environment"]
        assert "OWNER_PASSWORD" not in str(service)
    mounted = [each.split(":")[0] for each in services["database"]["volumes"] + services["caddy"]["volumes"]]
    for path in mounted:
        assert not path.startswith(".") or (ROOT / path).is_file()
