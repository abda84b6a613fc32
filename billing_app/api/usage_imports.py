"""Imports of files of usage and of corrections: upload a file, let it be checked, and start its import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

from anyio import from_thread
from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, CsvFile, csv_file
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Quantity, Sha256, Timestamp
from billing_app.documents.csv_rows import rejected_columns, rejected_row_cells
from billing_app.jobs.usage_imports import receive_file
from billing_app.runtime import current
from billing_app.services.usage_imports import imports, rejected_rows, rows
from billing_app.services.usage_imports.files import FILE_NAME_MAX
from billing_app.wording.refusals import reason_sentence
from billing_app.wording.sentences import capitalized

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
    """One of the file's first rows with its expected outcome. `detail` says why it can't be recorded."""

    line: int = Field(examples=[2], description="The line number; the header is line 1.")
    row: list[str] = Field(
        examples=[["acme", "2026-10-31/meter-7/42", "1530.5", "2026-10-31T23:00:00Z"]],
        description=(
            "Customer, idempotency key, quantity and time as written in the file, and meter and item if it has"
            " a column for either. Of corrections: customer, idempotency key, quantity, reason and correction"
            " key. If the row has too few or too many cells, all of its cells."
        ),
    )
    quantity: Quantity | None = Field(description="The quantity as Tallybook read it.")
    occurred_at: Timestamp | None = Field(
        description="The time as Tallybook read it. Null means now, or a correction."
    )
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    detail: str | None = Field(examples=[None])


class UsageImport(BaseModel):
    """A file of usage or of corrections. `bytes_read` of `size_bytes` are checked or imported so far.

    Until the import is started, the counts are the expected outcome of its rows; from then on they
    are the actual outcome so far. `rows` is the sum of the others.
    """

    id: str = Field(examples=["imp_7"])
    kind: rows.Kind = Field(examples=["usage"])
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
    rejected_rows_kept: int = Field(
        description="The number of conflicts and rejected rows that you can list, at most 100,000."
    )
    preview: list[PreviewRow] = Field(description="The first 20 rows, as they were checked.")
    waits_for: str | None = Field(
        examples=[None], description="The ID of the import that this one waits for."
    )
    same_as: str | None = Field(
        examples=["imp_5"], description="The ID of the latest finished import of exactly the same content."
    )
    same_as_finished_at: Timestamp | None
    fault: str | None = Field(
        description="Why the import failed, if its status is `failed`.", examples=[None]
    )
    uploaded_by: str = Field(examples=["usr_2"])
    uploaded_at: Timestamp
    finished_at: Timestamp | None


class RejectedRow(BaseModel):
    """A row that was not recorded, or will not be: a conflict or rejected."""

    line: int = Field(examples=[17], description="The line number; the header is line 1.")
    row: list[str] = Field(
        description=(
            "The row's cells, with invalid UTF-8 replaced. If its quotes are malformed, one cell with the"
            " whole row. Empty if the row is too long to keep."
        )
    )
    status: Literal["conflict", "rejected"]
    code: str = Field(examples=["customer_not_found"])
    detail: str = Field(examples=["customer does not exist."])


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
    kind: Annotated[
        rows.Kind, Query(description="What the rows are: usage events, or corrections of them.")
    ] = "usage",
) -> UsageImport:
    """Upload a file of usage or of corrections to be checked.

    Send CSV or gzipped CSV in UTF-8, up to 1 GiB. The first line must name the columns `customer`
    (ID or key), `idempotency_key`, `quantity` and `occurred_at` (RFC 3339; empty means now), in any
    order. `meter` (a code) and `item` are optional. The other columns of Tallybook's exports are
    ignored. Each row is one line. Put a value with
    a comma or a quote in double quotes, and write each quote inside it twice.

    A file of corrections (`kind=corrections`) has the columns `customer`, `idempotency_key` (of the event),
    `quantity` (what it should have been), `reason` and `correction_key`. Corrections of one event apply in
    the order of the rows. A token needs the scope `usage:correct`.

    An apostrophe at the start of a value is removed if `=`, `+`, `-`, `@`, a tab, a carriage return
    or another apostrophe follows, because Tallybook's exports add it there. So write the key `'=a` as
    `''=a`; `'a` stays `'a`.

    Nothing is recorded until you start the import, which you can do once its status is `checked`. An
    interrupted upload leaves nothing behind. If you get no response, upload the file again: that may
    create a second import, but starting both records each event once.
    """
    stored = receive_file(current().database, call.actor, file_name, _read_pieces(request), kind=kind)
    current().background.wake()
    response.headers["Location"] = f"/api/v1/usage/imports/{stored.public_id}"
    return to_import(stored)


def _read_pieces(request: Request) -> Iterator[bytes]:
    """Read the body piece by piece, each after the previous one is stored. Raises what the stream raises."""
    stream: AsyncIterator[bytes] = request.stream()

    async def read_next() -> bytes | None:
        try:
            return await anext(stream, None)
        except ClientDisconnect:
            # The client is gone and can't read this response. Raising it rolls back what is stored so far.
            raise HTTPException(400) from None

    while (piece := from_thread.run(read_next)) is not None:
        yield piece


@router.get("")
def list_imports(call: Caller, paged: Paged) -> Page[UsageImport]:
    """List imports, newest first."""
    return page_of(call.do(imports.list_imports, **paged), to_import)


@router.get("/{import}", responses=refusals("import_not_found"))
def get_import(call: Caller, usage_import: Import) -> UsageImport:
    """Get an import with its progress and outcome."""
    return to_import(call.do(imports.get_import, usage_import))


@router.post("/{import}/start", status_code=202, responses=refusals("import_not_found", "import_not_checked"))
def start_import(call: Caller, usage_import: Import) -> UsageImport:
    """Start a checked import.

    It runs in the background, resumes after a restart, and counts each row once. If it has already
    been started, it is returned unchanged. A token without the scope `read` can only start imports that
    it uploaded.
    """
    started = call.do(imports.start_import, usage_import)
    current().background.wake()
    return to_import(started)


@router.post("/{import}/cancel", responses=refusals("import_not_found"))
def cancel_import(call: Caller, usage_import: Import) -> UsageImport:
    """Cancel an import.

    Once you get the response, nothing more is recorded and the counts are final. Events that are
    already recorded stay. An import that has ended is returned unchanged. A token without the scope
    `read` can only cancel imports that it uploaded.
    """
    return to_import(call.do(imports.cancel_import, usage_import))


@router.get("/{import}/rejected-rows", responses=refusals("import_not_found"))
def list_rejected_rows(call: Caller, usage_import: Import, paged: Paged) -> Page[RejectedRow]:
    """List conflicts and rejected rows by line number, up to the first 100,000."""
    return page_of(call.do(rejected_rows.list_rejected_rows, usage_import, **paged), to_rejected_row)


@router.get(
    "/{import}/rejected-rows.csv", response_class=CsvFile, responses=DESCRIBED | refusals("import_not_found")
)
def export_rejected_rows(call: Caller, usage_import: Import) -> CsvFile:
    """Export conflicts and rejected rows as CSV.

    Correct the file and import it: the columns `line`, `code` and `detail` are ignored. Rows with too
    few or too many values are exported unchanged.
    """
    return csv_file(
        call,
        f"rejected-rows-{usage_import}.csv",
        rejected_columns(call.do(rejected_rows.list_columns, usage_import)),
        rejected_row_cells,
        rejected_rows.read_rejected_rows,
        usage_import,
    )


def to_import(row: rows.UsageImportRow) -> UsageImport:
    """Convert an import."""
    return UsageImport(
        id=row.public_id,
        kind=row.kind,
        file_name=row.file_name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        status=row.status,
        bytes_read=row.bytes_read,
        rows=row.rows,
        recorded=row.recorded,
        duplicates=row.duplicates,
        conflicts=row.conflicts,
        rejected=row.rejected,
        rejected_rows_kept=row.rejected_rows_kept,
        preview=[_to_preview_row(each) for each in row.preview],
        waits_for=row.waits_for.public_id if row.waits_for else None,
        same_as=row.same_as.public_id if row.same_as else None,
        same_as_finished_at=row.same_as.finished_at if row.same_as else None,
        fault=capitalized(reason_sentence(row.fault)) if row.fault else None,
        uploaded_by=row.uploaded_by,
        uploaded_at=row.uploaded_at,
        finished_at=row.finished_at,
    )


def _to_preview_row(row: rows.PreviewRow) -> PreviewRow:
    return PreviewRow(
        line=row.line,
        row=list(row.row),
        quantity=row.quantity,
        occurred_at=row.occurred_at,
        status=row.status,
        detail=reason_sentence(row.reason) if row.reason else None,
    )


def to_rejected_row(row: rows.RejectedRow) -> RejectedRow:
    """Convert a rejected row."""
    return RejectedRow(
        line=row.line,
        row=[cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for cell in row.row],
        status=row.status,
        code=row.reason.code,
        detail=reason_sentence(row.reason),
    )
