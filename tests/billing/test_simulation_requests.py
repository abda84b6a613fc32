"""Price simulations: who may ask for what, one at a time, resumed after a failure, removed after a week."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from billing_app.database.provision import Urls
from billing_app.domain.actor import Actor, Scope, system
from billing_app.errors import Conflict, Forbidden
from billing_app.jobs import simulations as jobs
from billing_app.jobs.retries import ATTEMPTS_MAX
from billing_app.jobs.simulations import resume_simulation
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.plans.meters import archive_meter
from billing_app.services.plans.plans import archive_plan
from billing_app.services.simulations.bills import simulate_bills
from billing_app.services.simulations.progress import SimulationSuperseded, add_bills, next_batches
from billing_app.services.simulations.rows import CustomersGiven, TermsGiven
from billing_app.services.simulations.simulations import get_simulation, list_simulated
from tests.billing.shop import Shop
from tests.billing.simulating import DEAR, NOVEMBER, simulate, start
from tests.conftest import Clock
from tests.factories import make_meter
from tests.refusals import refused

REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"period_start": date(2026, 12, 1)}, "invalid", "period"),
    ({"period_start": date(2026, 10, 2)}, "invalid", "period"),
    ({"customers": CustomersGiven()}, "invalid", "customers"),
    ({"customers": CustomersGiven(customer="acme", currency="USD")}, "invalid", "customers"),
    ({"customers": CustomersGiven(currency="XXX")}, "invalid", "customers.currency"),
    ({"customers": CustomersGiven(customer="nobody")}, "customer_not_found", None),
    ({"customers": CustomersGiven(plan_id=99)}, "plan_not_found", None),
    ({"terms": None}, "invalid", "plan_id"),
    ({"plan_id": 1}, "invalid", "terms"),
    ({"terms": None, "plan_id": 99}, "plan_not_found", None),
    ({"terms": TermsGiven("usd", "1")}, "invalid", "terms.currency"),
    ({"terms": TermsGiven("USD", "1.005")}, "invalid", "terms.monthly_price"),
    ({"terms": TermsGiven("USD", "1", [ChargeTerms("volume")])}, "invalid", "terms.charges.1.tiers"),
    ({"terms": TermsGiven("USD", "1", [ChargeTerms("volume", "gone")])}, "meter_not_found", None),
    (
        {"terms": TermsGiven("USD", "1", [*DEAR.charges, *DEAR.charges])},
        "invalid",
        "terms.charges.2.meter",
    ),
]


@pytest.mark.parametrize(("request_", "code", "field"), REFUSED)
def test_request_that_breaks_a_rule_is_refused(
    shop: Shop, owner: psycopg.Connection, request_: dict[str, Any], code: str, field: str | None
) -> None:
    shop.customer("acme", "2026-10")
    make_meter(shop.database, "gone")
    shop.database.call(shop.actor, archive_meter, "gone")
    with refused(code, field=field):
        simulate(shop, **{"terms": DEAR, **request_})
    assert owner.execute("SELECT count(*) FROM simulation").fetchone() == (0,)


def test_archived_plan_can_be_simulated(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    plan = shop.plan("Old", "5.00")
    shop.database.call(shop.actor, archive_plan, plan)
    assert simulate(shop, plan_id=plan).after_minor == 500


def test_same_request_returns_the_running_simulation_and_another_is_refused(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    plan = shop.plan()
    first = start(shop, terms=DEAR)
    again = TermsGiven("USD", "99", [ChargeTerms("per_unit", included_units="5000.0", unit_price="0.010")])
    assert start(shop, terms=again) == first
    different: list[dict[str, Any]] = [
        {"period_start": NOVEMBER},
        {"customers": CustomersGiven(currency="EUR")},
        {"customers": CustomersGiven(customer="acme")},
        {"terms": TermsGiven("USD", "99.01", DEAR.charges)},
        {"terms": None, "plan_id": plan},
    ]
    for each in different:
        with pytest.raises(Conflict) as caught:
            start(shop, **{"terms": DEAR, **each})
        assert (caught.value.code, caught.value.facts) == (
            "simulation_running",
            {"simulation": first.public_id},
        )
    resume_simulation(shop.database)
    assert start(shop, terms=DEAR).simulation_id != first.simulation_id


def test_simultaneous_requests_start_one_simulation(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-10")
    prices = ["99.00"] * 6 + ["1.00"] * 6

    def start_at(price: str) -> str:
        try:
            return start(shop, terms=TermsGiven("USD", price, DEAR.charges)).public_id
        except Conflict as refusal:
            return refusal.code

    with ThreadPoolExecutor(len(prices)) as pool:
        found = list(pool.map(start_at, prices))
    assert len(set(found[:6])) == len(set(found[6:])) == 1
    assert "simulation_running" in (found[0], found[6])
    assert owner.execute("SELECT count(*) FROM simulation").fetchone() == (1,)


def test_finance_user_and_reading_token_may_simulate_and_are_named(
    shop: Shop, finance: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    reader = Actor("token", "tok_2", "Reports", scopes=frozenset({Scope.READ}))
    for actor in (finance, reader):
        started = start(shop, actor, terms=DEAR)
        resume_simulation(shop.database)
        done = shop.database.call(actor, get_simulation, started.public_id)
        assert (done.status, done.started_by, done.after_minor) == ("done", actor.id, 9900)
        assert len(shop.database.call(actor, list_simulated, started.public_id).items) == 1
        entries = owner.execute(
            "SELECT action, actor_id, on_behalf_of FROM audit_entry WHERE subject = %s ORDER BY audit_id",
            [started.public_id],
        )
        assert entries.fetchall() == [
            ("simulation.started", "simulations", actor.id),
            ("simulation.done", started.public_id, actor.id),
        ]
    with pytest.raises(Forbidden):
        start(shop, Actor("token", "tok_3", "Meter", scopes=frozenset({Scope.USAGE_WRITE})), terms=DEAR)


def test_interrupted_simulation_resumes_after_its_last_batches(
    shop: Shop, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "CHUNK_CUSTOMERS", 4)
    monkeypatch.setattr(jobs, "LARGE_CHUNK_CUSTOMERS", 4)
    plan = shop.plan()
    for number in range(11):
        shop.customer(f"c{number}", "2026-10", plan)
    started = start(shop, terms=DEAR)

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_simulation(shop.database, die)
    left = shop.database.call(shop.actor, get_simulation, started.public_id)
    assert (left.status, left.total, left.simulated, left.processed) == ("running", 11, 4, 4)
    seen: list[int] = []
    resume_simulation(shop.database, lambda simulation: seen.append(simulation.simulated))
    assert seen == [8, 11]
    done = shop.database.call(shop.actor, get_simulation, started.public_id)
    assert (done.status, done.simulated, done.before_minor, done.after_minor) == ("done", 11, 31900, 108900)
    assert owner.execute("SELECT count(*), sum(difference_minor) FROM simulated_customer").fetchone() == (
        11,
        77000,
    )


def test_batch_is_stored_once(shop: Shop, owner: psycopg.Connection) -> None:
    """Even if a process was frozen with its batch and another one has done it since."""
    shop.customer("acme", "2026-10")
    started = start(shop, terms=DEAR)
    worker = system("sim_1")
    (batch,) = shop.database.call(worker, next_batches, started, 10)
    bills = shop.database.call(worker, simulate_bills, started.request, batch.customers)
    shop.database.call(worker, add_bills, started, batch, bills)
    for _ in range(2):
        with pytest.raises(SimulationSuperseded):
            shop.database.call(worker, add_bills, started, batch, bills)
        resume_simulation(shop.database)
    done = shop.database.call(shop.actor, get_simulation, started.public_id)
    assert (done.status, done.simulated, done.after_minor) == ("done", 1, 9900)
    assert owner.execute("SELECT count(*) FROM simulated_customer").fetchone() == (1,)


def test_one_of_several_servers_executes_a_simulation(shop: Shop, owner: psycopg.Connection) -> None:
    plan = shop.plan()
    for number in range(12):
        shop.customer(f"c{number}", "2026-10", plan)
    started = start(shop, terms=DEAR)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(resume_simulation, [shop.database] * 4))
    done = shop.database.call(shop.actor, get_simulation, started.public_id)
    assert (done.status, done.simulated, done.after_minor) == ("done", 12, 118800)
    assert owner.execute("SELECT count(*) FROM simulated_customer").fetchone() == (12,)


def test_simulation_that_keeps_failing_is_given_up(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-10")
    owner.execute("ALTER TABLE discount RENAME TO discount_away")
    started = start(shop, terms=DEAR)
    for _ in range(ATTEMPTS_MAX - 1):
        with pytest.raises(psycopg.errors.UndefinedTable):
            resume_simulation(shop.database)
    resume_simulation(shop.database)
    failed = shop.database.call(shop.actor, get_simulation, started.public_id)
    assert (failed.status, failed.fault and failed.fault.code) == ("failed", "database_refused")
    owner.execute("ALTER TABLE discount_away RENAME TO discount")
    assert simulate(shop, terms=DEAR).status == "done"


def test_results_are_removed_after_seven_days(shop: Shop, clock: Clock, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-10")
    old = simulate(shop, terms=DEAR)
    for kept, moment in (
        (1, clock.moment + timedelta(days=7)),
        (0, clock.moment + timedelta(days=7, seconds=1)),
    ):
        clock.moment = moment
        resume_simulation(shop.database)
        for table in ("simulation", "simulated_customer"):
            assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (kept,)  # type: ignore[arg-type]
    with refused("simulation_not_found"):
        shop.database.call(shop.actor, get_simulation, old.public_id)


def test_rows_say_what_they_were_asked_and_add_up(shop: Shop, urls: Urls) -> None:
    """What the application's role can't change, even with SQL."""
    shop.customer("acme", "2026-10")
    simulate(shop, terms=DEAR)
    with psycopg.connect(urls.application.replace("+psycopg", ""), autocommit=True) as application:
        for change in (
            "UPDATE simulation SET started_by = 'usr_9'",
            "UPDATE simulation SET request = '{}'",
            "UPDATE simulated_customer SET after_minor = 1, difference_minor = 1 - before_minor",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(change)
        with pytest.raises(psycopg.errors.CheckViolation, match="ck_simulated_customer_difference"):
            application.execute(
                "INSERT INTO simulated_customer SELECT 9, simulation_id, 1, 2, 3 FROM simulation"
            )
