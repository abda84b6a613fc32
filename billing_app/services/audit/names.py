"""What the ids of the audit log are called, and which id somebody means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlmodel import Session

from billing_app.domain.actor import Actor, Permission
from billing_app.services.customers.queries import find_customer_id
from billing_app.services.shared import validation
from billing_app.services.shared.ids import find_number, public_id
from billing_app.services.shared.permissions import require

PEOPLE_MAX = 200

# Each kind of id, and where the name and the customer's key of its rows are.
_NAMES = {
    "cus": "SELECT customer_id, name, key FROM customer WHERE customer_id IN :ids",
    "usr": "SELECT user_id, name, '' FROM user_account WHERE user_id IN :ids",
    "tok": "SELECT token_id, name, '' FROM api_token WHERE token_id IN :ids",
    "plan": "SELECT plan_id, name || ', version ' || version, '' FROM plan WHERE plan_id IN :ids",
}
_PEOPLE = text("""
    SELECT id, name FROM (SELECT 'usr_' || user_id AS id, name FROM user_account
                          UNION ALL SELECT 'tok_' || token_id, name FROM api_token) a
     WHERE EXISTS (SELECT FROM audit_entry e WHERE e.actor_id = a.id)
     ORDER BY lower(name), id LIMIT :most
""")
# Subjects that are one thing, or nobody knows which.
_SINGLE = ("issuer", "usage", "demo", "unknown")


class Named(NamedTuple):
    """What an id is called now; `key` is that of a customer, else empty."""

    id: str
    name: str
    key: str = ""


def names_of(session: Session, actor: Actor, ids: Iterable[str]) -> dict[str, Named]:
    """The customers, users, tokens and plans among these ids, by id; others are left out."""
    require(actor, Permission.READ)
    wanted: dict[str, set[int]] = defaultdict(set)
    for each in ids:
        kind = each.partition("_")[0]
        if kind in _NAMES and (number := find_number(kind, each)) is not None:
            wanted[kind].add(number)
    found = {}
    for kind, numbers in wanted.items():
        query = text(_NAMES[kind]).bindparams(bindparam("ids", expanding=True))
        for number, name, key in session.execute(query, {"ids": sorted(numbers)}):
            found[public_id(kind, number)] = Named(public_id(kind, number), name, key)
    return found


def list_audit_people(session: Session, actor: Actor) -> tuple[Named, ...]:
    """The users and API tokens that the log tells of, by name, the first 200."""
    require(actor, Permission.READ)
    return tuple(Named(row.id, row.name) for row in session.execute(_PEOPLE, {"most": PEOPLE_MAX}))


def subject_meant(session: Session, actor: Actor, typed: str) -> str:
    """The subject that somebody means: a customer by its key, an invoice in any case, else as typed.

    Raises Invalid.
    """
    require(actor, Permission.READ)
    typed = validation.line("subject", typed, at_most=validation.NAME_MAX)
    if typed.lower() in _SINGLE:
        return typed.lower()
    customer_id = find_customer_id(session, typed)
    if customer_id is not None:
        return public_id("cus", customer_id)
    head, _, digits = typed.rpartition("-")
    return typed.upper() if head and digits.isdigit() else typed
