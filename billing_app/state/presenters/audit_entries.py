"""Describes audit entries: what was done, by whom, and to what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from billing_app.domain.currencies import EXPONENTS
from billing_app.domain.periods import parse_period
from billing_app.domain.rules import BrokenRule
from billing_app.services.audit.log import AuditRow
from billing_app.services.audit.log import Detail as Value
from billing_app.services.audit.names import Named
from billing_app.state.kit import address, text
from billing_app.state.presenters.audit import Detail

# Actions whose default wording, "Subject verb", would read badly.
_ACTIONS = {
    "address.locked_out": "Sign-in locked for an IP address",
    "discount.ended": "End of a discount set",
    "demo.loaded": "Demo data loaded",
    "demo.started": "Demo data loading started",
    "invoice_numbers.skipped": "Invoice numbers skipped",
    "invoice_run.chunk_invoiced": "Invoices created by a run",
    "issuer.changed": "Company details changed",
    "one_off_item.recorded": "One-off item recorded",
    "one_off_item.reversed": "One-off item reversed",
    "simulation.done": "Price simulation finished",
    "simulation.failed": "Price simulation failed",
    "simulation.started": "Price simulation started",
    "subscription.cancelled": "Subscription cancelled",
    "subscription.changed": "Plan changed",
    "token.created": "API token created",
    "token.revoked": "API token revoked",
    "usage.batch_recorded": "Usage recorded",
    "usage.corrected": "Usage corrected",
    "usage.corrections_recorded": "Usage corrected",
    "usage.file_imported": "Usage file imported",
    "usage_import.uploaded": "Usage file uploaded",
    "user.created": "User invited",
    "user.locked_out": "Sign-in locked",
    "user.other_sessions_ended": "All other sessions ended",
    "user.password_change_failed": "Password change failed",
    "user.password_reset": "One-time password created",
    "user.session_ended": "Session ended",
    "user.sessions_ended": "All sessions ended",
    "user.sign_in_failed": "Sign-in failed",
    "user.signed_in": "Signed in",
    "user.signed_out": "Signed out",
    "user.unlocked": "Sign-in unlocked",
}
_DETAIL_NAMES = {
    "backup_of": "Backup of",
    "conflicts": "Conflicts",
    "differences": "Differences by meter",
    "duplicates": "Duplicates",
    "existing": "Existing",
    "fault": "Reason",
    "file_name": "File",
    "event_type": "Event type",
    "ok": "No discrepancies",
    "payment_instructions": "Payment instructions",
    "scopes": "Scopes",
    "start": "Starts on",
    "size_bytes": "Size in bytes",
    "takes_other_types": "Takes events of other types",
}
# The most important details are shown first.
_PARTS = {"all": "Monthly price and usage", "base": "Monthly price", "usage": "Usage"}
_FIRST_DETAILS = ("name", "amount", "recorded", "created", "period")
_MONEY = ("amount", "monthly_price", "overage_unit_price", "unit_price")
_IDS = re.compile(r"(cus|usr|tok|plan|meter|pay|run|ver|sim|imp)_[1-9][0-9]*", re.ASCII)
_INVOICE = re.compile(r".+-[0-9]{4,}", re.ASCII)
_PAGES = {
    "issuer": "/settings",
    "usage": "/usage",
    "plan": "/plans",
    "ver": "/verify",
}
_ADMIN_PAGES = {"usr": "/users", "tok": "/settings/tokens"}
_SUBJECTS = {
    "database": "Database",
    "demo": "Demo",
    "issuer": "Company details",
    "unknown": "Unknown",
    "usage": "Usage",
}
_KINDS = {
    "run": "Invoice run",
    "meter": "Meter",
    "ver": "Verification",
    "sim": "Price simulation",
    "imp": "Import",
    "pay": "Payment",
    "usr": "User",
    "tok": "API token",
}


class ActorWords(NamedTuple):
    """An actor's name, a note on how they acted, and the ID that filters the log by them."""

    name: str
    note: str
    actor_id: str


def find_ids(rows: Iterable[AuditRow]) -> set[str]:
    """Return every ID in the entries that may have a name."""
    found = set()
    for row in rows:
        values = (row.actor_id, row.on_behalf_of, row.subject, *row.details.values())
        found |= {match[0] for value in values if isinstance(value, str) for match in _IDS.finditer(value)}
    return found


