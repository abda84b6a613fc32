"""The imports of the story: a file with rejected rows, the same file again, and one that is not started."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from billing_app.domain.spreadsheets import unescape_cell
from tests.e2e.story import ENDS_WITHIN_MS, LAST, THIS, go, rows

# The rejected lines with their reasons.
REJECTED = {
    "5": "Customer does not exist",
    "6": "Quantity must be zero or more",
    "7": "Time must be an RFC 3339 timestamp",
}


def write_file_with_rejected_rows(folder: Path) -> Path:
    file = folder / "meters.csv"
    time = f"{LAST:%Y-%m}-20T08:00:00Z"
    file.write_text(
        "customer,idempotency_key,quantity,occurred_at\n"
        f"acme-supply,meter-1,480,{time}\n"
        f"acme-supply,meter-2,20,{time}\n"
        f"borough-bakers,meter-3,1250.5,{time}\n"
        f"missing-customer,meter-4,5,{time}\n"
        f"acme-supply,meter-5,-5,{time}\n"
        "acme-supply,meter-6,6,20 o'clock\n"
        f"acme-supply,meter-1,480,{time}\n"
    )
    return file


def upload(page: Page, file: Path) -> None:
    go(page, "Usage")
    page.get_by_role("link", name="Import CSV").click()
    page.get_by_label("Choose a CSV file").set_input_files(file)
    expect(page.get_by_text("Ready to import", exact=True)).to_be_visible(timeout=ENDS_WITHIN_MS)


def outcome(page: Page) -> Locator:
    return page.get_by_role("region", name="Outcome")


def check_and_import_file(page: Page, file: Path) -> None:
    upload(page, file)
    expect(outcome(page).locator("dl")).to_have_text("Rows7To record3Duplicates1Conflicts0Rejected3")
    expect(rows(page, "First rows")).to_have_count(7)
    expect(rows(page, "First rows").last).to_contain_text("Duplicate")
    expect(rows(page, "Rejected rows")).to_have_text(
        [re.compile(f"^{line}{re.escape(reason)}") for line, reason in REJECTED.items()]
    )
    page.get_by_role("button", name="Import 3 rows").click()
    expect(page.get_by_text("Done", exact=True)).to_be_visible(timeout=ENDS_WITHIN_MS)
    expect(outcome(page).locator("dl")).to_have_text("Rows7Recorded3Duplicates1Conflicts0Rejected3")


def download_rejected_rows(page: Page, file: Path) -> None:
    lines = file.read_text().splitlines()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rejected rows").click()
    with download.value.path().open(newline="", encoding="utf-8-sig") as rejected:
        found = list(csv.DictReader(rejected))
    assert [each["line"] for each in found] == list(REJECTED)
    columns = lines[0].split(",")
    assert [",".join(unescape_cell(each[name]) for name in columns) for each in found] == [
        lines[int(line) - 1] for line in REJECTED
    ]
    assert [(each["code"], each["detail"]) for each in found] == [
        ("customer_not_found", "customer does not exist."),
        ("invalid", "quantity must be zero or more."),
        (
            "invalid",
            "occurred_at must be an RFC 3339 timestamp with an offset, such as 2026-10-31T23:00:00Z.",
        ),
    ]


def import_same_file_again(page: Page, file: Path) -> None:
    upload(page, file)
    expect(page.get_by_text("The same file was already imported on")).to_be_visible()
    expect(outcome(page).locator("dl")).to_have_text("Rows7To record0Duplicates4Conflicts0Rejected3")
    page.get_by_role("button", name="Import again").click()
    expect(outcome(page)).to_contain_text(
        "Nothing was recorded. 4 rows were already recorded.",
        timeout=ENDS_WITHIN_MS,
    )
    page.get_by_role("link", name="View usage").click()
    expect(page.get_by_text("6 events", exact=True)).to_be_visible()


def upload_file_and_leave_it(page: Page, folder: Path) -> None:
    file = folder / "later.csv"
    file.write_text(
        f"customer,idempotency_key,quantity,occurred_at\nclay-daughters,meter-7,7,{THIS:%Y-%m}-01T00:00:00Z\n"
    )
    upload(page, file)
