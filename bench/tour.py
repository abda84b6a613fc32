"""What the bench does on the pages: each filter and order of each list, alone and in pairs, and other actions.

tests/bench/test_tour.py compares the labels and the coverage with the pages themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import Locator, Page

LOAD, DIALOG, TOAST, TEXT = "load", "dialog", "toast", "text"


@dataclass(frozen=True, slots=True)
class UserAction:
    """An action of a user: the row that reports it, the function that does it, and what it waits for.

    `combination` names the filters and the order that the list then has. An action that is not `measured`
    only prepares the next one. An `optional` one is left out if its link is not on the page, and one with a
    `path` if the page is there already.
    """

    what: str
    do: Callable[[Page], None]
    answer: str = LOAD
    combination: str = ""
    measured: bool = True
    optional: Callable[[Page], Locator] | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter with a list of options, of which the ones with these numbers are selected in turn."""

    label: str
    options: tuple[int, ...]

    def actions(self) -> list[tuple[str, Callable[[Page], None]]]:
        """Return each option's name in the report, and its action."""
        return [(f"{self.label} {nth}", choose(self.label, nth)) for nth in self.options]


@dataclass(frozen=True, slots=True)
class Search:
    """A filter with a text field."""

    label: str
    texts: tuple[str, ...]

    def actions(self) -> list[tuple[str, Callable[[Page], None]]]:
        """Return each text's name in the report, and its action."""
        return [(f"{self.label} {text!r}", search(self.label, text)) for text in self.texts]


@dataclass(frozen=True, slots=True)
class Links:
    """A filter whose options are links."""

    names: tuple[str, ...]

    def actions(self) -> list[tuple[str, Callable[[Page], None]]]:
        """Return each link's name in the report, and its action."""
        return [(name, link(name)) for name in self.names]


Filter = Choice | Search | Links


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page with a list: its title in the navigation, its address, and the filters and orders it offers."""

    title: str
    path: str
    filters: tuple[Filter, ...] = ()
    orders: tuple[str, ...] = ()


LIST_PAGES = (
    ListPage(
        "Customers",
        "/customers",
        (
            Search("Search customers", ("customer-77", "4711")),
            Choice("Status", (1, 2)),
            Search("Plan", ("Plan 3",)),
            Choice("Subscription", (1, 2)),
            Choice("Credit", (1, 2)),
        ),
        ("Customer", "Usage this month", "Outstanding", "Created"),
    ),
    ListPage("Plans", "/plans", (Links(("Archived", "All")),)),
    ListPage(
        "Usage",
        "/usage",
        (
            Search("Customer", ("customer-4711",)),
            Choice("Usage month", (2, 3)),
            Choice("Billed in", (1, 2)),
            Choice("Meter", (1, 2)),
            Links(("Late only", "Unpriced")),
        ),
    ),
    ListPage(
        "Invoices",
        "/invoices",
        (
            Search("Search invoices", ("customer-77", "customer-77-0002")),
            Choice("Period", (1, 3)),
            Choice("Status", (1, 2, 3, 4, 5)),
            Choice("Age", (1, 2, 3)),
            Choice("Currency", (1,)),
        ),
        ("Period",),
    ),
    ListPage(
        "Audit log",
        "/audit",
        (Search("Subject", ("customer-4711",)), Choice("Actor", (1,))),
    ),
)


def list_actions(page: ListPage) -> Iterator[UserAction]:
    """Yield the page's actions: opened, turned, each order, each filter with each order, pairs of filters."""
    name = page.title.lower()
    yield UserAction(name, section(page.title), combination="opened")
    yield from _next_pages(name, "", 2)
    yield from _orders(page, "")
    for number, each in enumerate(page.filters):
        for value, action in each.actions():
            yield _start_over(page)
            yield UserAction(name, action, combination=value)
            yield from _orders(page, f"{value}, ")
            yield from _next_pages(name, f"{value}, ", 1)
            for other in page.filters[number + 1 :]:
                for second, further in other.actions():
                    yield _start_over(page)
                    yield UserAction(name, action, measured=False)
                    yield UserAction(name, further, combination=f"{value}, {second}")


