"""The part of the story that is about files: one with problems, the same again, one left for later."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.e2e.story import ENDS_WITHIN_MS, LAST, THIS, go, rows

# The lines that are refused, and why.
REFUSED = {
    "5": "There is no such customer",
    "6": "Quantity must be zero or more",
    "7": "Moment must be an RFC 3339 timestamp",
}


def a_file_with_problems(folder: Path) -> Path:
    file = folder / "meters.csv"
    moment = f"{LAST:%Y-%m}-20T08:00:00Z"
    file.write_text(
        "customer,idempotency_key,quantity,occurred_at\n"
        f"acme-supply,meter-1,480,{moment}\n"
        f"acme-supply,meter-2,20,{moment}\n"
        f"borough-bakers,meter-3,1250.5,{moment}\n"
        f"nobody-here,meter-4,5,{moment}\n"
        f"acme-supply,meter-5,-5,{moment}\n"
        "acme-supply,meter-6,6,20 o'clock\n"
        f"acme-supply,meter-1,480,{moment}\n"
    )
    return file


def send(page: Page, file: Path) -> None:
    go(page, "Usage")
    page.get_by_role("link", name="Import CSV").click()
    page.get_by_label("Choose a CSV file").set_input_files(file)
    expect(page.get_by_text("Ready to import", exact=True)).to_be_visible(timeout=ENDS_WITHIN_MS)


def outcome(page: Page) -> Locator:
    return page.get_by_role("region", name="Outcome")


def the_file_is_checked_and_imported(page: Page, file: Path) -> None:
    send(page, file)
    expect(outcome(page).locator("dl")).to_have_text("Rows7To be recorded3There already1Refused3")
    expect(rows(page, "The first rows")).to_have_count(7)
    expect(rows(page, "The first rows").last).to_contain_text("There already")
    expect(rows(page, "Refused rows")).to_have_text(
        [re.compile(f"^{line}{re.escape(why)}") for line, why in REFUSED.items()]
    )
    page.get_by_role("button", name="Import 3 rows").click()
    expect(page.get_by_text("Done", exact=True)).to_be_visible(timeout=ENDS_WITHIN_MS)
    expect(outcome(page).locator("dl")).to_have_text("Rows7Recorded3There already1Refused3")


def what_was_refused_is_downloaded(page: Page, file: Path) -> None:
    sent = file.read_text().splitlines()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download refused rows").click()
    with download.value.path().open(newline="") as lines:
        found = list(csv.DictReader(lines))
    assert [each["line"] for each in found] == list(REFUSED)
    columns = sent[0].split(",")
    assert [",".join(each[name] for name in columns) for each in found] == [
        sent[int(line) - 1] for line in REFUSED
    ]
    assert [(each["code"], each["detail"]) for each in found] == [
        ("customer_not_found", "customer: there is no such customer"),
        ("invalid", "quantity: must be zero or more"),
        (
            "invalid",
            "occurred_at: must be an RFC 3339 timestamp with an offset, such as 2026-10-31T23:00:00Z",
        ),
    ]


def the_same_file_again_records_nothing_twice(page: Page, file: Path) -> None:
    send(page, file)
    expect(page.get_by_text("This very file was imported before, on")).to_be_visible()
    expect(outcome(page).locator("dl")).to_have_text("Rows7To be recorded0There already4Refused3")
    page.get_by_role("button", name="Import again").click()
    expect(outcome(page)).to_contain_text(
        "Nothing was recorded: 4 rows had been before, and nothing is recorded twice.",
        timeout=ENDS_WITHIN_MS,
    )
    page.get_by_role("link", name="See the usage").click()
    expect(page.get_by_text("6 events", exact=True)).to_be_visible()


def a_file_is_left_for_later(page: Page, folder: Path) -> None:
    file = folder / "later.csv"
    file.write_text(
        f"customer,idempotency_key,quantity,occurred_at\nclay-daughters,meter-7,7,{THIS:%Y-%m}-01T00:00:00Z\n"
    )
    send(page, file)
