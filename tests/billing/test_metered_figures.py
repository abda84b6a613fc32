"""Usage by meter, as its aggregation makes it: on a customer's page, in lists and on the dashboard."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.jobs.figures import refresh_figures
from billing_app.services.customers.customers import list_customers
from billing_app.services.dashboard.dashboard import MeterFigures, Unpriced, get_dashboard
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.meters import archive_meter
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.days import FirstCharge, MeteredMonth, find_first_charges, get_monthly_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.factories import make_meter

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)


def per_unit(meter: str, price: str = "1", included: str = "0") -> ChargeTerms:
    return ChargeTerms("per_unit", meter=meter, included_units=included, unit_price=price)


@pytest.fixture
def metered(shop: Shop, clock: Clock) -> Shop:
    """A meter of each aggregation besides the default one, and acme on a plan for seats first."""
    clock.set(2026, 11, 20)
    for code, aggregation in (("calls", "sum"), ("seats", "max"), ("users", "unique")):
        make_meter(shop.database, code, aggregation)
    shop.customer("acme", "2026-10", plan(shop, "Team", per_unit("seats", "10", "5"), per_unit("calls")))
    return shop


def plan(shop: Shop, name: str, *charges: ChargeTerms) -> int:
    with shop.database.transaction(SYSTEM) as session:
        return create_plan(session, SYSTEM, name=name, monthly_price="9", charges=list(charges)).plan_id


def use(
    shop: Shop,
    day: str,
    meter: str,
    value: object,
    *,
    customer: str = "acme",
) -> str:
    """Record a quantity, or an item of the meter for users. Return the event's key."""
    key = f"{meter} {day} {value}"
    quantity, item = (None, value) if meter == "users" else (value, None)
    report = UsageReport(customer, key, quantity, f"2026-{day}T10:00:00Z", meter, item)
    with shop.database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, report)
    return key


def correct(shop: Shop, event: str, quantity: str) -> None:
    with shop.database.transaction(SYSTEM) as session:
        correct_usage(session, SYSTEM, CorrectionReport("acme", event, quantity, "wrong", f"fix {event}"))


def months(shop: Shop, customer: str = "acme", period: date = NOVEMBER) -> dict[str, MeteredMonth]:
    with shop.database.transaction(SYSTEM) as session:
        found = get_monthly_usage(session, SYSTEM, customer, period)
    return {each.meter.code: each for each in found.meters}


def figures(shop: Shop) -> dict[str, MeterFigures]:
    refresh_figures(shop.database)
    with shop.database.transaction(SYSTEM) as session:
        found = get_dashboard(session, SYSTEM)
    assert found
    return {each.meter.code: each for each in found.meters}


def listed(shop: Shop, sort: str = "-usage") -> list[tuple[str, Decimal | None]]:
    with shop.database.transaction(SYSTEM) as session:
        return [(each.key, each.usage_quantity) for each in list_customers(session, SYSTEM, sort=sort).items]


def use_each_meter(shop: Shop) -> None:
    for day, seats, user in (("11-02", 4, "ada"), ("11-03", 8, "bob"), ("11-05", 6, "ada")):
        use(shop, day, "seats", seats)
        use(shop, day, "users", user)
        use(shop, day, "calls", 100)


def test_each_meter_aggregates_the_month_its_own_way(metered: Shop) -> None:
    use_each_meter(metered)
    found = months(metered)
    # Those of the plan first, then others with usage.
    assert list(found) == ["seats", "calls", "users"]
    assert {code: each.quantity for code, each in found.items()} == {"seats": 8, "calls": 300, "users": 2}
    assert [tuple(day)[1:] for day in found["seats"].days] == [(4, 4), (8, 4), (6, 0)]
    assert [tuple(day)[1:] for day in found["users"].days] == [(1, 1), (1, 1), (1, 0)]
    assert found["seats"].spans == ((NOVEMBER, DECEMBER, 8, 5),)
    assert found["users"].spans == ()


def test_corrected_events_count_as_corrected(metered: Shop) -> None:
    use_each_meter(metered)
    correct(metered, "seats 11-03 8", "5.5")
    correct(metered, "users 11-03 bob", "0")
    correct(metered, "calls 11-02 100", "1")
    found = months(metered)
    assert {code: each.quantity for code, each in found.items()} == {"seats": 6, "calls": 201, "users": 1}
    counted = figures(metered)
    assert {code: each.quantity for code, each in counted.items()} == {
        "usage": 0, "calls": 201, "seats": 6, "users": 1,
    }  # fmt: skip
    assert listed(metered) == [("acme", 6)]


def test_quantities_of_customers_are_added_on_the_dashboard(metered: Shop, clock: Clock) -> None:
    metered.customer("globex", "2026-10", plan(metered, "Users", per_unit("users")))
    clock.set(2026, 10, 31)
    for day, seats, user in (("10-05", 7, "zoe"), ("10-25", 9, "zoe"), ("10-26", 9, "yan")):
        use(metered, day, "seats", seats)
        use(metered, day, "users", user)
    clock.set(2026, 11, 20)
    use_each_meter(metered)
    for day, user in (("11-02", "ada"), ("11-02", "eve"), ("11-04", "eve")):
        use(metered, day, "users", user, customer="globex")
    use(metered, "11-03", "seats", 1, customer="globex")
    found = figures(metered)
    assert list(found) == ["usage", "calls", "seats", "users"]
    seats, users = found["seats"], found["users"]
    # 8 + 1 seats; ada and bob of acme, ada and eve of globex.
    assert (seats.quantity, users.quantity, found["calls"].quantity) == (9, 4, 300)
    assert (seats.last_month, seats.last_month_so_far) == (9, 7)
    assert (users.last_month, users.last_month_so_far) == (2, 1)
    assert [(each.day.day, each.quantity) for each in seats.days] == [(2, 4), (3, 9), (5, 6)]
    assert [(each.day.day, each.quantity) for each in users.days] == [(2, 3), (3, 1), (4, 1), (5, 1)]
    assert [(each.day.day, each.quantity) for each in users.days_last_month] == [(5, 1), (25, 1), (26, 1)]
    assert [each.events for each in users.days] == [3, 1, 1, 1]


