"""Measurements of single events, a CSV file, and a verification."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.databases import Bench, settle
from bench.ingest import ACTOR, Batch
from bench.measures import seconds
from billing_app.jobs.file_import import import_usage, open_checked_file
from billing_app.jobs.verification import verify
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage_imports.rows import COLUMNS

THREADS = 64


def single_rate(bench: Bench, rows: Batch) -> float:
    """Measure events per second by single `record_usage` calls: 64 threads, one connection each."""
    database = bench.database(pool_size=THREADS)

    def work(share: Sequence[tuple[int, str, str, str]]) -> None:
        for customer, *given in share:
            with database.transaction(ACTOR) as session:
                record_usage(session, ACTOR, UsageReport(f"customer-{customer}", *given))

    shares = [rows[number::THREADS] for number in range(THREADS)]
    settle(bench)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return len(rows) / seconds(lambda: list(pool.map(work, shares)))
    finally:
        database.close()


def import_rate(bench: Bench, batches: Sequence[Batch]) -> float:
    """Measure rows per second of a CSV file, from its check to the last commit."""
    database = bench.database()
    with usage_file(batches) as path:
        settle(bench)

        def check_and_import() -> None:
            with open_checked_file(path) as file:
                import_usage(database, ACTOR, file)

        taken = seconds(check_and_import)
    database.close()
    return sum(map(len, batches)) / taken


@contextmanager
def usage_file(batches: Sequence[Batch]) -> Iterator[Path]:
    """Write the rows to a CSV file, which exists until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "usage.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for batch in batches:
                writer.writerows((f"customer-{customer}", *given) for customer, *given in batch)
        yield path


def verify_seconds(bench: Bench) -> float:
    """Measure how long a verification takes. It must find no discrepancy."""
    database = bench.database()
    reports = []
    settle(bench)
    taken = seconds(lambda: reports.append(verify(database, ACTOR)))
    database.close()
    if not reports[0].ok:
        raise RuntimeError(f"verify found discrepancies: {reports[0].discrepancies[:3]}")
    return taken
