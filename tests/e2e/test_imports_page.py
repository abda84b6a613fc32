"""Usage files on the pages: checked, imported, followed, cancelled, and their rejected rows corrected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from billing_app.database import locks
from billing_app.domain.actor import SYSTEM
from billing_app.services.usage_imports import imports
from tests.e2e.business import FINANCE, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe
from tests.e2e.test_usage_page import make_customer, quantities

HEADER = "customer,idempotency_key,quantity,occurred_at"
TIME = "2026-10-10T00:00:00Z"
ENDS_WITHIN_MS = 60_000


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def upload(page: Page, file: Path) -> None:
    page.goto("/usage/imports")
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")


def expect_status(page: Page, word: str) -> None:
    badge = page.get_by_role("main").get_by_text(word, exact=True).first
    expect(badge).to_be_visible(timeout=ENDS_WITHIN_MS)


def figures(page: Page) -> Locator:
    return page.get_by_role("region", name="Outcome").locator("dl")


def rejected_rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Rejected rows").locator("tbody tr")


@contextmanager
def recording_paused(site: Site) -> Iterator[None]:
    """Hold the gate, so that everything that records waits."""
    url = site.urls.application.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [locks.GATE])
        yield


@pytest.fixture
def long_file(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write a file of several chunks, for a new customer."""
    key = f"long-{abs(hash(request.node.name)) % 10_000}"
    make_customer(site, key, key)
    return write(tmp_path / f"{key}.csv", *(f"{key},k-{n},1,{TIME}" for n in range(25_000)))


def test_file_is_checked_and_imported_and_rejected_rows_are_corrected(
    signed_in: Page, site: Site, tmp_path: Path
) -> None:
    make_customer(site, "paper", "Paper Mill")
    file = write(
        tmp_path / "paper.csv",
        f"paper,a,1.5,{TIME}",
        f"missing-customer,b,1,{TIME}",
        f"paper,c,-5,{TIME}",
        f"paper,d,2,{TIME}",
        f"paper,a,7,{TIME}",
    )
    page = signed_in
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_role("link", name="Import CSV").click()
    expect(page.get_by_text("Choose a CSV file", exact=True)).to_be_visible()
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")
    expect_status(page, "Ready to import")
    expect(figures(page)).to_have_text("Rows5To record2Duplicates0Conflicts1Rejected2")
    first = page.get_by_role("table", name="First rows").locator("tbody tr")
    expect(first).to_have_count(5)
    expect(first.first).to_contain_text("To record")
    expect(rejected_rows(page)).to_have_text(
        [
            re.compile("^3Customer does not exist"),
            re.compile("^4Quantity must be zero or more"),
            re.compile("^6Key was already used with a different quantity or time"),
        ]
    )
    assert found_by_axe(page) == []
    assert quantities(site, "paper") == []

    page.get_by_role("button", name="Import 2 rows").click()
    expect_status(page, "Done")
    expect(page.get_by_text("2 rows recorded.", exact=True)).to_be_visible()
    assert sorted(quantities(site, "paper")) == ["1.5", "2"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rejected rows").click()
    back = tmp_path / "back.csv"
    download.value.save_as(back)
    lines = back.read_text("utf-8-sig").splitlines()
    assert lines[0] == "line,customer,idempotency_key,quantity,occurred_at,code,detail"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "4", "6"]

    # The corrected file is imported as it is.
    back.write_text(back.read_text().replace("missing-customer", "paper").replace("'-5", "5"))
    upload(page, back)
    expect_status(page, "Ready to import")
    expect(figures(page)).to_have_text("Rows3To record2Duplicates0Conflicts1Rejected0")


def test_same_file_again_records_nothing_twice_and_says_so(
    signed_in: Page, site: Site, tmp_path: Path
) -> None:
    make_customer(site, "twice-sent", "Twice Sent")
    file = write(tmp_path / "twice.csv", f"twice-sent,a,1,{TIME}", f"twice-sent,b,2,{TIME}")
    page = signed_in
    upload(page, file)
    page.get_by_role("button", name="Import 2 rows").click()
    expect_status(page, "Done")
    upload(page, file)
    expect_status(page, "Ready to import")
    expect(
        page.get_by_text("2 rows are already recorded. Importing the file again records nothing twice.")
    ).to_be_visible()
    expect(page.get_by_text("The same file was already imported on")).to_be_visible()
    page.get_by_role("button", name="Import again").click()
    expect_status(page, "Done")
    summary = "Nothing was recorded. 2 rows were already recorded."
    expect(page.get_by_role("region", name="Outcome").get_by_text(summary)).to_be_visible()
    assert sorted(quantities(site, "twice-sent")) == ["1", "2"]


def test_import_continues_when_the_tab_is_closed(
    signed_in: Page, context: BrowserContext, site: Site, long_file: Path
) -> None:
    upload(signed_in, long_file)
    expect_status(signed_in, "Ready to import")
    with recording_paused(site):
        signed_in.get_by_role("button", name="Import 25,000 rows").click()
        expect_status(signed_in, "Importing")
        expect(signed_in.get_by_role("progressbar", name="Importing")).to_be_visible()
        signed_in.close()
        page = context.new_page()
        page.goto("/usage")
        page.get_by_role("link", name=long_file.name).click()
        page.wait_for_url("**/usage/imports/imp_*")
        expect_status(page, "Importing")
        assert found_by_axe(page) == []
    expect_status(page, "Done")
    expect(figures(page)).to_have_text("Rows25,000Recorded25,000Duplicates0Conflicts0Rejected0")
    page.get_by_role("link", name="Imports", exact=True).click()
    row = page.get_by_role("row", name=long_file.name)
    expect(row).to_contain_text("25,000 recorded")


