"""Names for ids in the audit log, and resolving a search for a subject."""

from __future__ import annotations

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.services.audit import names as audit_names
from billing_app.services.customers import customers
from billing_app.services.identity import api_tokens
from tests.factories import make_customer, make_plan, make_user
from tests.refusals import refused


def test_ids_have_names_and_others_are_left_out(database: Database, finance: Actor) -> None:
    plan = make_plan(database, name="Growth")
    customer = make_customer(database, plan, name="Acme", key="acme")
    user = make_user(database, name="Ada Lovelace")
    with database.transaction(SYSTEM) as session:
        token = api_tokens.create_token(session, SYSTEM, name="warehouse", scopes=["read"]).row
    ids = [customer.public_id, user.public_id, plan.public_id, token.public_id]
    with database.transaction(finance) as session:
        found = audit_names.find_names(
            session, finance, [*ids, "cus_999", "cus_x", "run_1", "issuer", "usr_", "cus_" + "9" * 30]
        )
    assert {each: found[each].name for each in found} == dict(
        zip(ids, ("Acme", "Ada Lovelace", "Growth, version 1", "warehouse"), strict=True)
    )
    assert [each.key for each in found.values() if each.key] == ["acme"]


def test_actors_of_the_log_are_those_with_entries(database: Database) -> None:
    make_user(database, name="Idle")
    active = make_user(database, name="Busy")
    actor = Actor("user", active.public_id, "Busy", active.role)
    plan = make_plan(database)
    with database.transaction(actor) as session:
        customers.create_customer(session, actor, name="A", email="a@example.com", plan_id=plan.plan_id)
    with database.transaction(SYSTEM) as session:
        assert [each.name for each in audit_names.list_audit_actors(session, SYSTEM)] == ["Busy"]


def test_subject_is_found_by_key_number_or_id(database: Database, finance: Actor) -> None:
    acme = make_customer(database, key="acme")
    odd = make_customer(database, key="odd-0001")
    with database.transaction(finance) as session:
        for typed, meant in (
            ("ACME", acme.public_id),
            (acme.public_id, acme.public_id),
            ("odd-0001", odd.public_id),
            ("acme-0003", "ACME-0003"),
            ("usr_4", "usr_4"),
            ("Issuer", "issuer"),
            ("missing", "missing"),
        ):
            assert audit_names.resolve_subject(session, finance, typed) == meant
        for wrong in ("", "\0", "x" * 5000):
            with refused("invalid"):
                audit_names.resolve_subject(session, finance, wrong)
