# SPDX-License-Identifier: GPL-3.0-or-later
"""Jinja in YAML stays small enough to be read: what has to think is a filter with a test of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jinja2 import Environment
from places import TOP

FILES = sorted(
    path
    for pattern in ("playbooks/*.yml", *(f"roles/*/{kind}/*.yml" for kind in ("defaults", "handlers", "tasks", "vars")))
    for path in TOP.glob(pattern)
)
LONGEST, LONGEST_TWICE = 120, 40


def expressions(text: str) -> Iterator[str]:
    """Everything between double braces, in one line each."""
    words: list[str] = []
    for _line, kind, value in Environment().lex(text):  # noqa: S701 - nothing is rendered
        if kind == "variable_begin":
            words = []
        words.append(value)
        if kind == "variable_end":
            yield " ".join("".join(words).split())


def conditions(node: Any) -> Iterator[str]:
    """Conditions of tasks, which are expressions without braces, in one line each."""
    if isinstance(node, list):
        for each in node:
            yield from conditions(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in ("when", "until", "failed_when", "changed_when", "that"):
                given = value if isinstance(value, list) else [value]
                yield from (" ".join(each.split()) for each in given if isinstance(each, str))
            yield from conditions(value)


FOUND = [(path.relative_to(TOP), found) for path in FILES for found in expressions(path.read_text())]


def test_an_expression_is_found_whole():
    text = "a: \"{{ {'b': {'c': 1}} }}\"\nd: >-\n  {{ e\n     | f }} g"
    assert list(expressions(text)) == ["{{ {'b': {'c': 1}} }}", "{{ e | f }}"]


def test_no_expression_is_too_long_to_be_read():
    assert len(FOUND) > 500
    assert [(str(path), found) for path, found in FOUND if len(found) > LONGEST] == []


def test_no_condition_is_too_long_to_be_read():
    found = [(str(path), each) for path in FILES for each in conditions(yaml.safe_load(path.read_text()))]
    assert len(found) > 100
    assert [(path, each) for path, each in found if len(each) > LONGEST] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_statement_of_a_template_is_in_yaml(path):
    assert "{%" not in path.read_text()


def test_lists_keep_their_order():
    """The filters of set theory order their result anew in each run, and with it a file or whom one asks first."""
    unordered = re.compile(r"\|\s*(difference|intersect|symmetric_difference|union)\(")
    assert [(str(path), found) for path, found in FOUND if unordered.search(found)] == []


def test_an_expression_that_is_needed_twice_has_a_name():
    times = Counter(found for _path, found in FOUND if len(found) > LONGEST_TWICE and " " in found[3:-3])
    assert [found for found, count in times.items() if count > 1] == []
