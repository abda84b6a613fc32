"""Files of usage: those that were sent in, and one of them from its check to its outcome.

A file is sent by assets/app.js to the API, which stores it; what is shown here is its row, which
the server goes on with whether anybody looks or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.runtime import current
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports import imports, rejected_rows
from billing_app.services.usage_imports.imports import PreviewRow, RefusedRow, UsageImportRow
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.forms import Form, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.usage import FileRow, ImportItem, ImportSheet, row_reason

ROWS = 25
PROBLEMS = 50
PATH = "/usage/imports"
CANCEL = "cancel-import"
UNDER_WAY = ("checking", "checked", "importing")
_WORKING = ("checking", "importing")
_CELL_MAX = 200
_KB = 1000


class UsageImportsState(rx.State):
    """A page of imports, the newest first."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[ImportItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the page that the address asks for, and follow what is under way on it."""
        async with loading(self):
            listing = parse_listing(self, PATH)
            page = await call(self, imports.list_imports, limit=ROWS, cursor=listing.cursor)
            self.rows = [import_item(each, viewer_zone(self)) for each in page.items]
            self.pages = listing.pages(page.next_cursor)
        if self.phase == READY and _has_working(self.rows):
            return UsageImportsState.watch
        return None

    @rx.event(background=True)
    async def watch(self) -> None:
        """Follow what is under way."""
        async for _ in poll_while_open(self, every=1.0):
            listing = parse_listing(self, PATH)
            page = await call(self, imports.list_imports, limit=ROWS, cursor=listing.cursor)
            async with self:
                self.rows = [import_item(each, viewer_zone(self)) for each in page.items]
            if not _has_working(self.rows):
                break


