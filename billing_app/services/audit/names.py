"""Names for the IDs in the audit log, and the subject that a search term refers to."""

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

ACTORS_MAX = 200

# For each kind of ID: the number, the current name, and the key of a customer.
_NAMES = {
    "cus": "SELECT customer_id, name, key FROM customer WHERE customer_id IN :ids",
    "usr": "SELECT user_id, name, '' FROM user_account WHERE user_id IN :ids",
    "tok": "SELECT token_id, name, '' FROM api_token WHERE token_id IN :ids",
    "meter": "SELECT meter_id, name, '' FROM meter WHERE meter_id IN :ids",
    "plan": "SELECT plan_id, name || ', version ' || version, '' FROM plan WHERE plan_id IN :ids",
}
_ACTORS = text("""
    SELECT id, name FROM (SELECT 'usr_' || user_id AS id, name FROM user_account
                          UNION ALL SELECT 'tok_' || token_id, name FROM api_token) a
     WHERE EXISTS (SELECT FROM audit_entry e WHERE coalesce(e.on_behalf_of, e.actor_id) = a.id)
     ORDER BY lower(name), id LIMIT :at_most
""")
# Subjects without an ID: there is only one of each.
_SINGLE_SUBJECTS = ("issuer", "usage", "demo", "unknown")


class Named(NamedTuple):
    """The current name of an ID. `key` is empty except for a customer."""

    id: str
    name: str
    key: str = ""


def find_names(session: Session, actor: Actor, ids: Iterable[str]) -> dict[str, Named]:
    """Return the names of the customers, users, tokens, plans and meters among these IDs, by ID.

    IDs of other kinds, or of nothing that exists, are left out.
    """
    require(actor, Permission.READ)
    numbers_by_kind: dict[str, set[int]] = defaultdict(set)
    for each in ids:
        kind = each.partition("_")[0]
        if kind in _NAMES and (number := find_number(kind, each)) is not None:
            numbers_by_kind[kind].add(number)
    found = {}
    for kind, numbers in numbers_by_kind.items():
        query = text(_NAMES[kind]).bindparams(bindparam("ids", expanding=True))
        for number, name, key in session.execute(query, {"ids": sorted(numbers)}):
            found[public_id(kind, number)] = Named(public_id(kind, number), name, key)
    return found


def list_audit_actors(session: Session, actor: Actor) -> tuple[Named, ...]:
    """List the users and API tokens that have audit entries, by name, at most 200."""
    require(actor, Permission.READ)
    return tuple(Named(row.id, row.name) for row in session.execute(_ACTORS, {"at_most": ACTORS_MAX}))


def resolve_subject(session: Session, actor: Actor, typed: str) -> str:
    """Return the subject that the text names: a customer by its key, an invoice by its number in any case.

    Any other text is returned unchanged. Raises Invalid.
    """
    require(actor, Permission.READ)
    typed = validation.line("subject", typed, at_most=validation.NAME_MAX)
    if typed.lower() in _SINGLE_SUBJECTS:
        return typed.lower()
    customer_id = find_customer_id(session, typed)
    if customer_id is not None:
        return public_id("cus", customer_id)
    head, _, digits = typed.rpartition("-")
    return typed.upper() if head and digits.isdigit() else typed
