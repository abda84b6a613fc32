"""A list whose filters, order and page live in the address, and nowhere else.

See docs/pages.md. What the address says comes from a browser; services parse it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import reflex as rx

from billing_app.state.kit import address

TEXT_MAX = 200


@dataclass(frozen=True)
class Pages:
    """The ways to the pages before and after, empty where there is none."""

    previous_href: str = ""
    next_href: str = ""


@dataclass(frozen=True)
class Sorting:
    """The head of a sortable column: where it leads, and how the list is sorted by it now."""

    href: str = ""
    direction: str = "none"


@dataclass(frozen=True)
class Option:
    """One of what can be chosen: its value in the address or in a form, and its words."""

    value: str = ""
    text: str = ""


@dataclass(frozen=True)
class Listing:
    """Which part of which list the address asks for."""

    path: str
    filters: dict[str, str]
    trail: str

    @property
    def cursor(self) -> str | None:
        """The cursor of the page, for a service."""
        return address.cursor_of(self.trail)

    @property
    def is_filtered(self) -> bool:
        """Whether it asks for less than everything."""
        return any(value for name, value in self.filters.items() if name != "sort")

    def get(self, name: str) -> str | None:
        """A filter, for a service; None when it is not set."""
        return self.filters.get(name) or None

    def href(self, **changes: str) -> str:
        """The first page of the list with some filters changed."""
        return address.link(self.path, **{**self.filters, **changes})

    def pages(self, next_cursor: str | None) -> Pages:
        """The pages around this one, `next_cursor` being what the service answered."""
        ahead = address.next_trail(self.trail, next_cursor)
        return Pages(
            self.href(page=address.previous_trail(self.trail)) if self.trail else "",
            self.href(page=ahead) if ahead else "",
        )

    def sorting(
        self, columns: Iterable[str], *, default: str = "", largest_first: Iterable[str] = ()
    ) -> dict[str, Sorting]:
        """Each column's head: it sorts ascending first, then (`sort=-name`) descending; those that
        are `largest_first` the other way round. `default` is the order when the address has none."""
        now = self.filters.get("sort", "") or default
        first = {column: f"-{column}" if column in set(largest_first) else column for column in columns}
        directions = {column: "ascending" for column in first if column == now}
        directions |= {column: "descending" for column in first if now == f"-{column}"}
        return {
            column: Sorting(
                self.href(sort=_other_way(column, directions.get(column)) or start),
                directions.get(column, "none"),
            )
            for column, start in first.items()
        }


def _other_way(column: str, direction: str | None) -> str:
    return {"ascending": f"-{column}", "descending": column}.get(direction or "", "")


def parse_listing(state: rx.State, path: str, *filters: str) -> Listing:
    """What the address asks for of the list at `path`."""
    values = {name: address.query_parameter(state, name).strip()[:TEXT_MAX] for name in filters}
    return Listing(path, values, address.query_parameter(state, "page"))
