"""Worked examples of prices, over HTTP: a plan, a customer, usage, and what the invoices say."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.domain.actor import Role
from tests.api.conftest import ClientOf
from tests.conftest import Clock

Charges = list[dict[str, Any]]
STARTER = {"monthly_price": "29.00", "included_units": "1000", "overage_unit_price": "0.0125"}


def tiers(*terms: tuple[str | None, str, str]) -> Charges:
    return [{"up_to": up_to, "unit_price": unit, "flat_price": flat} for up_to, unit, flat in terms]


GRADUATED: Charges = [
    {
        "model": "graduated",
        "tiers": tiers(("1000", "0", "0"), ("10000", "0.01", "0"), (None, "0.004", "5.00")),
    }
]
VOLUME: Charges = [
    {
        "model": "volume",
        "tiers": tiers(("1000", "0.02", "0"), ("10000", "0.015", "0"), (None, "0.01", "5.00")),
    }
]
PACKAGE: Charges = [
    {"model": "package", "included_units": "10", "package_size": "5", "package_price": "3.00"}
]


class Acme:
    """One customer, whose plans, usage and invoices are all handled over HTTP."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def post(self, path: str, **body: Any) -> Any:
        answer = self.client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def plan(self, name: str, **terms: Any) -> str:
        return str(self.post("/plans", name=name, **terms)["id"])

    def start(self, start: str, **terms: Any) -> None:
        plan_id = self.plan("First", **terms)
        self.post("/customers", name="Acme", key="acme", email="a@acme.test", plan_id=plan_id, start=start)

    def change(self, day: str, **terms: Any) -> None:
        body = {"plan_id": self.plan("Second", **terms), "effective_from": day}
        answer = self.client.put("/api/v1/customers/acme/subscription", json=body)
        assert answer.status_code == 200, answer.text

    def use(self, quantity: str, day: str) -> None:
        key = f"{quantity} on {day}"
        self.post(
            "/usage", customer="acme", idempotency_key=key, quantity=quantity, occurred_at=f"{day}T12:00:00Z"
        )

    def invoice(self, period: str = "2026-10") -> Any:
        return self.post("/invoices", customer="acme", period=period)


@pytest.fixture
def acme(client: TestClient) -> Acme:
    return Acme(client)


def amounts(invoice: Any) -> list[str]:
    return [line["amount"] for line in invoice["lines"]]


@pytest.mark.parametrize(
    ("charges", "quantity", "prices"),
    [
        (GRADUATED, "1001", ["0.00", "0.01"]),
        (GRADUATED, "10000", ["0.00", "90.00"]),
        (GRADUATED, "10000.5", ["0.00", "90.00", "5.00"]),
        (GRADUATED, "25000", ["0.00", "90.00", "65.00"]),
        (VOLUME, "1000", ["20.00"]),
        (VOLUME, "1001", ["15.02"]),
        (VOLUME, "10000", ["150.00"]),
        (VOLUME, "10001", ["105.01"]),
        (PACKAGE, "10", ["0.00"]),
        (PACKAGE, "10.000001", ["3.00"]),
        (PACKAGE, "15", ["3.00"]),
        (PACKAGE, "15.5", ["6.00"]),
        (PACKAGE, "27", ["12.00"]),
    ],
)
def test_quantity_is_priced_by_its_model(
    acme: Acme, charges: Charges, quantity: str, prices: list[str]
) -> None:
    acme.start("2026-10", monthly_price=0, charges=charges)
    acme.use(quantity, "2026-10-05")
    assert amounts(acme.invoice()) == ["0.00", *prices]


def test_late_unit_that_reaches_a_cheaper_tier_is_a_credit(
    acme: Acme, clock: Clock, client_of: ClientOf
) -> None:
    acme.start("2026-10", monthly_price=0, charges=VOLUME)
    acme.use("1000", "2026-10-05")
    assert acme.invoice()["total"] == "20.00"
    acme.use("1", "2026-10-31")
    clock.set(2026, 12, 1)
    acme.client = client_of(Role.ADMIN)
    invoice = acme.invoice("2026-11")
    assert amounts(invoice) == ["0.00", "0.00", "-4.98"]
    assert invoice["total"] == "-4.98"
    late = invoice["lines"][2]
    assert (late["tier_before"], late["tier"]) == (
        {"number": 1, "from": "0", "up_to": "1000"},
        {"number": 2, "from": "1000", "up_to": "10000"},
    )
    assert (late["unit_price_before"], late["unit_price"]) == ("0.02", "0.015")
    assert (late["rated"], late["already_charged"]) == ("15.02", "20.00")


def test_first_month_that_starts_in_the_middle_is_a_part_of_it(acme: Acme) -> None:
    acme.start("2026-10-15", **STARTER)
    acme.use("700", "2026-10-20")
    invoice = acme.invoice()
    assert amounts(invoice) == ["15.90", "1.90"]
    assert invoice["total"] == "17.80"
    base, usage = invoice["lines"]
    assert base["segment"] == {"start": "2026-10-15", "end": "2026-11-01", "days": 17, "days_in_month": 31}
    assert base["exact_amount"] == "493/31"
    assert (usage["included_quantity"], usage["billed_quantity"]) == ("548.387097", "151.612903")


def test_month_under_two_plans_has_a_part_for_each(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    acme.change("2026-10-15", monthly_price="99.00", included_units="5000", overage_unit_price="0.01")
    acme.use("600", "2026-10-10")
    acme.use("3000", "2026-10-20")
    invoice = acme.invoice()
    assert sorted(amounts(invoice)) == sorted(["13.10", "1.85", "54.29", "2.58"])
    assert invoice["total"] == "71.82"


def test_identical_charge_of_two_plans_has_one_allowance(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    acme.change("2026-10-15", **{**STARTER, "monthly_price": "39.00"})
    acme.use("900", "2026-10-20")
    invoice = acme.invoice()
    assert amounts(invoice) == ["13.10", "21.39", "0.00"]
    assert invoice["total"] == "34.49"
