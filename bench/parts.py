"""The parts of a run. Each adds its results to `Measured` as soon as it has them, so that a failure keeps them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from statistics import median

from bench.databases import Bench, TooLittleSpace, bench_server, drop_database, new_database
from bench.fill import FIRST_MONTH, MONTHS, add_audit_entries, add_customers, add_events, add_variety
from bench.growth import measure_served, measure_small, preview_ms
from bench.http import LATEST, Served, batch_rate, served
from bench.ingest import (
    MixedBatch,
    add_bare_table,
    bare_rate,
    empty_usage,
    make_batches,
    make_mixed_batches,
    product_rate,
)
from bench.lists import list_times
from bench.load import Kind, Load, handwritten_app, load, other_work
from bench.measures import Figure, Measured, say
from bench.mixture import METER_ID, add_corrections, mix
from bench.others import import_rate, single_rate, usage_file, verify_seconds
from bench.pages import ListTimes, PageTimes, p95, page_times
from bench.report import RATIO
from bench.runs import Reference, RunMeasured, product_run
from billing_app.server.page_build import ensure_built


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
    customers=100_000, events=3_334_000, batches=20, rounds=5, singles=8_000, load_seconds=6,
    audit_entries=200_000, tours=2, gigabytes=12,
)  # fmt: skip
QUICK = Size(
    customers=5_000, events=100_000, batches=4, rounds=3, singles=1_000, load_seconds=2,
    audit_entries=5_000, tours=2, gigabytes=2,
)  # fmt: skip


VERIFICATIONS = 2
# The second one bills late usage and corrections of the first.
MIXED_MONTHS = MONTHS[:2]


def measure(measured: Measured, size: Size) -> None:
    """Run all benchmarks on one server: on databases without usage, with some, and filled ones.

    A part that fails is reported on standard error and in `measured.failed`, and the next one starts.
    """
    with bench_server(size.gigabytes) as server:
        empty, some, full = (new_database(server, name) for name in ("empty", "some", "full"))
        for bench in (empty, some, full):
            add_customers(bench, size.customers)
        add_events(some, size.customers, size.events // 10)
        add_events(full, size.customers, size.events)
        for bench in (empty, full):
            add_bare_table(bench)
        add_audit_entries(full, size.customers, size.audit_entries)
        parts: dict[str, Callable[[], None]] = {
            "ingest": lambda: measure_ingest(measured, size, empty, full),
            "HTTP": lambda: measure_http(measured, size, empty),
            "invoice runs and verify": lambda: measure_runs(measured, size, full),
            "lists and pages": lambda: measure_reading(measured, size, full),
            "growth": lambda: measure_growth(measured, size, empty, some),
            "other": lambda: measure_others(measured, size, empty),
            "mixed load": lambda: measure_mixed(measured, size, full),
        }
        for name, part in parts.items():
            with failures_noted(measured, name):
                part()


@contextmanager
def failures_noted(measured: Measured, name: str) -> Iterator[None]:
    """Note that this part failed, instead of ending the run."""
    say(f"{name}:")
    try:
        yield
    except TooLittleSpace:
        raise
    except Exception:  # noqa: BLE001 - the other parts are worth measuring, whatever failed
        traceback.print_exc(file=sys.stderr)
        measured.failed.append(name)


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

    bulk = measured.compare("bulk ingest / bare COPY and INSERT", "rows/s", 0.5)
    bulk.measure(size.rounds, bare, into_empty)
    present = measured.compare(f"the same with {events_label(3 * size.events)} events present", "rows/s", 0.5)
    present.measure(size.rounds, bare_into_full, into_full)
    measured.growth[events_label(3 * size.events)] = {"ingest": median(present.ours)}
    file = measured.compare("CSV import, check included / bulk ingest", "rows/s", 0.6)
    file.measure(size.rounds, into_empty, imported)


def measure_http(measured: Measured, size: Size, empty: Bench) -> None:
    """Compare batches over HTTP with plain SQL, and single events with a hand-written app."""

    def bare() -> float:
        empty_usage(empty)
        return bare_rate(empty, make_batches(size.customers, size.batches))

    with served(empty) as server, handwritten_app(empty) as reference:
        bulk = measured.compare("POST /usage/batch / bare COPY and INSERT", "rows/s", 0.35)
        bulk.measure(size.rounds, bare, lambda: batch_rate(empty, server, size.customers, size.batches))
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
        alone = measured.compare(f"{path}, 64 connections / hand-written app", "requests/s", 3)
        alone.measure(
            size.rounds, lambda: rate_of(reference, "usage"), lambda kind=kind: rate_of(server, kind)
        )
        for name, limit in (("p50", None), ("p99", 40)):
            times = tuple(getattr(each, f"{name}_ms") for each in loads[kind])
            measured.figures.append(Figure(f"{path}: {name}", median(times), "ms", limit, times))
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
    """Measure the filled months' invoice runs, each followed by its references, and verifications of them."""
    growth = measured.growth.setdefault(events_label(3 * size.events), {})
    growth["preview"] = preview_ms(full, size.customers, MONTHS[-1])
    runs = compare_runs(measured, size, full, MONTHS)
    growth["run"] = 1000 * median(run.seconds / max(1, run.customers) for run in runs)
    growth["verify"] = 1e6 * compare_verify(measured, size, full, runs) / (3 * size.events)


