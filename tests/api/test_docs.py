"""The documentation page of the API leaves nothing out."""

from __future__ import annotations

from html import escape

from fastapi import FastAPI

from billing_app.api.wire.docs import render


def test_every_operation_is_on_the_page(api: FastAPI) -> None:
    document = api.openapi()
    described = {tag["name"] for tag in document["tags"]}
    page = render(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert set(operation["tags"]) <= described, f"{path} has a tag without a description"
            heading = f'<span class="method {method}">{method.upper()}</span><code>{escape(path)}</code>'
            assert heading in page