def test_import_is_cancelled_between_two_chunks(signed_in: Page, site: Site, long_file: Path) -> None:
    page = signed_in
    upload(page, long_file)
    expect_status(page, "Ready to import")
    with recording_paused(site):
        page.get_by_role("button", name="Import 25,000 rows").click()
        expect_status(page, "Importing")
        page.get_by_role("button", name="Cancel import").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("Rows that are already recorded stay recorded.")
        page.get_by_role("dialog").get_by_role("button", name="Cancel import").click()
        expect(page.get_by_text(f"{long_file.name} cancelled")).to_be_visible()
    expect_status(page, "Cancelled")
    # The chunk that waited was not recorded, because the import was cancelled first.
    upload(page, long_file)
    expect(page.get_by_role("button", name="Import 25,000 rows")).to_be_visible(timeout=ENDS_WITHIN_MS)
    page.get_by_role("button", name="Discard file").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard file").click()
    expect_status(page, "Cancelled")
    expect(page.get_by_text("Nothing was recorded.", exact=True)).to_be_visible()


def test_file_that_is_not_usage_fails_with_its_reason(signed_in: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.csv"
    file.write_bytes(bytes(range(256)) * 20)
    upload(signed_in, file)
    expect_status(signed_in, "Failed")
    expect(signed_in.get_by_text("The file is not a text file. Choose a CSV file.")).to_be_visible()
    signed_in.goto("/usage/imports")
    expect(signed_in.get_by_role("row", name="photo.csv")).to_contain_text("Failed")


def test_file_is_dropped_on_the_page(authenticated: Page) -> None:
    page = authenticated
    page.goto("/usage/imports")
    expect(page.get_by_text("Choose a CSV file", exact=True)).to_be_visible()
    dropped = page.evaluate_handle(
        "text => { const it = new DataTransfer(); it.items.add(new File([text], 'dropped.csv')); return it }",
        f"{HEADER}\nmissing-customer,x,1,{TIME}\n",
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": dropped})
    expect(page.locator("[data-upload]")).to_have_attribute("data-over", "")
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    page.wait_for_url("**/usage/imports/imp_*")
    expect(page.get_by_text("No row of this file can be recorded.")).to_be_visible(timeout=ENDS_WITHIN_MS)


def test_interrupted_upload_says_so_and_can_be_repeated(signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    file = write(tmp_path / "unsent.csv", f"missing-customer,x,1,{TIME}")
    page.route("**/api/v1/usage/imports?*", lambda route: route.abort())
    page.goto("/usage/imports")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("alert").filter(has_text="The upload was interrupted")).to_be_visible()
    expect(page.get_by_text("Choose a CSV file", exact=True)).to_be_visible()
    page.unroute_all()
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")


def test_first_rows_show_how_numbers_and_times_are_understood(
    signed_in: Page, site: Site, tmp_path: Path
) -> None:
    make_customer(site, "decimals", "Decimals")
    page = signed_in
    upload(page, write(tmp_path / "decimals.csv", f"decimals,a,1.000,{TIME}", f"decimals,b,1234.5,{TIME}"))
    expect_status(page, "Ready to import")
    rows = page.get_by_role("table", name="First rows").locator("tbody tr")
    expect(rows.first).to_contain_text("11.000 in the file")
    expect(rows.last).to_contain_text("1,234.5")
    expect(rows.last).not_to_contain_text("in the file")
    expect(rows.first).to_contain_text("Oct 10, 2026")
    page.get_by_role("button", name="Discard file").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard file").click()
    expect_status(page, "Cancelled")


def test_stray_quote_rejects_its_row_by_its_line(signed_in: Page, site: Site, tmp_path: Path) -> None:
    make_customer(site, "quotes", "Quotes")
    file = write(
        tmp_path / "quotes.csv", f'quotes,"k1,5,{TIME}', f"quotes,k2,6,{TIME}", f'quotes,"k3",7,{TIME}'
    )
    page = signed_in
    upload(page, file)
    expect_status(page, "Ready to import")
    expect(figures(page)).to_have_text("Rows3To record2Duplicates0Conflicts0Rejected1")
    expect(rejected_rows(page)).to_have_text(
        [re.compile("^2This row has an opening quote without a closing quote on the same line")]
    )
    page.get_by_role("button", name="Import 2 rows").click()
    expect_status(page, "Done")
    assert sorted(quantities(site, "quotes")) == ["6", "7"]


def test_import_that_does_not_exist_says_so(authenticated: Page) -> None:
    authenticated.goto("/usage/imports/imp_999999")
    expect(authenticated.get_by_role("heading", name="Import not found")).to_be_visible()


def test_finance_user_sees_imports_and_can_not_start_them(
    page: Page, sign_in: Callable[..., None], site: Site
) -> None:
    answer = httpx.post(
        f"{site.url}/api/v1/auth/token", json={"email": "bea@tallybook.test", "password": PASSWORD}
    )
    uploaded = httpx.post(
        f"{site.url}/api/v1/usage/imports",
        params={"file_name": "for-finance.csv"},
        content=f"{HEADER}\nacme,from-finance,1,{TIME}\n",
        headers={"Authorization": f"Bearer {answer.json()['access_token']}", "Content-Type": "text/csv"},
    )
    sign_in(FINANCE, at=f"/login?next=/usage/imports/{uploaded.json()['id']}")
    expect_status(page, "Ready to import")
    expect(page.get_by_role("button", name=re.compile("Import|Discard|Cancel"))).to_have_count(0)
    with site.database.transaction(SYSTEM) as session:
        imports.cancel_import(session, SYSTEM, uploaded.json()["id"])
