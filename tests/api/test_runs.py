"""Invoice runs over HTTP: start, follow and cancel them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.jobs import invoice_runs
from billing_app.jobs.invoice_runs import resume_invoice_runs
from billing_app.services.invoices import runs
from billing_app.services.invoices.run_progress import hold_off_cancellation
from tests.api.conftest import ClientOf
from tests.billing.shop import Shop
from tests.conftest import Clock

RUNS = "/api/v1/invoice-runs"
OCTOBER = {"period": "2026-10"}


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    """Three customers to invoice for October, and one whose September is not invoiced yet."""
    shop = Shop(database, admin)
    plan = shop.plan()
    for key in ("a", "b", "c"):
        shop.customer(key, "2026-10", plan)
    shop.customer("behind", "2026-09", plan)
    return shop


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_run_is_executed_in_the_background(shop: Shop, client: TestClient, database: Database) -> None:
    started = client.post(RUNS, json=OCTOBER)
    assert started.status_code == 202, started.text
    run = started.json()
    assert started.headers["location"] == f"{RUNS}/{run['id']}"
    assert run == {
        "id": run["id"], "period": "2026-10", "status": "running", "total": 4,
        "created": 0, "existing": 0, "skipped": 0, "failed": 0, "failures": [],
        "started_by": run["started_by"], "started_at": "2026-11-15T12:00:00Z", "finished_at": None,
        "fault": None,
    }  # fmt: skip
    assert run["started_by"].startswith("usr_")
    resume_invoice_runs(database)
    done = client.get(f"{RUNS}/{run['id']}").json()
    assert done == run | {
        "status": "done",
        "created": 3,
        "failed": 1,
        "failures": [
            {
                "customer": {"id": "cus_4", "key": "behind", "name": "behind Inc."},
                "code": "earlier_period_open",
                "detail": "Invoice September 2026 for behind first.",
            }
        ],
        "finished_at": "2026-11-15T12:00:00Z",
    }
    invoices = client.get("/api/v1/invoices?period=2026-10").json()["items"]
    assert sorted(each["number"] for each in invoices) == ["A-0001", "B-0001", "C-0001"]


def test_second_start_returns_the_running_run(
    shop: Shop, client: TestClient, client_of: ClientOf, database: Database
) -> None:
    first = client.post(RUNS, json=OCTOBER)
    second = client_of(Role.BILLING).post(RUNS, json=OCTOBER)
    assert (second.status_code, second.json()) == (202, first.json())
    assert second.headers["location"] == first.headers["location"]
    assert client.post(RUNS, json={"period": "2026-09"}).json()["id"] != first.json()["id"]
    resume_invoice_runs(database)
    assert client.post(RUNS, json=OCTOBER).json()["id"] != first.json()["id"]


def test_simultaneous_starts_return_the_same_run(shop: Shop, client: TestClient) -> None:
    together = Barrier(8)

    def start(_: int) -> str:
        together.wait(30)
        answer = client.post(RUNS, json=OCTOBER)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


def test_older_month_is_run_first(shop: Shop, client: TestClient, database: Database) -> None:
    for period in ("2026-10", "2026-09"):
        client.post(RUNS, json={"period": period})
    resume_invoice_runs(database)
    by_period = {each["period"]: each for each in client.get(RUNS).json()["items"]}
    assert (by_period["2026-10"]["created"], by_period["2026-10"]["failed"]) == (4, 0)


def test_run_that_another_process_executes_is_left_alone(
    shop: Shop, client: TestClient, database: Database, admin: Actor
) -> None:
    client.post(RUNS, json={"period": "2026-09"})
    client.post(RUNS, json=OCTOBER)
    with database.transaction(admin) as session:
        september = invoice_runs.find_running(session, admin)
    assert september
    with invoice_runs.sole_execution(database, admin, september):
        resume_invoice_runs(database)
    # October waits too, because invoices must be created in the order of their months.
    assert [each["status"] for each in client.get(RUNS).json()["items"]] == ["running"] * 2
    resume_invoice_runs(database)
    assert [each["status"] for each in client.get(RUNS).json()["items"]] == ["done"] * 2


def test_cancelled_run_keeps_its_invoices_and_final_counts(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoice_runs, "CHUNK_CUSTOMERS", 2)
    run = client.post(RUNS, json=OCTOBER).json()

    def cancel(_: object) -> None:
        answer = client.post(f"{RUNS}/{run['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")

    resume_invoice_runs(database, cancel)
    stopped = client.get(f"{RUNS}/{run['id']}").json()
    assert (stopped["status"], stopped["created"], stopped["failed"]) == ("cancelled", 2, 0)
    assert stopped["finished_at"]
    assert client.post(f"{RUNS}/{run['id']}/cancel").json() == stopped
    rest = client.post(RUNS, json=OCTOBER).json()
    resume_invoice_runs(database)
    rest = client.get(f"{RUNS}/{rest['id']}").json()
    assert (rest["status"], rest["created"], rest["existing"], rest["failed"]) == ("done", 1, 2, 1)
    assert client.post(f"{RUNS}/{rest['id']}/cancel").json() == rest


def test_runs_are_listed_newest_first(
    shop: Shop, client: TestClient, database: Database, clock: Clock
) -> None:
    periods = ["2026-08", "2026-09", "2026-10"]
    for period in periods:
        client.post(RUNS, json={"period": period})
        clock.moment += timedelta(minutes=1)
    first = client.get(RUNS, params={"limit": 2}).json()
    rest = client.get(RUNS, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    found = first["items"] + rest["items"]
    assert [each["period"] for each in found] == periods[::-1]
    assert rest["next_cursor"] is None
    assert "failures" not in found[0]


def test_refusals(shop: Shop, client: TestClient) -> None:
    assert problem(client.post(RUNS, json={"period": "2026-11"})) == (409, "period_open")
    assert problem(client.post(RUNS, json={"period": "2026"})) == (422, "invalid")
    assert problem(client.post(RUNS, json=OCTOBER | {"customer": "a"})) == (422, "invalid")
    for run in ("run_9", "run_x", "9", "ver_1"):
        assert problem(client.get(f"{RUNS}/{run}")) == (404, "run_not_found")
        assert problem(client.post(f"{RUNS}/{run}/cancel")) == (404, "run_not_found")


def test_finance_user_reads_runs_but_cannot_start_or_cancel_them(
    shop: Shop, client: TestClient, client_of: ClientOf
) -> None:
    run = client.post(RUNS, json=OCTOBER).json()
    finance = client_of(Role.FINANCE)
    assert problem(finance.post(RUNS, json=OCTOBER)) == (403, "forbidden")
    for path in (f"{RUNS}/{run['id']}/cancel", f"{RUNS}/run_9/cancel"):
        assert problem(finance.post(path)) == (403, "forbidden")
    assert finance.get(f"{RUNS}/{run['id']}").json() == run
    assert len(finance.get(RUNS).json()["items"]) == 1


def test_cancellation_that_has_to_wait_too_long_is_refused(
    shop: Shop, client: TestClient, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CANCEL_TIMEOUT", "50ms")
    run = client.post(RUNS, json=OCTOBER).json()
    with database.transaction(admin) as session:
        assert hold_off_cancellation(session, admin, run["id"])
        assert problem(client.post(f"{RUNS}/{run['id']}/cancel")) == (409, "run_busy")
    assert client.post(f"{RUNS}/{run['id']}/cancel").json()["status"] == "cancelled"


def test_run_needs_the_company_details(shop: Shop, client: TestClient, no_issuer: None) -> None:
    assert problem(client.post(RUNS, json=OCTOBER)) == (409, "issuer_incomplete")
    assert client.get(RUNS).json()["items"] == []
