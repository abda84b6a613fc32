"""Patches of the compiled pages, so that they connect to their own origin and never use eval."""

from __future__ import annotations

from typing import Unpack

from reflex.utils.prerequisites import get_web_dir
from reflex_base.constants import Templates
from reflex_base.plugins.base import Plugin, PreCompileContext

from billing_app.server.page_build import DEV_BACKEND

STATE_SCRIPT = "utils/state.js"

# Reflex writes ws://localhost:<port of the build>/_event into the pages, and replaces only the host name
# in the browser. This is the line after the address is parsed.
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
SERVER = "  server: {\n"
PROXY_TO_BACKEND = (
    SERVER
    + f"""    proxy: process.env.{DEV_BACKEND} && {{
      "/api": {{ target: process.env.{DEV_BACKEND} }},
      "/_event": {{ target: process.env.{DEV_BACKEND}, ws: true }},
    }},
"""
)


def follow_the_page(script: str) -> str:
    """Return the script with every backend address derived from the page's location.

    Raises:
        ValueError: Reflex's script is not the one that this was written for, so that an upgrade
            fails when the pages are built and not in the browser.
    """
    return _replace_once(script, ANCHOR, FOLLOW_THE_PAGE, STATE_SCRIPT)


def proxy_to_backend(config: str) -> str:
    """Return Vite's configuration with the development server passing on the API and the websocket.

    Raises:
        ValueError: As `follow_the_page` does.
    """
    return _replace_once(config, SERVER, PROXY_TO_BACKEND, VITE_CONFIG)


def _replace_once(text: str, old: str, new: str, name: str) -> str:
    if new in text:
        return text
    if text.count(old) != 1:
        raise ValueError(f"Reflex changed {name}: see billing_app/server/reflex_patches.py")
    return text.replace(old, new)


class SameOriginPlugin(Plugin):
    """Makes one build work at any host and port, over http or https."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler rewrite its copies before it uses them."""
        context["add_modify_task"](STATE_SCRIPT, follow_the_page)
        context["add_modify_task"](VITE_CONFIG, proxy_to_backend)


REFS = "export const refs = {};\n"
# Reflex's server sends code to a page as text, in two forms: rx.call_script, which is always one call of
# tallybook.*, and rx.toast.*. Both are parsed here. With eval, the pages' policy would have to allow any
# text to run.
CALL = r"""
const callFromServer = (text) => {
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
    "eval(event.payload.javascript_code)": "callFromServer(event.payload.javascript_code)",
    "eval(event.payload.function)()": "callFromServer(event.payload.function)",
}


def without_eval(script: str) -> str:
    """Return the script with parsed calls in place of eval.

    Raises:
        ValueError: As `follow_the_page` does.
    """
    for old, new in EVALUATED.items():
        script = _replace_once(script, old, new, STATE_SCRIPT)
    return script


class NoEvalPlugin(Plugin):
    """Makes the pages work without eval, so that their policy can forbid it."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler rewrite its copy before it uses it."""
        context["add_modify_task"](STATE_SCRIPT, without_eval)


# reflex.json also holds the time of the build and a random number, which would be in the pages.
ONLY_THE_VERSION = {
    'import reflexEnvironment from "$/reflex.json";\n': (
        'import { version as reflexVersion } from "$/reflex.json";\n'
    ),
    "protocols: [reflexEnvironment.version]": "protocols: [reflexVersion]",
}


def without_build_time(script: str) -> str:
    """Return the script with only what the sources determine. Raises ValueError as `follow_the_page` does."""
    for old, new in ONLY_THE_VERSION.items():
        script = _replace_once(script, old, new, STATE_SCRIPT)
    return script


class ReproduciblePlugin(Plugin):
    """Makes builds of the same sources equal, byte for byte."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler rewrite its copy before it uses it."""
        context["add_modify_task"](STATE_SCRIPT, without_build_time)


# Notifies assets/js/connection.js of the websocket, and assets/js/forms.js of every state change.
REPORTED = {
    "    const delta = withoutUnknownSubstates(update.delta);\n": (
        "    const delta = window.tallybook.keepForms(withoutUnknownSubstates(update.delta));\n"
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
        script = _replace_once(script, old, new, STATE_SCRIPT)
    return script


class UnpatchedPlugin(Plugin):
    """Restores Reflex's original script before other plugins, because earlier builds have patched it."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler replace its copy with the one that was installed."""
        script = (Templates.Dirs.WEB_TEMPLATE / STATE_SCRIPT).read_text()
        context["add_modify_task"](STATE_SCRIPT, lambda _: script)


class ReportingPlugin(Plugin):
    """Lets forms that are being filled in survive a lost connection and a restart of the server."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler rewrite its copy before it uses it."""
        context["add_modify_task"](STATE_SCRIPT, report_to_scripts)


ALIASES = "    alias: [\n"
LAZY_CHARTS_ALIAS = (
    ALIASES
    + """      {
        find: /^recharts$/,
        replacement: fileURLToPath(new URL("./utils/charts.js", import.meta.url)),
      },
"""
)
# The parts of the chart library that ui/kit/charts.py uses. The build fails if a page uses another one.
CHART_PARTS = (
    "Area",
    "AreaChart",
    "Bar",
    "BarChart",
    "CartesianGrid",
    "ReferenceLine",
    "ResponsiveContainer",
    "Tooltip",
    "XAxis",
    "YAxis",
)
CHART_LIBRARY = f'export {{ {", ".join(CHART_PARTS)} }} from "recharts/es6/index.js";\n'
# A part draws nothing until the library is loaded, and then itself. Its children are drawn inside it, so
# they always find the library loaded.
LAZY_CHARTS = """import { createElement, useEffect, useState } from "react";

let library;
const load = async () => (library ??= await import("./chart-library.js"));

const part = (name) =>
  function LazyChartPart(props) {
    const [loaded, setLoaded] = useState(library);
    useEffect(() => {
      if (!loaded) load().then(setLoaded);
    }, [loaded]);
    return loaded ? createElement(loaded[name], props) : null;
  };

""" + "".join(f'export const {name} = part("{name}");\n' for name in CHART_PARTS)


def load_charts_later(config: str) -> str:
    """Return Vite's configuration with pages importing the lazy chart parts.

    Raises:
        ValueError: As `follow_the_page` does.
    """
    return _replace_once(config, ALIASES, LAZY_CHARTS_ALIAS, VITE_CONFIG)


class LazyChartsPlugin(Plugin):
    """Loads the chart library once a chart is drawn, so that pages become interactive without it."""

    def pre_compile(self, **context: Unpack[PreCompileContext]) -> None:
        """Let the compiler write the two scripts and use them."""
        scripts = get_web_dir() / "utils"
        context["add_save_task"](lambda: (str(scripts / "chart-library.js"), CHART_LIBRARY))
        context["add_save_task"](lambda: (str(scripts / "charts.js"), LAZY_CHARTS))
        context["add_modify_task"](VITE_CONFIG, load_charts_later)
