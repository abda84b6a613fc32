from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

TERMS = {"name": "Team", "monthly_price": "29.00", "included_units": "1000", "overage_unit_price": "0.0125"}


def test_plan_and_its_next_version_are_created(client: TestClient) -> None:
    first = client.post("/api/v1/plans", json=TERMS)
    assert first.status_code == 201, first.text
    assert first.json() == {
        "id": first.json()["id"],
        "name": "Team",
        "version": 1,
        "currency": "USD",
        "monthly_price": "29.00",
        "charges": [
            {
                "meter": "usage",
                "model": "per_unit",
                "included_units": "1000",
                "unit_price": "0.0125",
                "package_size": None,
                "package_price": None,
                "tiers": [],
            }
        ],
        "included_units": "1000",
        "overage_unit_price": "0.0125",
        "archived": False,
        "created_at": "2026-11-15T12:00:00Z",
        "customers": None,
    }
    assert client.get(first.headers["location"]).json() == first.json()
    second = client.post("/api/v1/plans", json={**TERMS, "name": "team", "monthly_price": 31})
    assert (second.json()["version"], second.json()["monthly_price"]) == (2, "31.00")
    listed = client.get("/api/v1/plans").json()["items"]
    assert [each["version"] for each in listed] == [2, 1]


def test_same_terms_return_the_newest_version_with_status_200(client: TestClient) -> None:
    first = client.post("/api/v1/plans", json=TERMS)
    again = client.post("/api/v1/plans", json=TERMS | {"monthly_price": "29"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert len(client.get("/api/v1/plans").json()["items"]) == 1


def test_prices_are_read_exactly_as_text_and_as_numbers(client: TestClient) -> None:
    price = "0.000000000001"
    for number, written in enumerate((f'"{price}"', price, "1e-12")):
        body = (
            f'{{"name": "Tiny {number}", "monthly_price": 0.10, "included_units": 12345678901234.123456,'
            f' "overage_unit_price": {written}}}'
        )
        answer = client.post("/api/v1/plans", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["overage_unit_price"] == price
        assert answer.json()["included_units"] == "12345678901234.123456"
        assert answer.json()["monthly_price"] == "0.10"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monthly_price", "29.001"),
        ("monthly_price", -1),
        ("monthly_price", True),
        ("monthly_price", None),
        ("included_units", "1.0000001"),
        ("included_units", "NaN"),
        ("overage_unit_price", "1e-13"),
        ("overage_unit_price", [1]),
        ("currency", "usd"),
        ("name", ""),
        ("name", "a\x00b"),
        ("name", 7),
    ],
)
def test_invalid_terms_name_the_field_and_save_nothing(client: TestClient, field: str, value: object) -> None:
    answer = client.post("/api/v1/plans", json={**TERMS, field: value})
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert client.get("/api/v1/plans").json()["items"] == []


def test_new_customers_cannot_be_assigned_to_an_archived_plan(client: TestClient) -> None:
    plan = client.post("/api/v1/plans", json=TERMS).json()["id"]
    assert client.post(f"/api/v1/plans/{plan}/archive").json()["archived"] is True
    body = {"name": "Acme", "email": "a@example.com", "plan_id": plan}
    assert client.post("/api/v1/customers", json=body).json()["code"] == "plan_archived"
    assert client.get("/api/v1/plans", params={"archived": "false"}).json()["items"] == []


@pytest.mark.parametrize("plan", ["plan_9", "plan_0", "plan_x", "9", "cus_1", "plan_99999999999999999999"])
def test_unknown_plan_is_not_found(client: TestClient, plan: str) -> None:
    assert client.get(f"/api/v1/plans/{plan}").json()["code"] == "plan_not_found"
    assert client.post(f"/api/v1/plans/{plan}/archive").json()["code"] == "plan_not_found"


def test_charge_for_an_unknown_meter_is_refused(client: TestClient) -> None:
    charges = [{"model": "per_unit", "meter": "missing", "included_units": "0", "unit_price": "1"}]
    body = {"name": "Seats", "monthly_price": "5", "charges": charges}
    answer = client.post("/api/v1/plans", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "meter_not_found")
    described = client.get("/api/openapi.json").json()["paths"]["/api/v1/plans"]["post"]
    assert "404" in described["responses"]
    assert client.get("/api/v1/plans").json()["items"] == []
