"""What is changed in the compiled pages: they talk to the origin they came from, and evaluate no text."""

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

VITE_CONFIG = "vite.config.js"
DEV_BACKEND = "TALLYBOOK_DEV_BACKEND"
SERVER = "  server: {\n"
PASS_ON = (
    SERVER
    + f"""    proxy: process.env.{DEV_BACKEND} && {{
      "/api": {{ target: process.env.{DEV_BACKEND} }},
      "/_event": {{ target: process.env.{DEV_BACKEND}, ws: true }},
    }},
"""
)


def follow_the_page(script: str) -> str:
    """The script with every backend address taken from the page's own location.

    Raises ValueError when Reflex's script is not the one this was written for, so that an
    upgrade fails at the build and not in the browser.
    """
    return _replaced(script, ANCHOR, FOLLOW_THE_PAGE, STATE_SCRIPT)


def pass_on_to_backend(config: str) -> str:
    """Vite's configuration with the development server passing the API and the websocket on.

    Raises ValueError as `follow_the_page` does.
    """
    return _replaced(config, SERVER, PASS_ON, VITE_CONFIG)


def _replaced(text: str, old: str, new: str, name: str) -> str:
    if new in text:
        return text
    if text.count(old) != 1:
        raise ValueError(f"Reflex changed {name}: see billing_app/pages_plugin.py")
    return text.replace(old, new)


class SameOriginPlugin(Plugin):
    """One build serves at any host and port, http or https."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Have the compiler rewrite its own copies before they are used."""
        context["add_modify_task"](STATE_SCRIPT, follow_the_page)
        context["add_modify_task"](VITE_CONFIG, pass_on_to_backend)


REFS = "export const refs = {};\n"
# What Reflex's server has a page run is text, in two forms: that of rx.call_script, written as one
# call of tallybook.*, and that of rx.toast.*. Both are taken apart here: with eval, the pages' policy
# would have to allow any text to run.
CALL = r"""
const called = (text) => {
  const literal = /"(?:[^"\\]|\\.)*"/.source;
  const [, root, name, given] =
    /^(?:\(\(\) => \()?(tallybook|refs\['__toast'\])(?:\?\.\["|\.)(\w+)(?:"\])?\((.*?)\)(?:\)\))?;?$/s.exec(text) ?? [];
  if (!name) throw new Error("Only tallybook.*(...) and toasts are called by the server: " + text);
  const json = given.replace(
    new RegExp(`\\[(${literal})\\]\\s*:|${literal}|[()]`, "g"),
    (found, key) => (key ? `${key}:` : found[0] === '"' ? found : ""),
  );
  const object = root === "tallybook" ? window.tallybook : refs["__toast"];
  return object?.[name](...JSON.parse(`[${json}]`));
};
"""
EVALUATED = {
    REFS: REFS + CALL,
    "eval(event.payload.javascript_code)": "called(event.payload.javascript_code)",
    "eval(event.payload.function)()": "called(event.payload.function)",
}


def without_eval(script: str) -> str:
    """The script calling instead of evaluating. Raises ValueError as `follow_the_page` does."""
    for old, new in EVALUATED.items():
        script = _replaced(script, old, new, STATE_SCRIPT)
    return script


class NoEvalPlugin(Plugin):
    """The pages evaluate no text, so that their policy can forbid it."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Have the compiler rewrite its own copy before it is used."""
        context["add_modify_task"](STATE_SCRIPT, without_eval)


# assets/js/connection.js and assets/js/forms.js learn of the websocket, and of each change of a state.
REPORTED = {
    "          dispatch[substate](delta[substate]);\n": (
        "          dispatch[substate](window.tallybook.keepForm(substate, delta[substate]));\n"
    ),
    '  socket.current.on("connect", async () => {\n': (
        '  socket.current.on("connect", async () => {\n    window.tallybook.connected();\n'
    ),
    '  socket.current.on("disconnect", (reason, details) => {\n': (
        '  socket.current.on("disconnect", (reason, details) => {\n    window.tallybook.disconnected();\n'
    ),
    "  const retryConnect = (error) => {\n": (
        "  const retryConnect = (error) => {\n    window.tallybook.connectionFailed();\n"
    ),
}


def report_to_scripts(script: str) -> str:
    """Have the script report to our own. Raises ValueError as `follow_the_page` does."""
    for old, new in REPORTED.items():
        script = _replaced(script, old, new, STATE_SCRIPT)
    return script


class ReportingPlugin(Plugin):
    """Forms that are being filled in survive a lost connection and a restart of the server."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Have the compiler rewrite its own copy before it is used."""
        context["add_modify_task"](STATE_SCRIPT, report_to_scripts)
