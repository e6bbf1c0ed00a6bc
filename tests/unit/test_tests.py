# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/README.md says of the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from places import TOP

FILES = sorted((TOP / "tests").rglob("test_*.py"))
OF_THE_WHOLE_COLLECTION = {
    "test_control_node",
    "test_expressions",
    "test_named_playbooks",
    "test_supported",
    "test_tests",
    "test_version_added",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_are_short_and_no_test_file_imports_another(path: Path) -> None:
    tree = list(ast.walk(ast.parse(path.read_text())))
    assert [node.name for node in tree if isinstance(node, ast.FunctionDef) and len(node.name) > 70] == []
    imported = {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in tree if isinstance(node, ast.Import) for name in node.names}
    assert [name for name in imported if name.startswith("test_")] == []


def test_unit_tests_stand_where_what_they_test_stands() -> None:
    unit = TOP / "tests" / "unit"
    places = {path.parent.relative_to(unit) for path in FILES if path.is_relative_to(unit)} - {Path(), Path("shared")}
    assert [str(place) for place in places if not (TOP / place).is_dir()] == []
    assert {path.stem for path in unit.glob("test_*.py")} == OF_THE_WHOLE_COLLECTION
