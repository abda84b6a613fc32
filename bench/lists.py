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

ASKED = 100
# The requests of each list, in this order. A list with more entries is also asked for its next page.
LISTS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "customers": [
        ("/customers", {"sort": order, **chosen})
        for order in ("name", "-usage", "-outstanding", "-created")
        for chosen in ({}, {"status": "active"})
    ],
    "customers searched": [("/customers", {"search": text}) for text in ("customer-77", "9999", "nothing")],
    "usage": [
        ("/usage", chosen)
        for chosen in (
            {},
            {"period": "2026-11"},
            {"billing_period": "2026-11"},
            {"late": "true"},
            {"customer": "customer-4711"},
        )
    ],
    "invoices": [
        ("/invoices", chosen)
        for chosen in ({}, {"period": "2026-11"}, {"status": "unpaid"}, {"status": "overdue"})
    ],
    "one customer's invoices": [(f"/customers/customer-{number}/invoices", {}) for number in (1, 4711)],
    "audit": [("/audit", {})],
}


def list_p95s(bench: Bench, server: Served) -> dict[str, float]:
    """Measure the 95th percentile of each list in ms, one request at a time, with up-to-date figures."""
    database = bench.database()
    refresh_figures(database)
    database.close()
    settle(bench)
    found = {}
    for name, asked in LISTS.items():
        found[name] = _p95_ms(server, asked)
        say(f"{name}: p95 {found[name]:.0f} ms")
    return found


def _p95_ms(server: Served, asked: list[tuple[str, dict[str, str]]]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.token}"}
    cursors: dict[int, str | None] = {}
    times = []
    for number, (path, chosen) in islice(cycle(enumerate(asked)), ASKED):
        cursor = cursors.get(number)
        query = urlencode({**chosen, **({"cursor": cursor} if cursor else {})})
        begun = time.perf_counter()
        connection.request("GET", f"/api/v1{path}?{query}", headers=headers)
        answer = json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - begun)
        assert "items" in answer, answer
        cursors[number] = answer["next_cursor"]
    connection.close()
    return quantiles(times, n=20)[18] * 1000
