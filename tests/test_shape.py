"""Rules for the code: which modules may import which, and how long files and functions may be."""

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(
    path
    for folder in ("alembic", "billing_app", "bench", "soak", "tests", "tools")
    for path in (ROOT / folder).rglob("*.py")
)
DOMAIN = sorted((ROOT / "billing_app/domain").rglob("*.py"))
SERVICES = sorted(
    path
    for path in (ROOT / "billing_app/services").rglob("*.py")
    if path.parent.name != "shared" and path.name != "__init__.py"
)
LINES_OF_FILE = 400
LINES_OF_FUNCTION = 40
LINES_OF_TEST = 70


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_one_way() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", DOMAIN, ids=name)
def test_domain_is_pure(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "billing_app.domain"}
    assert {module for module in imported(path) if package(module) not in allowed} == set()


def unguarded_modules() -> tuple[str, ...]:
    """The modules whose queries check no permission, as the import rule in pyproject.toml lists them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rule,) = [each for each in contracts if each["name"].endswith("queries that check no permission")]
    return tuple(rule["forbidden_modules"])


@pytest.mark.parametrize("path", SERVICES, ids=name)
def test_guarded_and_unguarded_functions_never_share_a_module(path: Path) -> None:
    """Modules that API, pages and commands can import only have functions that take an actor."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    is_unguarded = any(fnmatch(module, pattern) for pattern in unguarded_modules())
    takes_actor = {
        node.name: [argument.arg for argument in node.args.args[1:2]] == ["actor"]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and [argument.arg for argument in node.args.args[:1]] in (["session"], ["db"])
    }
    wrong = [function for function, guarded in takes_actor.items() if guarded == is_unguarded]
    assert wrong == []


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "." * node.level)
    return found


def package(module: str) -> str:
    """Return a module's layer if it is the project's own, otherwise its topmost package."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "billing_app" else parts[0]


@pytest.mark.parametrize("path", CODE, ids=name)
def test_files_and_functions_are_short_enough_to_read_at_once(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_OF_FILE
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    is_shipped = path.relative_to(ROOT).parts[0] in ("alembic", "billing_app")
    limit = LINES_OF_FUNCTION if is_shipped else LINES_OF_TEST
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions) and node.end_lineno - node.lineno >= limit
    ]
    assert long == []
