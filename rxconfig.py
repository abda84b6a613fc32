"""Reflex's own configuration; everything that an operator sets is in billing_app/settings.py."""

from typing import Unpack

import reflex as rx
from reflex_base.plugins.base import Plugin, PreCompileContext

from billing_app.pages_plugin import STATE_SCRIPT, SameOriginPlugin
from billing_app.ui.theme import TAILWIND

ANCHOR = "export const refs = {};\n"
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
    ANCHOR: ANCHOR + CALL,
    "eval(event.payload.javascript_code)": "called(event.payload.javascript_code)",
    "eval(event.payload.function)()": "called(event.payload.function)",
}


def without_eval(script: str) -> str:
    """The script calling instead of evaluating; ValueError when it is not the one this is for."""
    for old, new in EVALUATED.items():
        if new not in script:
            if script.count(old) != 1:
                raise ValueError(f"Reflex changed {STATE_SCRIPT}: see rxconfig.py")
            script = script.replace(old, new)
    return script


class NoEvalPlugin(Plugin):
    """The pages evaluate no text, so that their policy can forbid it."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Have the compiler rewrite its own copy before it is used."""
        context["add_modify_task"](STATE_SCRIPT, without_eval)


config = rx.Config(
    app_name="billing_app",
    # Pages and API share one origin, and nobody else's pages may call either.
    cors_allowed_origins=[],
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    telemetry_enabled=False,
    show_built_with_reflex=False,
    frontend_compression_formats=["gzip"],
    plugins=[rx.plugins.TailwindV4Plugin(TAILWIND), SameOriginPlugin(), NoEvalPlugin()],
    disable_plugins=[rx.plugins.SitemapPlugin],
)
