from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.customers import customers, keys
from billing_app.services.customers.rows import CustomerRow, CustomerStatus
from billing_app.services.plans import plans
from billing_app.services.usage import recording
from tests.conftest import Clock
from tests.factories import make_customer, make_plan, record
from tests.races import at_once, codes, overlap
from tests.refusals import refused


def update(database: Database, ref: str, **changes: Any) -> CustomerRow:
    with database.transaction(SYSTEM) as session:
        return customers.update_customer(session, SYSTEM, ref, **changes)


def test_customer_is_created_with_a_plan_from_this_month_on(database: Database, clock: Clock) -> None:
    plan = make_plan(database, name="Pro", currency="JPY", monthly_price="2900")
    made = make_customer(
        database, plan, name=" Acme Ltd ", email=" Billing@Acme.example ", key="Acme.1",
        billing_address=" 1 High Street\r\nTown ",
    )  # fmt: skip
    assert made == CustomerRow(
        customer_id=made.customer_id, key="Acme.1", name="Acme Ltd", email="Billing@Acme.example",
        billing_address="1 High Street\nTown", currency="JPY", status=CustomerStatus.ACTIVE,
        plan_id=plan.plan_id, plan_name="Pro", plan_version=1,
        usage_quantity=None, outstanding_minor=0, created_at=clock.moment, version=1,
    )  # fmt: skip


def test_customer_is_found_by_id_or_key_ignoring_case(database: Database) -> None:
    made = make_customer(database, key="Acme")
    with database.transaction(SYSTEM) as session:
        for ref in ("acme", "ACME", made.public_id):
            assert customers.get_customer(session, SYSTEM, ref) == made


def test_unknown_customer_is_not_found(database: Database, subtests: pytest.Subtests) -> None:
    for ref in ["missing", "cus_99", "cus_0", "", "cus_", "a\0", "\ud800", "é", None, 5, "cus_" + "9" * 18]:
        with subtests.test(ref=ref), refused("customer_not_found"), database.transaction(SYSTEM) as session:
            customers.get_customer(session, SYSTEM, ref)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Acme & Sons, Ltd.", "acme-sons-ltd"),
        ("Müller GmbH", "muller-gmbh"),
        ("北京", "customer"),
        ("---", "customer"),
        ("CUS_7", "cus-7"),
        ("x" * 200, "x" * 48),
        ("a" * 47 + " b", "a" * 47),
    ],
)
def test_key_is_generated_from_the_name(name: str, key: str) -> None:
    first = next(keys.generate_keys(name))
    assert first == key
    assert keys.parse_key(first) == key


def test_customers_with_the_same_name_get_different_keys(database: Database) -> None:
    make_customer(database, name="Other", key="ACME-2")
    made = [make_customer(database, name="Acme").key for _ in range(25)]
    assert made[:3] == ["acme", "acme-3", "acme-4"]
    assert len(set(made)) == 25


def test_concurrent_customers_with_the_same_name_all_get_a_key(database: Database) -> None:
    plan = make_plan(database)
    outcomes = at_once(
        database,
        [
            lambda session, number=number: customers.create_customer(
                session, SYSTEM, name="Acme", email=f"acme{number}@example.com", plan_id=plan.plan_id
            )
            for number in range(8)
        ],
    )
    assert codes(outcomes) == []
    assert sorted(row.key for row in outcomes) == ["acme"] + [f"acme-{number}" for number in range(2, 9)]


@pytest.mark.parametrize(
    ("details", "code"),
    [({"email": "BILLING@acme.example"}, "email_taken"), ({"key": "ACME"}, "key_taken")],
)
def test_email_and_key_are_unique_ignoring_case(
    database: Database, details: dict[str, str], code: str
) -> None:
    plan = make_plan(database)
    make_customer(database, plan, email="billing@acme.example", key="acme")
    with refused(code):
        make_customer(database, plan, **details)


@pytest.mark.parametrize("shared", ["email", "key"])
def test_email_and_key_are_unique_under_concurrency(database: Database, shared: str) -> None:
    plan = make_plan(database)

    def create(number: int) -> Any:
        details = {"email": f"a{number}@example.com", "key": f"a{number}"}
        details[shared] = {"email": "same@example.com", "key": "same"}[shared]
        return lambda session: customers.create_customer(
            session, SYSTEM, name="Acme", plan_id=plan.plan_id, **details
        )

    outcome = overlap(database, create(1), create(2))
    assert outcome.second_waited
    assert codes([outcome.second]) == [f"{shared}_taken"]
    other = make_customer(database, plan)
    with refused("email_taken"):
        update(database, other.key, email=outcome.first.email)


def test_invalid_field_is_named(database: Database, subtests: pytest.Subtests) -> None:
    for details, field in [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"email": "missing"}, "email"),
        ({"email": None}, "email"),
        ({"billing_address": "x" * 1001}, "billing_address"),
        ({"billing_address": "a\0"}, "billing_address"),
        ({"billing_address": None}, "billing_address"),
        ({"key": ""}, "key"),
        ({"key": "-a"}, "key"),
        ({"key": "a b"}, "key"),
        ({"key": "a\n"}, "key"),
        ({"key": "é"}, "key"),
        ({"key": "a" * 64}, "key"),
        ({"key": "Cus_5"}, "key"),
        ({"key": 5}, "key"),
        ({"plan_id": "1"}, "plan_id"),
        ({"plan_id": True}, "plan_id"),
        ({"start": "2026-10"}, "start"),
        ({"start": date(1, 1, 1)}, "start"),
    ]:
        with subtests.test(details=details, field=field), refused("invalid", field=field):
            make_customer(database, **details)


