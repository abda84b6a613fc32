"""Lists whose filters, order and page are stored only in the address.

See docs/pages.md. Addresses come from browsers and can contain anything. Services parse the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import reflex as rx

from billing_app.state.kit import address

TEXT_MAX = 200


@dataclass(frozen=True)
class Pages:
    """The links to the previous and next pages, each empty if there is none."""

    previous_href: str = ""
    next_href: str = ""


@dataclass(frozen=True)
class Sorting:
    """The head of a sortable column: its link, and the current direction if the list is sorted by it."""

    href: str = ""
    direction: str = "none"


@dataclass(frozen=True)
class Option:
    """An option of a select: its value in the address or in a form, and its label."""

    value: str = ""
    text: str = ""


@dataclass(frozen=True)
class Listing:
    """The list, filters and page in the address."""

    path: str
    filters: dict[str, str]
    trail: str

    @property
    def cursor(self) -> str | None:
        """Return the cursor of the page, for a service."""
        return address.cursor_of(self.trail)

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter is set."""
        return any(value for name, value in self.filters.items() if name != "sort")

    def get(self, name: str) -> str | None:
        """Return the value of a filter, or None if it is not set."""
        return self.filters.get(name) or None

    def href(self, **changes: str) -> str:
        """Return the address of the first page with some filters changed."""
        return address.link(self.path, **{**self.filters, **changes})

    def pages(self, next_cursor: str | None) -> Pages:
        """Return the links to the pages around this one; `next_cursor` comes from the service."""
        ahead = address.next_trail(self.trail, next_cursor)
        return Pages(
            self.href(page=address.previous_trail(self.trail)) if self.trail else "",
            self.href(page=ahead) if ahead else "",
        )

    def sorting(
        self, columns: Iterable[str], *, default: str = "", largest_first: Iterable[str] = ()
    ) -> dict[str, Sorting]:
        """Return the head of each column.

        Its link sorts ascending first, then descending (`sort=-name`). Columns in `largest_first` start
        descending. `default` is the order of an address without `sort`.
        """
        current = self.filters.get("sort", "") or default
        first = {column: f"-{column}" if column in set(largest_first) else column for column in columns}
        directions = {column: "ascending" for column in first if column == current}
        directions |= {column: "descending" for column in first if current == f"-{column}"}
        return {
            column: Sorting(
                self.href(sort=_reverse(column, directions.get(column)) or start),
                directions.get(column, "none"),
            )
            for column, start in first.items()
        }


def _reverse(column: str, direction: str | None) -> str:
    return {"ascending": f"-{column}", "descending": column}.get(direction or "", "")


def parse_listing(state: rx.State, path: str, *filters: str) -> Listing:
    """Read the filters and page of the list at `path` from the address."""
    values = {name: address.query_parameter(state, name).strip()[:TEXT_MAX] for name in filters}
    return Listing(path, values, address.query_parameter(state, "page"))
