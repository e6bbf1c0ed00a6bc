# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role has a README, made of its argument specs; Galaxy refuses a collection whose roles have none."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

import pytest
from places import TOP

PROGRAM = TOP / "tools" / "role-readmes"


@pytest.fixture(scope="module")
def program() -> Any:
    """The program as a module."""
    spec = spec_from_loader("role_readmes", SourceFileLoader("role_readmes", str(PROGRAM)))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_current():
    done = subprocess.run([sys.executable, str(PROGRAM), "--check"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_that_is_not_current_is_named(program, tmp_path, monkeypatch, capsys):
    role = tmp_path / "roles" / "variables"
    (role / "meta").mkdir(parents=True)
    defaults = tmp_path / "roles" / "topology" / "defaults"
    defaults.mkdir(parents=True)
    (defaults / "main.yml").write_text("{}")
    (role / "meta" / "argument_specs.yml").write_text("argument_specs: {main: {short_description: Names}}")
    monkeypatch.setattr(program, "TOP", tmp_path)
    monkeypatch.setattr(program, "ROLES", tmp_path / "roles")
    monkeypatch.setattr(sys, "argv", ["role-readmes", "--check"])
    assert program.main() == 1
    assert "roles/variables/README.md is not current: run 'make readmes'." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("V(a|b) of O(webstack_x)", "`a|b` of `webstack_x`"),
        ("see O(pentad.webstack.app_server#role:main:app_server_command)", "see `app_server_command`"),
        ("M(pentad.webstack.host_config) by P(ansible.builtin.template#lookup)", "`pentad.webstack.host_config` by "
         "`ansible.builtin.template`"),
        (["One.", "C(f(x)) two."], "One. `f(x)` two."),
        ("MySQL (8.4)", "MySQL (8.4)"),
    ],
)  # fmt: skip
def test_marks_become_code(program, text, expected):
    assert program.markdown(text) == expected


@pytest.mark.parametrize(
    ("option", "defaults", "expected"),
    [
        ({"type": "int", "default": 5}, {}, "`5`"),
        ({}, {"x": ""}, '`""`'),
        ({"type": "bool"}, {"x": False}, "`false`"),
        ({}, {"x": "{{ other }}"}, "derived"),
        ({"required": True}, {}, "required"),
        ({}, {"x": "y" * 61}, "[see defaults]"),
    ],
)
def test_defaults_are_told_as_they_are_written(program, option, defaults, expected):
    assert program.default_of(option, "x", defaults) == expected
