"""`python -m bench [--quick]`: measure, print a table, and append a line to the history.

The exit code says whether the measurement succeeded, not whether a target was reached.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from statistics import median

from bench.databases import Bench, TooLittleSpace, bench_server, new_database
from bench.fill import FIRST_MONTH, MONTHS, add_audit_entries, add_customers, add_events
from bench.history import append
from bench.http import LATEST, Served, batch_rate, served
from bench.ingest import add_bare_table, bare_rate, empty_usage, make_batches, product_rate
from bench.lists import list_p95s
from bench.load import Kind, Load, NoWrk, find_wrk, handwritten_app, load, other_work
from bench.measures import Comparison, Figure, Measured, say
from bench.others import import_rate, single_rate, usage_file, verify_seconds
from bench.pages import FIRST_LOAD, page_times
from bench.report import show
from bench.runs import Reference, RunMeasured, product_run
from billing_app.server.garbage import freeze_loaded_objects
from tests.browser import NoBrowser, find_browser


@dataclass(frozen=True, slots=True)
class Size:
    """The amounts of data. `events` is the number in each of the three filled months."""

    customers: int
    events: int
    batches: int
    rounds: int
    singles: int
    load_seconds: int
    audit_entries: int
    tours: int
    gigabytes: float


FULL = Size(
    customers=100_000, events=3_334_000, batches=20, rounds=5, singles=8_000, load_seconds=8,
    audit_entries=200_000, tours=20, gigabytes=12,
)  # fmt: skip
QUICK = Size(
    customers=5_000, events=100_000, batches=4, rounds=3, singles=1_000, load_seconds=2,
    audit_entries=5_000, tours=2, gigabytes=2,
)  # fmt: skip


# For a page opened by its address with an empty browser cache.
FIRST_LOAD_MS = 2_000


def measure(size: Size) -> tuple[Measured, str]:
    """Run all benchmarks on one server, with one database without usage and a filled one."""
    measured = Measured()
    with bench_server(size.gigabytes) as server:
        empty, full = new_database(server, "empty"), new_database(server, "full")
        for bench in (empty, full):
            add_customers(bench, size.customers)
        add_events(full, size.customers, size.events)
        for bench in (empty, full):
            add_bare_table(bench)
        add_audit_entries(full, size.customers, size.audit_entries)
        measure_ingest(measured, size, empty, full)
        measure_http(measured, size, empty)
        measure_runs(measured, size, full)
        measure_reading(measured, size, full)
        measure_others(measured, size, empty, full)
        with empty.superuser() as db:
            version = db.info.parameter_status("server_version") or ""
    return measured, version


def measure_ingest(measured: Measured, size: Size, empty: Bench, full: Bench) -> None:
    """Compare bulk ingest with plain SQL, with and without existing events, and a file with bulk ingest."""

    def bare() -> float:
        empty_usage(empty)
        return bare_rate(empty, make_batches(size.customers, size.batches))

    def into_empty() -> float:
        empty_usage(empty)
        return product_rate(empty, make_batches(size.customers, size.batches))

    def into_full() -> float:
        return product_rate(full, make_batches(size.customers, size.batches))

    def bare_into_full() -> float:
        return bare_rate(full, make_batches(size.customers, size.batches))

    def imported() -> float:
        empty_usage(empty)
        return import_rate(empty, make_batches(size.customers, size.batches))

    bulk = Comparison("bulk ingest / bare COPY and INSERT", "rows/s", 0.5)
    bulk.measure(size.rounds, bare, into_empty)
    present = Comparison(f"the same with {3 * size.events / 1e6:.1f}M events present", "rows/s", 0.5)
    present.measure(size.rounds, bare_into_full, into_full)
    file = Comparison("CSV import, check included / bulk ingest", "rows/s", 0.6)
    file.measure(size.rounds, into_empty, imported)
    measured.comparisons += [bulk, present, file]


def measure_http(measured: Measured, size: Size, empty: Bench) -> None:
    """Compare batches over HTTP with plain SQL, and single events with a hand-written app."""

    def bare() -> float:
        empty_usage(empty)
        return bare_rate(empty, make_batches(size.customers, size.batches))

    with served(empty) as server, handwritten_app(empty) as reference:
        bulk = Comparison("POST /usage/batch / bare COPY and INSERT", "rows/s", 0.35)
        bulk.measure(size.rounds, bare, lambda: batch_rate(empty, server, size.customers, size.batches))
        measured.comparisons.append(bulk)
        measure_single_events(measured, size, empty, server, reference)
    empty_usage(empty)


def measure_single_events(
    measured: Measured, size: Size, empty: Bench, server: Served, reference: Served
) -> None:
    """Compare single events over HTTP with the hand-written app, alone and while the server does other work."""
    loads: dict[str, list[Load]] = {"usage": [], "event": []}

    def rate_of(target: Served, kind: Kind) -> float:
        found = load(target, size.customers, size.load_seconds, kind)
        if target is server:
            loads[kind].append(found)
        return found.rate

    for kind, path in (("usage", "POST /usage"), ("event", "POST /events")):
        alone = Comparison(f"{path}, 64 connections / hand-written app", "requests/s", 3)
        alone.measure(
            size.rounds, lambda: rate_of(reference, "usage"), lambda kind=kind: rate_of(server, kind)
        )
        measured.comparisons.append(alone)
        p50, p99 = (median(getattr(each, name) for each in loads[kind]) for name in ("p50_ms", "p99_ms"))
        measured.figures += [Figure(f"{path}: p50", p50, "ms"), Figure(f"{path}: p99", p99, "ms", 40)]
    wide = load(server, size.customers, size.load_seconds, connections=256)
    measured.figures.append(Figure("POST /usage, 256 connections", wide.rate, "requests/s"))
    # Enough rows that the import outlasts the load.
    batches = make_batches(size.customers, 5 * size.batches, LATEST)
    with usage_file(batches) as file, other_work(empty, server, file, FIRST_MONTH):
        busy = load(server, size.customers, size.load_seconds)
    measured.figures += [
        Figure("POST /usage during a run and an import", busy.rate, "requests/s"),
        Figure("POST /usage during a run and an import: p99", busy.p99_ms, "ms", 150),
    ]


def measure_runs(measured: Measured, size: Size, full: Bench) -> None:
    """Measure the filled months' invoice runs, each followed by its references for the same month."""
    target = Comparison("invoice run / GROUP BY and COPY, same rules", "invoices/s", 1 / 3)
    stripped = Comparison("invoice run / GROUP BY and COPY, no rules", "invoices/s")
    references = [
        (target, Reference(full, "with_rules", keeping_rules=True)),
        (stripped, Reference(full, "without_rules", keeping_rules=False)),
    ]
    runs: list[RunMeasured] = []
    for month in MONTHS:
        runs.append(product_run(full, month))
        ours = runs[-1].created / runs[-1].seconds
        for comparison, reference in references:
            comparison.add(runs[-1].created / reference.seconds(month), ours)
    measured.comparisons += [target, stripped]
    measured.figures += [
        Figure(f"invoice run, {size.events / 1e6:.1f}M events", median(run.seconds for run in runs), "s"),
        Figure("its process's peak memory", max(run.client_mb for run in runs), "MB", 500),
        Figure(
            "its connections' peak private memory in PostgreSQL", max(run.backends_mb for run in runs), "MB"
        ),
    ]


