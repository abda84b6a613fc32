"""The commands: their output as text and JSON, and their errors."""

from __future__ import annotations

import json

import psycopg
import pytest

from billing_app.database.provision import OWNER_ROLE, Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.identity.sign_in_attempts import PLACE, count
from tests.billing.shop import Shop
from tests.cli.command import run_billing
from tests.factories import make_user
from tests.refusals import refused


def test_invoice_run_and_verify(shop: Shop, urls: Urls, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2025-09")
    shop.customer("behind", "2025-08")
    done = run_billing(urls, "invoice-run", "2025-09", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["created"], facts["failed"]) == (1, 1, 1)
    assert facts["failures"][0]["customer"] == "behind"
    assert run_billing(urls, "invoice-run", "2025-08").returncode == 0
    again = run_billing(urls, "invoice-run", "2025-09")
    assert again.returncode == 0
    assert "1 created, 1 existing, 0 skipped, 0 failed" in again.stdout

    verified = run_billing(urls, "verify", "--json")
    assert (verified.returncode, json.loads(verified.stdout)["checked"]["invoices"]) == (0, 3)
    owner.execute("ALTER TABLE invoice_line DISABLE TRIGGER USER")
    owner.execute(
        "UPDATE invoice_line SET description = 'something else' WHERE customer_id = 1 AND line_number = 1"
    )
    owner.execute("ALTER TABLE invoice_line ENABLE TRIGGER USER")
    tampered = run_billing(urls, "verify")
    assert tampered.returncode == 1
    assert (
        "Discrepancy  ACME-0001: Line 1: the description is something else, but should be " in tampered.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("invoice-run", "2025-13"), "period must be a month written as YYYY-MM, such as 2026-10."),
        (("invoice-run", "2199-01"), "January 2199 has not ended yet."),
        (
            ("user", "add", "missing", "--name", "N", "--role", "admin"),
            "email must be an email address, such as ada@example.com.",
        ),
        (("demo",), "The database is not empty. The demo can only be loaded into an empty database."),
    ],
)
def test_refusal_is_one_line(shop: Shop, urls: Urls, arguments: tuple[str, ...], reason: str) -> None:
    shop.customer("acme", "2025-09")
    done = run_billing(urls, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"billing: {reason}")
    assert done.stderr.count("\n") == 1


def test_invoice_run_without_company_details_is_refused(shop: Shop, urls: Urls, no_issuer: None) -> None:
    shop.customer("acme", "2025-09")
    done = run_billing(urls, "invoice-run", "2025-09")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("billing: Invoices need your company's name and address.")


def test_user_is_added_with_a_one_time_password(urls: Urls) -> None:
    done = run_billing(urls, "user", "add", "ada@example.com", "--name", "Ada", "--role", "finance", "--json")
    assert json.loads(done.stdout)["one_time_password"]
    again = run_billing(urls, "user", "add", "ADA@example.com", "--name", "Ada", "--role", "finance")
    assert again.returncode == 1
    assert "email_taken" in again.stderr


def test_locked_user_is_unlocked(urls: Urls) -> None:
    database = Database(urls.application)
    user = make_user(database, email="ada@example.com")
    for _ in range(PLACE.allowed):
        database.call(SYSTEM, count, email=user.email, address="192.0.2.1")
    with refused("too_many_attempts"):
        database.call(SYSTEM, count, email=user.email, address="192.0.2.1")
    done = run_billing(urls, "user", "unlock", "ADA@example.com", "--json")
    assert json.loads(done.stdout) == {"id": user.public_id, "email": user.email, "was_locked": True}
    database.call(SYSTEM, count, email=user.email, address="192.0.2.1")
    again = run_billing(urls, "user", "unlock", user.email)
    assert (again.returncode, again.stdout) == (0, "User ada@example.com is not locked.\n")
    missing = run_billing(urls, "user", "unlock", "missing@example.com")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "missing@example.com does not exist" in missing.stderr
    database.close()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"BILLING_PUBLIC_URL": "billing.example.com"}, "BILLING_PUBLIC_URL has no scheme"),
        (
            {"BILLING_PUBLIC_URL": "https://billing.example.com/app"},
            "BILLING_PUBLIC_URL must not have a path",
        ),
        ({"BILLING_PROXIES": "proxy.internal"}, "BILLING_PROXIES contains 'proxy.internal'"),
        ({"BILLING_JWT_SECRET": "short"}, "BILLING_JWT_SECRET must have at least 32 bytes"),
        ({"BILLING_DEMO": "1", "BILLING_HOST": "0.0.0.0"}, "The demo accounts have public passwords"),
        ({"BILLING_PORT": "seventy"}, "BILLING_PORT: Input should be a valid integer"),
        (
            {"DATABASE_URL": "postgresql://missing@127.0.0.1:1/none"},
            "The database can't be reached: connection",
        ),
        ({"BILLING_DEMO": "1", "BILLING_ADMIN_EMAIL": "a@b.test"}, "Set both BILLING_ADMIN_EMAIL and"),
        (
            {"BILLING_DEMO": "1", "BILLING_ADMIN_EMAIL": "a@b.test", "BILLING_ADMIN_PASSWORD": "x"},
            "The demo has an admin of its own",
        ),
        ({"BILLING_ADMIN_PASSWORD": "x"}, "Set both BILLING_ADMIN_EMAIL and BILLING_ADMIN_PASSWORD"),
        ({"BILLING_HOST": " "}, "BILLING_HOST: must be an IP address or a name, such as 127.0.0.1"),
    ],
)
def test_unsafe_setting_is_refused(urls: Urls, environment: dict[str, str], reason: str) -> None:
    done = run_billing(urls, "verify", **environment)
    assert done.returncode == 1
    assert done.stderr.startswith(f"billing: {reason}")


def test_role_that_could_change_append_only_tables_is_refused(urls: Urls) -> None:
    done = run_billing(urls, "verify", DATABASE_URL=urls.owner)
    assert done.returncode == 1
    assert f"The role '{OWNER_ROLE}' of DATABASE_URL could change" in done.stderr


def test_outdated_schema_is_not_migrated_without_the_owner(urls: Urls, owner: psycopg.Connection) -> None:
    owner.execute("DELETE FROM alembic_version")
    done = run_billing(urls, "verify", DATABASE_OWNER_URL="")
    assert done.returncode == 1
    assert "Run `billing migrate`" in done.stderr
