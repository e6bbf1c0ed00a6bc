# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of the lab has the hosts and groups that Molecule makes of the same file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.inventory.molecule import InventoryModule, expand
from molecule.config import Config

SCENARIO = Path("molecule/default/molecule.yml")


def ours(top: Path, environment: dict[str, str], source: str = "inventories/lab/lab.molecule.yml") -> dict[str, Any]:
    """What ansible-inventory makes of the lab's source."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", source, "--list"],
        cwd=top, env={**os.environ, "ANSIBLE_CONFIG": str(top / "ansible.cfg"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


def groups_of(inventory: dict[str, Any]) -> dict[str, set[str]]:
    """Hosts by group."""
    return {name: set(group["hosts"]) for name, group in inventory.items() if "hosts" in group and name != "all"}


@pytest.mark.parametrize(
    ("environment", "first"),
    [({}, "lb1"), ({"WEBSTACK_LAB_SUFFIX": "-other", "WEBSTACK_LAB_NET": "10.9.8"}, "lb1-other")],
)
def test_molecule_and_ansible_see_the_same_machines(top, monkeypatch, environment, first):
    for name in ("WEBSTACK_LAB_SUFFIX", "WEBSTACK_LAB_NET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(top)
    theirs = Config(str(SCENARIO)).provisioner.inventory
    found = ours(top, environment)
    assert groups_of(found) == {
        name: set(group["hosts"]) for name, group in theirs.items() if "hosts" in group and name != "all"
    }
    variables = found["_meta"]["hostvars"]
    assert set(variables) == set(theirs["all"]["hosts"])
    assert len(variables) == 5
    assert first in groups_of(found)["haproxy"]
    assert {each["ansible_connection"] for each in variables.values()} == {
        each["ansible_connection"] for each in theirs["all"]["hosts"].values()
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "a"),
        ("${A:-x}", "a"),
        ("${EMPTY:-x}", "x"),
        ("${MISSING:-x y}", "x y"),
        ("${MISSING:-}", ""),
        ("n-${MISSING}-${A}", "n--a"),
        ("$A", "$A"),
    ],
)
def test_names_are_filled_in(text, expected):
    assert expand(text, {"A": "a", "EMPTY": ""}) == expected


def test_a_scenario_that_is_not_there_is_named(top, tmp_path):
    source = tmp_path / "lab.molecule.yml"
    source.write_text("plugin: pentad.webstack.molecule\nscenario: nowhere\n")
    found = ours(top, {}, str(source))
    assert "option scenario" in found["stderr"]
    assert "nowhere/molecule.yml has no readable list of platforms" in " ".join(found["stderr"].split())


@pytest.mark.parametrize(("name", "accepted"), [("a.molecule.yml", True), ("a.yml", False), ("molecule.yml", False)])
def test_only_sources_of_this_plugin_are_read(tmp_path, name, accepted):
    (tmp_path / name).write_text("plugin: pentad.webstack.molecule\n")
    assert InventoryModule().verify_file(str(tmp_path / name)) is accepted
