"""Files of usage as people import them: checked first, watched, left and found again, mended."""

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
MOMENT = "2026-10-10T00:00:00Z"
ENDS_WITHIN_MS = 60_000


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def choose(page: Page, file: Path) -> None:
    page.goto("/usage/imports")
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")


def status(page: Page, word: str) -> None:
    badge = page.get_by_role("main").get_by_text(word, exact=True).first
    expect(badge).to_be_visible(timeout=ENDS_WITHIN_MS)


def figures(page: Page) -> Locator:
    return page.get_by_role("region", name="Outcome").locator("dl")


def refused(page: Page) -> Locator:
    return page.get_by_role("table", name="Refused rows").locator("tbody tr")


@contextmanager
def nothing_recorded(site: Site) -> Iterator[None]:
    """Meanwhile whoever records waits at the gate."""
    url = site.urls.application.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [locks.GATE])
        yield


@pytest.fixture
def long_file(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Of several chunks, for a customer of the test's own."""
    key = f"long-{abs(hash(request.node.name)) % 10_000}"
    make_customer(site, key, key)
    return write(tmp_path / f"{key}.csv", *(f"{key},k-{n},1,{MOMENT}" for n in range(25_000)))


def test_a_file_is_checked_imported_and_what_was_refused_is_given_back(
    signed_in: Page, site: Site, tmp_path: Path
) -> None:
    make_customer(site, "paper", "Paper Mill")
    file = write(
        tmp_path / "paper.csv",
        f"paper,a,1.5,{MOMENT}",
        f"nobody-here,b,1,{MOMENT}",
        f"paper,c,-5,{MOMENT}",
        f"paper,d,2,{MOMENT}",
        f"paper,a,7,{MOMENT}",
    )
    page = signed_in
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_role("link", name="Import CSV").click()
    expect(page.get_by_text("Choose a CSV file")).to_be_visible()
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")
    status(page, "Ready to import")
    expect(figures(page)).to_have_text("Rows5To be recorded2There already0Refused3")
    first = page.get_by_role("table", name="The first rows").locator("tbody tr")
    expect(first).to_have_count(5)
    expect(first.first).to_contain_text("To record")
    expect(refused(page)).to_have_text(
        [
            re.compile("^3There is no such customernobody-here"),
            re.compile("^4Quantity must be zero or more"),
            re.compile("^6Key was used before with another quantity or moment"),
        ]
    )
    assert found_by_axe(page) == []
    assert quantities(site, "paper") == []

    page.get_by_role("button", name="Import 2 rows").click()
    status(page, "Done")
    expect(page.get_by_text("2 rows recorded.", exact=True)).to_be_visible()
    assert sorted(quantities(site, "paper")) == ["1.5", "2"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download refused rows").click()
    back = tmp_path / "back.csv"
    download.value.save_as(back)
    lines = back.read_text().splitlines()
    assert lines[0] == "line,customer,idempotency_key,quantity,occurred_at,code,detail"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "4", "6"]

    # Mended, it is imported as it is.
    back.write_text(back.read_text().replace("nobody-here", "paper").replace("-5", "5"))
    choose(page, back)
    status(page, "Ready to import")
    expect(figures(page)).to_have_text("Rows3To be recorded2There already0Refused1")


def test_the_same_file_again_records_nothing_twice_and_says_so(
    signed_in: Page, site: Site, tmp_path: Path
) -> None:
    make_customer(site, "twice-sent", "Twice Sent")
    file = write(tmp_path / "twice.csv", f"twice-sent,a,1,{MOMENT}", f"twice-sent,b,2,{MOMENT}")
    page = signed_in
    choose(page, file)
    page.get_by_role("button", name="Import 2 rows").click()
    status(page, "Done")
    choose(page, file)
    status(page, "Ready to import")
    expect(page.get_by_text("Every row of it is recorded already.")).to_be_visible()
    expect(page.get_by_text("This very file was imported before, on")).to_be_visible()
    page.get_by_role("button", name="Import again").click()
    status(page, "Done")
    said = "Nothing was recorded: 2 rows had been before, and nothing is recorded twice."
    expect(page.get_by_role("region", name="Outcome").get_by_text(said)).to_be_visible()
    assert sorted(quantities(site, "twice-sent")) == ["1", "2"]


def test_it_goes_on_when_the_tab_is_closed_and_is_found_again(
    signed_in: Page, context: BrowserContext, site: Site, long_file: Path
) -> None:
    choose(signed_in, long_file)
    status(signed_in, "Ready to import")
    with nothing_recorded(site):
        signed_in.get_by_role("button", name="Import 25,000 rows").click()
        status(signed_in, "Importing")
        expect(signed_in.get_by_role("progressbar", name="Importing")).to_be_visible()
        signed_in.close()
        page = context.new_page()
        page.goto("/usage")
        page.get_by_role("link", name=long_file.name).click()
        page.wait_for_url("**/usage/imports/imp_*")
        status(page, "Importing")
        assert found_by_axe(page) == []
    status(page, "Done")
    expect(figures(page)).to_have_text("Rows25,000Recorded25,000There already0Refused0")
    page.get_by_role("link", name="Imports", exact=True).click()
    row = page.get_by_role("row", name=long_file.name)
    expect(row).to_contain_text("25,000 recorded, 0 there already, 0 refused")


def test_it_is_cancelled_between_two_chunks_and_what_was_recorded_stays(
    signed_in: Page, site: Site, long_file: Path
) -> None:
    page = signed_in
    choose(page, long_file)
    status(page, "Ready to import")
    with nothing_recorded(site):
        page.get_by_role("button", name="Import 25,000 rows").click()
        status(page, "Importing")
        page.get_by_role("button", name="Cancel", exact=True).first.click()
        expect(page.get_by_role("dialog")).to_contain_text("What is recorded by then stays")
        page.get_by_role("button", name="Stop the import").click()
        expect(page.get_by_text(f"{long_file.name} is cancelled")).to_be_visible()
    status(page, "Cancelled")
    # The chunk that waited was not recorded: it had been cancelled meanwhile.
    choose(page, long_file)
    expect(page.get_by_role("button", name="Import 25,000 rows")).to_be_visible(timeout=ENDS_WITHIN_MS)
    page.get_by_role("button", name="Discard", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    status(page, "Cancelled")
    expect(page.get_by_text("Nothing was recorded.", exact=True)).to_be_visible()


def test_a_file_that_is_none_fails_with_its_reason(signed_in: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.csv"
    file.write_bytes(bytes(range(256)) * 20)
    choose(signed_in, file)
    status(signed_in, "Failed")
    expect(signed_in.get_by_text("Must have exactly the columns")).to_be_visible()
    signed_in.goto("/usage/imports")
    expect(signed_in.get_by_role("row", name="photo.csv")).to_contain_text("Failed")


def test_a_file_is_dropped_on_the_page(signed_in: Page) -> None:
    page = signed_in
    page.goto("/usage/imports")
    expect(page.get_by_text("Choose a CSV file")).to_be_visible()
    dropped = page.evaluate_handle(
        "text => { const it = new DataTransfer(); it.items.add(new File([text], 'dropped.csv')); return it }",
        f"{HEADER}\nnobody-here,x,1,{MOMENT}\n",
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": dropped})
    expect(page.locator("[data-upload]")).to_have_attribute("data-over", "")
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    page.wait_for_url("**/usage/imports/imp_*")
    expect(page.get_by_text("No row of it can be recorded.")).to_be_visible(timeout=ENDS_WITHIN_MS)


def test_a_file_that_is_not_taken_says_why_and_can_be_sent_again(signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    file = write(tmp_path / "unsent.csv", f"nobody-here,x,1,{MOMENT}")
    page.route("**/api/v1/usage/imports?*", lambda route: route.abort())
    page.goto("/usage/imports")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("alert").filter(has_text="could not be sent")).to_be_visible()
    expect(page.get_by_text("Choose a CSV file")).to_be_visible()
    page.unroute_all()
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_url("**/usage/imports/imp_*")


def test_an_import_that_is_none_says_so(signed_in: Page) -> None:
    signed_in.goto("/usage/imports/imp_999999")
    expect(signed_in.get_by_role("heading", name="There is no such import")).to_be_visible()


def test_finance_sees_what_was_imported_and_may_not_start_it(
    page: Page, sign_in: Callable[..., None], site: Site
) -> None:
    answer = httpx.post(
        f"{site.url}/api/v1/auth/token", json={"email": "bea@tallybook.test", "password": PASSWORD}
    )
    sent = httpx.post(
        f"{site.url}/api/v1/usage/imports",
        params={"file_name": "for-finance.csv"},
        content=f"{HEADER}\nacme,from-finance,1,{MOMENT}\n",
        headers={"Authorization": f"Bearer {answer.json()['access_token']}", "Content-Type": "text/csv"},
    )
    sign_in(FINANCE, at=f"/login?next=/usage/imports/{sent.json()['id']}")
    status(page, "Ready to import")
    expect(page.get_by_role("button", name=re.compile("Import|Discard|Cancel"))).to_have_count(0)
    with site.database.transaction(SYSTEM) as session:
        imports.cancel_import(session, SYSTEM, sent.json()["id"])
