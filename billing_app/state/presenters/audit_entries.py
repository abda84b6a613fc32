"""An entry of the audit log in the words of people: what was done, by whom, on what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from billing_app.domain.currencies import EXPONENTS
from billing_app.domain.periods import parse_period
from billing_app.services.audit.log import AuditRow
from billing_app.services.audit.names import Named
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit import Detail

# What would not read well when its words are only put together.
_ACTIONS = {
    "invoice_run.chunk": "Invoices of a run made",
    "subscription.cancelled": "Plan cancelled",
    "subscription.changed": "Plan changed",
    "token.created": "API token created",
    "token.revoked": "API token revoked",
    "usage.batch_recorded": "Usage recorded",
    "usage.file_imported": "File of usage imported",
    "user.other_sessions_ended": "All other sessions ended",
    "user.password_reset": "One-time password made",
    "user.session_ended": "Session ended",
    "user.sessions_ended": "All sessions ended",
}
_NAMES = {
    "ok": "Everything agrees",
    "address": "Address",
    "existing": "Already there",
    "passed": "Passed over",
}
_MONEY = ("amount", "monthly_price", "overage_unit_price")
_IDS = re.compile(r"(cus|usr|tok|plan|pay|run|ver|imp)_[1-9][0-9]*", re.ASCII)
_INVOICE = re.compile(r".+-[0-9]{4,}", re.ASCII)
_BEHALF = " by "
_PLACES = {"issuer": "/settings", "usage": "/usage", "plan": "/plans", "ver": "/verify"}
# Pages, and parts of them, that admins alone see.
_PLACES_OF_ADMINS = {"usr": "/users", "tok": "/settings/tokens"}
_SUBJECTS = {"issuer": "Issuer", "usage": "Usage", "demo": "Demo", "unknown": "Unknown"}
_KINDS = {
    "run": "Run",
    "ver": "Verification",
    "imp": "Import",
    "pay": "Payment",
    "usr": "User",
    "tok": "Token",
}


class Who(NamedTuple):
    """Who did it: a name, what is to be added, and the id to look for more of it."""

    name: str
    note: str
    actor_id: str


def ids_in(rows: Iterable[AuditRow]) -> set[str]:
    """All ids that are worth a name in these entries."""
    found = set()
    for row in rows:
        values = (row.actor_id, row.subject, *row.details.values())
        found |= {match[0] for value in values if isinstance(value, str) for match in _IDS.finditer(value)}
    return found


def action(name: str) -> str:
    """`customer.created` as `Customer created`."""
    if name in _ACTIONS:
        return _ACTIONS[name]
    words = re.sub(r"[._]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def who(row: AuditRow, names: Mapping[str, Named]) -> Who:
    """A person by name; work in the background by who started it; the command line by its user."""
    _, behalf, starter = row.actor_id.partition(_BEHALF)
    if behalf:
        person = who_named(starter, starter, names)
        return Who(person.name, "in the background", row.actor_id)
    return who_named(row.actor_id, row.actor_name, names)


def who_named(actor_id: str, name: str, names: Mapping[str, Named]) -> Who:
    """An actor by its id and the name that was kept of it."""
    kind, _, rest = actor_id.partition(":")
    if rest:
        return Who(rest, "on the command line" if kind == "cli" else kind, actor_id)
    if actor_id.startswith("tok_"):
        return Who(name, "API token", actor_id)
    known = names.get(actor_id)
    if known and name == actor_id:
        return Who(known.name, "", actor_id)
    # The product itself, by the name of what it was doing.
    return Who(name.capitalize() if name == actor_id and name.isalpha() else name, "", actor_id)


def subject(subject_id: str, names: Mapping[str, Named]) -> str:
    """`cus_12` as the customer's name, `run_5` as `Run 5`, an invoice by its number."""
    if subject_id in names:
        return names[subject_id].name
    kind, _, number = subject_id.partition("_")
    if kind in _KINDS and number.isdigit():
        return f"{_KINDS[kind]} {number}"
    return _SUBJECTS.get(subject_id, subject_id)


def subject_href(subject_id: str, names: Mapping[str, Named], *, is_admin: bool = False) -> str:
    """The page of a subject; empty for what has none that this person sees."""
    known = names.get(subject_id)
    if known and known.key:
        return address.link(f"/customers/{known.key}")
    if _INVOICE.fullmatch(subject_id):
        return address.link(f"/invoices/{subject_id}")
    kind = subject_id.partition("_")[0]
    if kind == "run":
        return address.link("/invoices", run=subject_id)
    if kind == "imp":
        return address.link(f"/usage/imports/{subject_id}")
    return _PLACES.get(kind) or (_PLACES_OF_ADMINS.get(kind, "") if is_admin else "")


def details(row: AuditRow, names: Mapping[str, Named]) -> list[Detail]:
    """What an entry tells, the currency beside its amounts; counts of nothing are left out."""
    currency = row.details.get("currency")
    currency = currency if currency in EXPONENTS else None
    has_money = any(name in row.details for name in _MONEY)
    return [
        Detail(_named(name, row.action), _value(name, value, currency, names))
        for name, value in sorted(row.details.items(), key=lambda each: _order(each[0]))
        if not (name == "currency" and currency and has_money) and (value != 0 or isinstance(value, bool))
    ]


def _named(name: str, done: str) -> str:
    """A detail's name. What is done by or to a person has the network address that it came from."""
    if name == "address" and done.startswith(("user.", "address.")):
        return "From"
    return _NAMES.get(name) or action(name)


def _order(name: str) -> tuple[bool, str]:
    """A name first; else as good as any."""
    return name not in ("name", "amount", "recorded", "made", "period"), name


def _value(name: str, value: Any, currency: str | None, names: Mapping[str, Named]) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int):
        return f"{value:,}"
    written = str(value)
    if known := names.get(written):
        return known.name
    if name in _MONEY and currency:
        return _amount(written, currency)
    if name == "included_units":
        return _units(written)
    if name in ("role", "status"):
        return written.capitalize()
    return _month(written) or _day(written) or written


def _amount(written: str, currency: str) -> str:
    try:
        return text.exact_money(Decimal(written), currency)
    except InvalidOperation:
        return written


def _units(written: str) -> str:
    try:
        return text.quantity(Decimal(written))
    except InvalidOperation:
        return written


def _month(written: str) -> str:
    try:
        return text.month(parse_period(written))
    except ValueError:
        return ""


def _day(written: str) -> str:
    try:
        return text.day(date.fromisoformat(written)) if len(written) == 10 else ""
    except ValueError:
        return ""
