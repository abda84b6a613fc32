"""Price simulations: equal to invoices under the other terms, one at a time, and resumed after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.simulations.rows import CustomersGiven, SimulatedRow
from billing_app.services.simulations.simulations import list_simulated
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import UsageReport
from tests.billing.shop import Shop
from tests.billing.simulating import DEAR, NOVEMBER, OCTOBER, USD, amounts, rows, simulate
from tests.conftest import Clock
from tests.factories import make_meter


@pytest.fixture
def tiered(shop: Shop) -> int:
    """A plan with tiers, packages, seats and different users."""
    make_meter(shop.database, "calls")
    make_meter(shop.database, "seats", "max")
    make_meter(shop.database, "users", "unique")
    charges = [
        ChargeTerms("graduated", "usage", tiers=[TierTerms("0.02", "500", "1.00"), TierTerms("0.01")]),
        ChargeTerms("package", "calls", included_units=10, package_size=5, package_price="3.00"),
        ChargeTerms("per_unit", "seats", included_units=1, unit_price="12"),
        ChargeTerms("volume", "users", tiers=[TierTerms("2", "2"), TierTerms("1.5", None, "4.00")]),
    ]
    with shop.database.transaction(shop.actor) as session:
        return create_plan(
            session, shop.actor, name="Tiered", monthly_price="19.00", charges=charges
        ).plan_id  # fmt: skip


def use_everything(shop: Shop, key: str) -> None:
    """Record usage of all meters, some of it late, with corrections and a discount."""
    day = "2026-10-{:02d}T10:00:00Z"
    reports = [
        *(UsageReport(key, f"u{each}", 97 * each, day.format(3 * each)) for each in range(1, 10)),
        *(UsageReport(key, f"c{each}", 7, day.format(5 * each), meter="calls") for each in range(1, 6)),
        *(UsageReport(key, f"s{each}", each, day.format(4 * each), meter="seats") for each in (2, 5, 3)),
        *(
            UsageReport(key, f"i{each}", None, day.format(5 * each), meter="users", item=f"user {each % 3}")
            for each in range(1, 5)
        ),
    ]
    shop.use_many(reports)
    for event, quantity in (("u9", 12), ("s5", 4), ("i2", 0), ("c1", 90)):
        report = CorrectionReport(key, event, quantity, "miscounted", f"fix {event}")
        with shop.database.transaction(shop.actor) as session:
            correct_usage(session, shop.actor, report)


Story = Callable[[Shop, str, Sequence[int]], None]


def one_plan(shop: Shop, key: str, plans: Sequence[int]) -> None:
    shop.customer(key, "2026-09", plans[0])


def mid_month_start(shop: Shop, key: str, plans: Sequence[int]) -> None:
    shop.customer(key, "2026-10-03", plans[0])


def two_plans(shop: Shop, key: str, plans: Sequence[int]) -> None:
    shop.customer(key, "2026-09", plans[0])
    shop.set_plan(key, plans[1], "2026-10-15")


def a_gap(shop: Shop, key: str, plans: Sequence[int]) -> None:
    shop.customer(key, "2026-10-02", plans[0])
    shop.set_plan(key, None, "2026-10-29")
    shop.set_plan(key, plans[1], "2026-10-30")


@pytest.mark.parametrize("story", [one_plan, mid_month_start, two_plans, a_gap])
def test_simulation_equals_invoices_of_twins_under_the_other_terms(
    shop: Shop, tiered: int, story: Story
) -> None:
    """One customer has the plans of the story, and its twin the other plan on the same days."""
    story(shop, "real", [shop.plan(), shop.plan("Large", "99.00", "300", "0.05")])
    story(shop, "twin", [tiered, tiered])
    for key in ("real", "twin"):
        with shop.database.transaction(shop.actor) as session:
            for terms in ({"percent": "20"}, {"amount": "10.00", "applies_to": "usage"}):
                create_discount(session, shop.actor, key, name="Welcome", first_period=OCTOBER, **terms)
        use_everything(shop, key)
    found = amounts(shop, simulate(shop, plan_id=tiered))
    for key in ("real", "twin"):
        if story in (one_plan, two_plans):
            shop.invoice(key, "2026-09")
    expected = {key: shop.invoice(key, "2026-10").total_minor for key in ("real", "twin")}
    assert expected["real"] != expected["twin"]
    assert found == {
        "real": (expected["real"], expected["twin"]),
        "twin": (expected["twin"], expected["twin"]),
    }


def october_charges(invoices: Sequence[InvoiceDetail]) -> int:
    lines = [line for invoice in invoices for line in invoice.lines]
    return sum(line.amount_minor for line in lines if line.usage_period == OCTOBER)


def test_late_usage_and_late_corrections_count_as_recorded_now(shop: Shop, tiered: int, clock: Clock) -> None:
    """The real customer gets them after its invoices, its twin before."""
    shop.customer("real", "2026-10", shop.plan())
    shop.customer("punctual", "2026-10", shop.plan())
    shop.customer("twin", "2026-10", tiered)
    for key in ("real", "punctual", "twin"):
        shop.use(key, "first", 1530, "2026-10-05T00:00:00Z")
    use_everything(shop, "twin")
    invoices = [shop.invoice("real", "2026-10")]
    use_everything(shop, "real")
    clock.set(2026, 12, 5)
    invoices.append(shop.invoice("real", "2026-11"))
    for key in ("real", "twin"):
        shop.use(key, "second", 300, "2026-10-06T00:00:00Z")
    found = amounts(shop, simulate(shop, plan_id=tiered))
    clock.set(2027, 1)
    invoices.append(shop.invoice("real", "2026-12"))
    assert [len(each.lines) for each in invoices] == [2, 3, 3]
    assert found["real"] == (october_charges(invoices), shop.invoice("twin", "2026-10").total_minor)
    assert found["punctual"][0] == 3563


def test_current_month_is_simulated_so_far(shop: Shop) -> None:
    shop.customer("acme", "2026-11", shop.plan())
    shop.use("acme", "so far", 1530, "2026-11-10T00:00:00Z")
    assert amounts(shop, simulate(shop, period_start=NOVEMBER, terms=DEAR)) == {"acme": (3563, 9900)}


def test_customers_of_another_currency_or_without_a_plan_are_left_out_and_counted(shop: Shop) -> None:
    usd, eur = shop.plan(), shop.plan("Euro", currency="EUR")
    shop.customer("acme", "2026-10", usd)
    shop.customer("later", "2026-11", usd)
    shop.customer("gone", "2026-08", usd)
    shop.set_plan("gone", None, "2026-10-01")
    shop.customer("lyon", "2026-10", eur)
    for customers, counts in (
        (USD, (3, 1, 0, 2)),
        (CustomersGiven(currency="EUR"), (1, 0, 1, 0)),
        (CustomersGiven(plan_id=usd), (1, 1, 0, 0)),
        (CustomersGiven(plan_id=eur), (1, 0, 1, 0)),
        (CustomersGiven(customer="later"), (1, 0, 0, 1)),
        (CustomersGiven(customer="acme"), (1, 1, 0, 0)),
        (CustomersGiven(currency="GBP"), (0, 0, 0, 0)),
    ):
        found = simulate(shop, customers=customers, terms=DEAR)
        assert (found.total, found.simulated, found.other_currency, found.no_plan) == counts
        assert (found.status, found.before_minor, found.after_minor) == (
            ("done", 2900, 9900) if found.simulated else ("done", 0, 0)
        )
        assert [each.customer_key for each in rows(shop, found)] == ["acme"] * found.simulated


def test_customers_on_a_plan_are_those_with_a_day_on_it(shop: Shop) -> None:
    plan, other = shop.plan(), shop.plan("Other", "5.00")
    for key, first, second in (("before", plan, other), ("after", other, plan), ("never", other, other)):
        shop.customer(key, "2026-09", first)
        if first != second:
            shop.set_plan(key, second, "2026-10-20")
    shop.customer("left", "2026-08", plan)
    shop.set_plan("left", other, "2026-10-01")
    found = simulate(shop, customers=CustomersGiven(plan_id=plan), terms=DEAR)
    assert {each.customer_key for each in rows(shop, found)} == {"before", "after"}


def test_pages_by_difference_have_every_customer_once(shop: Shop) -> None:
    plan = shop.plan()
    for number, used in enumerate((0, 9000, 9000, 20000, 1000)):
        shop.customer(f"c{number}", "2026-10", plan)
        shop.use(f"c{number}", "x", used, "2026-10-05T00:00:00Z")
    found = simulate(shop, terms=DEAR)
    seen, cursor = list[SimulatedRow](), None
    for _ in range(3):
        page = shop.database.call(shop.actor, list_simulated, found.public_id, limit=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
    assert cursor is None
    assert [each.difference_minor for each in seen] == [7000, 7000, 1000, 1000, -1750]
    assert len({each.customer_id for each in seen}) == 5
    assert rows(shop, found, sort="difference") == tuple(reversed(seen))
    assert found.difference_minor == sum(each.difference_minor for each in seen)
