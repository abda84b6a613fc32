"""`billing backup` and `billing restore` as an operator runs them."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from tests.backup.conftest import empty_database
from tests.billing.shop import Shop
from tests.cli.command import run_billing


def test_backup_is_restored_and_verified(
    shop: Shop, urls: Urls, server: cluster.Server, tmp_path: Path
) -> None:
    shop.customer("acme", "2025-09")
    shop.use("acme", "sep", 1200, "2025-09-10T00:00:00Z")
    shop.invoice("acme", "2025-09")
    file = str(tmp_path / "a.backup")
    done = run_billing(urls, "backup", file, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert (facts["file"], facts["bytes"]) == (file, Path(file).stat().st_size)
    assert facts["rows"]["usage_event"] == 1
    again = run_billing(urls, "backup", file)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith(f"billing: {file} already exists.")
    replaced = run_billing(urls, "backup", file, "--overwrite")
    assert replaced.stdout.startswith(f"Backup created: {file} (")
    assert "1 customer, 1 usage event, 1 invoice, 0 payments" in replaced.stdout

    with empty_database(server) as empty:
        restored = run_billing(empty, "restore", file, "--issued", "ACME=3", "--issued", "acme=1")
        assert (restored.returncode, restored.stderr) == (0, "")
        assert "acme: ACME-0002 to ACME-0003 were issued before the restore of" in restored.stdout
        assert "Have the senders of usage repeat everything that they sent since then." in restored.stdout
        verified = run_billing(empty, "verify", "--json", DATABASE_OWNER_URL="")
        assert json.loads(verified.stdout)["checked"]["invoices"] == 1
        refused = run_billing(empty, "restore", file)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("billing: The database is not empty")


def test_restored_database_with_a_discrepancy_fails(
    shop: Shop, urls: Urls, owner: psycopg.Connection, server: cluster.Server, tmp_path: Path
) -> None:
    shop.customer("acme", "2025-09")
    owner.execute("ALTER TABLE customer_billing DISABLE TRIGGER USER")
    owner.execute("UPDATE customer_billing SET last_number = 7, last_sha256 = repeat('0', 64)")
    file = str(tmp_path / "a.backup")
    assert run_billing(urls, "backup", file).returncode == 0
    with empty_database(server) as empty:
        restored = run_billing(empty, "restore", file, "--json")
    assert restored.returncode == 1
    assert json.loads(restored.stdout)["verification"]["discrepancies"][0]["code"] == "wrong_last_number"


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_applications_role_alone_is_refused(urls: Urls, tmp_path: Path, command: str) -> None:
    done = run_billing(urls, command, str(tmp_path / "a.backup"), DATABASE_OWNER_URL="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("billing: Set DATABASE_OWNER_URL to the role that owns the tables.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "issued", ["ACME", "ACME=", "=3", "ACME=0", "ACME=-1", "ACME=1.5", "ACME=1234567890"]
)
def test_malformed_last_number_is_a_wrong_argument(urls: Urls, tmp_path: Path, issued: str) -> None:
    done = run_billing(urls, "restore", str(tmp_path / "a.backup"), "--issued", issued)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a customer's key and its last invoice number" in done.stderr


def test_numbers_are_skipped_after_a_recovery(shop: Shop, urls: Urls) -> None:
    shop.customer("acme", "2025-09")
    unconfirmed = run_billing(urls, "skip-numbers", "ACME=12")
    assert unconfirmed.returncode == 1
    skipped = run_billing(urls, "skip-numbers", "ACME=12", "--yes")
    assert (skipped.returncode, skipped.stdout) == (0, "ACME: ACME-0001 to ACME-0012 will not be used.\n")
    again = run_billing(urls, "skip-numbers", "acme=3", "--yes", DATABASE_OWNER_URL="")
    assert (again.returncode, again.stdout) == (0, "acme: nothing to skip.\n")
    absent = run_billing(urls, "skip-numbers", "acme=20", "absent=3", "--yes")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.startswith("billing: Customer absent does not exist.")
    assert shop.invoice("acme", "2025-09").number == "ACME-0013"
