"""The pages of imports: the list, and one import from its check to its outcome.

assets/js/uploads.js uploads a file to the API, which stores it and responds with the import. The server
processes it whether or not a page shows it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import reflex as rx

from billing_app.runtime import current
from billing_app.services.shared.pagination import Page
from billing_app.services.usage_imports import imports, rejected_rows
from billing_app.services.usage_imports.rows import RejectedRow, UsageImportRow
from billing_app.state.kit import address
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.forms import Form, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.usage_imports import (
    PATH,
    FileRow,
    ImportItem,
    ImportSheet,
    import_item,
    import_sheet,
    import_summary,
    preview_row,
    rejected_row,
)

ROWS = 25
REJECTED_ROWS = 50
CANCEL = "cancel-import"
CORRECTIONS = "corrections"
_WORKING = ("checking", "importing")


class UsageImportsState(rx.State):
    """A page of imports, newest first."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[ImportItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    # What the next file contains: usage, or corrections.
    kind: str = "usage"
    usage_href: str = PATH
    corrections_href: str = address.link(PATH, kind=CORRECTIONS)
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the page of the list in the address, and follow the imports in progress on it."""
        async with loading(self):
            listing = parse_listing(self, PATH, "kind")
            self.kind = CORRECTIONS if listing.get("kind") == CORRECTIONS else "usage"
            self.usage_href, self.corrections_href = listing.href(kind=""), listing.href(kind=CORRECTIONS)
            page = await call(self, imports.list_imports, limit=ROWS, cursor=listing.cursor)
            self.rows = [import_item(row, viewer_zone(self)) for row in page.items]
            self.pages = listing.pages(page.next_cursor)
        if self.phase == READY and _any_working(self.rows):
            return UsageImportsState.watch
        return None

    @rx.event(background=True)
    async def watch(self) -> None:
        """Follow the imports in progress until none is left."""
        async for _ in poll_while_open(self, every=1.0):
            listing = parse_listing(self, PATH, "kind")
            page = await call(self, imports.list_imports, limit=ROWS, cursor=listing.cursor)
            async with self:
                self.rows = [import_item(row, viewer_zone(self)) for row in page.items]
            if not _any_working(self.rows):
                break


class UsageImportState(rx.State):
    """One import: its progress, its first rows, and its rejected rows."""

    phase: str = LOADING
    problem: str = ""
    sheet: ImportSheet = ImportSheet()
    preview: rx.Field[list[FileRow]] = rx.field(default_factory=list)
    rejected: rx.Field[list[FileRow]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    form: Form = Form()
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the import in the address, and follow it while the server processes it."""
        usage_import = address.path_segment(self, 2)
        if usage_import != self.sheet.import_id:
            # One file's rows must never be shown at another import's address.
            self.phase, self.sheet, self.preview, self.rejected = LOADING, ImportSheet(), [], []
        async with loading(self):
            _show(self, await _read(self, usage_import))
        return UsageImportState.watch if self.phase == READY and self.sheet.status in _WORKING else None

    @rx.event(background=True)
    async def watch(self) -> AsyncIterator[Any]:
        """Follow the check or the import to its end."""
        usage_import = address.path_segment(self, 2)
        async for _ in poll_while_open(self):
            read = await _read(self, usage_import)
            async with self:
                _show(self, read)
            if read.row.status not in _WORKING:
                break
        if read.row.status == "done":
            yield rx.toast.success(f"{read.row.file_name}: {import_summary(read.row)}")

    @rx.event
    async def start(self) -> Any:
        """Start the import of a checked file."""
        await call(self, imports.start_import, address.path_segment(self, 2))
        current().background.wake()
        return UsageImportState.load

    @rx.event
    async def open_cancel(self) -> Any:
        """Ask for confirmation before an import is cancelled or a file discarded."""
        row = await call(self, imports.get_import, address.path_segment(self, 2))
        title = "Cancel this import?" if row.status == "importing" else "Discard this file?"
        return open_dialog(self, CANCEL, title, hidden={"import": row.public_id, "status": row.status})

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Cancel the import. Recorded rows stay recorded."""
        async with submitting(self, form) as submission:
            row = await call(self, imports.cancel_import, read_text(form, "import"))
            result = {"done": "was already imported", "failed": "had already failed"}
            submission.succeed(
                f"{row.file_name} {result.get(row.status, 'cancelled')}", UsageImportState.load
            )
        return submission.events


class _Read(NamedTuple):
    row: UsageImportRow
    rejected: Page[RejectedRow]


async def _read(state: UsageImportState, usage_import: str) -> _Read:
    cursor = parse_listing(state, f"{PATH}/{usage_import}").cursor
    return _Read(
        await call(state, imports.get_import, usage_import),
        await call(state, rejected_rows.list_rejected_rows, usage_import, limit=REJECTED_ROWS, cursor=cursor),
    )


def _show(state: UsageImportState, read: _Read) -> None:
    zone = viewer_zone(state)
    state.sheet = import_sheet(read.row, zone)
    state.preview = [preview_row(row, zone, read.row.kind) for row in read.row.preview]
    state.rejected = [rejected_row(row, read.row.kind) for row in read.rejected.items]
    listing = parse_listing(state, f"{PATH}/{read.row.public_id}")
    state.pages = listing.pages(read.rejected.next_cursor)


def _any_working(rows: list[ImportItem]) -> bool:
    return any(row.status in _WORKING for row in rows)
