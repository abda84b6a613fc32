"""Third-party clients: OpenMeter's client and the CloudEvents SDK."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from corehttp.exceptions import ClientAuthenticationError, HttpResponseError
from openmeter import Client
from openmeter.models import Event
from sqlalchemy import text

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.identity.api_tokens import create_token
from tests.conftest import new_database
from tests.e2e.conftest import serving
from tests.factories import make_customer, make_plan

FLIGHTS = Path(__file__).parent.parent / "data" / "flights_2013.csv.gz"
COUNT = 3_000
A_REQUEST = 1_000
SOURCE = "nycflights13"


@dataclass(frozen=True)
class Airlines:
    """The served app with the airlines as customers, and a token that records usage."""

    url: str
    database: Database
    token: str

    def client(self) -> Client:
        return Client(endpoint=self.url, token=self.token)

    def recorded(self) -> tuple[int, int]:
        with self.database.engine.connect() as connection:
            count, total = connection.execute(text("SELECT count(*), sum(quantity) FROM usage_event")).one()
        return count, int(total or 0)


@pytest.fixture(scope="module")
def airlines(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airlines]:
    with new_database(server) as urls:
        database = Database(urls.application)
        plan = make_plan(database)
        for key in {flight["customer"] for flight in flights()} | {"acme"}:
            make_customer(database, plan, key=key, start=date(2013, 1, 1))
        with database.transaction(SYSTEM) as session:
            token = create_token(session, SYSTEM, name="meter", scopes=["usage:write"]).token
        with serving(urls, tmp_path_factory.mktemp("airlines")) as url:
            yield Airlines(url, database, token)
        database.close()


def flights() -> list[dict[str, str]]:
    with gzip.open(FLIGHTS, "rt") as file:
        return list(itertools.islice(csv.DictReader(file), COUNT))


def as_event(flight: dict[str, str]) -> Event:
    return Event(
        id=flight["idempotency_key"],
        source=SOURCE,
        specversion="1.0",
        type="flight",
        subject=flight["customer"],
        time=datetime.fromisoformat(flight["occurred_at"]),
        data={"value": int(flight["quantity"]), "unit": "miles"},
    )


def test_openmeter_client_records_each_flight_once(airlines: Airlines) -> None:
    rows = flights()
    events = [as_event(flight) for flight in rows]
    count, total = airlines.recorded()
    miles = sum(int(flight["quantity"]) for flight in rows)
    for _ in range(2):
        with airlines.client() as client:
            for start in range(0, COUNT, A_REQUEST):
                client.events.ingest_events(events[start : start + A_REQUEST])
            for event in events[:50]:
                client.events.ingest_event(event)
            client.events.ingest_events_json(events[50:100])
    assert airlines.recorded() == (count + COUNT, total + miles)
    with airlines.database.engine.connect() as connection:
        found = connection.execute(
            text("SELECT c.key, count(*) FROM usage_event JOIN customer c USING (customer_id) GROUP BY 1")
        )
        by_airline = {key: number for key, number in found if key != "acme"}
    assert by_airline == Counter(flight["customer"] for flight in rows)


def test_openmeter_client_gets_the_rejected_events(airlines: Airlines) -> None:
    good = as_event({**flights()[0], "idempotency_key": "good", "customer": "acme"})
    bad = as_event({**flights()[0], "idempotency_key": "bad", "customer": "missing"})
    count, _ = airlines.recorded()
    with airlines.client() as client, pytest.raises(HttpResponseError) as refused:
        client.events.ingest_events([bad, good])
    assert refused.value.status_code == 422
    assert refused.value.response is not None
    assert refused.value.response.json()["errors"] == [
        {"index": 0, "code": "customer_not_found", "field": "subject", "message": "does not exist"}
    ]
    assert airlines.recorded()[0] == count + 1
    with (
        Client(endpoint=airlines.url, token="tbk_wrong") as stranger,
        pytest.raises(ClientAuthenticationError),
    ):
        stranger.events.ingest_event(good)


@pytest.mark.parametrize("convert", [to_structured, to_binary])
def test_cloudevents_sdk_records_an_event_once(airlines: Airlines, convert: object) -> None:
    attributes = {
        "type": "flight", "source": SOURCE, "subject": "acme", "id": f"sdk-{convert}".split()[1],
        "datacontenttype": "application/json",
    }  # fmt: skip
    headers, body = convert(CloudEvent(attributes, {"quantity": "0.1"}))  # type: ignore[operator]
    count, _ = airlines.recorded()
    for _ in range(2):
        answer = httpx.post(
            f"{airlines.url}/api/v1/events",
            headers={**headers, "authorization": f"Bearer {airlines.token}"},
            content=body,
        )
        assert answer.status_code == 204, answer.text
    assert airlines.recorded()[0] == count + 1
