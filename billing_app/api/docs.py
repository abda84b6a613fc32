"""The API's own page, made from its OpenAPI document: no script, nothing from another host."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 14px/20px Inter, ui-sans-serif, system-ui, sans-serif; }
body { max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 20px; line-height: 28px; } h2 { font-size: 14px; margin: 2rem 0 .5rem; }
details { border: 1px solid #8884; border-radius: 8px; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; } code, pre { font: 12.5px/18px ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border-radius: 6px; background: #8881; }
b { display: inline-block; min-width: 4.5rem; } p { margin: .5rem 0; }
"""


def render(document: dict[str, Any]) -> str:
    """The whole page for an OpenAPI document, every text of it escaped."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append(_operation(path, method, operation, document))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(calls)}" for tag, calls in groups.items())
    title = escape(document["info"]["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} API</title><style>{_STYLE}</style></head><body><main><h1>{title} API</h1>"
        '<p>The same as a document for programs: <a href="/api/openapi.json">openapi.json</a></p>'
        f"{sections}</main></body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    summary = operation.get("description") or operation.get("summary", "")
    parts = [f"<p>{escape(summary)}</p>"]
    for parameter in operation.get("parameters", []):
        kind = json.dumps(parameter.get("schema", {}))
        parts.append(
            f"<p><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}: "
            f"<code>{escape(kind)}</code></p>"
        )
    parts += _schemas("Body", operation.get("requestBody", {}), document)
    for status, answer in operation.get("responses", {}).items():
        parts.append(f"<p>{escape(status)}: {escape(answer.get('description', ''))}</p>")
        parts += _schemas("", answer, document)
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code></summary>"
        f"{''.join(parts)}</details>"
    )


def _schemas(title: str, holder: dict[str, Any], document: dict[str, Any]) -> list[str]:
    shown = []
    for media_type, content in holder.get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        known = document.get("components", {}).get("schemas", {}).get(name, schema)
        text = json.dumps(known, indent=2)
        shown.append(f"<p>{title} <code>{escape(media_type)}</code></p><pre>{escape(text)}</pre>")
    return shown
