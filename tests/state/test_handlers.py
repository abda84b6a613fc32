"""Any client can call the public methods of a state, so each must be a handler."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import billing_app.state

FOLDER = Path(billing_app.state.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
HANDLER_DECORATORS = {"rx.event", "rx.var", "rx.event(background=True)"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_public_methods_of_states_are_marked_as_handlers(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ClassDef) or not any(
            "rx.State" in ast.unparse(base) for base in node.bases
        ):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name[0] != "_":
                marks = {ast.unparse(each) for each in method.decorator_list}
                assert marks & HANDLER_DECORATORS, f"{node.name}.{method.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_states_use_no_tables_and_no_sql(path: Path) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not {each for each in imported if each.startswith(("billing_app.models", "sqlalchemy"))}
