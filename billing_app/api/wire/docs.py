"""The documentation page of the API, rendered from its OpenAPI document without any script."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #18181b; --quiet: #62626b; --line: #e4e4e7;
  --soft: #f4f4f5; --accent: #4f46e5; --get: #047857; --write: #4f46e5; --delete: #b91c1c;
  font: 14px/20px Inter, ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ground: #09090b; --text: #f4f4f5; --quiet: #a1a1aa;
  --line: #27272a; --soft: #18181b; --accent: #818cf8; --get: #34d399; --write: #818cf8; --delete: #f87171; } }
* { box-sizing: border-box; } html { scroll-padding-top: 16px; }
body { margin: 0; background: var(--ground); color: var(--text); }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.page { display: grid; grid-template-columns: 264px minmax(0, 1fr); max-width: 1200px; margin: 0 auto; }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 24px 16px;
  border-right: 1px solid var(--line); }
nav b { display: block; margin: 16px 0 4px; } nav a { display: block; padding: 3px 8px; border-radius: 6px;
  color: var(--quiet); } nav a:hover { background: var(--soft); text-decoration: none; color: var(--text); }
main { padding: 32px 40px 96px; } h1 { font-size: 20px; line-height: 28px; margin: 0 0 8px; }
h2 { font-size: 16px; line-height: 24px; margin: 40px 0 4px; } h3 { font-size: 12px; line-height: 16px;
  margin: 20px 0 6px; color: var(--quiet); font-weight: 600; } p { margin: 0 0 8px; max-width: 68ch; }
.quiet { color: var(--quiet); } code, pre { font: 12.5px/18px ui-monospace, Menlo, Consolas, monospace; }
pre { overflow-x: auto; padding: 12px; border-radius: 8px; background: var(--soft); margin: 0; }
details { border: 1px solid var(--line); border-radius: 8px; margin: 8px 0; }
summary { cursor: pointer; padding: 10px 12px; display: flex; gap: 12px; align-items: baseline;
  flex-wrap: wrap; list-style: none; border-radius: 8px; } summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--soft); } summary:focus-visible, a:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; }
details > div { padding: 4px 12px 16px; border-top: 1px solid var(--line); }
.method { font: 600 12px/16px ui-monospace, monospace; width: 52px; color: var(--write); }
.get { color: var(--get); } .delete { color: var(--delete); } summary .quiet { margin-left: auto; }
table { border-collapse: collapse; width: 100%; } td { padding: 6px 12px 6px 0; vertical-align: top;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; } tr:first-child td { border-top: 0; }
td:first-child, td.quiet { white-space: nowrap;
  overflow-wrap: normal; } td:nth-child(2) { min-width: 120px; }
@media (max-width: 767px) { .page { display: block; } nav { position: static; height: auto; border: 0;
  padding-bottom: 0; } nav a { display: none; } nav b { display: inline-block; margin: 0 12px 4px 0; }
  nav b a { display: inline; padding: 0; } main { padding: 16px; } summary .quiet { margin-left: 0; width: 100%; } td:nth-child(2) { min-width: 0; } }
"""


