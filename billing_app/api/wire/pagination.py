"""Pagination: the query parameters of a list, and a page of items as the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypedDict, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from billing_app.api.wire.values import WholeNumber
from billing_app.services.shared import pagination

Row = TypeVar("Row")
Item = TypeVar("Item")


class PageQuery(TypedDict):
    """The arguments of a list service: how many items, and after which one."""

    limit: int
    cursor: str | None


def page_query(
    limit: Annotated[WholeNumber, Query(ge=1, le=pagination.LIMIT_MAX)] = pagination.LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(description="The `next_cursor` of the previous page.")] = None,
) -> PageQuery:
    """Return the requested page, which is passed to a service as `**paged`."""
    return {"limit": limit, "cursor": cursor}


Paged = Annotated[PageQuery, Depends(page_query)]


class Page(BaseModel, Generic[Item]):
    """One page of a list, in the list's order."""

    items: list[Item]
    next_cursor: str | None = Field(
        description="Pass this as `cursor` to get the next page. Null on the last page.", examples=[None]
    )


def page_of(page: pagination.Page[Row], to_item: Callable[[Row], Item]) -> Page[Item]:
    """Convert a service's page to the response."""
    return Page(items=[to_item(row) for row in page.items], next_cursor=page.next_cursor)