def _start_over(page: ListPage) -> UserAction:
    return UserAction(page.title.lower(), navigate(page.path), measured=False, path=page.path)


def _orders(page: ListPage, prefix: str) -> Iterator[UserAction]:
    for title in page.orders:
        # The first click sorts by the column, and the second one in the opposite direction.
        for times in ("once", "twice"):
            yield UserAction(
                page.title.lower(),
                sort(title),
                combination=f"{prefix}{title} clicked {times}",
                optional=lambda on, title=title: _column_link(on, title),
            )


def _next_pages(name: str, prefix: str, times: int) -> Iterator[UserAction]:
    for number in range(times):
        yield UserAction(
            name,
            link("Next"),
            combination=f"{prefix}page {number + 2}",
            optional=lambda page: page.locator("main").get_by_role("link", name="Next", exact=True),
        )


def section(title: str) -> Callable[[Page], None]:
    """Open a section of the navigation."""
    return lambda page: (
        page.get_by_role("navigation", name="Main").get_by_role("link", name=title, exact=True).click()
    )


def navigate(path: str) -> Callable[[Page], None]:
    """Open an address as a filter does, from a click, without loading the page again."""
    return lambda page: page.evaluate("path => tallybookBench.navigate(path)", path)


def link(name: str) -> Callable[[Page], None]:
    """Follow a link on the page."""
    return lambda page: page.locator("main").get_by_role("link", name=name, exact=True).click()


def sort(title: str) -> Callable[[Page], None]:
    """Sort by a column."""
    return lambda page: _column_link(page, title).click()


def choose(label: str, nth: int) -> Callable[[Page], None]:
    """Select an option of a filter."""
    # Forced, because the currency's filter is hidden while there is only one currency.
    return lambda page: (
        _filters(page).get_by_label(label, exact=True).select_option(index=nth, force=True) and None
    )


def search(label: str, text: str) -> Callable[[Page], None]:
    """Type into a filter. The delay before the search starts is not counted."""
    return lambda page: (
        _filters(page)
        .get_by_label(label, exact=True)
        .evaluate("(field, text) => { field.value = text; field.form.requestSubmit(); }", text)
    )


def _filters(page: Page) -> Locator:
    return page.locator("[data-filters]")


def _column_link(page: Page, title: str) -> Locator:
    return page.locator("main").get_by_role("columnheader", name=title).get_by_role("link")


def first_row(page: Page) -> None:
    """Open the first row of a list."""
    page.locator("tbody tr a").first.click()


def open_record(page: Page) -> None:
    """Open the dialog for one event."""
    page.get_by_role("button", name="Record usage").click()


def record(page: Page) -> None:
    """Record one event of the customer whose usage is shown."""
    page.get_by_role("dialog").get_by_label("Quantity").fill("12.5")
    page.get_by_role("dialog").get_by_role("button", name="Record").click()


# Actions other than those of lists. Each starts on the page that the previous one led to.
OTHER_ACTIONS = (
    UserAction("dashboard", section("Dashboard")),
    UserAction("customers", section("Customers"), measured=False),
    UserAction("customers", search("Search customers", "4711"), measured=False),
    UserAction("one customer", first_row),
    UserAction("usage", section("Usage"), measured=False),
    UserAction("usage imports", link("Imports")),
    UserAction("usage", link("Events"), measured=False),
    UserAction("usage", search("Customer", "customer-4711"), measured=False),
    UserAction("dialog opened", open_record, DIALOG),
    UserAction("usage recorded", record, TOAST),
    UserAction("invoices", section("Invoices"), measured=False),
    UserAction("invoices", search("Search invoices", "customer-77-0002"), measured=False),
    UserAction("one invoice", first_row),
)
