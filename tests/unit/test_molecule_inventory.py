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
import yaml
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.pentad.webstack.plugins.inventory.molecule import DOCUMENTATION, InventoryModule, expand
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


def parsed(source: Path) -> InventoryData:
    """What the plugin makes of a source, with the options that it documents."""
    options = yaml.safe_load(DOCUMENTATION)["options"]
    constants.config.initialize_plugin_configuration_definitions("inventory", InventoryModule.NAME, options)
    plugin = InventoryModule()
    plugin._load_name = plugin._original_path = InventoryModule.NAME
    inventory = InventoryData()
    plugin.parse(inventory, DataLoader(), str(source))
    return inventory


@pytest.fixture
def scenario(tmp_path) -> Path:
    """A source, whose scenario is written by the test."""
    source = tmp_path / "lab.molecule.yml"
    source.write_text("plugin: pentad.webstack.molecule\nscenario: scenario\nconnection: ssh\n")
    (tmp_path / "scenario").mkdir()
    return source


def write(source: Path, content: str) -> None:
    """Describe the machines."""
    (source.parent / "scenario" / "molecule.yml").write_text(content)


def test_each_platform_is_a_host_in_the_groups_that_it_names(scenario, monkeypatch):
    monkeypatch.setenv("LAB_SUFFIX", "-x")
    write(
        scenario,
        "platforms:\n- {name: 'a${LAB_SUFFIX}', groups: [web, all_of_them]}\n- {name: b, groups: [web]}\n- {name: c}",
    )
    inventory = parsed(scenario)
    assert {name: [host.name for host in inventory.groups[name].hosts] for name in ("web", "all_of_them")} == {
        "web": ["a-x", "b"], "all_of_them": ["a-x"],
    }  # fmt: skip
    assert {name: host.vars["ansible_connection"] for name, host in inventory.hosts.items()} == dict.fromkeys(
        ("a-x", "b", "c"), "ssh"
    )


@pytest.mark.parametrize(
    "content",
    [
        None, "", "- a", "driver: {name: docker}", "platforms:", "platforms: 1", "platforms: [", "platforms: {",
        "platforms: [db1]", "platforms: [{groups: [web]}]", "platforms: [{name: a, groups: 1}]",
    ],
)  # fmt: skip
def test_a_scenario_without_a_readable_list_of_platforms_is_named(scenario, content):
    if content is not None:
        write(scenario, content)
    with pytest.raises(AnsibleParserError, match=r"option scenario: .*/scenario/molecule.yml has no readable list"):
        parsed(scenario)
