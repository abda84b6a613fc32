"""Usage that no charge prices: listed, counted and marked wherever it could be overlooked."""

from __future__ import annotations

from datetime import date

import pytest
from sqlmodel import Session

from billing_app.jobs.verification import verify
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage import unpriced as unpriced_usage
from billing_app.services.usage import unpriced_sql
from billing_app.services.usage.export import read_usage
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import count_usage, list_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage.unpriced import count_unpriced, find_unpriced
from tests.billing.shop import Shop
from tests.factories import make_meter

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture(params=["few customers", "many customers"])
def used(shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Two customers whose plans have no charge for seats, with usage and seats in October and November.

    Unpriced usage of few customers is found in another way than that of many.
    """
    if request.param == "many customers":
        monkeypatch.setattr(unpriced_sql, "_FEW", 1)
    make_meter(shop.database, "seats", "max")
    for key in ("acme", "globex"):
        shop.customer(key, "2026-10")
        for month in (10, 11):
            shop.use(key, f"calls {month}", 5, f"2026-{month}-02T10:00:00Z")
            seats(shop, key, f"seats {month}", 3, f"2026-{month}-03T10:00:00Z")
    seats(shop, "acme", "none", 0, "2026-10-04T10:00:00Z")
    return shop


def seats(shop: Shop, customer: str, event: str, quantity: object, at: str) -> None:
    with shop.database.transaction(shop.actor) as session:
        record_usage(session, shop.actor, UsageReport(customer, event, quantity, at, "seats"))


def unpriced(shop: Shop, **wanted: object) -> list[tuple[str, str]]:
    usage_filter = UsageFilter(unpriced_only=True, **wanted)  # type: ignore[arg-type]

    def read(session: Session) -> list[tuple[str, str]]:
        events = list_usage(session, shop.actor, usage_filter).items
        assert count_usage(session, shop.actor, usage_filter).number == len(events)
        exported = [each for chunk in read_usage(session, shop.actor, usage_filter) for each in chunk]
        assert sorted(exported) == sorted(events)
        every = list_usage(session, shop.actor, UsageFilter(**wanted)).items  # type: ignore[arg-type]
        marked = find_unpriced(session, shop.actor, every)
        assert marked == {(each.customer_id, each.idempotency_key) for each in events}
        return [(each.customer_key, each.idempotency_key) for each in events]

    return shop.database.run(shop.actor, read)


def test_unpriced_usage_is_listed_with_every_other_filter(used: Shop) -> None:
    assert unpriced(used) == [
        ("globex", "seats 11"), ("acme", "seats 11"), ("globex", "seats 10"), ("acme", "seats 10"),
    ]  # fmt: skip
    assert unpriced(used, customer="acme") == [("acme", "seats 11"), ("acme", "seats 10")]
    assert unpriced(used, period=OCTOBER) == [("globex", "seats 10"), ("acme", "seats 10")]
    assert unpriced(used, billing_period=NOVEMBER) == [("globex", "seats 11"), ("acme", "seats 11")]
    assert unpriced(used, meter="usage") == []
    used.invoice("acme", "2026-10")
    seats(used, "acme", "late", 1, "2026-10-05T10:00:00Z")
    assert unpriced(used, late_only=True) == [("acme", "late")]
    assert unpriced(used, billing_period=NOVEMBER, late_only=True) == [("acme", "late")]
    assert unpriced(used, period=OCTOBER, billing_period=OCTOBER) == [
        ("globex", "seats 10"), ("acme", "seats 10"),
    ]  # fmt: skip


def test_plan_of_the_day_decides(used: Shop) -> None:
    with used.database.transaction(used.actor) as session:
        charges = [
            ChargeTerms("per_unit", included_units="0", unit_price="1"),
            ChargeTerms("per_unit", meter="seats", included_units="0", unit_price="10"),
        ]
        plan = create_plan(session, used.actor, name="Seats", monthly_price="0", charges=charges)
    used.set_plan("acme", plan.plan_id, "2026-11-03")
    assert unpriced(used, customer="acme") == [("acme", "seats 10")]
    used.set_plan("globex", plan.plan_id, "2026-11-04")
    assert unpriced(used, customer="globex") == [("globex", "seats 11"), ("globex", "seats 10")]


def test_usage_corrected_to_zero_needs_no_price(used: Shop) -> None:
    def counts() -> tuple[int, int]:
        with used.database.transaction(used.actor) as session:
            by_meter = count_unpriced(session, used.actor, OCTOBER)
        return sum(each.events for each in by_meter), verify(
            used.database, used.actor
        ).checked.events_unpriced

    assert counts() == (2, 4)
    used.correct("acme", "seats 10", 0, "undo")
    assert unpriced(used, period=OCTOBER) == [("globex", "seats 10")]
    assert counts() == (1, 3)
    used.correct("acme", "seats 10", 2, "redo")
    used.correct("acme", "none", 1, "some after all")
    used.correct("globex", "seats 10", 9, "more")
    assert counts() == (3, 5)


def test_unpriced_usage_of_several_meters_is_listed_newest_first(used: Shop) -> None:
    make_meter(used.database, "exports", "sum")
    with used.database.transaction(used.actor) as session:
        at = "2026-10-20T10:00:00Z"
        record_usage(session, used.actor, UsageReport("acme", "export", 1, at, "exports"))
        bare = create_plan(session, used.actor, name="Bare", monthly_price="5", charges=[])
    used.customer("initech", "2026-10")
    used.set_plan("initech", bare.plan_id, "2026-10-01")
    used.use("initech", "calls", 5, "2026-10-10T10:00:00Z")
    assert unpriced(used, period=OCTOBER) == [
        ("acme", "export"), ("initech", "calls"), ("globex", "seats 10"), ("acme", "seats 10"),
    ]  # fmt: skip
    assert unpriced(used, meter="usage") == [("initech", "calls")]
    with used.database.transaction(used.actor) as session:
        counts = [each[:1] + each[2:] for each in count_unpriced(session, used.actor, OCTOBER)]
    assert counts == [("exports", 1, 1, False), ("seats", 2, 2, False), ("usage", 1, 1, False)]


def test_counting_unpriced_usage_stops_at_a_limit(used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpriced_usage, "COUNTED_MAX", 1)
    with used.database.transaction(used.actor) as session:
        [seats_used] = count_unpriced(session, used.actor, OCTOBER)
    assert (seats_used.events, seats_used.has_more) == (1, True)


def test_nothing_is_unpriced_where_every_plan_prices_every_meter(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 5, "2026-10-02T10:00:00Z")
    assert unpriced(shop) == []
