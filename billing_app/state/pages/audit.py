"""The audit log: who did what, when, on what."""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Permission
from billing_app.services.audit import log as audit_log
from billing_app.services.audit import names as audit_names
from billing_app.services.audit.log import AuditRow
from billing_app.services.audit.names import Named
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.lists import Listing, Option, Pages, parse_listing
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters import audit_entries
from billing_app.state.presenters.audit import AuditItem

ROWS = 50


class AuditState(rx.State):
    """A page of the audit log, of one person and one subject when the address names them."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[AuditItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    is_filtered: bool = False
    people: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> None:
        """Show the entries that the address asks for."""
        listing = parse_listing(self, "/audit", "actor", "subject")
        self.is_filtered = listing.is_filtered
        async with loading(self):
            found = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.people = _people(found, listing)
            self.rows = [_item(row, found, listing, zone) for row in found.page.items]
            self.pages = listing.pages(found.page.next_cursor)


class _Found(NamedTuple):
    page: Page[AuditRow]
    names: dict[str, Named]
    people: tuple[Named, ...]
    is_admin: bool


def _read(session: Any, actor: Any, listing: Listing) -> _Found:
    subject = listing.get("subject")
    page = audit_log.list_audit_entries(
        session,
        actor,
        subject=subject and audit_names.resolve_subject(session, actor, subject),
        actor_id=listing.get("actor"),
        limit=ROWS,
        cursor=listing.cursor,
    )
    names = audit_names.find_names(session, actor, audit_entries.find_ids(page.items))
    people = audit_names.list_audit_actors(session, actor)
    return _Found(page, names, people, actor.may(Permission.ADMINISTER))


def _people(found: _Found, listing: Listing) -> list[Option]:
    """Who can be chosen; also whoever the address names."""
    people = [Option(each.id, each.name) for each in found.people]
    chosen = listing.get("actor")
    if chosen and chosen not in (each.id for each in found.people):
        # A way of the product to work, such as a run: reached by an entry's link only.
        who = (
            audit_entries.describe_actor(found.page.items[0], found.names).name
            if found.page.items
            else audit_entries.describe_actor_id(chosen, chosen, found.names).name
        )
        people.append(Option(chosen, who))
    return people


def _item(row: AuditRow, found: _Found, listing: Listing, zone: ZoneInfo) -> AuditItem:
    names = found.names
    who = audit_entries.describe_actor(row, names)
    return AuditItem(
        action=audit_entries.describe_action(row.action),
        actor=who.name,
        actor_note=who.note,
        actor_href=listing.href(actor=who.actor_id),
        subject=audit_entries.describe_subject(row.subject, names),
        subject_href=audit_entries.link_subject(row.subject, names, is_admin=found.is_admin),
        subject_only_href=address.link("/audit", subject=row.subject),
        at=text.timestamp(row.at, zone),
        at_utc=text.timestamp_utc(row.at),
        details=audit_entries.describe_details(row, names),
    )
