"""Two servers without pages on one database: what one of them is told holds at the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.services.identity.sign_in_attempts import PLACE
from tests.processes.conftest import Business, make_business
from tests.processes.servers import ApiServer, serving_api, until, usage

AT_ONCE = 50
CUSTOMERS = 2_000
PERIOD = "2026-10"
Two = tuple[ApiServer, ApiServer]


@pytest.fixture(scope="module")
def business(server: cluster.Server) -> Iterator[Business]:
    """Make one business for all of these tests, since starting servers takes seconds."""
    with make_business(server) as made:
        yield made


@pytest.fixture(scope="module")
def two(business: Business, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Run two servers on the business's database."""
    directory = tmp_path_factory.mktemp("servers")
    with serving_api(business.urls, directory) as first, serving_api(business.urls, directory) as second:
        yield first, second


def test_event_sent_to_both_at_once_is_counted_once(business: Business, two: Two) -> None:
    with (
        two[0].client(business.token) as first,
        two[1].client(business.token) as second,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def report(client: httpx.Client) -> int:
            return client.post("/usage", json=usage(business.customer, "same")).status_code

        answers = Counter(pool.map(report, [first, second] * (AT_ONCE // 2)))
    assert answers == {201: 1, 200: AT_ONCE - 1}
    assert business.events("same") == 1


def test_conflicting_events_at_both_at_once_leave_one_quantity(business: Business, two: Two) -> None:
    with (
        two[0].client(business.token) as first,
        two[1].client(business.token) as second,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def report(sent: tuple[httpx.Client, str]) -> int:
            client, quantity = sent
            return client.post("/usage", json=usage(business.customer, "other", quantity)).status_code

        sent = [(first, "5"), (second, "6")] * (AT_ONCE // 2)
        answers = Counter(pool.map(report, sent))
    assert answers == {201: 1, 200: AT_ONCE // 2 - 1, 409: AT_ONCE // 2}
    assert business.events("other") == 1


def test_customer_created_at_both_at_once_with_one_key_exists_once(business: Business, two: Two) -> None:
    token = two[0].sign_in(business.admin)
    with two[0].client(token) as first, two[1].client(token) as second, ThreadPoolExecutor(20) as pool:
        plan = first.get("/plans").json()["items"][0]["id"]
        body = {"name": "Twin", "email": "twin@example.com", "plan_id": plan}

        def create(client: httpx.Client) -> str:
            answer = client.post("/customers", json=body, headers={"Idempotency-Key": "twin-1"})
            assert answer.status_code in (200, 201), answer.text
            return str(answer.json()["id"])

        before = business.count("customer")
        assert len(set(pool.map(create, [first, second] * 10))) == 1
    assert business.count("customer") == before + 1


def test_token_revoked_at_one_is_refused_at_the_other_at_once(business: Business, two: Two) -> None:
    def report(client: httpx.Client, number: int) -> int:
        return client.post("/usage", json=usage(business.customer, f"revoked-{number}")).status_code

    token = business.new_token()
    with two[0].client(two[0].sign_in(business.admin)) as admin, two[1].client(token) as meter:
        assert {report(meter, number) for number in range(10)} == {201}
        newest = max(
            admin.get("/tokens").json()["items"], key=lambda each: int(each["id"].removeprefix("tok_"))
        )
        assert admin.delete(f"/tokens/{newest['id']}").status_code == 204
        assert report(meter, 10) == 401
    assert business.events("revoked") == 10


def test_session_of_one_is_valid_at_the_other_until_it_is_ended(business: Business, two: Two) -> None:
    email = business.new_admin()
    token = two[0].sign_in(email)
    with two[0].client(token) as first, two[1].client(token) as second:
        assert second.get("/auth/me").json()["email"] == email
        (session,) = first.get("/auth/sessions").json()["items"]
        assert first.delete(f"/auth/sessions/{session['id']}").status_code == 204
        assert second.get("/auth/me").status_code == 401


def test_failed_sign_ins_are_counted_together(business: Business, two: Two) -> None:
    body = {"email": business.new_admin(), "password": "a wrong guess at it"}

    def guess(server: ApiServer) -> int:
        return httpx.post(f"{server.url}/api/v1/auth/token", json=body, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = Counter(pool.map(guess, two * PLACE.allowed * 2))
    assert answers == {401: PLACE.allowed, 429: PLACE.allowed * 3}


def test_run_started_at_one_is_finished_by_the_other_when_that_one_is_killed(
    business: Business, two: Two
) -> None:
    add_customers(business)
    first, second = two
    with first.client(first.sign_in(business.admin)) as client, held_halfway(business) as holder:
        run = client.post("/invoice-runs", json={"period": PERIOD})
        assert run.status_code == 202, run.text
        until(lambda: business.count("invoice") >= CUSTOMERS // 2)
        first.kill()
        first.process.wait()
        holder.rollback()
    with second.client(second.sign_in(business.admin)) as client:
        path = f"/invoice-runs/{run.json()['id']}"
        until(lambda: client.get(path).json()["status"] == "done")
        done = client.get(path).json()
    assert (done["created"], done["existing"], done["failed"]) == (CUSTOMERS, 0, 0)
    assert business.count("invoice") == CUSTOMERS
    assert business.owner.execute(
        "SELECT count(DISTINCT customer_id), max(sequence) FROM invoice"
    ).fetchone() == (
        CUSTOMERS,
        1,
    )


def add_customers(business: Business) -> None:
    """Add customers who have had a plan and usage in the period."""
    insert = business.owner.execute
    insert(
        "INSERT INTO customer (key, name, email, email_key, billing_address, currency, created_at, version)"
        " SELECT 'c' || n, 'Customer ' || n, 'c' || n || '@example.com', 'c' || n || '@example.com', '',"
        " 'USD', now(), 1 FROM generate_series(1, %s) n",
        [CUSTOMERS],
    )
    new = "FROM customer WHERE key ~ '^c[0-9]+$'"
    insert(f"INSERT INTO customer_billing SELECT customer_id, '2026-09-01', '2026-09-01', 0, NULL {new}")
    insert(
        "INSERT INTO subscription SELECT customer_id, '2026-10-01',"
        f" (SELECT min(plan_id) FROM plan), 'USD' {new}"
    )
    insert(
        "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at, billing_period,"
        f" quantity, recorded_by) SELECT customer_id, 'k', '2026-10-05Z', now(), '2026-10-01', 1530, 'test' {new}"
    )


def held_halfway(business: Business) -> psycopg.Connection:
    """Hold the last customer, and with it one of the run's two lanes, until it is rolled back."""
    holder = psycopg.connect(business.urls.owner.replace("+psycopg", ""))
    holder.execute("SELECT FROM customer_billing ORDER BY customer_id DESC LIMIT 1 FOR UPDATE")
    return holder
