"""The page of API tokens."""

from __future__ import annotations

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Actor, Scope
from billing_app.services.audit.names import Named, find_names
from billing_app.services.identity import api_tokens
from billing_app.services.identity.rows import TokenRow
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, call_once, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Listing, Pages, parse_listing
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.settings import TokenItem

ROWS = 25
PATH = "/settings/tokens"
NEW, CREATED, REVOKE = "new-token", "token-created", "revoke-token"
# The options of the dialog: scopes, separated by spaces, and their labels.
ACCESS = {
    Scope.USAGE_WRITE.value: "Record usage",
    f"{Scope.USAGE_WRITE} {Scope.USAGE_CORRECT}": "Record and correct usage",
    Scope.READ.value: "Read everything",
    f"{Scope.USAGE_WRITE} {Scope.READ}": "Record usage and read everything",
}
# For tokens with other scopes, which the API can create.
_ACCESS_WORDS = {
    Scope.USAGE_WRITE.value: "record usage",
    Scope.USAGE_CORRECT.value: "correct usage",
    Scope.READ.value: "read everything",
}


class TokensState(rx.State):
    """One page of the list of API tokens, and the form of the dialog that is open."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[TokenItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    form: Form = Form()
    # The token whose secret is shown. The secret itself is never stored in a state.
    created_name: str = ""

    @rx.event
    async def load(self) -> None:
        """Load the page of the list that the address selects."""
        listing = parse_listing(self, PATH)
        async with loading(self):
            found = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.rows = [_item(token, found.names, zone) for token in found.page.items]
            self.pages = listing.pages(found.page.next_cursor)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog that creates a token."""
        start = {"name": "", "scopes": Scope.USAGE_WRITE.value}
        return open_dialog(self, NEW, "New API token", start=start)

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Create a token and show its secret, which is never stored."""
        async with submitting(self, form) as submission:
            submission.repeated = (
                "Token created, but it could not be shown. Revoke it and create another one."
            )
            created = await call_once(
                self,
                form,
                api_tokens.create_token,
                name=read_text(form, "name"),
                scopes=read_text(form, "scopes").split(),
            )
            self.created_name = created.row.name
            show = run_in_browser("showSecret", CREATED, created.token)
            submission.succeed(f"API token {created.row.name} created", show, TokensState.load)
        return submission.events

    @rx.event
    async def open_revoke(self, token_id: str) -> Any:
        """Ask for confirmation to revoke a token."""
        token = await call(self, api_tokens.get_token, token_id)
        return open_dialog(self, REVOKE, f"Revoke {token.name}?", hidden={"token": token.public_id})

    @rx.event
    async def revoke(self, form: dict[str, Any]) -> Any:
        """Revoke a token."""
        async with submitting(self, form) as submission:
            await call_once(self, form, api_tokens.revoke_token, read_text(form, "token"))
            submission.succeed("API token revoked", TokensState.load)
        return submission.events


class _Found(NamedTuple):
    page: Page[TokenRow]
    names: dict[str, Named]


def _read(session: Session, actor: Actor, listing: Listing) -> _Found:
    page = api_tokens.list_tokens(session, actor, limit=ROWS, cursor=listing.cursor)
    return _Found(page, find_names(session, actor, [token.created_by or "" for token in page.items]))


def _item(token: TokenRow, names: dict[str, Named], zone: ZoneInfo) -> TokenItem:
    last_used, revoked = token.last_used_at, token.revoked_at
    creator = names.get(token.created_by or "")
    scopes = " ".join(scope for scope in Scope if scope in token.scopes)
    return TokenItem(
        token_id=token.public_id,
        name=token.name,
        access=ACCESS.get(scopes)
        or " and ".join(_ACCESS_WORDS[each] for each in scopes.split()).capitalize(),
        created_by=creator.name if creator else "System",
        created=text.day(token.created_at.astimezone(zone).date()),
        created_utc=text.timestamp_utc(token.created_at),
        last_used=text.timestamp(last_used, zone) if last_used else "Never",
        last_used_utc=text.timestamp_utc(last_used) if last_used else "",
        is_revoked=revoked is not None,
        revoked=text.timestamp_utc(revoked) if revoked else "",
    )
