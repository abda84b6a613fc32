"""Read invoices for an export in chunks, so that they are never in memory all at once."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.services.invoices.filters import ALL_INVOICES, InvoiceFilter
from billing_app.services.invoices.queries import list_query, paid_invoice
from billing_app.services.invoices.rows import InvoiceRow
from billing_app.services.invoices.selection import select_invoices
from billing_app.services.shared.permissions import require

CHUNK_ROWS = 2_000


def read_invoices(
    session: Session, actor: Actor, invoice_filter: InvoiceFilter = ALL_INVOICES
) -> Iterator[list[InvoiceRow]]:
    """Read every invoice that `list_invoices` would list, from one snapshot, newest period first.

    At most one chunk is held at a time. Read the chunks within the session's transaction.

    Raises:
        NotFound: `customer_not_found`, when called.
        Invalid: The filter breaks a rule, when called.
    """
    require(actor, Permission.READ)
    query = list_query(select_invoices(session, invoice_filter))
    today = now(session).date()

    def chunks() -> Iterator[list[InvoiceRow]]:
        connection = driver_cursor(session).connection
        with connection.cursor("invoice_export", row_factory=paid_invoice) as db:
            db.execute(query.sql, query.parameters)
            while rows := db.fetchmany(CHUNK_ROWS):
                yield [row.as_row(today) for row in rows]

    return chunks()
