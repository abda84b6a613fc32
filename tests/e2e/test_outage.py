"""The embedded database is killed under a running server: it restarts by itself, and nothing is lost."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from billing_app.cli.access import open_database
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.identity.api_tokens import create_token
from billing_app.settings import Settings
from tests.e2e.conftest import serving
from tests.embedded.conftest import remove
from tests.embedded.processes import kill, postmasters, wait_until
from tests.factories import make_customer

LOG_BYTES_MAX = 20_000


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Return a data directory that the embedded server can use in place, also under root."""
    parent = Path(tempfile.mkdtemp(prefix="tb-"))
    parent.chmod(0o711)
    (parent / "data").mkdir()
    yield parent / "data"
    remove(parent)


def create_sender(database: Database) -> str:
    """Create the customer `acme` and return a token that can record its usage."""
    make_customer(database, key="acme")
    with database.transaction(SYSTEM) as session:
        return create_token(session, SYSTEM, name="Sender", scopes=["usage:write"]).token


def send(url: str, token: str, key: str) -> bool:
    """Record one event; return whether it was acknowledged."""
    event = {"customer": "acme", "idempotency_key": key, "quantity": "1"}
    try:
        answer = httpx.post(
            f"{url}/api/v1/usage", json=event, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
    except httpx.TransportError:
        return False
    return answer.status_code in (200, 201)


def test_server_outlives_its_database_and_keeps_every_acknowledged_event(data_dir: Path) -> None:
    with open_database(Settings(data_dir=data_dir)) as database:
        token = create_sender(database)
    with serving(None, data_dir) as url, ThreadPoolExecutor(4) as pool:
        keys = (f"k{number}" for number in itertools.count())

        def send_some(count: int) -> list[str]:
            sent = [next(keys) for _ in range(count)]
            taken = pool.map(lambda key: send(url, token, key), sent)
            return [key for key, is_acknowledged in zip(sent, taken, strict=True) if is_acknowledged]

        acknowledged = send_some(40)
        assert len(acknowledged) == 40
        control = data_dir / "postgres/cluster/global"
        hidden = control.rename(control.with_name("hidden"))  # Prevents it from starting for a while.
        kill(postmasters(data_dir / "postgres")[0])
        wait_until(lambda: not postmasters(data_dir / "postgres"))
        acknowledged += send_some(40)
        health = httpx.get(f"{url}/api/health")
        assert (health.status_code, health.json()["database"]) == (503, "unreachable")
        assert health.json()["detail"].startswith("The database server is")
        hidden.rename(control)
        started_at = time.monotonic()
        wait_until(lambda: httpx.get(f"{url}/api/health").status_code == 200)
        assert time.monotonic() - started_at < 60
        acknowledged += send_some(40)
        with open_database(Settings(data_dir=data_dir)) as database, database.engine.connect() as connection:
            recorded = set(connection.scalars(text("SELECT idempotency_key FROM usage_event")))
    assert len(acknowledged) >= 80
    assert set(acknowledged) <= recorded
    (log,) = data_dir.glob("serve-*.log")
    assert "Traceback" not in log.read_text()
    assert log.stat().st_size < LOG_BYTES_MAX
