"""The invoice as a PDF: its text, its reproducible bytes, and its layout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from billing_app.database.session import Database
from billing_app.documents import invoice_pdf as module
from billing_app.documents.invoice_pdf import invoice_pdf
from billing_app.domain.actor import Actor
from billing_app.domain.invoice import BilledCustomer, Issuer
from billing_app.services.invoices.rows import InvoiceDetail
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.documents.papers import (
    AS_OF,
    CUSTOMER,
    DUE,
    ISSUER,
    an_invoice,
    fonts_of,
    months_late,
    pages_of,
    places_of,
    plan,
    read,
    text_of,
    unwrapped,
)
from tests.domain.months import late_lines_of

ROOT = Path(__file__).parents[2]
ARCHIVABLE = b"http://www.aiim.org/pdfa/ns/id/"

WORLD = {
    "Inter": "Đặng Łukasz ΔΕΗ Газпром",
    "NotoSansArabic": "شركة الشمس",
    "NotoSansArmenian": "Հայաստանի",
    "NotoSansBengali": "নগর",
    "NotoSansDevanagari": "नगर",
    "NotoSansEthiopic": "አማርኛ",
    "NotoSansGeorgian": "ბათუმის",
    "NotoSansHebrew": "חברת החשמל",
    "NotoSansTamil": "நகர",
    "NotoSansThai": "นครหลวง",
    "DroidSansFallback": "株式会社トーキョー 中国移动通信 台灣電力 한국전력공사",
    "NotoEmoji": "🚀",
}
HOSTILE = [
    '#panic("x") $a$ *b* \\ @ref <x> "quoted"',
    '#read("/etc/passwd") #image("/etc/passwd") #include "/etc/passwd"',
    "= heading - list + item / term: // comment /* comment",
    "`raw` ```raw``` [x] {1 + 1} #{1 + 1} ~ -- --- ... \\u{41} 'single'",
    '"}; #sys.inputs, \\" \\n %s {0} ${HOME} <script>',
]


def test_pdf_contains_everything_that_the_invoice_says() -> None:
    text = text_of(an_invoice(paid_minor=1200))
    for said in [
        *ISSUER.name.splitlines(), *ISSUER.address.splitlines(), ISSUER.email,
        *ISSUER.payment_instructions.splitlines(),
        CUSTOMER.name, *CUSTOMER.billing_address.splitlines(), CUSTOMER.email,
        "Number ACME-0001", "Period October 2026", "Issue date Nov 2, 2026",
        "Due date Dec 2, 2026", "$35.63 due by Dec 2, 2026",
        "Monthly price", "Standard, version 1", "$29.00",
        "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63",
        "Total $35.63", "Amount due $35.63", "Page 1 of 1",
        "Payment status on Nov 22, 2026", "Not part of the invoice",
        "Partially paid $12.00 of $35.63 paid, $23.63 outstanding",
        f"Content SHA-256 {an_invoice().content_sha256}",
    ]:  # fmt: skip
        assert said in text


def test_late_usage_line_shows_its_arithmetic(database: Database, admin: Actor, clock: Clock) -> None:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    clock.set(2026, 10, 20)
    shop.use("acme", "one", 900)
    clock.set(2026, 11, 2)
    shop.invoice("acme", "2026-10")
    shop.use("acme", "two", 300, datetime(2026, 10, 30, tzinfo=UTC))
    shop.use("acme", "three", 1200)
    clock.set(2026, 12, 2)
    text = text_of(shop.invoice("acme", "2026-11"), datetime(2026, 12, 2, tzinfo=UTC))
    for said in [
        "Number ACME-0002", "acme Inc.", "Usage in October 2026 Late usage",
        "Before: 900 used, within the 1,000 included = $0.00",
        "Now: 1,200 used − 1,000 included = 200 × $0.0125 = $2.50",
        "$2.50 − $0.00 already charged = $2.50", "Total $34.00",
        "Unpaid $0.00 of $34.00 paid, $34.00 outstanding",
    ]:  # fmt: skip
        assert said in text


def test_same_content_gives_the_same_bytes_in_any_process_on_any_machine() -> None:
    program = (
        "import hashlib; from tests.documents.papers import AS_OF, an_invoice;"
        " from tests.documents.test_invoice_pdf import around_the_world;"
        " from billing_app.documents.invoice_pdf import invoice_pdf;"
        " print(hashlib.sha256(invoice_pdf(around_the_world(), as_of=AS_OF)).hexdigest())"
    )
    elsewhere = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1", "LC_ALL": "C"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={**os.environ, **elsewhere}, capture_output=True, text=True,
    )  # fmt: skip
    here = hashlib.sha256(invoice_pdf(around_the_world(), as_of=AS_OF)).hexdigest()
    assert result.stdout.strip() == here, result.stderr


def test_only_the_payment_status_depends_on_the_date() -> None:
    invoice = an_invoice(paid_minor=1200)
    then, later = (
        text_of(invoice).splitlines(),
        text_of(invoice, datetime(2026, 12, 3, tzinfo=UTC)).splitlines(),
    )
    assert [(one, other) for one, other in zip(then, later, strict=True) if one != other] == [
        (
            "Payment status on Nov 22, 2026 Not part of the invoice",
            "Payment status on Dec 3, 2026 Not part of the invoice",
        ),
        (
            "Partially paid $12.00 of $35.63 paid, $23.63 outstanding",
            "Overdue $12.00 of $35.63 paid, $23.63 outstanding",
        ),
    ]
    same_day = AS_OF.replace(hour=23, minute=59)
    assert invoice_pdf(invoice, as_of=same_day) == invoice_pdf(invoice, as_of=AS_OF)


@pytest.mark.parametrize(
    ("paid_minor", "day", "said"),
    [
        (0, DUE, "Unpaid $0.00 of $35.63 paid, $35.63 outstanding"),
        (0, date(2026, 12, 3), "Overdue $0.00 of $35.63 paid, $35.63 outstanding"),
        (3563, date(2026, 12, 3), "Paid $35.63 of $35.63 paid, $0.00 outstanding"),
    ],
)
def test_payment_status_is_as_of_the_date(paid_minor: int, day: date, said: str) -> None:
    as_of = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
    assert said in text_of(an_invoice(paid_minor=paid_minor), as_of)


def test_file_metadata_describes_the_invoice() -> None:
    reader = read(an_invoice())
    assert reader.metadata is not None
    assert reader.metadata.title == "Invoice ACME-0001"
    assert reader.metadata.author == ISSUER.name
    assert reader.metadata.creation_date is not None
    assert reader.metadata.creation_date.date() == date(2026, 11, 2)
    assert str(reader.root_object["/Lang"]) == "en"
    assert str(reader.root_object["/MarkInfo"]) == "{'/Marked': True, '/Suspects': False}"


def around_the_world() -> InvoiceDetail:
    # Many fonts have the last character.
    names = [*WORLD.values(), "\N{DEVANAGARI DANDA}"]
    return an_invoice(
        plan(name=WORLD["DroidSansFallback"], currency="JPY"),
        customer=BilledCustomer("world", names[1], "a@world.example", "\n".join(names)),
        issuer=ISSUER._replace(name=WORLD["NotoSansHebrew"], address=WORLD["DroidSansFallback"]),
    )


@pytest.mark.parametrize(("font", "name"), WORLD.items(), ids=list(WORLD))
def test_name_in_any_script_is_drawn_with_an_embedded_font(font: str, name: str) -> None:
    invoice = an_invoice(customer=CUSTOMER._replace(billing_address=name))
    # The file only conforms to PDF/A if every character has a glyph.
    assert ARCHIVABLE in invoice_pdf(invoice, as_of=AS_OF)
    reader = read(invoice)
    text = reader.pages[0].extract_text()
    # Programs may extract right-to-left words in visual order.
    assert all(word in text or word[::-1] in text for word in name.split())
    fonts = dict(fonts_of(reader))
    assert f"{font}-Regular" in fonts or font in fonts
    assert all("/FontFile2" in descriptor for descriptor in fonts.values())


def test_all_fonts_come_from_the_package() -> None:
    ours = {path.stem for path in (ROOT / "billing_app/documents/fonts").glob("*.ttf")}
    assert {name for name, _ in fonts_of(read(around_the_world()))} <= ours


def test_character_without_a_glyph_does_not_affect_the_rest() -> None:
    invoice = an_invoice(customer=CUSTOMER._replace(name="Pyramid \U00013000 and Sons"))
    text = text_of(invoice)
    assert "Pyramid" in text
    assert "and Sons" in text
    assert ARCHIVABLE not in invoice_pdf(invoice, as_of=AS_OF)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_user_text_is_shown_and_never_executed(hostile: str) -> None:
    everywhere = an_invoice(
        plan(name=hostile),
        customer=BilledCustomer("x", hostile, hostile, hostile),
        issuer=Issuer(hostile, hostile, hostile, hostile),
    )
    text = text_of(everywhere)
    # Three times each for issuer and customer, the instructions, and the plan on two lines.
    assert unwrapped(text).count(unwrapped(hostile)) == 9
    assert "root:" not in text
    metadata = read(everywhere).metadata
    assert metadata is not None
    assert metadata.author == hostile


def test_empty_issuer_and_address_are_left_out() -> None:
    free = plan(name="Free", price_minor=0, unit="0")
    invoice = an_invoice(free, issuer=Issuer("", "", "", ""), customer=CUSTOMER._replace(billing_address=""))
    text = text_of(invoice)
    assert text.startswith("Bill to\nACME Corporation")
    assert text.count("Nothing due") == 2
    assert "Paid Nothing due" in text
    assert "How to pay" not in text
    reader = read(invoice)
    assert reader.metadata is not None
    assert reader.metadata.author is None


@pytest.mark.parametrize(
    ("currency", "price_minor", "total"), [("JPY", 2900, "¥2,907"), ("KWD", 29000, "KWD 35.625")]
)
def test_amounts_have_the_decimals_of_their_currency(currency: str, price_minor: int, total: str) -> None:
    text = text_of(an_invoice(plan(currency=currency, price_minor=price_minor)))
    assert f"Total {total}" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_tampered_content_is_marked() -> None:
    warning = "does not match its SHA-256"
    assert warning in text_of(an_invoice(chain_ok=False))
    assert warning not in text_of(an_invoice())


def huge() -> InvoiceDetail:
    most = plan("W" * 200, price_minor=10**19, included="1000.5", unit="99999999.123456789012")
    late = late_lines_of(most, "1.5", "99999999999999.999999", date(2026, 9, 1))
    return an_invoice(
        most, "99999999999999.999999", late=late,
        customer=BilledCustomer("k" * 63, "W" * 200, "e" * 60 + "@" + "w" * 180 + ".example", "W" * 1000),
        issuer=Issuer("W" * 200, "word " * 200, "i" * 254, "https://" + "w" * 900),
    )  # fmt: skip


@pytest.mark.parametrize("invoice", [an_invoice(), huge(), an_invoice(late=months_late(40))])
def test_page_prints_on_letter_as_on_a4(invoice: InvoiceDetail) -> None:
    for page in read(invoice).pages:
        assert (round(page.mediabox.width / 72 * 25.4), round(page.mediabox.height / 72 * 25.4)) == (210, 297)
        across, down = zip(*places_of(page), strict=True)
        # The area that fits both papers, whether the page is aligned at the top, the middle or the bottom.
        assert min(across) > 20 - 0.01
        assert max(across) <= 190
        assert min(down) >= 25
        assert max(down) <= 297 - 25


def test_endless_words_are_broken_at_the_edge() -> None:
    text = text_of(huge())
    longest = max(text.splitlines(), key=lambda line: line.count("W"))
    # A W at the smallest size is 2.6 mm wide. A name has 86 mm, a plan at most 150 mm.
    assert 20 < longest.count("W") <= 57
    # Two names, an address, and the plan on each of three lines: no letter is lost.
    assert text.count("W") == 200 + 200 + 1000 + 3 * 200
    for number in [
        "$100,000,000,000,000,000.00",
        "99,999,999,999,999.999999 used",
        "$99,999,999.123456789012",
    ]:
        assert unwrapped(number) in unwrapped(text)


def test_long_invoice_breaks_between_lines_and_repeats_the_header() -> None:
    pages = pages_of(an_invoice(late=months_late(40)))
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert f"Invoice ACME-0001 Page {number} of {len(pages)}" in page
        assert page.count("Description Amount (USD)") == (1 if "Usage in" in page else 0)
        # Lines are not split: there are as many beginnings as ends.
        assert page.count("Late usage") == page.count("already charged")
    assert sum(page.count("Late usage") for page in pages) == 40


def test_total_is_never_alone_on_a_page() -> None:
    numbers_of_pages = set()
    for lines in range(16):
        address = "\n".join(["A line of the address"] * lines)
        invoice = an_invoice(late=months_late(4), customer=CUSTOMER._replace(billing_address=address))
        pages = pages_of(invoice)
        [total] = [page for page in pages if "Total $" in page]
        assert "Usage in" in total
        numbers_of_pages.add(len([page for page in pages if "Amount (USD)" in page]))
    # The loop covered a page break.
    assert numbers_of_pages == {1, 2}


def test_concurrent_threads_get_the_same_bytes() -> None:
    invoices = [an_invoice(used=str(1530 + place)) for place in range(4)]
    alone = [invoice_pdf(each, as_of=AS_OF) for each in invoices]
    start, made = threading.Barrier(8), dict[int, list[bytes]]()

    def work(place: int) -> None:
        start.wait()
        made[place] = [invoice_pdf(each, as_of=AS_OF) for each in invoices]

    threads = [threading.Thread(target=work, args=[place]) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [made.get(place) for place in range(8)] == [alone] * 8


def test_first_callers_may_be_concurrent() -> None:
    module._compiler.cache_clear()
    module._fonts.cache_clear()
    module._fallbacks.cache_clear()
    test_concurrent_threads_get_the_same_bytes()


def copied(invoice: InvoiceDetail) -> str:
    """Return the file's text, checked to contain nothing invisible."""
    text = text_of(invoice)
    unseen = {character for character in text if unicodedata.category(character) == "Cf"}
    assert unseen == set()
    return text