def test_list_sorts_by_the_first_charge_of_each_plan(metered: Shop) -> None:
    metered.customer("globex", "2026-10", plan(metered, "Calls", per_unit("calls"), per_unit("seats")))
    metered.customer("free", "2026-10", plan(metered, "Flat"))
    metered.customer("later", "2026-12")
    use_each_meter(metered)
    use(metered, "11-02", "calls", 7, customer="globex")
    use(metered, "11-02", "seats", 70, customer="globex")
    refresh_figures(metered.database)
    assert listed(metered)[:2] == [("acme", 8), ("globex", 7)]
    # A plan that charges for no usage, and no plan yet.
    assert dict(listed(metered)[2:]) == {"free": None, "later": None}


def test_quantity_of_another_meter_is_never_shown_after_a_change_of_plan(metered: Shop) -> None:
    use_each_meter(metered)
    refresh_figures(metered.database)
    metered.set_plan("acme", plan(metered, "Calls", per_unit("calls"), per_unit("seats")), "2026-11-20")
    assert listed(metered) == [("acme", None)]
    refresh_figures(metered.database)
    assert listed(metered) == [("acme", 300)]


def test_divided_month_has_a_span_for_each_charge(metered: Shop) -> None:
    use_each_meter(metered)
    use(metered, "11-18", "calls", 50)
    changed = plan(metered, "Team 2", per_unit("seats", "12", "7"), per_unit("calls", "2", "300"))
    metered.set_plan("acme", changed, "2026-11-16")
    found = months(metered)
    half = date(2026, 11, 16)
    # What is included and the quantity of a meter that adds up are those of the days of the span.
    assert found["calls"].spans == ((NOVEMBER, half, 300, 0), (half, DECEMBER, 50, 150))
    # The quantity of other meters is that of the whole month, in each span with all that is included.
    assert found["seats"].spans == ((NOVEMBER, half, 8, 5), (half, DECEMBER, 8, 7))


def first_charge(shop: Shop) -> FirstCharge | None:
    with shop.database.transaction(SYSTEM) as session:
        (customer,) = list_customers(session, SYSTEM).items
        return find_first_charges(session, SYSTEM, [customer.customer_id]).get(customer.customer_id)


def test_bar_has_the_included_units_of_the_first_charge(metered: Shop) -> None:
    first = first_charge(metered)
    assert first
    assert (first.meter.code, first.included) == ("seats", 5)
    metered.set_plan("acme", plan(metered, "Seats 7", per_unit("seats", "10", "7")), "2026-11-16")
    assert first_charge(metered) == (first.meter, Decimal(7))
    metered.set_plan("acme", plan(metered, "Calls", per_unit("calls", "1", "300")), "2026-11-16")
    calls = first_charge(metered)
    assert calls
    assert (calls.meter.code, calls.included) == ("calls", 150)
    tiers = ChargeTerms("volume", meter="calls", tiers=[TierTerms("1", "10"), TierTerms("2")])
    metered.set_plan("acme", plan(metered, "Tiers", tiers), "2026-11-16")
    assert first_charge(metered) == (calls.meter, None)
    metered.set_plan("acme", None, "2026-11-20")
    assert first_charge(metered) is None


def test_dashboard_counts_usage_without_a_price_by_month(metered: Shop, clock: Clock) -> None:
    def unpriced() -> tuple[Unpriced, ...]:
        refresh_figures(metered.database)
        with metered.database.transaction(SYSTEM) as session:
            found = get_dashboard(session, SYSTEM)
        assert found
        return found.unpriced

    use(metered, "11-02", "seats", 3)
    assert unpriced() == ()
    use(metered, "10-02", "users", "ada")
    use(metered, "11-03", "users", "bob")
    undone = use(metered, "11-04", "users", "eve")
    assert unpriced() == ((date(2026, 10, 1), 1), (NOVEMBER, 2))
    correct(metered, undone, "0")
    assert unpriced() == ((date(2026, 10, 1), 1), (NOVEMBER, 1))
    metered.set_plan("acme", plan(metered, "All", per_unit("users"), per_unit("seats")), "2026-11-03")
    assert unpriced() == ((date(2026, 10, 1), 1),)
    metered.invoice("acme", "2026-10")
    use(metered, "10-20", "users", "late")
    assert unpriced() == ((date(2026, 10, 1), 2),)
    clock.set(2026, 12, 5)
    assert unpriced() == ()


def test_archived_meter_is_shown_while_it_has_usage(metered: Shop, clock: Clock) -> None:
    use(metered, "11-02", "seats", 3)
    with metered.database.transaction(SYSTEM) as session:
        archive_meter(session, SYSTEM, "seats")
        archive_meter(session, SYSTEM, "users")
    assert list(figures(metered)) == ["usage", "calls", "seats"]
    clock.set(2027, 1, 5)
    assert list(figures(metered)) == ["usage", "calls"]
