"""Verifications over HTTP: start, follow and read them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.jobs.verification import resume_verification, verify
from billing_app.services.verification import recomputation
from tests.api.conftest import ClientOf
from tests.billing.shop import Shop

VERIFICATIONS = "/api/v1/verifications"


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    """Two customers with one invoice each, and usage in an open period."""
    shop = Shop(database, admin)
    for key in ("acme", "globex"):
        shop.customer(key, "2026-10")
        shop.use(key, "oct", 1530, "2026-10-05T00:00:00Z")
        shop.invoice(key, "2026-10")
        shop.use(key, "nov", 1)
    return shop


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_verification_is_executed_in_the_background(
    shop: Shop, client: TestClient, database: Database
) -> None:
    assert problem(client.get(f"{VERIFICATIONS}/latest")) == (404, "verification_not_found")
    answer = client.post(VERIFICATIONS)
    assert answer.status_code == 202, answer.text
    started = answer.json()
    assert answer.headers["location"] == f"{VERIFICATIONS}/{started['id']}"
    assert started == {
        "id": started["id"], "status": "running", "started_by": started["started_by"],
        "started_at": "2026-11-15T12:00:00Z", "finished_at": None, "ok": None,
        "fault": None,
        "checked": dict.fromkeys(started["checked"], 0),
        "awaiting_invoice": [], "number_gaps": [], "discrepancy_count": 0, "discrepancies": [],
    }  # fmt: skip
    # `latest` is the newest verification with a result, and there is none yet.
    assert problem(client.get(f"{VERIFICATIONS}/latest")) == (404, "verification_not_found")
    assert client.get(answer.headers["location"]).json() == started
    resume_verification(database)
    done = client.get(f"{VERIFICATIONS}/latest").json()
    assert done == client.get(answer.headers["location"]).json()
    assert done == started | {
        "status": "done",
        "finished_at": "2026-11-15T12:00:00Z",
        "ok": True,
        "checked": {
            "customers": 2, "events": 4, "events_billed_once": 2, "events_billed_twice": 0,
            "events_missing": 0, "events_open": 2, "invoices": 2, "lines": 4, "usage_months": 2,
            "paid_invoices": 0, "events_unpriced": 0, "corrections": 0,
        },
    }  # fmt: skip


def test_discrepancies_have_code_facts_and_sentence(
    shop: Shop, client: TestClient, database: Database, owner: psycopg.Connection
) -> None:
    owner.execute("ALTER TABLE usage_event DISABLE TRIGGER USER")
    owner.execute("DELETE FROM usage_event WHERE idempotency_key = 'oct' AND customer_id = 1")
    client.post(VERIFICATIONS)
    resume_verification(database)
    found = client.get(f"{VERIFICATIONS}/latest").json()
    assert not found["ok"]
    assert found["discrepancy_count"] == len(found["discrepancies"]) > 0
    customer = {"id": "cus_1", "key": "acme", "name": "acme Inc."}
    assert {
        "customer": customer,
        "invoice": "ACME-0001",
        "code": "wrong_line",
        "facts": {"line": 2, "value": "amount", "found": "6.63", "expected": "0.00"},
        "detail": "Line 2: the amount is $6.63, but should be $0.00.",
    } in found["discrepancies"]
    assert {
        "customer": customer,
        "invoice": None,
        "code": "wrong_charge",
        "facts": {"part": "usage", "period": "2026-10", "found": "6.63", "expected": "0.00"},
        "detail": "$6.63 was charged for usage in October 2026, but its price is $0.00.",
    } in found["discrepancies"]


def test_second_start_returns_the_running_verification(
    shop: Shop, client: TestClient, client_of: ClientOf, database: Database
) -> None:
    first = client.post(VERIFICATIONS)
    second = client_of(Role.BILLING).post(VERIFICATIONS)
    assert (second.status_code, second.json()) == (202, first.json())
    resume_verification(database)
    assert client.post(VERIFICATIONS).json()["id"] != first.json()["id"]


def test_simultaneous_starts_return_the_same_verification(shop: Shop, client: TestClient) -> None:
    together = Barrier(8)

    def start(_: int) -> str:
        together.wait(30)
        return str(client.post(VERIFICATIONS).json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


def test_running_verification_shows_its_counts_so_far(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputation, "PROGRESS_EVERY", 1)
    place = client.post(VERIFICATIONS).headers["location"]
    seen = []

    def read_progress(_: object) -> None:
        now = client.get(place).json()
        seen.append((now["status"], now["ok"], now["checked"]["customers"]))

    resume_verification(database, read_progress)
    assert seen == [("running", None, 1), ("running", None, 2)]
    assert client.get(place).json()["status"] == "done"


def test_interrupted_verification_starts_over(
    shop: Shop, client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputation, "PROGRESS_EVERY", 1)
    place = client.post(VERIFICATIONS).headers["location"]

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_verification(database, die)
    left = client.get(place).json()
    assert (left["status"], left["checked"]["customers"]) == ("running", 1)
    # The command resumes it too, rather than starting another one.
    assert verify(database, SYSTEM).checked.customers == 2
    done = client.get(place).json()
    assert (done["status"], done["ok"], done["checked"]["customers"]) == ("done", True, 2)
    resume_verification(database)
    assert client.get(f"{VERIFICATIONS}/latest").json() == done


def test_finance_user_reads_verifications_but_cannot_start_one(
    shop: Shop, client: TestClient, client_of: ClientOf, database: Database
) -> None:
    finance = client_of(Role.FINANCE)
    assert problem(finance.post(VERIFICATIONS)) == (403, "forbidden")
    started = client.post(VERIFICATIONS).json()
    assert problem(finance.post(VERIFICATIONS)) == (403, "forbidden")
    resume_verification(database)
    assert finance.get(f"{VERIFICATIONS}/latest").json()["id"] == started["id"]
    assert finance.get(f"{VERIFICATIONS}/{started['id']}").json()["ok"]


def test_unknown_verification_is_not_found(client: TestClient) -> None:
    for verification in ("ver_9", "ver_x", "9", "run_1"):
        answer = client.get(f"{VERIFICATIONS}/{verification}")
        assert problem(answer) == (404, "verification_not_found")