def test_customer_cannot_be_created_on_a_missing_or_archived_plan(database: Database) -> None:
    plan = make_plan(database)
    with database.transaction(SYSTEM) as session:
        plans.archive_plan(session, SYSTEM, plan.plan_id)
    with refused("plan_archived"):
        make_customer(database, plan)
    with refused("plan_not_found"):
        make_customer(database, plan_id=99)


def test_customer_has_no_plan_before_the_first_month(database: Database) -> None:
    made = make_customer(database, start=date(2026, 12, 1))
    assert (made.plan_id, made.plan_name, made.plan_version) == (None, None, None)


def test_each_change_is_a_version_and_a_stale_one_is_rejected(database: Database) -> None:
    made = make_customer(database, name="Acme")
    changed = update(database, made.key, name="Acme Ltd", billing_address="Town", version=1)
    assert (changed.name, changed.billing_address, changed.version) == ("Acme Ltd", "Town", 2)
    assert update(database, made.key, name="Acme Ltd", version=2).version == 2
    with refused("stale") as caught:
        update(database, made.key, name="Acme Inc", version=1)
    assert (caught.value.facts["version"], caught.value.facts["newer"]["name"]) == (2, "Acme Ltd")


def test_one_of_two_concurrent_changes_is_stale(database: Database) -> None:
    made = make_customer(database)
    outcome = overlap(
        database,
        lambda session: customers.update_customer(session, SYSTEM, made.key, name="One", version=1),
        lambda session: customers.update_customer(session, SYSTEM, made.key, name="Two", version=1),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["stale"]


def test_usage_during_a_suspension_is_rejected_even_after_it(database: Database, clock: Clock) -> None:
    customer = make_customer(database, start=date(2026, 11, 1))
    clock.set(2026, 11, 10)
    assert update(database, customer.key, status="suspended").status == "suspended"
    clock.set(2026, 11, 12)
    assert update(database, customer.key, status="active").status == "active"
    record(database, customer, 1, "2026-11-10T11:59:59Z")
    record(database, customer, 1, "2026-11-12T12:00:00Z")
    for moment in ("2026-11-10T12:00:00Z", "2026-11-12T11:59:59.999999Z"):
        with refused("customer_suspended"):
            record(database, customer, 1, moment)


def test_suspending_twice_is_one_suspension(database: Database, clock: Clock) -> None:
    customer = make_customer(database)
    assert update(database, customer.key, status="suspended").version == 2
    assert update(database, customer.key, status="suspended").version == 2
    assert update(database, customer.key, status="active").version == 3
    assert update(database, customer.key, status="suspended").status == "suspended"
    clock.set(2026, 11, 1)
    assert update(database, customer.key, status="active").status == "active"


def test_suspension_waits_for_usage_in_progress_and_blocks_later_usage(database: Database) -> None:
    customer = make_customer(database)
    report = recording.UsageReport(customer.key, "one", 1, None)
    outcome = overlap(
        database,
        lambda session: recording.record_usage(session, SYSTEM, report),
        lambda session: customers.update_customer(session, SYSTEM, customer.key, status="suspended"),
    )
    assert outcome.second_waited
    outcome = overlap(
        database,
        lambda session: customers.update_customer(session, SYSTEM, customer.key, status="active"),
        lambda session: recording.record_usage(
            session, SYSTEM, recording.UsageReport(customer.key, "two", 1, None)
        ),
    )
    assert outcome.second_waited
    assert outcome.second.status == "recorded"


def test_other_changes_do_not_block_usage(database: Database) -> None:
    customer = make_customer(database)
    outcome = overlap(
        database,
        lambda session: customers.update_customer(session, SYSTEM, customer.key, email="new@example.com"),
        lambda session: recording.record_usage(
            session, SYSTEM, recording.UsageReport(customer.key, "k", 1, None)
        ),
    )
    assert not outcome.second_waited


def test_database_rejects_a_second_customer_with_the_same_email(
    database: Database, owner: psycopg.Connection
) -> None:
    make_customer(database, email="a@example.com")
    make_customer(database, email="b@example.com")
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute("UPDATE customer SET email_key = 'a@example.com' WHERE email = 'b@example.com'")


def test_proposed_key_is_the_one_that_is_assigned(database: Database) -> None:
    plan = make_plan(database)
    for expected in ("acme-gmbh", "acme-gmbh-2", "acme-gmbh-3"):
        with database.transaction(SYSTEM) as session:
            assert customers.propose_key(session, SYSTEM, "  Acme GmbH ") == expected
        assert make_customer(database, plan, name="Acme GmbH").key == expected
    make_customer(database, plan, key="ZENITH")
    with database.transaction(SYSTEM) as session, refused("invalid", field="name"):
        assert customers.propose_key(session, SYSTEM, "Zenith") == "zenith-2"
        customers.propose_key(session, SYSTEM, " ")
