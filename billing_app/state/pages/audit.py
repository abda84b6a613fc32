"""The page of the audit log."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Actor, Permission
from billing_app.services.audit import log as audit_log
from billing_app.services.audit import names as audit_names
from billing_app.services.audit.log import AuditRow
from billing_app.services.audit.names import Named
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.lists import Listing, Option, Pages, parse_listing
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters import audit_entries
from billing_app.state.presenters.audit import AuditItem

ROWS = 50


class AuditState(rx.State):
    """One page of the audit log, filtered by the actor and the subject in the address."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[AuditItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    is_filtered: bool = False
    actors: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> None:
        """Load the entries that the address selects."""
        listing = parse_listing(self, "/audit", "actor", "subject")
        self.is_filtered = listing.is_filtered
        async with loading(self):
            found = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.actors = _actor_options(found, listing)
            self.rows = [_item(row, found, listing, zone) for row in found.page.items]
            self.pages = listing.pages(found.page.next_cursor)


class _Found(NamedTuple):
    page: Page[AuditRow]
    names: dict[str, Named]
    actors: tuple[Named, ...]
    is_admin: bool


def _read(session: Session, actor: Actor, listing: Listing) -> _Found:
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
    actors = audit_names.list_audit_actors(session, actor)
    return _Found(page, names, actors, actor.may(Permission.ADMINISTER))


def _actor_options(found: _Found, listing: Listing) -> list[Option]:
    """Return the actors to filter by, including the one in the address."""
    options = [Option(each.id, each.name) for each in found.actors]
    selected = listing.get("actor")
    if selected and selected not in (each.id for each in found.actors):
        # An operator or a part of the product, which can only be selected by the link in an entry.
        words = (
            audit_entries.describe_actor(found.page.items[0], found.names)
            if found.page.items
            else audit_entries.describe_actor_id(selected, selected, found.names)
        )
        options.append(Option(selected, words.name))
    return options


def _item(row: AuditRow, found: _Found, listing: Listing, zone: ZoneInfo) -> AuditItem:
    names = found.names
    actor = audit_entries.describe_actor(row, names)
    return AuditItem(
        action=audit_entries.describe_action(row.action),
        actor=actor.name,
        actor_note=actor.note,
        actor_href=listing.href(actor=actor.actor_id),
        subject=audit_entries.describe_subject(row.subject, names),
        subject_href=audit_entries.link_subject(row.subject, names, is_admin=found.is_admin),
        subject_only_href=address.link("/audit", subject=row.subject),
        at=text.timestamp(row.at, zone),
        at_utc=text.timestamp_utc(row.at),
        details=audit_entries.describe_details(row, names),
    )