class UsageImportState(rx.State):
    """One import: how far it is, its first rows, what is refused of it."""

    phase: str = LOADING
    problem: str = ""
    sheet: ImportSheet = ImportSheet()
    preview: rx.Field[list[FileRow]] = rx.field(default_factory=list)
    refused: rx.Field[list[FileRow]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    form: Form = Form()
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the import that the address names, and follow it while the server is at it."""
        named = address.path_segment(self, 2)
        if named != self.sheet.import_id:
            # Never one file's rows under another's address.
            self.phase, self.sheet, self.preview, self.refused = LOADING, ImportSheet(), [], []
        async with loading(self):
            _show(self, *await call(self, _read, named, parse_listing(self, f"{PATH}/{named}").cursor))
        return UsageImportState.watch if self.phase == READY and _is_working(self.sheet) else None

    @rx.event(background=True)
    async def watch(self) -> AsyncIterator[Any]:
        """Follow it to the end of what the server is at."""
        named = address.path_segment(self, 2)
        async for _ in poll_while_open(self):
            row, problems = await call(self, _read, named, parse_listing(self, f"{PATH}/{named}").cursor)
            async with self:
                _show(self, row, problems)
            if row.status not in _WORKING:
                break
        if row.status == "done":
            yield rx.toast.success(f"{row.file_name}: {_told(row)}")

    @rx.event
    async def start(self) -> Any:
        """Have the rows recorded, of a file that is checked."""
        await call(self, imports.start_import, address.path_segment(self, 2))
        current().background.wake()
        return UsageImportState.load

    @rx.event
    async def open_cancel(self) -> Any:
        """Ask before a file is let go."""
        row = await call(self, imports.get_import, address.path_segment(self, 2))
        title = "Cancel this import?" if row.status == "importing" else "Discard this file?"
        return open_dialog(self, CANCEL, title, hidden={"import": row.public_id, "status": row.status})

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Stop it for good; what was recorded stays."""
        async with submitting(self, form) as submission:
            row = await call(self, imports.cancel_import, read_text(form, "import"))
            said = {"done": "was done before", "failed": "had failed before"}.get(row.status, "is cancelled")
            submission.succeed(f"{row.file_name} {said}", UsageImportState.load)
        return submission.events


def _read(session: Any, actor: Any, named: str, cursor: str | None) -> Any:
    row = imports.get_import(session, actor, named)
    problems = rejected_rows.list_refusals(session, actor, named, limit=PROBLEMS, cursor=cursor)
    return row, problems


def _show(state: UsageImportState, row: UsageImportRow, problems: Any) -> None:
    zone = viewer_zone(state)
    state.sheet = _sheet(row, zone)
    state.preview = [_previewed(each) for each in row.preview]
    state.refused = [_refused(each) for each in problems.items]
    state.pages = parse_listing(state, f"{PATH}/{row.public_id}").pages(problems.next_cursor)


def _has_working(rows: list[ImportItem]) -> bool:
    return any(row.status in _WORKING for row in rows)


def _is_working(sheet: ImportSheet) -> bool:
    return sheet.status in _WORKING


def import_item(row: UsageImportRow, zone: ZoneInfo) -> ImportItem:
    """A row of any list of imports."""
    return ImportItem(
        href=address.link(f"{PATH}/{row.public_id}"),
        file_name=row.file_name,
        size=_size(row.size_bytes),
        status=row.status,
        outcome=_outcome(row),
        started=text.timestamp(row.started_at, zone),
        started_utc=text.timestamp_utc(row.started_at),
    )


def _outcome(row: UsageImportRow) -> str:
    """What became of it, or is becoming, in a few words."""
    refused = row.conflicts + row.rejected
    match row.status:
        case "checking" | "importing":
            return f"{_share(row)}, {_rows(row.rows)} so far"
        case "failed":
            return row_reason(row.fault)
        case "checked":
            return f"{row.recorded:,} to record, {row.duplicates:,} there already, {refused:,} refused"
        case _:
            return f"{row.recorded:,} recorded, {row.duplicates:,} there already, {refused:,} refused"


def _sheet(row: UsageImportRow, zone: ZoneInfo) -> ImportSheet:
    refused = row.conflicts + row.rejected
    return ImportSheet(
        import_id=row.public_id,
        file_name=row.file_name,
        size=_size(row.size_bytes),
        status=row.status,
        is_under_way=row.status in UNDER_WAY,
        started=text.timestamp(row.started_at, zone),
        started_utc=text.timestamp_utc(row.started_at),
        finished=text.timestamp(row.finished_at, zone) if row.finished_at else "",
        finished_utc=text.timestamp_utc(row.finished_at) if row.finished_at else "",
        done_bytes=row.bytes_read,
        all_bytes=max(1, row.size_bytes),
        caption=f"{_rows(row.rows)}, {_share(row)}",
        said=_told(row),
        is_check=row.status in ("checking", "checked"),
        rows=f"{row.rows:,}",
        recorded=f"{row.recorded:,}",
        duplicates=f"{row.duplicates:,}",
        refused=f"{refused:,}",
        has_refused=row.refusals_kept > 0,
        refused_note=f"The first {row.refusals_kept:,} are kept." if refused > row.refusals_kept else "",
        refused_href=f"/api/v1{PATH}/{row.public_id}/refused.csv",
        start=f"Import {_rows(row.recorded)}" if row.recorded else "",
        start_again="Import again" if row.duplicates and not row.recorded else "",
        same_as=text.timestamp(row.same_as_at, zone) if row.same_as_at else "",
        same_as_href=address.link(f"{PATH}/{row.same_as}") if row.same_as else "",
    )


def _told(row: UsageImportRow) -> str:
    """What to know of it, in a sentence or two."""
    refused, again = row.conflicts + row.rejected, row.duplicates
    match row.status:
        case "checking":
            return "Every row is looked at. Nothing is recorded before you say so."
        case "checked" if row.recorded == 0 and again:
            which = f"{_rows(again)} of it are" if refused else "Every row of it is"
            return f"{which} recorded already. Importing it again records nothing twice."
        case "checked" if row.recorded == 0:
            return "No row of it can be recorded."
        case "checked":
            return "Nothing is recorded yet."
        case "importing":
            return "It goes on in the server, also when this page is closed."
        case "done" if row.recorded == 0 and again:
            return f"Nothing was recorded: {_rows(again)} had been before, and nothing is recorded twice."
        case "done" if again:
            return (
                f"{_rows(row.recorded)} recorded. {_rows(again)} had been before: nothing is recorded twice."
            )
        case "done":
            return f"{_rows(row.recorded)} recorded."
        case "failed":
            return f"{_outcome(row)}. {_kept(row)}"
        case _:
            return _kept(row)


def _kept(row: UsageImportRow) -> str:
    return (
        f"{_rows(row.recorded)} recorded before it ended: they stay."
        if row.recorded
        else "Nothing was recorded."
    )


def _previewed(row: PreviewRow) -> FileRow:
    return _file_row(row.line, row.row, row.status, row.reason)


def _refused(row: RefusedRow) -> FileRow:
    return _file_row(row.line, row.row, row.status, row.reason)


def _file_row(line: int, cells: tuple[str, ...], status: str, reason: Reason | None) -> FileRow:
    # Bytes that are no UTF-8 came as surrogates, which no browser can be sent.
    shown = [cell[:_CELL_MAX].encode("utf-8", "surrogateescape").decode("utf-8", "replace") for cell in cells]
    # Of a row with too many cells or too few, what there is.
    customer, key, quantity, occurred = (
        shown if len(shown) == 4 else (", ".join(shown)[:_CELL_MAX], "", "", "")
    )
    return FileRow(f"{line:,}", customer, key, quantity, occurred, status, row_reason(reason))


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _share(row: UsageImportRow) -> str:
    return f"{100 * row.bytes_read // max(1, row.size_bytes)} %"


def _size(size_bytes: int) -> str:
    """`12 bytes`, `3.4 MB`."""
    if size_bytes < _KB:
        return f"{size_bytes} bytes"
    size = float(size_bytes)
    for unit in ("kB", "MB"):
        size /= _KB
        if size < _KB:
            return f"{size:.1f} {unit}"
    return f"{size / _KB:.1f} GB"