def compare_runs(
    measured: Measured, size: Size, bench: Bench, months: list[date], load: str = ""
) -> list[RunMeasured]:
    """Measure the months' invoice runs, each followed by its references. `load` is added to the names."""
    target = measured.compare(f"invoice run{load} / GROUP BY and COPY, same rules", "invoices/s", 0.45)
    stripped = measured.compare(f"invoice run{load} / GROUP BY and COPY, no rules", "invoices/s")
    references = [
        (target, Reference(bench, "with_rules", keeping_rules=True)),
        (stripped, Reference(bench, "without_rules", keeping_rules=False)),
    ]
    runs: list[RunMeasured] = []
    for month in months:
        runs.append(product_run(bench, month))
        ours = runs[-1].customers / runs[-1].seconds
        for comparison, reference in references:
            comparison.add(runs[-1].customers / reference.seconds(month), ours)
    times = tuple(run.seconds for run in runs)
    client, backends = tuple(run.client_mb for run in runs), tuple(run.backends_mb for run in runs)
    memory = f"its connections' peak private memory in PostgreSQL{load}"
    measured.figures += [
        Figure(f"invoice run{load}, {events_label(size.events)} events", median(times), "s", rounds=times),
        Figure(f"its process's peak memory{load}", max(client), "MB", 300, client),
        Figure(memory, max(backends), "MB", rounds=backends),
    ]
    return runs


def compare_verify(
    measured: Measured, size: Size, bench: Bench, runs: list[RunMeasured], load: str = ""
) -> float:
    """Compare verifications with the last invoice runs, invoice by invoice. Return the seconds of one."""
    verify = measured.compare(f"verify{load} / invoice run, per invoice with its events", "invoices/s", 1.0)
    invoices = sum(run.customers for run in runs)
    times = []
    for run in runs[-VERIFICATIONS:]:
        times.append(verify_seconds(bench))
        verify.add(run.customers / run.seconds, invoices / times[-1])
    what = f"verify{load}, {events_label(len(runs) * size.events)} events and {invoices:,} invoices"
    measured.figures.append(Figure(what, median(times), "s", rounds=tuple(times)))
    return median(times)


def measure_mixed(measured: Measured, size: Size, full: Bench) -> None:
    """Measure ingest, runs, verify and simulations with the mixed load, in place of the filled database."""
    load = ", mixed load"
    drop_database(full)
    mixed = new_database(full.server, "mixed")
    add_customers(mixed, size.customers)
    mix(mixed, MIXED_MONTHS)
    add_bare_table(mixed)

    def rate(of: Callable[[Bench, list[MixedBatch]], float]) -> float:
        empty_usage(mixed)
        return of(mixed, make_mixed_batches(size.customers, size.batches))

    bulk = measured.compare(f"bulk ingest{load} / bare COPY and INSERT", "rows/s", 0.5)
    bulk.measure(size.rounds, lambda: rate(bare_rate), lambda: rate(product_rate))
    empty_usage(mixed)
    add_events(mixed, size.customers, size.events, MIXED_MONTHS, METER_ID)
    add_corrections(mixed)
    runs = compare_runs(measured, size, mixed, MIXED_MONTHS, load)
    compare_verify(measured, size, mixed, runs, load)
    compare_simulations(measured, mixed, runs, load)


