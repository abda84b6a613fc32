"""The addresses of a list: every page keeps the filters, and empty ones are left out."""

from __future__ import annotations

from billing_app.state.kit.lists import Listing, Sorting

LIST = Listing("/invoices", {"search": "a b", "status": "", "sort": "total"}, "one~two")


def test_page_links_keep_the_filters() -> None:
    pages = LIST.pages("three")
    assert pages.previous_href == "/invoices?search=a+b&sort=total&page=one"
    assert pages.next_href == "/invoices?search=a+b&sort=total&page=one~two~three"
    assert LIST.pages(None).next_href == ""
    assert Listing("/invoices", {}, "").pages(None).previous_href == ""


def test_changed_filter_starts_at_the_first_page() -> None:
    assert LIST.href(status="paid") == "/invoices?search=a+b&status=paid&sort=total"
    assert LIST.cursor == "two"
    assert LIST.get("status") is None


def test_column_sorts_ascending_and_then_descending() -> None:
    heads = LIST.sorting(("number", "total"))
    assert heads["number"] == Sorting("/invoices?search=a+b&sort=number", "none")
    assert heads["total"] == Sorting("/invoices?search=a+b&sort=-total", "ascending")
    down = Listing("/invoices", {"sort": "-total"}, "").sorting(("total",))["total"]
    assert down == Sorting("/invoices?sort=total", "descending")


def test_order_does_not_count_as_a_filter() -> None:
    assert LIST.is_filtered
    assert not Listing("/invoices", {"sort": "total", "search": ""}, "").is_filtered


def test_column_can_start_descending_and_the_default_order_is_left_out() -> None:
    heads = Listing("/c", {"sort": ""}, "").sorting(
        ("name", "usage"), default="name", largest_first=("usage",)
    )
    assert heads["name"] == Sorting("/c?sort=-name", "ascending")
    assert heads["usage"] == Sorting("/c?sort=-usage", "none")
    usage = Listing("/c", {"sort": "-usage"}, "").sorting(("usage",), largest_first=("usage",))["usage"]
    assert usage == Sorting("/c?sort=usage", "descending")
