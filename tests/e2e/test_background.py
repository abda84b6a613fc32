"""A server that is killed with SIGKILL during background work resumes it by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import Role
from tests.conftest import new_database
from tests.e2e.conftest import free_port, serving, serving_process, share_pages
from tests.factories import PASSWORD, make_plan, make_user

CUSTOMERS = 3_000
PERIOD = "2026-10"


@dataclass(frozen=True)
class Business:
    """Thousands of customers with usage in October, and a user who can sign in."""

    urls: Urls
    owner: psycopg.Connection
    email: str
    last_customer_id: int

    def one(self, query: str) -> Any:
        found = self.owner.execute(query).fetchone()  # type: ignore[arg-type]
        return found and found[0]

    def invoices(self) -> int:
        return int(self.one("SELECT count(*) FROM invoice"))

    def sign_in(self, url: str) -> httpx.Client:
        body = {"email": self.email, "password": PASSWORD}
        token = httpx.post(f"{url}/api/v1/auth/token", json=body).json()["access_token"]
        return httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def business(server: cluster.Server) -> Iterator[Business]:
    with new_database(server) as urls:
        database = Database(urls.application)
        plan = make_plan(database).plan_id
        email = make_user(database, Role.BILLING).email
        database.close()
        with psycopg.connect(urls.owner.replace("+psycopg", ""), autocommit=True) as owner:
            owner.execute(
                "INSERT INTO customer (key, name, email, email_key, billing_address, currency, created_at, version)"
                " SELECT 'c' || n, 'Customer ' || n, n || '@example.com', n || '@example.com', '', 'USD', now(), 1"
                " FROM generate_series(1, %s) n",
                [CUSTOMERS],
            )
            owner.execute(
                "INSERT INTO customer_billing"
                " SELECT customer_id, '2026-09-01', '2026-09-01', 0, NULL FROM customer"
            )
            owner.execute(
                "INSERT INTO subscription SELECT customer_id, '2026-10-01', %s, 'USD' FROM customer", [plan]
            )
            owner.execute(
                "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,"
                " billing_period, quantity, recorded_by)"
                " SELECT customer_id, 'k', '2026-10-05Z', now(), '2026-10-01', 1530, 'test' FROM customer"
            )
            last = owner.execute("SELECT max(customer_id) FROM customer").fetchone()
            assert last
            yield Business(urls, owner, email, last[0])


@contextmanager
def killed_at_the_end(urls: Urls, data_dir: Path) -> Iterator[str]:
    """Run `billing serve` until the block ends, then kill all of its processes. Yields its address."""
    port = free_port()
    share_pages(data_dir)
    environment = {
        **os.environ,
        "DATABASE_URL": urls.application,
        "DATABASE_OWNER_URL": urls.owner,
        "BILLING_DATA_DIR": str(data_dir),
        "BILLING_PORT": str(port),
        "BILLING_DEMO": "0",
    }
    command = [sys.executable, "-c", "from billing_app.cli.app import main; main()", "serve"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            url = f"http://localhost:{port}"
            until(lambda: is_up(url))
            yield url
        finally:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.send_signal(signal.SIGKILL)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds, and fail after three minutes."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def held_halfway(business: Business) -> Iterator[None]:
    """Block one lane of the run's one chunk, and any verification."""
    with psycopg.connect(business.urls.owner.replace("+psycopg", "")) as holder:
        holder.execute(
            "SELECT FROM customer_billing WHERE customer_id = %s FOR UPDATE", [business.last_customer_id]
        )
        # Verifications read this table, and runs don't.
        holder.execute("LOCK TABLE number_gap IN ACCESS EXCLUSIVE MODE")
        yield
        holder.rollback()


def is_verification_waiting(business: Business) -> bool:
    return bool(business.one("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
                             " AND relation = 'number_gap'::regclass)"))  # fmt: skip


def start_both(business: Business, client: httpx.Client) -> tuple[str, str]:
    """Start a run and a verification, and wait until both are halfway."""
    run = client.post("/invoice-runs", json={"period": PERIOD})
    until(lambda: business.invoices() == CUSTOMERS // 2)
    verification = client.post("/verifications")
    assert (run.status_code, verification.status_code) == (202, 202)
    until(lambda: is_verification_waiting(business))
    return run.json()["id"], verification.json()["id"]


def assert_both_end(business: Business, client: httpx.Client, run: str, verification: str) -> None:
    until(lambda: client.get(f"/invoice-runs/{run}").json()["status"] == "done")
    done = client.get(f"/invoice-runs/{run}").json()
    assert (done["total"], done["created"], done["existing"], done["failed"]) == (CUSTOMERS, CUSTOMERS, 0, 0)
    assert business.owner.execute(
        "SELECT count(*), count(DISTINCT customer_id), min(sequence), max(sequence) FROM invoice"
    ).fetchone() == (CUSTOMERS, CUSTOMERS, 1, 1)
    until(lambda: client.get(f"/verifications/{verification}").json()["status"] == "done")
    report = client.get("/verifications/latest").json()
    assert (report["id"], report["ok"], report["discrepancies"]) == (verification, True, [])
    assert report["checked"]["customers"] == CUSTOMERS
    assert business.one("SELECT count(*) FROM verification") == 1


def test_killed_server_resumes_when_started_again(business: Business, tmp_path: Path) -> None:
    with (
        held_halfway(business),
        killed_at_the_end(business.urls, tmp_path) as url,
        business.sign_in(url) as client,
    ):
        run, verification = start_both(business, client)
    assert business.invoices() == CUSTOMERS // 2
    with serving(business.urls, tmp_path) as url, business.sign_in(url) as client:
        assert_both_end(business, client, run, verification)


def test_killed_serving_process_is_replaced_and_resumes(business: Business, tmp_path: Path) -> None:
    with serving(business.urls, tmp_path) as url:
        with held_halfway(business), business.sign_in(url) as client:
            run, verification = start_both(business, client)
            serving_process(url).kill()
        # Its supervisor starts a new one.
        until(lambda: is_up(url))
        with business.sign_in(url) as client:
            assert_both_end(business, client, run, verification)


def test_stopped_server_resumes_when_started_again(business: Business, tmp_path: Path) -> None:
    with (
        held_halfway(business),
        serving(business.urls, tmp_path) as url,
        business.sign_in(url) as client,
    ):
        run, verification = start_both(business, client)
    with serving(business.urls, tmp_path) as url, business.sign_in(url) as client:
        assert_both_end(business, client, run, verification)
