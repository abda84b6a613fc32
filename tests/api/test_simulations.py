"""Price simulations over HTTP: start, follow, page and export them."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.jobs.simulations import resume_simulation
from tests.api.conftest import ClientOf
from tests.billing.shop import Shop

SIMULATIONS = "/api/v1/simulations"
TERMS = {
    "currency": "USD",
    "monthly_price": "0",
    "charges": [
        {
            "model": "volume",
            "tiers": [
                {"up_to": "1000", "unit_price": "0.02"},
                {"up_to": 10000, "unit_price": "0.015"},
                {"unit_price": "0.01", "flat_price": "5.00"},
            ],
        }
    ],
}


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    """Three customers at 29.00 with 1,000 included and 0.0125 each beyond."""
    shop = Shop(database, admin)
    plan = shop.plan("Team")
    for key, used in (("acme", 1530), ("globex", 10_001), ("initech", 900)):
        shop.customer(key, "2026-10", plan)
        shop.use(key, "oct", used, "2026-10-05T00:00:00Z")
    return shop


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def body(**different: Any) -> dict[str, Any]:
    return {"period": "2026-10", "customers": {"currency": "USD"}, "terms": TERMS, **different}


def test_simulation_is_started_followed_and_read(shop: Shop, client: TestClient, database: Database) -> None:
    answer = client.post(SIMULATIONS, json=body())
    assert answer.status_code == 202, answer.text
    started = answer.json()
    assert answer.headers["location"] == f"{SIMULATIONS}/{started['id']}"
    tiers = [
        {"up_to": "1000", "unit_price": "0.02", "flat_price": "0.00"},
        {"up_to": "10000", "unit_price": "0.015", "flat_price": "0.00"},
        {"up_to": None, "unit_price": "0.01", "flat_price": "5.00"},
    ]
    assert started == {
        "id": started["id"], "status": "running", "period": "2026-10",
        "selection": {"customer": None, "plan_id": None, "currency": "USD"},
        "plan_id": None,
        "terms": {
            "currency": "USD", "monthly_price": "0.00",
            "charges": [{
                "meter": "usage", "model": "volume", "included_units": None, "unit_price": None,
                "package_size": None, "package_price": None, "tiers": tiers,
            }],
        },
        "total": 3, "customers": 0, "left_out": {"currency": 0, "no_plan": 0},
        "before": "0.00", "after": "0.00", "difference": "0.00",
        "started_by": started["started_by"], "started_at": "2026-11-15T12:00:00Z", "finished_at": None,
        "fault": None,
    }  # fmt: skip
    assert problem(client.get(f"{SIMULATIONS}/{started['id']}.csv")) == (409, "simulation_unfinished")
    resume_simulation(database)
    done = client.get(answer.headers["location"]).json()
    # 35.63 + 141.51 + 29.00 before; 22.95 + 105.01 + 18.00 after.
    assert done == started | {
        "status": "done", "finished_at": "2026-11-15T12:00:00Z", "customers": 3,
        "before": "206.14", "after": "145.96", "difference": "-60.18",
    }  # fmt: skip


def test_customers_are_paged_by_difference(shop: Shop, client: TestClient, database: Database) -> None:
    place = client.post(SIMULATIONS, json=body()).headers["location"]
    resume_simulation(database)
    first = client.get(f"{place}/customers", params={"limit": 2}).json()
    second = client.get(f"{place}/customers", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert second["next_cursor"] is None
    found = [
        (each["customer"]["key"], each["before"], each["after"], each["difference"])
        for each in (*first["items"], *second["items"])
    ]
    assert found == [
        ("initech", "29.00", "18.00", "-11.00"),
        ("acme", "35.63", "22.95", "-12.68"),
        ("globex", "141.51", "105.01", "-36.50"),
    ]
    smallest = client.get(f"{place}/customers", params={"sort": "difference", "limit": 1}).json()
    assert smallest["items"] == [second["items"][0]]
    wrong = client.get(
        f"{place}/customers", params={"sort": "-difference", "cursor": smallest["next_cursor"]}
    )
    assert problem(wrong) == (422, "invalid")


def test_export_has_every_customer(shop: Shop, client: TestClient, database: Database) -> None:
    started = client.post(SIMULATIONS, json=body()).json()
    resume_simulation(database)
    answer = client.get(f"{SIMULATIONS}/{started['id']}.csv")
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="simulation-2026-10-{started["id"]}.csv"'
    )
    assert answer.content.decode("utf-8-sig").splitlines() == [
        "customer_id,customer_key,customer_name,period,currency,before,after,difference",
        "cus_3,initech,initech Inc.,2026-10,USD,29.00,18.00,-11.00",
        "cus_1,acme,acme Inc.,2026-10,USD,35.63,22.95,-12.68",
        "cus_2,globex,globex Inc.,2026-10,USD,141.51,105.01,-36.50",
    ]


def test_same_request_returns_the_running_one_and_another_is_refused(shop: Shop, client: TestClient) -> None:
    first = client.post(SIMULATIONS, json=body())
    again = client.post(SIMULATIONS, json=body())
    assert (again.status_code, again.json()) == (202, first.json())
    other = client.post(SIMULATIONS, json=body(customers={"customer": "acme"}))
    assert problem(other) == (409, "simulation_running")
    assert other.json()["simulation"] == first.json()["id"]
    assert first.json()["id"] in other.json()["detail"]


@pytest.mark.parametrize(
    ("different", "expected", "field"),
    [
        ({"period": "2026-12"}, (422, "invalid"), "period"),
        ({"period": "October"}, (422, "invalid"), "period"),
        ({"customers": {}}, (422, "invalid"), "customers"),
        ({"customers": {"plan_id": "plan_1", "customer": "acme"}}, (422, "invalid"), "customers"),
        ({"customers": {"key": "acme"}}, (422, "invalid"), "customers.key"),
        ({"customers": {"customer": "nobody"}}, (404, "customer_not_found"), None),
        ({"customers": {"plan_id": "plan_9"}}, (404, "plan_not_found"), None),
        ({"plan_id": "plan_1"}, (422, "invalid"), "terms"),
        ({"terms": None}, (422, "invalid"), "plan_id"),
        ({"terms": None, "plan_id": "plan_9"}, (404, "plan_not_found"), None),
        ({"terms": TERMS | {"currency": "dollars"}}, (422, "invalid"), "terms.currency"),
        ({"terms": TERMS | {"monthly_price": "-1"}}, (422, "invalid"), "terms.monthly_price"),
        (
            {"terms": TERMS | {"charges": [{"model": "package"}]}},
            (422, "invalid"),
            "terms.charges.1.included_units",
        ),
        ({"terms": TERMS | {"charges": [{"meter": "x", "model": "volume"}]}}, (404, "meter_not_found"), None),
    ],
)
def test_request_that_breaks_a_rule_is_refused(
    shop: Shop, client: TestClient, different: dict[str, Any], expected: tuple[int, str], field: str | None
) -> None:
    answer = client.post(SIMULATIONS, json=body(**different))
    assert problem(answer) == expected
    assert [each["field"] for each in answer.json().get("errors", [])] == ([field] if field else [])
    assert problem(client.get(f"{SIMULATIONS}/sim_1")) == (404, "simulation_not_found")


def test_finance_user_simulates(shop: Shop, client_of: ClientOf, database: Database) -> None:
    finance = client_of(Role.FINANCE)
    place = finance.post(SIMULATIONS, json=body(terms=None, plan_id="plan_1")).headers["location"]
    resume_simulation(database)
    done = finance.get(place).json()
    assert (done["status"], done["plan_id"], done["difference"]) == ("done", "plan_1", "0.00")
    assert finance.get(f"{place}/customers").json()["items"][0]["difference"] == "0.00"
    assert finance.get(f"{place}.csv").status_code == 200


def test_unknown_simulation_is_not_found(client: TestClient) -> None:
    for simulation in ("sim_9", "sim_x", "9", "run_1"):
        for path in (simulation, f"{simulation}.csv", f"{simulation}/customers"):
            assert problem(client.get(f"{SIMULATIONS}/{path}")) == (404, "simulation_not_found")
