"""The audit log's entries of a customer, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from billing_app.domain.periods import parse_period
from billing_app.services.audit_log import AuditRow
from billing_app.state import text
from billing_app.state.rows.customers import DeedItem

_DEEDS = {
    "customer.created": "Made the customer",
    "customer.changed": "Changed the details",
    "customer.suspended": "Suspended the customer",
    "customer.reactivated": "Reactivated the customer",
    "subscription.changed": "Changed the plan",
    "subscription.cancelled": "Cancelled the subscription",
}
_NAMES = {"billing_address": "address"}
# The database keeps none.
_ORDER = ("name", "key", "email", "billing_address", "plan", "start_period", "effective_from")
_PLAN = re.compile(r"plan_([1-9][0-9]{0,17})")


def plans_in(entries: Iterable[AuditRow]) -> set[int]:
    """The plans that entries name by their ids."""
    named = (_PLAN.fullmatch(str(entry.details.get("plan", ""))) for entry in entries)
    return {int(found[1]) for found in named if found}


def deed_item(entry: AuditRow, plan_names: dict[int, tuple[str, int]], zone: ZoneInfo) -> DeedItem:
    """An entry as a row."""
    told = sorted(entry.details.items(), key=lambda each: _ORDER.index(each[0]) if each[0] in _ORDER else 0)
    details = (_detail(name, value, plan_names) for name, value in told)
    return DeedItem(
        at=text.moment(entry.at, zone),
        at_utc=text.moment_utc(entry.at),
        who=entry.actor_name,
        what=_DEEDS.get(entry.action, entry.action),
        details=", ".join(each for each in details if each),
    )


def _detail(name: str, value: Any, plan_names: dict[int, tuple[str, int]]) -> str:
    if name == "plan":
        found = _PLAN.fullmatch(str(value))
        named = plan_names.get(int(found[1])) if found else None
        return text.plan(*named) if named else str(value)
    if name in ("start_period", "effective_from"):
        try:
            return f"from {text.month(parse_period(value))}"
        except ValueError:
            return str(value)
    return f"{_NAMES.get(name, name)}: {value}" if value != "" else f"no {_NAMES.get(name, name)}"
