"""`billing import-corrections`: rows in their order, each once, and rejected rows that can be imported again."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg

from billing_app.database.provision import Urls
from tests.billing.shop import Shop
from tests.cli.command import run_billing

HEADER = "customer,idempotency_key,quantity,reason,correction_key\n"


def test_corrections_of_a_file_are_recorded_once(
    shop: Shop, urls: Urls, owner: psycopg.Connection, tmp_path: Path
) -> None:
    shop.customer("acme", "2025-09")
    shop.use("acme", "a", 1530, "2025-10-01T00:00:00Z")
    file, rejected = tmp_path / "corrections.csv", tmp_path / "rejected.csv"
    file.write_text(
        HEADER
        + 'acme,a,1030,"Counted twice, again",fix 1\n\nacme,a,900,recount,fix 3\nacme,a,900,same,fix 2\nacme,a,1\n'
        + "acme,b,1,unknown,fix 4\nacme,a,900,other,fix 1\n"
    )
    for recorded, duplicates in ((2, 0), (0, 2)):
        done = run_billing(urls, "import-corrections", str(file), "--json", "--rejected", str(rejected))
        assert done.returncode == 1, done.stderr
        facts = json.loads(done.stdout)
        counts = [facts[name] for name in ("rows", "recorded", "duplicates", "conflicts", "rejected")]
        assert counts == [6, recorded, duplicates, 1, 3]
    lines = rejected.read_text("utf-8-sig").splitlines()
    assert lines[0] == "line,customer,idempotency_key,quantity,reason,correction_key,code,detail"
    assert [line.split(",")[0] for line in lines[1:]] == ["5", "6", "7", "8"]
    again = run_billing(urls, "import-corrections", str(rejected), "--json")
    assert json.loads(again.stdout)["rows"] == 4
    found = owner.execute("SELECT number, quantity, reason FROM usage_correction ORDER BY 1").fetchall()
    assert found == [(1, 1030, "Counted twice, again"), (2, 900, "recount")]


def test_file_with_other_columns_is_refused(shop: Shop, urls: Urls, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("customer,idempotency_key,quantity,occurred_at\nacme,a,1,\n")
    done = run_billing(urls, "import-corrections", str(file))
    assert done.returncode == 1
    assert "missing the columns reason, correction_key" in done.stderr.replace("\n", " ")
