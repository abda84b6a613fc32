"""Files of usage: taken in whole, checked, and imported in the background when somebody starts them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

from anyio import from_thread
from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, AsItCame, Cell, CsvFile, csv_file
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Sha256, Timestamp
from billing_app.jobs.usage_imports import receive_file
from billing_app.runtime import current
from billing_app.services.usage_imports import imports, rejected_rows
from billing_app.services.usage_imports.files import FILE_NAME_MAX
from billing_app.services.usage_imports.imports import RefusedRow, UsageImportRow
from billing_app.wording.refusals import reason_sentence

router = resource("/usage/imports", "Usage")

_EXAMPLE = (
    "customer,idempotency_key,quantity,occurred_at\nacme,2026-10-31/meter-7/42,1530.5,2026-10-31T23:00:00Z\n"
)
_FILE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {"text/csv": {**_FILE, "example": _EXAMPLE}, "application/gzip": {**_FILE, "example": ""}},
}
Import = Annotated[str, Path(alias="import")]


class PreviewRow(BaseModel):
    """One of the file's first rows, and what would become of it; `detail` says why, unless recorded."""

    line: int = Field(examples=[2])
    row: list[str] = Field(
        examples=[["acme", "2026-10-31/meter-7/42", "1530.5", "2026-10-31T23:00:00Z"]],
        description="Customer, idempotency key, quantity, moment; other cells when there are not four.",
    )
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    detail: str | None = Field(examples=[None])


class UsageImport(BaseModel):
    """A file of usage. `bytes_read` of `size_bytes` are checked, or imported.

    Until it is started the counts are what would become of its rows, from then on what became of
    them; they are the numbers so far while it is `checking` or `importing`. `rows` is the sum of
    the others.
    """

    id: str = Field(examples=["imp_7"])
    file_name: str = Field(examples=["october.csv"])
    size_bytes: int
    sha256: Sha256
    status: Literal["checking", "checked", "importing", "done", "cancelled", "failed"]
    bytes_read: int
    rows: int
    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    refusals_kept: int = Field(description="How many of the conflicts and rejected rows are kept: 100,000.")
    preview: list[PreviewRow] = Field(description="The first 20 rows, as they were checked.")
    same_as: str | None = Field(
        examples=["imp_5"], description="The last import of the very same content that was done before."
    )
    same_as_at: Timestamp | None = Field(description="When that one was done.")
    fault: str | None = Field(description="Why it failed.", examples=[None])
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None


class ImportRefusal(BaseModel):
    """A row that was refused, or would be."""

    line: int = Field(examples=[17], description="The line that it begins on; the header is line 1.")
    row: list[str] = Field(description="Its cells as they came, what is no UTF-8 replaced.")
    status: Literal["conflict", "rejected"]
    code: str = Field(examples=["customer_not_found"])
    detail: str


@router.post(
    "",
    status_code=202,
    responses=refusals("uploads_under_way"),
    openapi_extra={"requestBody": _BODY},
)
def upload(
    call: Caller,
    request: Request,
    response: Response,
    file_name: Annotated[str, Query(min_length=1, max_length=FILE_NAME_MAX)] = "usage.csv",
) -> UsageImport:
    """Send in a file of usage to be checked.

    CSV or gzipped CSV of up to 1 GiB, UTF-8, with a header of exactly the columns `customer` (id or
    key), `idempotency_key`, `quantity`, `occurred_at` (RFC 3339; empty means now) in any order.
    When it is `checked`, start it: nothing is recorded before. An upload that breaks off leaves nothing.
    """
    stored = receive_file(current().database, call.actor, file_name, _pieces(request))
    current().background.wake()
    response.headers["Location"] = f"/api/v1/usage/imports/{stored.public_id}"
    return import_of(stored)


def _pieces(request: Request) -> Iterator[bytes]:
    """The body, each piece asked for when the one before is stored. Raises what the request's stream does."""
    stream: AsyncIterator[bytes] = request.stream()

    async def following() -> bytes | None:
        try:
            return await anext(stream, None)
        except ClientDisconnect:
            # Nobody hears it; what was stored so far is undone.
            raise HTTPException(400) from None

    while (piece := from_thread.run(following)) is not None:
        yield piece


@router.get("")
def list_imports(call: Caller, paged: Paged) -> Page[UsageImport]:
    """List imports, the newest first."""
    return page_of(call.do(imports.list_imports, **paged), import_of)


@router.get("/{import}", responses=refusals("import_not_found"))
def get_import(call: Caller, usage_import: Import) -> UsageImport:
    """Get an import: how far it is, and what came of it."""
    return import_of(call.do(imports.get_import, usage_import))


@router.post("/{import}/start", status_code=202, responses=refusals("import_not_found", "import_not_checked"))
def start_import(call: Caller, usage_import: Import) -> UsageImport:
    """Start an import that is checked.

    It goes on in the server, also after a restart, and each row counts once. Started again, it is
    answered with.
    """
    started = call.do(imports.start_import, usage_import)
    current().background.wake()
    return import_of(started)


@router.post("/{import}/cancel", responses=refusals("import_not_found"))
def cancel_import(call: Caller, usage_import: Import) -> UsageImport:
    """Cancel an import: it stops within moments. What it recorded stays; one that has ended is left as it is."""
    return import_of(call.do(imports.cancel_import, usage_import))


@router.get("/{import}/refusals", responses=refusals("import_not_found"))
def list_refusals(call: Caller, usage_import: Import, paged: Paged) -> Page[ImportRefusal]:
    """List the rows that were refused, or would be; the first 100,000 are kept."""
    return page_of(call.do(rejected_rows.list_refusals, usage_import, **paged), refusal_of)


@router.get(
    "/{import}/refused.csv", response_class=CsvFile, responses=DESCRIBED | refusals("import_not_found")
)
def export_refused(call: Caller, usage_import: Import) -> CsvFile:
    """Export the refused rows as CSV, to be mended and imported as they are.

    Every cell is as it came, byte for byte: a spreadsheet may take one for a formula. A row with
    too few cells or too many is so here too.
    """
    columns = ("line", *imports.COLUMNS, "code", "detail")
    return csv_file(
        call,
        f"refused-{usage_import}.csv",
        columns,
        _cells,
        rejected_rows.read_refusals,
        usage_import,
    )


def import_of(row: UsageImportRow) -> UsageImport:
    """The import as it goes out."""
    named: dict[str, Any] = {
        name: getattr(row, name) for name in UsageImport.model_fields if name not in ("id", "preview")
    }
    preview = [
        PreviewRow(
            line=each.line,
            row=list(each.row),
            status=each.status,
            detail=reason_sentence(each.reason) if each.reason else None,
        )
        for each in row.preview
    ]
    return UsageImport(id=row.public_id, preview=preview, **named)


def refusal_of(row: RefusedRow) -> ImportRefusal:
    """The refused row as it goes out."""
    cells = [cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for cell in row.row]
    return ImportRefusal(
        line=row.line,
        row=cells,
        status=row.status,
        code=row.reason.code,
        detail=reason_sentence(row.reason),
    )


def _cells(row: RefusedRow) -> tuple[Cell, ...]:
    return (
        row.line,
        *(AsItCame(cell) for cell in row.row),
        row.reason.code,
        reason_sentence(row.reason),
    )
