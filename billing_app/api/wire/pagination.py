"""Lists: a keyset page in, a page of items out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypedDict, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from billing_app.services.shared import pagination

Row = TypeVar("Row")
Item = TypeVar("Item")


class PageQuery(TypedDict):
    """What a list service takes: how many, and after what."""

    limit: int
    cursor: str | None


def page_query(
    limit: Annotated[int, Query(ge=1, le=pagination.LIMIT_MAX)] = pagination.LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(description="The `next_cursor` of the page before.")] = None,
) -> PageQuery:
    """The page asked for; `**paged` hands it to a service."""
    return {"limit": limit, "cursor": cursor}


Paged = Annotated[PageQuery, Depends(page_query)]


class Page(BaseModel, Generic[Item]):
    """A page of a list, in the list's order."""

    items: list[Item]
    next_cursor: str | None = Field(description="For the next page; null at the end.", examples=[None])


def page_of(page: pagination.Page[Row], shown: Callable[[Row], Item]) -> Page[Item]:
    """A service's page as it goes out."""
    return Page(items=[shown(row) for row in page.items], next_cursor=page.next_cursor)
