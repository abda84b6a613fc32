"""The fields of a dialog that records usage: the meter, if there are several, and a quantity or an item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.services.plans import meters
from billing_app.services.plans.meters import MeterRow
from billing_app.services.usage.recording import RecordedUsage, UsageReport
from billing_app.state.kit.forms import read_text
from billing_app.state.kit.lists import Option
from billing_app.state.kit.numbers import read_decimal
from billing_app.state.kit.session import Session
from billing_app.wording.values import counted, plural_of


@dataclass(frozen=True)
class MeterFields:
    """Which fields are shown. `options` is empty if there is only one meter.

    `item_meters` has the codes of the meters that count different items, which have an item and no quantity.
    """

    options: list[Option] = field(default_factory=list)
    item_meters: list[str] = field(default_factory=list)
    counts_items: bool = False


def read_meter_names(session: Session, actor: Actor) -> dict[str, str]:
    """Return the names of all meters by code, empty if there is only one."""
    found = meters.list_all_meters(session, actor)
    return {meter.code: meter.name for meter in found} if len(found) > 1 else {}


def start_fields(found: Iterable[MeterRow], preferred: str) -> tuple[MeterFields, dict[str, str]]:
    """Return the fields of a dialog and their initial values. Archived meters can't be selected."""
    usable = [meter for meter in found if meter.archived_at is None]
    fields = MeterFields(
        options=[Option(meter.code, meter.name) for meter in usable] if len(usable) > 1 else [],
        item_meters=[meter.code for meter in usable if meter.aggregation == "unique"],
    )
    selected = preferred if preferred in {meter.code for meter in usable} else usable[0].code
    return choose_meter(fields, selected), {"meter": selected, "quantity": "", "item": ""}


def choose_meter(fields: MeterFields, code: str) -> MeterFields:
    """Show the fields of another meter."""
    return replace(fields, counts_items=code in fields.item_meters)


def read_report(state: rx.State, form: object, customer: str) -> UsageReport:
    """Return the report in a form, apart from its time. Raises Invalid."""
    has_item = isinstance(form, dict) and "item" in form
    return UsageReport(
        customer,
        read_text(form, "idempotency_key"),
        None if has_item else read_decimal(state, form, "quantity"),
        None,
        read_text(form, "meter") or None,
        read_text(form, "item").strip() or None,
    )


def describe_recorded(session: Session, actor: Actor, outcome: RecordedUsage) -> str:
    """Return what was recorded: `1,530 calls`, or `Users: ada` for an item."""
    event = outcome.event
    meter = meters.get_meter(session, actor, event.meter)
    if event.item is not None:
        return f"{meter.name}: {event.item}"
    return counted(event.quantity, meter.unit, plural_of(meter.unit))
