"""The list of invoices for files: read chunk by chunk, so that it is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from psycopg.rows import namedtuple_row
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.services.invoices.invoices import InvoiceRow, row_of, select_invoices
from billing_app.services.shared.permissions import require

CHUNK_ROWS = 2_000


def read_invoices(
    session: Session,
    actor: Actor,
    *,
    customer: str | None = None,
    period: date | None = None,
    status: str | None = None,
    age: str | None = None,
    currency: str | None = None,
    search: str | None = None,
) -> Iterator[list[InvoiceRow]]:
    """All invoices that `list_invoices` would list, as of one moment; at most a chunk is held at a time.

    The chunks must be read within the session's transaction. Raises NotFound
    (`customer_not_found`) and Invalid when called.
    """
    require(actor, Permission.READ)
    selection = select_invoices(
        session,
        customer=customer,
        period=period,
        status=status,
        age=age,
        currency=currency,
        search=search,
    )
    today = now(session).date()

    def chunks() -> Iterator[list[InvoiceRow]]:
        connection = driver_cursor(session).connection
        with connection.cursor("invoice_export", row_factory=namedtuple_row) as db:
            db.execute(*selection)
            while rows := db.fetchmany(CHUNK_ROWS):
                yield [row_of(row, today) for row in rows]

    return chunks()
