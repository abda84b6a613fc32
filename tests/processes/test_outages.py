"""Servers whose database is away for a while, or that are stopped themselves, go on by themselves."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from billing_app.database.embedded import cluster
from soak.proxy import Proxies, Proxy
from tests.processes.conftest import Business, make_business
from tests.processes.servers import ApiServer, serving_api, until, usage

AWAY_SECONDS = 3
EVENTS = 60
# Less than the limit after which a client that does not answer is disconnected.
STOPPED_SECONDS = 4


@pytest.fixture(scope="module")
def business(server: cluster.Server) -> Iterator[Business]:
    """Make one business for all of these tests, since starting a server takes seconds."""
    with make_business(server) as made:
        yield made


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def proxy(business: Business, directory: Path) -> Proxy:
    """Run a proxy before the database's socket."""
    name = ".s.PGSQL.5432"
    there = Path(str(make_url(business.urls.application).query["host"])) / name
    return Proxies().unix(directory / name, there, random.Random(1))


@pytest.fixture(scope="module")
def api_server(business: Business, proxy: Proxy, directory: Path) -> Iterator[ApiServer]:
    """Run a server that reaches the database through the proxy only."""
    through_proxy = make_url(business.urls.application).update_query_dict({"host": str(directory)})
    urls = replace(business.urls, application=through_proxy.render_as_string(hide_password=False))
    with serving_api(urls, directory) as running:
        yield running


def is_ready(server: ApiServer) -> bool:
    return httpx.get(f"{server.url}/api/health/ready").status_code == 200


def test_server_answers_503_while_the_database_is_away_and_goes_on_by_itself(
    business: Business, proxy: Proxy, api_server: ApiServer
) -> None:
    with api_server.client(business.token) as client:
        assert client.post("/usage", json=usage(business.customer, "away-before")).status_code == 201
        proxy.go_away()
        ends = time.monotonic() + AWAY_SECONDS
        answers = []
        while time.monotonic() < ends:
            answer = client.post("/usage", json=usage(business.customer, f"away-{len(answers)}"))
            answers.append((answer.status_code, answer.json()["code"]))
        assert set(answers) == {(503, "unavailable")}
        assert not is_ready(api_server)
        proxy.come_back()
        until(lambda: is_ready(api_server))
        for number in range(len(answers)):
            assert client.post("/usage", json=usage(business.customer, f"away-{number}")).status_code == 201
    assert business.events("away-") == len(answers) + 1


def test_connections_that_are_cut_at_any_byte_lose_and_double_nothing(
    business: Business, proxy: Proxy, api_server: ApiServer
) -> None:
    proxy.cuts_within_bytes = 2_000_000
    proxy.cut_all()
    statuses = set()
    with api_server.client(business.token) as client:

        def send(key: str) -> bool:
            status = client.post("/usage", json=usage(business.customer, key)).status_code
            statuses.add(status)
            return status in (200, 201)

        for number in range(EVENTS):
            until(partial(send, f"cut-{number:03}"))
            if number % 10 == 0:
                proxy.cut_all()
    assert statuses <= {200, 201, 503}
    assert proxy.cuts > 0
    proxy.cuts_within_bytes = 0
    proxy.cut_all()
    assert business.events("cut-") == EVENTS


def test_server_that_was_stopped_goes_on_where_it_was(business: Business, api_server: ApiServer) -> None:
    process = api_server.answering_process()
    with api_server.client(business.token) as client:
        before = usage(business.customer, "stopped-before")
        until(lambda: client.post("/usage", json=before).status_code in (200, 201))
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{api_server.url}/api/v1/usage",
                    json=usage(business.customer, "stopped-while"),
                    headers=client.headers,
                    timeout=STOPPED_SECONDS,
                )
        finally:
            process.send_signal(signal.SIGCONT)
        until(lambda: is_ready(api_server))
        assert client.post("/usage", json=usage(business.customer, "stopped-while")).status_code in (200, 201)
        assert client.post("/usage", json=usage(business.customer, "stopped-after")).status_code == 201
    assert business.events("stopped-") == 3
