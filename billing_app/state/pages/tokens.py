"""The credentials of machines."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Scope
from billing_app.services.audit.names import Named, find_names
from billing_app.services.identity import api_tokens
from billing_app.services.identity.rows import TokenRow
from billing_app.state.kit import text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Listing, Pages, parse_listing
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.settings import TokenItem

ROWS = 25
PATH = "/settings/tokens"
NEW, MADE, REVOKE = "new-token", "token-made", "revoke-token"
MAY = {
    Scope.USAGE_WRITE.value: "Records usage",
    Scope.READ.value: "Reads everything",
    f"{Scope.USAGE_WRITE} {Scope.READ}": "Records usage, reads everything",
}
_WORDS = {Scope.USAGE_WRITE: "records usage", Scope.READ: "reads everything"}


class TokensState(rx.State):
    """A page of API tokens, the newest first."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[TokenItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    form: Form = Form()
    made: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = parse_listing(self, PATH)
        async with loading(self):
            page, names = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.rows = [_row(token, names, zone) for token in page.items]
            self.pages = listing.pages(page.next_cursor)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a new token."""
        start = {"name": "", "scopes": Scope.USAGE_WRITE.value}
        return open_dialog(self, NEW, "New API token", start=start)

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Make a token; it goes to the screen and is kept nowhere."""
        async with submitting(self, form) as submission:
            made = await call(
                self,
                api_tokens.create_token,
                name=read_text(form, "name"),
                scopes=read_text(form, "scopes").split(),
            )
            self.made = made.row.name
            shown = run_in_browser("showSecret", MADE, made.token)
            submission.succeed(f"The token “{made.row.name}” is made", shown, TokensState.load)
        return submission.events

    @rx.event
    async def open_revoke(self, token_id: str) -> Any:
        """Ask before a token is revoked."""
        token = await call(self, api_tokens.get_token, token_id)
        return open_dialog(self, REVOKE, f"Revoke “{token.name}”?", hidden={"token": token.public_id})

    @rx.event
    async def revoke(self, form: dict[str, Any]) -> Any:
        """End a token at once."""
        async with submitting(self, form) as submission:
            await call(self, api_tokens.revoke_token, read_text(form, "token"))
            submission.succeed("The token is revoked", TokensState.load)
        return submission.events


def _read(session: Any, actor: Any, listing: Listing) -> Any:
    page = api_tokens.list_tokens(session, actor, limit=ROWS, cursor=listing.cursor)
    return page, find_names(session, actor, [token.created_by or "" for token in page.items])


def _row(token: TokenRow, names: dict[str, Named], zone: ZoneInfo) -> TokenItem:
    used, revoked = token.last_used_at, token.revoked_at
    made_by = names.get(token.created_by or "")
    may = ", ".join(_WORDS[scope] for scope in Scope if scope in token.scopes)
    return TokenItem(
        token_id=token.public_id,
        name=token.name,
        may=may[:1].upper() + may[1:],
        made_by=made_by.name if made_by else "System",
        made=text.day(token.created_at.astimezone(zone).date()),
        made_utc=text.timestamp_utc(token.created_at),
        used=text.timestamp(used, zone) if used else "Never",
        used_utc=text.timestamp_utc(used) if used else "",
        is_revoked=revoked is not None,
        revoked=text.timestamp_utc(revoked) if revoked else "",
    )
