from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, system
from billing_app.services.audit import log as audit_log
from billing_app.services.audit import names as audit_names
from billing_app.services.audit.log import AuditRow
from billing_app.services.customers import customers, subscriptions
from billing_app.services.identity import sessions, users
from billing_app.services.invoices import issuer
from billing_app.services.payments import payments
from billing_app.services.plans import plans
from tests.conftest import Clock
from tests.factories import PASSWORD, actor_of, make_customer, make_invoice, make_plan, make_user
from tests.refusals import refused


def entries(database: Database, **filters: Any) -> list[AuditRow]:
    """Return all entries, newest first, read two at a time."""
    found: list[AuditRow] = []
    cursor = None
    while True:
        with database.transaction(SYSTEM) as session:
            page = audit_log.list_audit_entries(session, SYSTEM, limit=2, cursor=cursor, **filters)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_entry_has_actor_action_subject_and_time(database: Database, admin: Actor, clock: Clock) -> None:
    plan = make_plan(database, name="Pro")
    with database.transaction(admin) as session:
        made = customers.create_customer(
            session, admin, name="Acme", email="a@example.com", plan_id=plan.plan_id
        )
    newest = entries(database)[0]
    assert (newest.actor_id, newest.actor_name, newest.at) == ("usr_1", "Ada Admin", clock.moment)
    assert (newest.action, newest.subject) == ("customer.created", made.public_id)
    assert newest.details == {
        "name": "Acme", "key": "acme", "email": "a@example.com", "plan": plan.public_id,
        "start": "2026-11-01",
    }  # fmt: skip


def test_every_change_has_one_entry(database: Database, clock: Clock) -> None:
    plan = make_plan(database)
    later_plan = make_plan(database)
    customer = make_customer(database, plan, start=date(2026, 10, 1))
    user, other = make_user(database), make_user(database)
    number = make_invoice(database, customer).number
    secret = "s" * 32
    steps: list[tuple[str, Any]] = [
        ("plan.created", lambda s: plans.create_plan(s, SYSTEM, name="P", monthly_price=1, included_units=1,
                                                     overage_unit_price=1)),
        ("plan.archived", lambda s: plans.archive_plan(s, SYSTEM, plan.plan_id)),
        ("customer.changed", lambda s: customers.update_customer(s, SYSTEM, customer.key, name="New")),
        ("customer.suspended", lambda s: customers.update_customer(s, SYSTEM, customer.key, status="suspended")),
        ("customer.reactivated", lambda s: customers.update_customer(s, SYSTEM, customer.key, status="active")),
        ("subscription.changed", lambda s: subscriptions.set_plan(
            s, SYSTEM, customer.key, plan_id=later_plan.plan_id, effective_from=date(2026, 12, 1))),
        ("subscription.cancelled", lambda s: subscriptions.set_plan(
            s, SYSTEM, customer.key, plan_id=None, effective_from=date(2026, 12, 1))),
        ("issuer.changed", lambda s: issuer.update_issuer(
            s, SYSTEM, name="I", address="1 Street", email="i@example.com", payment_instructions="")),
        ("payment.recorded", lambda s: payments.record_payment(
            s, SYSTEM, number, amount=1, received_on=date(2026, 11, 1), idempotency_key="k")),
        ("payment.reversed", lambda s: payments.reverse_payment(s, SYSTEM, number, 1, reason="typo")),
        ("user.created", lambda s: users.create_user(s, SYSTEM, email="n@example.com", name="N", role="finance")),
        ("user.changed", lambda s: users.update_user(s, SYSTEM, user.user_id, name="Renamed")),
        ("user.password_reset", lambda s: users.reset_password(s, SYSTEM, other.user_id)),
        ("user.signed_in", lambda s: sessions.sign_in(s, SYSTEM, email=user.email, password=PASSWORD, secret=secret)),
        ("user.password_changed", lambda s: sessions.change_password(
            s, SYSTEM, user_id=user.user_id, current=PASSWORD, new="another horse battery", keep_session_id=None)),
    ]  # fmt: skip
    for action, step in steps:
        before = len(entries(database))
        with database.transaction(SYSTEM) as session:
            step(session)
        assert [entry.action for entry in entries(database)[:-before]] == [action]


def test_requests_that_change_nothing_or_are_rejected_leave_no_entry(
    database: Database, clock: Clock
) -> None:
    customer = make_customer(database, name="Acme")
    before = entries(database)
    with database.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, customer.key, name="Acme", status="active")
    with refused("plan_not_found"), database.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, customer.key, name="New")
        subscriptions.set_plan(session, SYSTEM, customer.key, plan_id=99, effective_from=date(2026, 12, 1))
    assert entries(database) == before


def test_entries_contain_no_secrets(database: Database) -> None:
    user = make_user(database)
    with database.transaction(SYSTEM) as session:
        made = users.create_user(session, SYSTEM, email="n@example.com", name="N", role="finance")
        token = sessions.sign_in(session, SYSTEM, email=user.email, password=PASSWORD, secret="s" * 32).token
    written = repr(entries(database))
    for secret in (PASSWORD, str(made.one_time_password), token, "$2b$"):
        assert secret not in written


def test_entries_are_found_by_subject_and_by_actor(database: Database, admin: Actor, clock: Clock) -> None:
    customer = make_customer(database)
    clock.moment += timedelta(hours=1)
    with database.transaction(admin) as session:
        customers.update_customer(session, admin, customer.key, name="New")
    assert [entry.action for entry in entries(database, subject=customer.public_id)] == [
        "customer.changed",
        "customer.created",
    ]
    assert [entry.action for entry in entries(database, actor_id="usr_1")] == ["customer.changed"]
    assert entries(database, actor_id="usr_999") == []
    assert entries(database, subject="cus_999") == []
    with refused("invalid", field="subject"):
        entries(database, subject="a\0")


def test_background_work_is_found_by_the_actor_who_started_it(database: Database) -> None:
    admin = actor_of(make_user(database))
    plan = make_plan(database)
    worker = system("run_5", on_behalf_of=admin.id)
    with database.transaction(worker) as session:
        plans.archive_plan(session, worker, plan.plan_id)
    (entry,) = entries(database, actor_id=admin.id)
    assert (entry.action, entry.actor_id, entry.on_behalf_of) == ("plan.archived", "run_5", admin.id)
    assert entries(database, actor_id="run_5") == []
    with database.transaction(SYSTEM) as session:
        assert [each.id for each in audit_names.list_audit_actors(session, SYSTEM)] == [admin.id]


def test_log_is_append_only(database: Database, owner: psycopg.Connection) -> None:
    make_plan(database)
    for statement in (
        "UPDATE audit_entry SET actor_id = 'x'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            psycopg.connect(database.url.replace("+psycopg", "")) as application,
        ):
            application.execute(statement)
