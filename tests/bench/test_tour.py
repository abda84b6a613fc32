"""The bench's tour of the pages uses labels that exist, and covers every filter and order of every list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reflex as rx

from bench.lists import LISTS, combine
from bench.tour import LIST_PAGES, Choice, Links, ListPage, Search, list_actions
from billing_app.api.app import create_api
from billing_app.ui.pages.audit import audit
from billing_app.ui.pages.customers import customers
from billing_app.ui.pages.dashboard import dashboard
from billing_app.ui.pages.invoices import invoices
from billing_app.ui.pages.plans import plans
from billing_app.ui.pages.usage import usage

BUILDERS: dict[str, Callable[[], rx.Component]] = {
    "/customers": customers,
    "/plans": plans,
    "/usage": usage,
    "/invoices": invoices,
    "/audit": audit,
}
# Segments that lead to another page, or show the list without the filter.
NOT_FILTERS = {"Events", "Imports", "Current", "All usage"}


def nodes(rendered: Any) -> Iterator[dict[str, Any]]:
    if isinstance(rendered, dict):
        yield rendered
        rendered = list(rendered.values())
    if isinstance(rendered, (list, tuple)):
        for each in rendered:
            yield from nodes(each)


def attribute(node: dict[str, Any], name: str) -> str | None:
    """Return the literal value of an attribute of a compiled element."""
    for prop in node.get("props") or ():
        if found := re.fullmatch(rf'"?{name}"?:"(.*)"', str(prop)):
            return found[1]
    return None


def texts(node: dict[str, Any]) -> list[str]:
    """Return the literal texts in a compiled element."""
    found = (re.fullmatch(r'"(.*)"', str(each.get("contents", ""))) for each in nodes(node))
    return [each[1] for each in found if each and each[1].strip()]


def with_class(rendered: Any, attribute_name: str) -> dict[str, Any]:
    return next(each for each in nodes(rendered) if attribute(each, attribute_name) is not None)


@pytest.fixture(scope="module", params=LIST_PAGES, ids=lambda page: page.path)
def rendered_page(request: pytest.FixtureRequest) -> tuple[ListPage, Any]:
    page: ListPage = request.param
    return page, BUILDERS[page.path]().render()


def field_labels(rendered: Any) -> dict[str, str]:
    """Return the labels of the fields of a list's filters, with their element."""
    forms = [each for each in nodes(rendered) if attribute(each, "data-filters") is not None]
    return {
        attribute(each, "aria-label") or "": each["name"].strip('"')
        for form in forms
        for each in nodes(form)
        if attribute(each, "name") is not None
    }


def segment_names(rendered: Any) -> set[str]:
    navs = [
        each
        for each in nodes(rendered)
        if each.get("name") == '"nav"' and attribute(each, "aria-label") not in ("Main", "Pages")
    ]
    return {name for nav in navs for name in texts(nav)} - NOT_FILTERS


def test_tour_uses_exactly_the_filters_of_each_list(rendered_page: tuple[ListPage, Any]) -> None:
    page, rendered = rendered_page
    kinds = {"select": Choice, "input": Search}
    offered = {label: kinds[element] for label, element in field_labels(rendered).items()}
    used = {each.label: type(each) for each in page.filters if not isinstance(each, Links)}
    assert used == offered
    names = {name for each in page.filters if isinstance(each, Links) for name in each.names}
    assert names == segment_names(rendered)


def test_tour_uses_exactly_the_orders_of_each_list(rendered_page: tuple[ListPage, Any]) -> None:
    page, rendered = rendered_page
    heads = [
        each for each in nodes(rendered) if each.get("name") == '"th"' and "aria-sort" in str(each["props"])
    ]
    assert set(page.orders) == {texts(head)[0] for head in heads}


def test_sections_and_buttons_of_the_tour_exist() -> None:
    found = set(texts({"": dashboard().render()}))
    assert {"Dashboard", *(page.title for page in LIST_PAGES)} <= found
    on_usage = set(texts({"": usage().render()}))
    assert {"Imports", "Events", "Record usage", "Quantity", "Next"} <= on_usage


def test_each_filter_meets_each_order_and_each_other_filter() -> None:
    (page,) = [each for each in LIST_PAGES if each.path == "/customers"]
    done = {each.combination for each in list_actions(page) if each.measured}
    assert {
        "opened",
        "Created clicked twice",
        "Status 1, Created clicked once",
        "Status 2, Subscription 1",
    } <= done


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_the_api_are_measured_with_every_filter(name: str) -> None:
    path, filters = LISTS[name]
    documented = create_api().openapi()["paths"]
    template = next(
        each for each in documented if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), f"/api/v1{path}")
    )
    parameters = {each["name"] for each in documented[template]["get"]["parameters"] if each["in"] == "query"}
    assert filters.keys() == parameters - {"limit", "cursor"}
    assert len(combine(filters)) > sum(map(len, filters.values()))
