# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-doc knows every filter as it is, and the examples are true."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import TOP

FILTERS = {
    name: function
    for path in sorted((TOP / "plugins" / "filter").glob("*.py"))
    for name, function in import_module(f"ansible_collections.pentad.webstack.plugins.filter.{path.stem}")
    .FilterModule()
    .filters()
    .items()
}


def told(name: str, *words: str) -> str:
    """Output of a program of ansible-core."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *words],
        cwd=TOP, env={**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What ansible-doc tells of all filters."""
    names = [f"pentad.webstack.{name}" for name in FILTERS]
    return {name.rpartition(".")[2]: about for name, about in json.loads(
        told("ansible-doc", "--type", "filter", "--json", *names)
    ).items()}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_the_options_are_those_of_the_function(documented, name):
    options = documented[name]["doc"]["options"]
    parameters = list(inspect.signature(FILTERS[name]).parameters.values())[1:]
    assert set(options) == {"_input", *(each.name for each in parameters)}
    for each in parameters:
        required = each.default is inspect.Parameter.empty
        assert options[each.name].get("required", False) is required, each.name
        assert options[each.name].get("default") == (None if required else each.default), each.name
    assert documented[name]["return"]["_value"]["description"]


def test_the_examples_are_true(documented, tmp_path):
    examples = [task for about in documented.values() for task in yaml.safe_load(about["examples"])]
    assertions = [task for task in examples if "ansible.builtin.assert" in task and "request.csr" not in str(task)]
    assert len(assertions) >= len(FILTERS) - 3
    playbook = tmp_path / "examples.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": assertions}]))
    told("ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook))


def test_no_documentation_is_left_of_a_filter_that_is_gone():
    assert {path.stem for path in (TOP / "plugins" / "filter").glob("*.yml")} == set(FILTERS)