@pytest.mark.parametrize("key", ["a" * 44, "W" * 63, "acme.europe-west_1" * 3])
def test_long_number_can_be_copied_as_one_word(key: str) -> None:
    invoice = an_invoice(customer=CUSTOMER._replace(key=key))
    words = copied(invoice).split()
    # Once among the facts, and once in the footer.
    assert words.count(f"{key.upper()}-0001") == 2


def test_long_email_can_be_copied_as_one_word() -> None:
    email = "accounts.payable.department.of.europe@subsidiary-of-acme.example"
    invoice = an_invoice(customer=CUSTOMER._replace(email=email), issuer=ISSUER._replace(email=email))
    assert copied(invoice).split().count(email) == 2


def test_long_name_and_address_are_copied_exactly() -> None:
    name, street = "Rindfleischetikettierungsueberwachung", "Donaudampfschifffahrtsgesellschaftsweg 1"
    invoice = an_invoice(
        plan(name="A plan with a " + "long" * 20 + " name"),
        customer=CUSTOMER._replace(name=name, billing_address=street),
        issuer=ISSUER._replace(payment_instructions="IBAN: IE29AIBK93115212345678" + "9" * 60),
    )
    text = copied(invoice)
    assert name in text.split()
    assert street in text.splitlines()
    assert "IBAN: IE29AIBK93115212345678" + "9" * 60 in text.splitlines()
    # One long word does not affect the rest.
    assert "accounts@acme.example" in text.split()
    assert "Standard" not in text
    assert "Total $35.63" in text


def test_broken_word_loses_nothing_and_gains_nothing() -> None:
    word = "".join(chr(ord("a") + number % 26) for number in range(400))
    text = copied(an_invoice(customer=CUSTOMER._replace(billing_address=word)))
    assert word in text.replace("\n", "")


@pytest.mark.parametrize("override", ["\u202e", "\u202d", "\u2067", "\u200f"])
def test_direction_override_cannot_reorder_the_following_text(override: str) -> None:
    hostile = f"ACME {override}000,1$ Corporation"
    invoice = an_invoice(
        plan(name=hostile),
        customer=BilledCustomer("acme", hostile, f"a{override}@acme.example", hostile),
        issuer=Issuer(hostile, hostile, "pay@tallybook.example", hostile),
    )
    text = copied(invoice)
    assert text.count("ACME 000,1$ Corporation") == 7
    assert "a@acme.example" in text
    assert "Amount due $35.63" in text
    metadata = read(invoice).metadata
    assert metadata is not None
    assert metadata.author == "ACME 000,1$ Corporation"


def test_joiners_stay_where_a_script_needs_them() -> None:
    name = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert ARCHIVABLE in invoice_pdf(an_invoice(customer=CUSTOMER._replace(name=name)), as_of=AS_OF)
