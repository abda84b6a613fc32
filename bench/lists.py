"""The lists over HTTP, which use the same services as the pages."""

from __future__ import annotations

import http.client
import json
import time
from itertools import cycle, islice
from statistics import quantiles
from urllib.parse import urlencode

from bench.databases import Bench, settle
from bench.http import Served
from bench.measures import say
from billing_app.jobs.figures import refresh_figures

REQUESTS_PER_LIST = 100
# The requests to each list, in this order. If a list has a next page, the next request fetches it.
LISTS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "customers": [
        ("/customers", {"sort": order, **parameters})
        for order in ("name", "-usage", "-outstanding", "-created")
        for parameters in ({}, {"status": "active"})
    ],
    "customers searched": [("/customers", {"search": text}) for text in ("customer-77", "9999", "nothing")],
    "usage": [
        ("/usage", parameters)
        for parameters in (
            {},
            {"period": "2026-11"},
            {"billing_period": "2026-11"},
            {"late": "true"},
            {"customer": "customer-4711"},
        )
    ],
    "invoices": [
        ("/invoices", parameters)
        for parameters in ({}, {"period": "2026-11"}, {"status": "unpaid"}, {"status": "overdue"})
    ],
    "one customer's invoices": [(f"/customers/customer-{number}/invoices", {}) for number in (1, 4711)],
    "audit": [("/audit", {})],
}


def list_p95s(bench: Bench, server: Served) -> dict[str, float]:
    """Measure the 95th percentile of each list in ms, one request at a time, with current figures."""
    database = bench.database()
    refresh_figures(database)
    database.close()
    settle(bench)
    found = {}
    for name, requests in LISTS.items():
        found[name] = _p95_ms(server, requests)
        say(f"{name}: p95 {found[name]:.0f} ms")
    return found


def _p95_ms(server: Served, requests: list[tuple[str, dict[str, str]]]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.token}"}
    cursors: dict[int, str | None] = {}
    times = []
    for number, (path, parameters) in islice(cycle(enumerate(requests)), REQUESTS_PER_LIST):
        cursor = cursors.get(number)
        query = urlencode({**parameters, **({"cursor": cursor} if cursor else {})})
        started = time.perf_counter()
        connection.request("GET", f"/api/v1{path}?{query}", headers=headers)
        answer = json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - started)
        assert "items" in answer, answer
        cursors[number] = answer["next_cursor"]
    connection.close()
    return quantiles(times, n=20)[18] * 1000