def describe_action(name: str) -> str:
    """Write `customer.created` as `Customer created`."""
    if name in _ACTIONS:
        return _ACTIONS[name]
    words = re.sub(r"[._]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def describe_actor(row: AuditRow, names: Mapping[str, Named]) -> ActorWords:
    """Name the actor of an entry; for background work, the actor who started it."""
    if row.on_behalf_of:
        starter = describe_actor_id(row.on_behalf_of, row.on_behalf_of, names)
        return starter._replace(note="in the background")
    return describe_actor_id(row.actor_id, row.actor_name, names)


def describe_actor_id(actor_id: str, name: str, names: Mapping[str, Named]) -> ActorWords:
    """Name an actor, given its ID and the name that it had at the time, or its ID if that is unknown."""
    kind, _, operator = actor_id.partition(":")
    if operator:
        return ActorWords(operator, "on the command line" if kind == "cli" else kind, actor_id)
    if name == actor_id and actor_id in names:
        name = names[actor_id].name
    elif name == actor_id and name.isalpha():
        # A part of the product, such as `system` or `demo`.
        name = name.capitalize()
    return ActorWords(name, "API token" if actor_id.startswith("tok_") else "", actor_id)


def describe_subject(subject_id: str, names: Mapping[str, Named]) -> str:
    """Write `cus_12` as the customer's name, `run_5` as `Invoice run 5`, and an invoice as its number."""
    if subject_id in names:
        return names[subject_id].name
    kind, _, number = subject_id.partition("_")
    if kind in _KINDS and number.isdigit():
        return f"{_KINDS[kind]} {number}"
    return _SUBJECTS.get(subject_id, subject_id)


def link_subject(subject_id: str, names: Mapping[str, Named], *, is_admin: bool = False) -> str:
    """Return the link to the subject's page, or nothing if it has no page that this user can open."""
    known = names.get(subject_id)
    if known and known.key:
        return address.link(f"/customers/{known.key}")
    if _INVOICE.fullmatch(subject_id):
        return address.link(f"/invoices/{subject_id}")
    kind = subject_id.partition("_")[0]
    if kind == "run":
        return address.link("/invoices", run=subject_id)
    if kind == "sim":
        return address.link("/plans/simulate", simulation=subject_id)
    if kind == "imp":
        return address.link(f"/usage/imports/{subject_id}")
    return _PAGES.get(kind) or (_ADMIN_PAGES.get(kind, "") if is_admin else "")


def describe_details(row: AuditRow, names: Mapping[str, Named]) -> list[Detail]:
    """Write the details of an entry, the currency with its amounts. Counts of zero are left out."""
    currency = str(row.details.get("currency"))
    has_money = currency in EXPONENTS and any(name in row.details for name in _MONEY)
    return [
        Detail(_detail_name(name, row.action), _detail_value(name, value, currency, names))
        for name, value in sorted(row.details.items(), key=lambda item: _detail_order(item[0]))
        if not (name == "currency" and has_money) and (value != 0 or isinstance(value, bool))
    ]


def _detail_name(name: str, action: str) -> str:
    """Name a detail. In entries about signing in, `address` is a network address."""
    if name == "address" and action.startswith(("user.", "address.")):
        return "From"
    return _DETAIL_NAMES.get(name) or describe_action(name)


def _detail_order(name: str) -> tuple[bool, str]:
    return name not in _FIRST_DETAILS, name


def _detail_value(name: str, value: Value, currency: str, names: Mapping[str, Named]) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int):
        return f"{value:,}"
    if known := names.get(value):
        return known.name
    if name in _MONEY and currency in EXPONENTS:
        return _amount(value, currency)
    if name in ("included_units", "quantity"):
        return _units(value)
    if name == "percent":
        return f"{_units(value)}%"
    if name == "applies_to":
        return _PARTS.get(value, value)
    if name in ("role", "status"):
        return value.capitalize()
    return _month(value) or _day(value) or value


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
    except (BrokenRule, ValueError):
        return ""


def _day(written: str) -> str:
    try:
        return text.day(date.fromisoformat(written)) if len(written) == 10 else ""
    except ValueError:
        return ""
