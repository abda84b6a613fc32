"""Every page can be built, so that a renamed variable fails here rather than in the build of the pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import reflex as rx

from billing_app.billing_app import PAGES
from billing_app.ui.pages.design import design


@pytest.mark.parametrize("page", [page for _, page, *_ in PAGES] + [design], ids=lambda page: page.__name__)
def test_page_can_be_built(page: Callable[[], rx.Component]) -> None:
    assert page().render()