def measure_reading(measured: Measured, size: Size, full: Bench) -> None:
    """Measure the 95th percentile of each list and each page."""
    with served(full) as server:
        found = list_p95s(full, server)
        pages = page_times(full, server, size.tours)
    measured.figures += [Figure(f"list of {name}: p95", value, "ms", 150) for name, value in found.items()]
    for what, times in pages.items():
        measured.figures += [
            Figure(f"page, {what}: p50", times.p50_ms, "ms"),
            Figure(f"page, {what}: p95", times.p95_ms, "ms", FIRST_LOAD_MS if what == FIRST_LOAD else 150),
        ]


def measure_others(measured: Measured, size: Size, empty: Bench, full: Bench) -> None:
    """Measure the figures that have no reference."""
    singles = single_rate(empty, make_batches(size.customers, 1)[0][: size.singles])
    say("single events done")
    verified = verify_seconds(full)
    measured.figures += [
        Figure("single events, 64 threads, one commit each", singles, "events/s"),
        Figure(
            f"verify, {3 * size.events / 1e6:.1f}M events and {3 * size.customers:,} invoices", verified, "s"
        ),
    ]


def main() -> int:
    """Measure, print the table, and append to the history."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, not held to the targets")
    quick = parser.parse_args().quick
    freeze_loaded_objects()  # As in every process of the product.
    try:
        find_browser()  # Fail before measuring anything.
        find_wrk()
        measured, postgresql = measure(QUICK if quick else FULL)
    except (TooLittleSpace, NoBrowser, NoWrk) as error:
        print(error, file=sys.stderr)
        return 1
    append(measured, quick=quick, postgresql=postgresql)
    show(measured, quick=quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
