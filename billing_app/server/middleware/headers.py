"""The security headers of every answer: what a page may load, who may frame it, what is not stored."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

from starlette.datastructures import MutableHeaders
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
    # Without it the server would send its own name and version.
    "Server": "tallybook",
}
_ONE_YEAR = "max-age=31536000; includeSubDomains"


class SafeHeaders:
    """ASGI middleware that adds security headers to every answer, including errors and files.

    A page runs the scripts that were built and no others: those inside the HTML files of `build` are
    allowed by their hashes. No answer allows anything to another origin, whatever the application
    says. Answers of the API are not stored, unless they say otherwise themselves.
    """

    def __init__(self, app: ASGIApp, build: Path) -> None:
        self.app = app
        scripts = {
            _hash(script) for page in build.rglob("*.html") for script in _inline_scripts(page.read_text())
        }
        self._pages = _PAGES.format(scripts=" ".join(sorted(scripts)))
        self._docs = _DOCS.format(style=_hash(docs.STYLE))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the lifespan pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_to(MutableHeaders(scope=message), scope, message["status"])
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _add_to(self, headers: MutableHeaders, scope: Scope, status: int) -> None:
        # Starlette's CORS, which Reflex wraps around everything, adds some even when none are allowed.
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]
        headers.update(_ALWAYS)
        is_api = f"{scope['path']}/".startswith("/api/")
        if is_api:
            headers.setdefault("Cache-Control", "no-store")
        policy = _NOTHING
        # The answer for an unchanged page has no type, and the browser takes these headers for the page.
        if status == 304 or headers.get("content-type", "").startswith("text/html"):
            policy = self._docs if is_api else self._pages
        headers.setdefault("Content-Security-Policy", policy)
        if is_https(HTTPConnection(scope)):
            headers["Strict-Transport-Security"] = _ONE_YEAR


class _InlineScripts(HTMLParser):
    """Collects the scripts whose text is in the page itself."""

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
