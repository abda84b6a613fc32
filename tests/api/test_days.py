"""Customers that start, change and end on a day, and previews of a change."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from billing_app.domain.actor import Role
from tests.api.conftest import ClientOf

CUSTOMERS, INVOICES = "/api/v1/customers", "/api/v1/invoices"
ACME = f"{CUSTOMERS}/acme"


def created(answer: Any) -> Any:
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def add_plan(client: TestClient, name: str, price: str, included: str, unit_price: str) -> str:
    terms = {"monthly_price": price, "included_units": included, "overage_unit_price": unit_price}
    return str(created(client.post("/api/v1/plans", json={"name": name, **terms}))["id"])


def add_customer(client: TestClient, plan: str, start: str | None = None, key: str = "acme") -> None:
    body = {"name": key, "email": f"{key}@example.com", "key": key, "plan_id": plan}
    created(client.post(CUSTOMERS, json=body | ({"start": start} if start else {})))


def change(client: TestClient, plan: str | None, day: str, **more: Any) -> Any:
    return client.put(f"{ACME}/subscription", json={"plan_id": plan, "effective_from": day, **more})


def use(client: TestClient, quantity: str, day: str) -> Any:
    return client.post(
        "/api/v1/usage",
        json={
            "customer": "acme", "quantity": quantity, "occurred_at": f"{day}T10:00:00Z",
            "idempotency_key": f"{day} {quantity}",
        },
    )  # fmt: skip


def invoice(client: TestClient, period: str = "2026-10") -> Any:
    """Return the preview of a month, which must equal the invoice that is then generated."""
    preview = created(client.get(f"{ACME}/invoice-preview", params={"period": period}))
    made = created(client.post(INVOICES, json={"customer": "acme", "period": period}))
    assert (preview["lines"], preview["total"]) == (made["lines"], made["total"])
    return made


def amounts(made: Any) -> list[tuple[str, str]]:
    return [(line["kind"], line["amount"]) for line in made["lines"]]


@pytest.fixture
def team(client: TestClient) -> str:
    return add_plan(client, "Team", "29.00", "1000", "0.0125")


def test_usage_before_the_first_day_is_refused(client: TestClient, team: str) -> None:
    add_customer(client, team, "2026-10-15")
    assert created(client.get(f"{ACME}/subscription"))["items"][0]["effective_from"] == "2026-10-15"
    assert problem(use(client, "1", "2026-10-14")) == (422, "no_plan")
    created(use(client, "1", "2026-10-15"))


def test_february_is_divided_by_its_own_days(client: TestClient) -> None:
    plan = add_plan(client, "Even", "28.00", "2800", "1")
    add_customer(client, plan, "2026-02-15")
    created(use(client, "1401", "2026-02-28"))
    made = invoice(client, "2026-02")
    assert (amounts(made), made["total"]) == ([("base", "14.00"), ("overage", "1.00")], "15.00")
    # 2024 is a leap year: 14 of 29 days are 13.517 of 28.
    add_customer(client, plan, "2024-02-16", "leap")
    leap = created(client.post(INVOICES, json={"customer": "leap", "period": "2024-02"}))
    assert (leap["lines"][0]["amount"], leap["lines"][0]["exact_amount"]) == ("13.52", "392/29")


def test_cancelled_days_cost_nothing_and_take_no_usage(client: TestClient, team: str) -> None:
    add_customer(client, team, "2026-10")
    created(use(client, "10", "2026-10-10"))
    assert problem(change(client, None, "2026-10-10")) == (409, "usage_recorded")
    created(change(client, None, "2026-10-11"))
    assert problem(use(client, "1", "2026-10-11")) == (422, "no_plan")
    made = invoice(client)
    assert (amounts(made), made["total"]) == ([("base", "9.35"), ("overage", "0.00")], "9.35")
    assert problem(client.post(INVOICES, json={"customer": "acme", "period": "2026-11"}))[1] == "period_open"


def test_month_and_date_mean_the_same_first_day(client: TestClient, team: str) -> None:
    add_customer(client, team)
    for body in ({}, {"start": "2026-11"}, {"start": "2026-11-01"}):
        key = f"c{len(body.get('start', ''))}"
        add_customer(client, team, body.get("start"), key)
        rows = created(client.get(f"{CUSTOMERS}/{key}/subscription"))["items"]
        assert [row["effective_from"] for row in rows] == ["2026-11-01"]
    other = add_plan(client, "Other", "1", "0", "0")
    assert created(change(client, other, "2026-12")) == created(change(client, other, "2026-12-01"))
    for day in ("2026-13", "2026-02-30", "2026-11-1", "1969-12-31", "9999-01-01", 20261101, None):
        assert problem(change(client, other, day)) == (422, "invalid")
    answer = client.post(
        CUSTOMERS, json={"name": "x", "email": "x@x.x", "plan_id": team, "start_period": "2026-11"}
    )
    assert answer.json()["errors"] == [{"field": "start_period", "message": "is not a field of this request"}]


def everything(owner: psycopg.Connection) -> list[Any]:
    tables = ("subscription", "customer", "customer_billing", "invoice", "audit_entry")
    return [
        owner.execute(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1").fetchall() for table in tables
    ]


def test_preview_of_a_change_is_what_saving_it_gives_and_writes_nothing(
    client: TestClient, client_of: ClientOf, team: str, owner: psycopg.Connection
) -> None:
    scale = add_plan(client, "Scale", "99.00", "5000", "0.01")
    add_customer(client, team, "2026-11")
    created(use(client, "600", "2026-11-10"))
    finance = client_of(Role.FINANCE)
    path, before = f"{ACME}/invoice-preview", everything(owner)
    now = created(client.get(path))
    planned = {"plan_id": scale, "effective_from": "2026-11-10"}
    foreseen = created(finance.get(path, params=planned))
    cancelled = created(client.get(path, params={"cancel": True, "effective_from": "2026-11-11"}))
    later = created(client.get(path, params={"plan_id": scale, "effective_from": "2026-12"}))
    december = created(
        client.get(path, params={"plan_id": scale, "effective_from": "2026-12", "period": "2026-12"})
    )
    assert everything(owner) == before
    assert created(client.get(path)) == now == later
    assert december["total"] == "99.00"
    assert (cancelled["total"], amounts(cancelled)[0]) == ("13.00", ("base", "9.67"))
    created(change(client, scale, "2026-11-10"))
    saved = created(client.get(path))
    assert saved == foreseen
    assert saved["total"] != now["total"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"effective_from": "2026-12"}, "plan_id"),
        ({"cancel": "true"}, "effective_from"),
        ({"plan_id": "plan_1"}, "effective_from"),
        ({"plan_id": "plan_1", "cancel": "true", "effective_from": "2026-12"}, "plan_id"),
        ({"cancel": "true", "effective_from": "2026-00"}, "effective_from"),
    ],
)
def test_incomplete_what_if_is_invalid(
    client: TestClient, team: str, query: dict[str, str], field: str
) -> None:
    add_customer(client, team)
    answer = client.get(f"{ACME}/invoice-preview", params=query)
    assert problem(answer) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_usage_that_would_lose_its_price_is_named_until_confirmed(client: TestClient, team: str) -> None:
    flat = created(client.post("/api/v1/plans", json={"name": "Flat", "monthly_price": "50", "charges": []}))
    add_customer(client, team)
    created(use(client, "1200", "2026-11-10"))
    refused = change(client, flat["id"], "2026-11")
    path, planned = f"{ACME}/invoice-preview", {"plan_id": flat["id"], "effective_from": "2026-11"}
    for answer in (refused, client.get(path, params=planned)):
        assert problem(answer) == (409, "usage_unpriced")
        assert answer.json()["unpriced"] == [{"meter": "usage", "name": "Usage", "events": 1}]
        assert answer.json()["detail"] == (
            "The new plan has no price for usage that is already recorded: 1 event of Usage."
            " Confirm to leave it without a price."
        )
    assert created(client.get(path, params=planned | {"confirm_unpriced": "true"}))["total"] == "50.00"
    created(change(client, flat["id"], "2026-11", confirm_unpriced=True))
    assert created(client.get(path))["total"] == "50.00"