def render(document: dict[str, Any]) -> str:
    """Render the page for an OpenAPI document, with every text escaped."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((path, method, operation))
    descriptions = {tag["name"]: tag["description"] for tag in document["tags"]}
    order = [name for name in descriptions if name in groups]
    nav = "".join(_nav(name, groups[name]) for name in order)
    schemas = document["components"]["schemas"]
    sections = "".join(_section(name, descriptions[name], groups[name], schemas) for name in order)
    title = escape(document["info"]["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title} API</title><link rel="icon" href="/favicon.svg" type="image/svg+xml">'
        f'<style>{STYLE}</style></head><body><div class="page"><nav aria-label="Endpoints">{nav}</nav>'
        f"<main><h1>{title} API</h1>{_paragraphs(document['info']['description'])}"
        f'<p>OpenAPI document: <a href="/api/openapi.json">openapi.json</a></p>{_access(document)}'
        f"{sections}</main></div></body></html>"
    )


def _nav(name: str, calls: list[tuple[str, str, dict[str, Any]]]) -> str:
    links = "".join(f'<a href="#{_anchor(call)}">{escape(_short(call[2]["summary"]))}</a>' for call in calls)
    return f'<b><a href="#{_slug(name)}">{escape(name)}</a></b>{links}'


def _section(
    name: str, description: str, calls: list[tuple[str, str, dict[str, Any]]], schemas: dict[str, Any]
) -> str:
    operations = "".join(_operation(*call, schemas) for call in calls)
    return f'<h2 id="{_slug(name)}">{escape(name)}</h2><p class="quiet">{escape(description)}</p>{operations}'


def _access(document: dict[str, Any]) -> str:
    schemes = document["components"]["securitySchemes"].values()
    descriptions = "".join(f"<p>{_words(scheme['description'])}</p>" for scheme in schemes)
    call = "curl -H 'Authorization: Bearer tbk_…' http://localhost:3000/api/v1/customers"
    return f"<h2>Authentication</h2>{descriptions}<pre>{escape(call)}</pre>"


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [_paragraphs(operation.get("description") or operation["summary"])]
    parts += _parameters(operation.get("parameters", []))
    parts += _fields(operation.get("requestBody", {}), schemas)
    parts += _examples("Request", operation.get("requestBody", {}))
    errors = []
    for status, answer in operation["responses"].items():
        if status < "300":
            parts += _examples(f"Response {status}", answer) or [
                f"<h3>Response {status}</h3><p>No content.</p>"
            ]
        else:
            errors.append((status, answer["description"]))
    parts.append(f"<h3>Errors</h3><table>{''.join(_refusal(*each) for each in errors)}</table>")
    return (
        f'<details id="{_anchor((path, method, operation))}"><summary>'
        f'<span class="method {method}">{method.upper()}</span><code>{escape(path)}</code>'
        f'<span class="quiet">{escape(operation["summary"])}</span></summary>'
        f"<div>{''.join(parts)}</div></details>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> list[str]:
    rows = ""
    for each in parameters:
        required = ", required" if each.get("required") and each["in"] != "path" else ""
        description = each.get("description") or each["schema"].get("description", "")
        rows += _row(each["name"], each["in"] + required, description, each["schema"])
    return [f"<h3>Parameters</h3><table>{rows}</table>"] if rows else []


def _fields(body: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    """Render the fields of a body whose schema has a name."""
    content: dict[str, Any] = next(iter(body.get("content", {}).values()), {})
    schema = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    rows = ""
    for name, each in schema.get("properties", {}).items():
        needed = "required" if name in schema.get("required", ()) else "optional"
        rows += _row(name, needed, each.get("description", ""), each)
    return [f"<h3>Body</h3><table>{rows}</table>"] if rows else []


def _row(name: str, kind: str, description: str, schema: dict[str, Any]) -> str:
    return (
        f"<tr><td><code>{escape(name)}</code></td><td class='quiet'>{escape(kind)}</td>"
        f"<td>{_words(description)} {_limits(schema)}</td></tr>"
    )


def _limits(schema: dict[str, Any]) -> str:
    kind = schema | next((each for each in schema.get("anyOf", []) if each.get("type") != "null"), {})
    limits = []
    if "enum" in kind:
        limits.append("one of " + ", ".join(f"<code>{escape(str(each))}</code>" for each in kind["enum"]))
    if "examples" in kind:
        limits.append(f"such as <code>{escape(str(kind['examples'][0]))}</code>")
    if "maximum" in kind:
        limits.append(f"{kind.get('minimum', 0)} to {kind['maximum']}, default {schema.get('default')}")
    return f'<span class="quiet">{"; ".join(limits)}</span>'


def _examples(title: str, holder: dict[str, Any]) -> list[str]:
    """Render the example of each media type."""
    shown = []
    for media_type, content in holder.get("content", {}).items():
        kind = "" if media_type == "application/json" else f" · {escape(media_type)}"
        example = content.get("example")
        text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
        shown.append(f"<h3>{escape(title)}{kind}</h3><pre>{escape(text)}</pre>")
    return shown


def _refusal(status: str, description: str) -> str:
    meanings = "".join(f"<p>{_words(line)}</p>" for line in description.split("\n\n"))
    return f"<tr><td>{escape(status)}</td><td>{meanings}</td></tr>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_words(each)}</p>" for each in text.split("\n\n"))


def _words(text: str) -> str:
    """Escape the text, and render what is between backquotes as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _short(summary: str) -> str:
    return re.split(r", |[:;.]", summary)[0]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _anchor(call: tuple[str, str, dict[str, Any]]) -> str:
    return _slug(f"{call[1]} {call[0].removeprefix('/api/v1')}")
