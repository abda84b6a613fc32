"""The meters: what takes usage, what it amounts to this month, and the dialogs that change them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.periods import label, period_of
from billing_app.domain.pricing import ZERO
from billing_app.services.dashboard.dashboard import Dashboard, get_dashboard
from billing_app.services.plans import meters
from billing_app.services.plans.meters import MeterRow
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, call_once, open_dialog, read_number, read_text, submitting
from billing_app.state.kit.lists import Listing, Pages, parse_listing
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.meters import MeterItem
from billing_app.wording.values import counted, plural_of

ROWS = 50
NEW, EDIT, ARCHIVE = "new-meter", "edit-meter", "archive-meter"
ARCHIVED = {"": False, "archived": True, "all": None}
AGGREGATIONS = {
    "sum": "Sum of quantities",
    "max": "Largest quantity",
    "unique": "Different items",
}
_CODE_MAX = 63
_NAME_MAX = 200


class MetersState(rx.State):
    """A page of meters, the default meter first."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[MeterItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    show: str = ""
    as_of: str = ""
    as_of_utc: str = ""
    form: Form = Form()
    proposed_code: str = ""
    is_default: bool = False

    @rx.event
    async def load(self) -> None:
        """Show the page of meters in the address."""
        listing = parse_listing(self, "/plans/meters", "show")
        self.show = listing.filters["show"]
        async with loading(self):
            read = await call(self, _read, listing)
            self.rows = [_item(meter, read.usage, read.period) for meter in read.page.items]
            self.pages = listing.pages(read.page.next_cursor)
            counted_at = read.dashboard.as_of if read.dashboard else None
            self.as_of = text.timestamp(counted_at, viewer_zone(self)) if counted_at else ""
            self.as_of_utc = text.timestamp_utc(counted_at) if counted_at else ""

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a new meter."""
        self.proposed_code = ""
        start = {"name": "", "code": "", "unit": "", "aggregation": "sum", "event_type": ""}
        return open_dialog(self, NEW, "New meter", start=start)

    @rx.event
    async def propose_code(self, name: str) -> None:
        """Show the code that is used if none is given."""
        self.proposed_code = code_of(name[:_NAME_MAX]) if isinstance(name, str) else ""

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Create a meter."""
        async with submitting(self, form) as submission:
            name = read_text(form, "name")
            meter = await call_once(
                self,
                form,
                meters.create_meter,
                code=read_text(form, "code").strip() or code_of(name),
                name=name,
                unit=read_text(form, "unit"),
                aggregation=read_text(form, "aggregation"),
                event_type=read_text(form, "event_type").strip() or None,
            )
            submission.succeed(f"Meter {meter.name} created", MetersState.load)
        return submission.events

    @rx.event
    async def open_edit(self, code: str) -> Any:
        """Open the dialog with what can be changed of a meter."""
        meter = await call(self, meters.get_meter, code)
        self.is_default = meter.is_default
        start = {"name": meter.name, "unit": meter.unit}
        if meter.is_default:
            start["takes_other_types"] = str(meter.takes_other_types).lower()
        hidden = {"code": meter.code, "version": meter.version}
        return open_dialog(self, EDIT, f"Edit {meter.name}", start=start, hidden=hidden)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Save a meter. If someone else has changed it, show the newer values first."""
        async with submitting(self, form) as submission:
            meter = await call_once(
                self,
                form,
                meters.update_meter,
                read_text(form, "code"),
                name=read_text(form, "name"),
                unit=read_text(form, "unit"),
                # Only admins have this field, and only for the default meter.
                takes_other_types={"true": True, "false": False}.get(read_text(form, "takes_other_types")),
                version=read_number(form, "version"),
            )
            submission.succeed(f"{meter.name} updated", MetersState.load)
        return submission.events

    @rx.event
    async def open_archive(self, code: str) -> Any:
        """Ask for confirmation to archive a meter."""
        meter = await call(self, meters.get_meter, code)
        return open_dialog(self, ARCHIVE, f"Archive {meter.name}?", hidden={"code": meter.code})

    @rx.event
    async def archive(self, form: dict[str, Any]) -> Any:
        """Keep a meter out of new plan versions."""
        async with submitting(self, form) as submission:
            meter = await call_once(self, form, meters.archive_meter, read_text(form, "code"))
            submission.succeed(f"{meter.name} archived", MetersState.load)
        return submission.events


def code_of(name: str) -> str:
    """Return the code of a meter with this name: `api_calls` for `API calls`."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "_", ascii_only).strip("_")[:_CODE_MAX].rstrip("_")


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    page: Page[MeterRow]
    dashboard: Dashboard | None
    period: str

    @property
    def usage(self) -> Mapping[str, Decimal] | None:
        """The usage of this month by the meter's code, or None before it is counted."""
        if self.dashboard is None or label(self.dashboard.month) != self.period:
            return None
        return {each.meter.code: each.quantity for each in self.dashboard.meters}


def _read(session: Session, actor: Actor, listing: Listing) -> _Read:
    archived = ARCHIVED.get(listing.filters["show"], False)
    return _Read(
        page=meters.list_meters(session, actor, archived=archived, limit=ROWS, cursor=listing.cursor),
        dashboard=get_dashboard(session, actor),
        period=label(period_of(now(session))),
    )


def _item(meter: MeterRow, usage: Mapping[str, Decimal] | None, period: str) -> MeterItem:
    quantity = None if usage is None else usage.get(meter.code, ZERO)
    return MeterItem(
        code=meter.code,
        name=meter.name,
        event_type=meter.event_type,
        takes_other_types=meter.takes_other_types,
        aggregation=AGGREGATIONS[meter.aggregation],
        usage="" if quantity is None else counted(quantity, meter.unit, plural_of(meter.unit)),
        usage_href=address.link("/usage", period=period, meter=meter.code),
        is_default=meter.is_default,
        is_archived=meter.archived_at is not None,
    )
