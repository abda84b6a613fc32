"""Permissions: the check that each service makes first, and the READ ONLY transaction behind it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from datetime import date
from types import ModuleType
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from billing_app import services
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, Role, Scope
from billing_app.errors import Forbidden
from billing_app.services.customers import customers, subscriptions
from billing_app.services.identity import queries, sessions, users
from billing_app.services.invoices import issuer
from billing_app.services.payments import payments
from billing_app.services.plans import plans
from billing_app.services.usage import recording
from tests.factories import PASSWORD, make_customer, make_invoice, make_plan, make_user

SCOPELESS = Actor("token", "tok_1", "a token without scopes")
READER = Actor("token", "tok_2", "a reading token", scopes=frozenset({Scope.READ}))
REPORTER = Actor("token", "tok_3", "a reporting token", scopes=frozenset({Scope.USAGE_WRITE}))
DECEMBER = date(2026, 12, 1)

Write = Callable[[Session, Actor], Any]

MODULES: list[ModuleType] = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(services.__path__, f"{services.__name__}.")
    if not found.ispkg
]
# Called by services that have already checked a permission.
HELPERS = {"shared.audit.record", "shared.idempotency.store_answer"}


def use_cases() -> dict[str, Callable[..., Any]]:
    """Return every public function of a service that takes a session and an actor."""
    return {
        name: function
        for module in MODULES
        for function in vars(module).values()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not function.__name__.startswith("_")
        and list(inspect.signature(function).parameters)[:2] == ["session", "actor"]
        and (name := f"{module.__name__.removeprefix(services.__name__)[1:]}.{function.__name__}")
        not in HELPERS
    }


def test_every_service_checks_the_permission_first() -> None:
    found = use_cases()
    assert {
        "identity.users.create_user",
        "usage.recording.record_usage",
        "invoices.invoices.list_invoices",
    } <= found.keys()
    for name, function in found.items():
        parameters = list(inspect.signature(function).parameters.values())[2:]
        nothing = {each.name: None for each in parameters if each.default is inspect.Parameter.empty}
        # Without a session and arguments, a service can't do anything before the permission check.
        try:
            function(None, SCOPELESS, **nothing)
        except Forbidden:
            continue
        pytest.fail(f"{name} did not refuse")


@pytest.mark.parametrize("role", list(Role))
def test_role_has_its_permissions(role: Role) -> None:
    everything, billing = set(Permission), set(Permission) - {Permission.ADMINISTER, Permission.IDENTITY}
    may = {permission for permission in Permission if Actor("user", "usr_1", "x", role).may(permission)}
    assert (
        may
        == {
            Role.ADMIN: everything - {Permission.IDENTITY},
            Role.BILLING: billing,
            Role.FINANCE: {Permission.READ},
        }[role]
    )


def test_token_has_the_permissions_of_its_scopes() -> None:
    for token, permissions in (
        (SCOPELESS, set()),
        (READER, {Permission.READ}),
        (REPORTER, {Permission.RECORD_USAGE}),
    ):
        assert {permission for permission in Permission if token.may(permission)} == permissions


def writes(database: Database) -> dict[str, Write]:
    """Return writes of every kind, with arguments that would succeed."""
    plan = make_plan(database)
    customer = make_customer(database, plan, start=date(2026, 10, 1))
    number = make_invoice(database, customer).number
    user, other = make_user(database), make_user(database)
    paid: dict[str, Any] = {"amount": "1.00", "received_on": date(2026, 11, 1)}
    with database.transaction(SYSTEM) as session:
        paid_id = payments.record_payment(
            session, SYSTEM, number, **paid, idempotency_key="a"
        ).payment.payment_id
        token = sessions.sign_in(session, SYSTEM, email=user.email, password=PASSWORD, secret="s" * 32).token
        signed_in = queries.authenticate(session, token=token, secret="s" * 32).session_id
    key = customer.key
    return {
        "create_plan": lambda s, a: plans.create_plan(
            s, a, name="New", monthly_price=1, included_units=1, overage_unit_price=1),
        "archive_plan": lambda s, a: plans.archive_plan(s, a, plan.plan_id),
        "create_customer": lambda s, a: customers.create_customer(
            s, a, name="New", email="new@example.com", plan_id=plan.plan_id),
        "update_customer": lambda s, a: customers.update_customer(s, a, key, name="New"),
        "suspend": lambda s, a: customers.update_customer(s, a, key, status="suspended"),
        "set_plan": lambda s, a: subscriptions.set_plan(s, a, key, plan_id=plan.plan_id, effective_from=DECEMBER),
        "cancel": lambda s, a: subscriptions.set_plan(s, a, key, plan_id=None, effective_from=DECEMBER),
        "update_issuer": lambda s, a: issuer.update_issuer(
            s, a, name="New", address="1 Street", email="new@example.com", payment_instructions=""),
        "record_payment": lambda s, a: payments.record_payment(s, a, number, **paid, idempotency_key="b"),
        "reverse_payment": lambda s, a: payments.reverse_payment(s, a, number, paid_id, reason="typo"),
        "create_user": lambda s, a: users.create_user(s, a, email="new@example.com", name="New", role="finance"),
        "update_user": lambda s, a: users.update_user(s, a, other.user_id, name="New"),
        "reset_password": lambda s, a: users.reset_password(s, a, other.user_id),
        "record_usage": lambda s, a: recording.record_usage(s, a, recording.UsageReport(key, "k", 1)),
        "sign_in": lambda s, a: sessions.sign_in(s, a, email=user.email, password=PASSWORD, secret="s" * 32),
        "sign_out": lambda s, a: sessions.sign_out(s, a, session_id=signed_in),
        "end_session": lambda s, a: sessions.end_session(s, a, user_id=user.user_id, session_id=signed_in),
        "end_other_sessions": lambda s, a: sessions.end_other_sessions(
            s, a, user_id=user.user_id, keep_session_id=signed_in),
        "change_password": lambda s, a: sessions.change_password(
            s, a, user_id=user.user_id, current=PASSWORD, new="another horse battery", keep_session_id=None),
    }  # fmt: skip


def test_finance_and_a_token_that_reads_cannot_write(
    database: Database, finance: Actor, subtests: pytest.Subtests
) -> None:
    for name, write in writes(database).items():
        for actor in (finance, READER):
            with subtests.test(write=name, actor=actor.name), pytest.raises(Forbidden):
                run(database, actor, write)


def test_database_refuses_even_without_the_check(
    database: Database, finance: Actor, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    prepared = writes(database)
    for module in MODULES:
        if hasattr(module, "require"):
            monkeypatch.setattr(module, "require", lambda actor, permission: None)
    for name, write in prepared.items():
        for actor in (finance, READER):
            with subtests.test(write=name, actor=actor.name):
                with pytest.raises((DBAPIError, psycopg.Error)) as caught:
                    run(database, actor, write)
                refusal = getattr(caught.value, "orig", caught.value)
                assert isinstance(refusal, psycopg.errors.ReadOnlySqlTransaction)


def test_writes_succeed_with_permission(database: Database, subtests: pytest.Subtests) -> None:
    for name, write in writes(database).items():
        with subtests.test(write=name):
            run(database, SYSTEM, write)


def run(database: Database, actor: Actor, write: Write) -> None:
    """Write and roll back, so that the next write finds the same data."""
    with database.transaction(actor) as session:
        write(session, actor)
        session.flush()
        session.rollback()
