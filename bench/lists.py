"""The lists over HTTP, which use the same services as the pages."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from itertools import combinations, cycle, islice
from statistics import median
from urllib.parse import urlencode

from bench.databases import Bench, settle
from bench.http import Served
from bench.measures import say
from billing_app.jobs.figures import refresh_figures

# Each list with values for each filter and each order, and combined in pairs by `requests`. If a list has a
# next page, the next request fetches it.
_STATUSES = ("unpaid", "partially_paid", "paid", "overdue", "outstanding")
LISTS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "customers": (
        "/customers",
        {
            "search": ("customer-77", "9999", "nothing"),
            "status": ("active", "suspended"),
            "plan": ("Plan 3",),
            "sort": tuple(
                f"{sign}{order}"
                for order in ("name", "usage", "outstanding", "created")
                for sign in ("", "-")
            ),
        },
    ),
    "usage": (
        "/usage",
        {
            "customer": ("customer-4711",),
            "period": ("2026-10", "2026-11"),
            "billing_period": ("2026-11", "2026-12"),
            "late": ("true",),
            "unpriced": ("true",),
            "meter": ("usage", "seats"),
            "idempotency_key": ("event-000000004711",),
        },
    ),
    "invoices": (
        "/invoices",
        {
            "customer": ("customer-4711",),
            "period": ("2026-10", "2026-12"),
            "status": _STATUSES,
            "age": ("current", "1-30", "31-60"),
            "currency": ("USD",),
            "search": ("customer-77", "customer-77-0002"),
        },
    ),
    "one customer's invoices": (
        "/customers/customer-4711/invoices",
        {"period": ("2026-11",), "status": _STATUSES},
    ),
    "plans": ("/plans", {"archived": ("true", "false")}),
    "audit": ("/audit", {"subject": ("cus_4711",), "actor": ("usr_1",)}),
}
ROUNDS = 3


def combine(filters: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """Return no filter, each value alone, and each pair of values of two filters."""
    singles = [{name: value} for name, values in filters.items() for value in values]
    pairs = [one | other for one, other in combinations(singles, 2) if not one.keys() & other.keys()]
    return [{}, *singles, *pairs]


@dataclass(frozen=True, slots=True)
class ListTimes:
    """The milliseconds of all requests, and the slowest combination with its median."""

    all: list[float]
    slowest: str
    slowest_ms: float


def list_times(bench: Bench, server: Served) -> dict[str, ListTimes]:
    """Measure each list, one request at a time, with current figures and every combination of filters."""
    database = bench.database()
    refresh_figures(database)
    database.close()
    settle(bench)
    found = {}
    for name, (path, filters) in LISTS.items():
        requests = [(path, each) for each in combine(filters)]
        times = [1000 * each for each in request_times(server, requests, ROUNDS * len(requests))]
        medians = {
            urlencode(parameters): median(times[number :: len(requests)])
            for number, (_, parameters) in enumerate(requests)
        }
        slowest = max(medians, key=lambda each: medians[each])
        found[name] = ListTimes(times, slowest or "no filter", medians[slowest])
        say(f"{name}: slowest {slowest}: {medians[slowest]:.0f} ms")
    return found


def request_times(server: Served, requests: list[tuple[str, dict[str, str]]], number: int) -> list[float]:
    """Send so many requests in turn, one at a time, and return the seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.token}"}
    cursors: dict[int, str | None] = {}
    times = []
    for place, (path, parameters) in islice(cycle(enumerate(requests)), number):
        cursor = cursors.get(place)
        query = urlencode({**parameters, **({"cursor": cursor} if cursor else {})})
        started = time.perf_counter()
        connection.request("GET", f"/api/v1{path}?{query}", headers=headers)
        answer = json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - started)
        assert "items" in answer, answer
        cursors[place] = answer["next_cursor"]
    connection.close()
    return times
