"""Makes the compiled pages talk to whatever origin they were loaded from."""

from __future__ import annotations

from typing import Unpack

from reflex_base.plugins.base import Plugin, PreCompileContext

STATE_SCRIPT = "utils/state.js"

# Reflex bakes ws://localhost:<port of the build>/_event into the pages, and in the browser
# replaces the host name alone. This line sits where the address has just been parsed.
ANCHOR = "  const endpoint = new URL(url_str);\n"
FOLLOW_THE_PAGE = (
    ANCHOR
    + """  if (typeof window !== "undefined") {
    const here = new URL(window.location.href);
    const secure = here.protocol === "https:";
    const socket = endpoint.protocol.startsWith("ws");
    here.protocol = (socket ? "ws" : "http") + (secure ? "s:" : ":");
    return new URL(endpoint.pathname, here);
  }
"""
)


def follow_the_page(script: str) -> str:
    """The script with every backend address taken from the page's own location.

    Raises ValueError when Reflex's script is not the one this was written for, so that an
    upgrade fails at the build and not in the browser.
    """
    if FOLLOW_THE_PAGE in script:
        return script
    if script.count(ANCHOR) != 1:
        raise ValueError(f"Reflex changed {STATE_SCRIPT}: see billing_app/pages_plugin.py")
    return script.replace(ANCHOR, FOLLOW_THE_PAGE)


class SameOriginPlugin(Plugin):
    """One build serves at any host and port, http or https."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Have the compiler rewrite its own copy of the script before bundling it."""
        context["add_modify_task"](STATE_SCRIPT, follow_the_page)
