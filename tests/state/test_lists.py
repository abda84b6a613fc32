"""A list's address: the same filters on every page of it, and none that is empty."""

from __future__ import annotations

from billing_app.state.kit.lists import Listing, Sorting

LIST = Listing("/invoices", {"search": "a b", "status": "", "sort": "total"}, "one~two")


def test_the_pages_around_keep_the_filters() -> None:
    pages = LIST.pages("three")
    assert pages.previous_href == "/invoices?search=a+b&sort=total&page=one"
    assert pages.next_href == "/invoices?search=a+b&sort=total&page=one~two~three"
    assert LIST.pages(None).next_href == ""
    assert Listing("/invoices", {}, "").pages(None).previous_href == ""


def test_another_filter_begins_at_the_first_page() -> None:
    assert LIST.href(status="paid") == "/invoices?search=a+b&status=paid&sort=total"
    assert LIST.cursor == "two"
    assert LIST.get("status") is None


def test_a_column_sorts_up_and_then_down() -> None:
    heads = LIST.sorting(("number", "total"))
    assert heads["number"] == Sorting("/invoices?search=a+b&sort=number", "none")
    assert heads["total"] == Sorting("/invoices?search=a+b&sort=-total", "ascending")
    down = Listing("/invoices", {"sort": "-total"}, "").sorting(("total",))["total"]
    assert down == Sorting("/invoices?sort=total", "descending")


def test_an_order_is_no_filter() -> None:
    assert LIST.is_filtered
    assert not Listing("/invoices", {"sort": "total", "search": ""}, "").is_filtered


def test_the_largest_may_come_first_and_an_order_may_go_without_saying() -> None:
    heads = Listing("/c", {"sort": ""}, "").sorting(
        ("name", "usage"), default="name", largest_first=("usage",)
    )
    assert heads["name"] == Sorting("/c?sort=-name", "ascending")
    assert heads["usage"] == Sorting("/c?sort=-usage", "none")
    usage = Listing("/c", {"sort": "-usage"}, "").sorting(("usage",), largest_first=("usage",))["usage"]
    assert usage == Sorting("/c?sort=usage", "descending")