def compare_simulations(measured: Measured, bench: Bench, runs: list[RunMeasured], load: str) -> None:
    """Compare a simulation of each invoiced month with its run, customer by customer."""
    comparison = measured.compare(f"simulation{load} / invoice run, per customer", "customers/s", 0.8)
    simulations = [product_run(bench, month, "simulate") for month in MIXED_MONTHS]
    for run, simulation in zip(runs, simulations, strict=True):
        comparison.add(run.customers / run.seconds, simulation.customers / simulation.seconds)
    memory = tuple(each.client_mb for each in simulations)
    measured.figures.append(
        Figure(f"its process's peak memory, simulation{load}", max(memory), "MB", rounds=memory)
    )


def measure_growth(measured: Measured, size: Size, empty: Bench, some: Bench) -> None:
    """Measure the growth figures of the databases with no events and with a tenth of them."""
    largest, smaller = measured.growth, {}
    empty_usage(empty)
    for bench, events, months in (
        (empty, 0, MONTHS[1:2]),  # Its first month was invoiced during the load.
        (some, 3 * (size.events // 10), MONTHS),
    ):
        figures = measure_small(bench, size.customers, events, months, size.load_seconds)
        smaller[events_label(events)] = figures
        measured.growth = smaller | largest


def measure_reading(measured: Measured, size: Size, full: Bench) -> None:
    """Measure each list of the API and each page, with every filter and order."""
    add_variety(full, size.customers)
    with served(full) as server:
        for name, times in list_times(full, server).items():
            measured.figures += [
                Figure(f"API, list of {name}: p95", p95(times.all), "ms", 50, tuple(times.all)),
                Figure(f"API, list of {name}: slowest, {times.slowest}", times.slowest_ms, "ms"),
            ]
        pages = PageTimes()
        try:
            page_times(full, server, size.tours, pages)
        finally:
            measured.figures += page_figures(pages)
    growth = measured.growth.setdefault(events_label(3 * size.events), {})
    growth |= measure_served(full, size.customers, size.load_seconds)


def page_figures(pages: PageTimes) -> list[Figure]:
    """Return the rows for the pages that were measured, and for the first page."""
    figures = []
    for title, times in pages.lists.items():
        if times.reference and times.combinations:
            figures += _list_figures(title, times)
    for what, others in pages.others.items():
        figures.append(Figure(f"page, {what}: p50", median(others), "ms", rounds=tuple(others)))
    if loads := tuple(pages.first_loads):
        figures.append(Figure("first page, cold, until interactive", median(loads), "ms", 1_000, loads))
    build = ensure_built()
    figures.append(
        Figure("first page: JavaScript, compressed", build.first_page_gzip_bytes / 1000, "kB", 200)
    )
    return figures


def _list_figures(title: str, times: ListTimes) -> list[Figure]:
    every, reference = times.all, median(times.reference)
    slowest, slowest_ms = times.slowest
    name = f"page {title}"
    return [
        Figure(f"{name}: p50 / a click that changes one text", median(every) / reference, RATIO, 2),
        Figure(f"{name}: p95 / its p50", p95(every) / median(every), RATIO, 3),
        Figure(f"{name}: p50", median(every), "ms", rounds=tuple(every)),
        Figure(f"{name}: a click that changes one text, p50", reference, "ms", rounds=tuple(times.reference)),
        Figure(
            f"{name}: slowest of {len(times.combinations)}, {slowest}",
            slowest_ms, "ms", 200, tuple(times.combinations[slowest]),
        ),
    ]  # fmt: skip


def measure_others(measured: Measured, size: Size, empty: Bench) -> None:
    """Measure the figures that have no reference."""
    singles = single_rate(empty, make_batches(size.customers, 1)[0][: size.singles])
    measured.figures.append(Figure("single events, 64 threads, one commit each", singles, "events/s"))


def events_label(events: int) -> str:
    """Return a number of events as text: `0`, `1M`, `10M`."""
    if events < 1_000_000:
        return f"{events // 1000}k" if events else "0"
    return f"{events / 1e6:.1f}M".replace(".0M", "M")
