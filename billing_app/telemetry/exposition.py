"""Expose the metrics to Prometheus on a separate port.

`docs/operations.md` describes each metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from socket import AF_INET6
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool

from billing_app.database.session import Database
from billing_app.telemetry.database_figures import DatabaseFigures, DatabaseFiguresReader
from billing_app.telemetry.instruments import Distribution
from billing_app.telemetry.metrics import Metrics

OUTCOMES = ("recorded", "duplicate", "conflict", "rejected")
_IMPORT_STATUSES = ("checking", "checked", "importing")


class MetricsServer:
    """Serves metrics from its own threads, so that it works while the event loop is busy."""

    def __init__(self, metrics: Metrics, database: Database, host: str, port: int) -> None:
        """Start to listen at an IP address. Raises OSError if that is not possible."""
        app = make_wsgi_app(create_registry(metrics, database))
        kind = _ServerV6 if ":" in host else ThreadingWSGIServer
        self._server = make_server(host, port, app, kind, handler_class=_Handler)
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ServerV6(ThreadingWSGIServer):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    # A client that connects without sending anything must not block a thread forever.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: scrapes are routine."""


def create_registry(metrics: Metrics, database: Database) -> CollectorRegistry:
    """Return what Prometheus reads: our metrics, and those of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_ProcessMetrics(metrics, database))
    registry.register(_DatabaseMetrics(DatabaseFiguresReader(database.url)))
    return registry


class _ProcessMetrics(Collector):
    """The metrics of this process."""

    def __init__(self, metrics: Metrics, database: Database) -> None:
        self._metrics, self._database = metrics, database

    def collect(self) -> Iterator[Metric]:
        yield self._events()
        metrics = self._metrics
        yield _histogram(
            "tallybook_round_events", "Single events per round.", [], [((), metrics.round_sizes)]
        )
        yield _histogram(
            "tallybook_round_seconds", "Time from the start of a round to its commit.", [],
            [((), metrics.round_seconds)],
        )  # fmt: skip
        yield GaugeMetricFamily(
            "tallybook_queue_events", "Single events that wait for a round.", metrics.queue_length()
        )
        requests = [
            ((method, route, str(status)), timings)
            for (method, route, status), timings in list(metrics.requests.items())
        ]
        yield _histogram(
            "tallybook_request_seconds", "Time to answer a request.", ["method", "route", "status"], requests
        )
        yield GaugeMetricFamily("tallybook_open_websockets", "Open pages.", metrics.open_websockets)
        failures = self._database.counts.of("sign_in_failures")
        yield _counter("tallybook_sign_in_failures", "Wrong passwords.", "action", failures)
        yield from self._pool()

    def _events(self) -> Metric:
        family = CounterMetricFamily(
            "tallybook_events", "Reported usage events by outcome.", labels=["way", "outcome"]
        )
        bulk = self._database.counts.of("bulk_events")
        for way, counts in (("single", dict(self._metrics.events)), ("bulk", bulk)):
            for outcome in OUTCOMES:
                family.add_metric([way, outcome], counts.get(outcome, 0))
        return family

    def _pool(self) -> Iterator[Metric]:
        pool = self._database.engine.pool
        assert isinstance(pool, QueuePool)
        yield GaugeMetricFamily("tallybook_pool_in_use", "Connections in use.", pool.checkedout())
        yield GaugeMetricFamily("tallybook_pool_max", "Connections at most.", self._database.connections_max)


class _DatabaseMetrics(Collector):
    """The metrics of the database. All servers with the same database return the same values."""

    def __init__(self, reader: DatabaseFiguresReader) -> None:
        self._reader = reader

    def describe(self) -> Iterable[Metric]:
        # Without this, registering would read the database.
        return ()

    def collect(self) -> Iterator[Metric]:
        figures = self._reader.figures()
        yield GaugeMetricFamily(
            "tallybook_database_up", "1 if the database answered the metrics.", int(figures is not None)
        )
        if figures is not None:
            yield from _of_figures(figures)


def _of_figures(figures: DatabaseFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("tallybook_database_bytes", "Size of the database.", figures.size_bytes)
    yield GaugeMetricFamily("tallybook_runs", "Invoice runs in progress.", figures.runs)
    customers = GaugeMetricFamily(
        "tallybook_run_customers", "Customers of the invoice runs in progress.", labels=["state"]
    )
    customers.add_metric(["all"], figures.run_customers_total)
    customers.add_metric(["processed"], figures.run_customers_processed)
    yield customers
    yield from _imports(figures)
    if figures.verification_ok is not None and figures.verification_finished_at is not None:
        yield GaugeMetricFamily(
            "tallybook_verification_ok", "1 if the last verification found no discrepancy.",
            int(figures.verification_ok),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "tallybook_verification_finished_timestamp_seconds", "When the last verification finished.",
            figures.verification_finished_at,
        )  # fmt: skip


def _imports(figures: DatabaseFigures) -> Iterator[Metric]:
    files = GaugeMetricFamily("tallybook_imports", "Imports that have not ended.", labels=["status"])
    sizes = GaugeMetricFamily("tallybook_import_bytes", "Sizes of their files.", labels=["status"])
    read = GaugeMetricFamily(
        "tallybook_import_read_bytes", "Bytes of these files that were processed.", labels=["status"]
    )
    found = {each.status: each for each in figures.imports}
    for status in _IMPORT_STATUSES:
        each = found.get(status)
        files.add_metric([status], each.files if each else 0)
        sizes.add_metric([status], each.bytes_total if each else 0)
        read.add_metric([status], each.bytes_read if each else 0)
    yield from (files, sizes, read)


def _histogram(
    name: str, text: str, labels: Sequence[str], measured: Iterable[tuple[Sequence[str], Distribution]]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, distribution in measured:
        counts = distribution.cumulative_counts()
        bounds = [*(str(float(bound)) for bound in distribution.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), distribution.total)
    return family


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
