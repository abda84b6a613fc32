"""Run invoices in a separate process: `python -m bench.child DATABASE_URL 2026-10`.

Prints a line of JSON: how long the run took, and how many invoices it created.
"""

from __future__ import annotations

import json
import sys

from bench.databases import NOW
from bench.measures import seconds
from billing_app.database.session import Database
from billing_app.domain.actor import system
from billing_app.domain.periods import parse_period
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.server.garbage import freeze_loaded_objects


def main() -> None:
    """Execute the run and print the result. Fails if a customer could not be invoiced."""
    url, period = sys.argv[1:]
    database = Database(url, clock=lambda: NOW)
    freeze_loaded_objects()
    rows = []
    taken = seconds(lambda: rows.append(run_invoices(database, system("bench"), parse_period(period))))
    database.close()
    if rows[0].status != "done" or rows[0].failed:
        raise RuntimeError(f"the run did not make every invoice: {rows[0]}")
    print(json.dumps({"seconds": taken, "created": rows[0].created}))


if __name__ == "__main__":
    main()
