"""The security headers of every response: what pages may load, who may frame them, and caching."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api.wire import docs
from billing_app.web import is_https

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Inline styles are allowed because emotion (used by Reflex) and sonner (the toasts) create style elements
# at run time. A style can send nothing anywhere: all that it may load is from this server.
# 'self' covers the websocket too, also behind https.
_PAGES = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS = f"{_NOTHING}; img-src 'self'; style-src {{style}}"
_UNUSED = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media"),
    *("fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts"),
    *("magnetometer", "microphone", "midi", "payment", "picture-in-picture", "publickey-credentials-get"),
    *("screen-wake-lock", "serial", "storage-access", "usb", "xr-spatial-tracking"),
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _UNUSED),
    # Replaces the server's name and version.
    "Server": "tallybook",
}
_POLICY = "Content-Security-Policy"

RawHeader = tuple[bytes, bytes]
"""The name in lower case, and the value."""


def _encode(headers: Mapping[str, str]) -> tuple[RawHeader, ...]:
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


_ALWAYS_NAMES = frozenset(name for name, _ in _encode(_ALWAYS))
_POLICY_NAME = _POLICY.lower().encode()
_NOT_STORED = (b"cache-control", b"no-store")
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SafeHeaders:
    """ASGI middleware that adds security headers to every answer, including errors and files.

    Pages run only the scripts of the build: inline scripts in the HTML files of `build` are allowed by their
    hashes. Other origins are never allowed anything, even if the application sets CORS headers. Responses of
    the API are not cached, unless they set their own header.
    """

    def __init__(self, app: ASGIApp, build: Path) -> None:
        self.app = app
        scripts = {
            _hash(script) for page in build.rglob("*.html") for script in _inline_scripts(page.read_text())
        }
        pages = _PAGES.format(scripts=" ".join(sorted(scripts)))
        # Prepared once, because adding each header to each answer would take longer than some answers.
        self._of_documents = {
            True: _encode({**_ALWAYS, _POLICY: _DOCS.format(style=_hash(docs.STYLE))}),
            False: _encode({**_ALWAYS, _POLICY: pages}),
        }
        self._of_others = _encode({**_ALWAYS, _POLICY: _NOTHING})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the lifespan pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._complete(message["headers"], scope, message["status"])
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _complete(self, given: Iterable[RawHeader], scope: Scope, status: int) -> list[RawHeader]:
        """Return the headers of the application with ours, which replace its own of the same name."""
        path = scope["path"]
        is_api = path.startswith("/api/") or path == "/api"
        # A 304 response has no content type, and the browser applies its headers to the cached page.
        is_document = status == 304
        headers, present = [], set()
        for name, value in given:
            # Starlette's CORS, which Reflex wraps around everything, adds some even when none are allowed.
            if name in _ALWAYS_NAMES or name.startswith(b"access-control-"):
                continue
            headers.append((name, value))
            present.add(name)
            is_document = is_document or (name == b"content-type" and value.startswith(b"text/html"))
        ours = self._of_documents[is_api] if is_document else self._of_others
        if _POLICY_NAME in present:
            headers += [header for header in ours if header[0] != _POLICY_NAME]
        else:
            headers += ours
        if is_api and b"cache-control" not in present:
            headers.append(_NOT_STORED)
        if is_https(HTTPConnection(scope)):
            headers.append(_ONLY_HTTPS)
        return headers


class _InlineScripts(HTMLParser):
    """Collects the inline scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_inside = tag == "script" and "src" not in dict(attrs)
        if self._is_inside:
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = False


def _inline_scripts(page: str) -> list[str]:
    parser = _InlineScripts()
    parser.feed(page)
    parser.close()
    return parser.texts


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
