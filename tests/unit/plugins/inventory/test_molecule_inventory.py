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
from ansible_collections.pentad.webstack.plugins.inventory.molecule import (
    DOCUMENTATION,
    InventoryModule,
    address_of,
    expand,
)
from molecule.config import Config

SCENARIO = Path("molecule/default/molecule.yml")


def ours(top: Path, environment: dict[str, str], source: str) -> dict[str, Any]:
    """What ansible-inventory makes of the lab's source."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", source, "--list"],
        cwd=top, env={**os.environ, "ANSIBLE_CONFIG": str(top / "ansible.cfg"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found)) | {
        "stderr": done.stderr
    }


def groups_of(inventory: dict[str, Any]) -> dict[str, set[str]]:
    """Hosts by group."""
    return {name: set(group["hosts"]) for name, group in inventory.items() if "hosts" in group and name != "all"}


@pytest.mark.parametrize(
    ("environment", "first", "address"),
    [
        ({}, "lb1-test", "172.30.81.11"),
        ({"WEBSTACK_LAB_SUFFIX": "-other", "WEBSTACK_LAB_NET": "10.9.8"}, "lb1-other", "10.9.8.11"),
        ({"WEBSTACK_LAB_SUFFIX": "", "WEBSTACK_LAB_NET": ""}, "lb1", "172.30.81.11"),
    ],
)
def test_molecule_and_ansible_see_the_same_machines(top, monkeypatch, environment, first, address):
    for name in ("WEBSTACK_LAB_SUFFIX", "WEBSTACK_LAB_NET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(top)
    theirs = Config(str(SCENARIO)).provisioner.inventory
    found = ours(top, environment, "molecule/default/inventory/lab.molecule.yml")
    assert groups_of(found) == {
        name: set(group["hosts"]) for name, group in theirs.items() if "hosts" in group and name != "all"
    }
    variables = found["_meta"]["hostvars"]
    assert set(variables) == set(theirs["all"]["hosts"])
    assert len(variables) == 5
    assert first in groups_of(found)["haproxy"]
    assert variables[first]["ansible_host"] == address
    assert {each["ansible_connection"] for each in variables.values()} == {"ssh"}
    assert {each["ansible_become"] for each in variables.values()} == {True}


def test_the_demo_has_machines_of_its_own(top, monkeypatch):
    for name in ("WEBSTACK_LAB_SUFFIX", "WEBSTACK_LAB_NET"):
        monkeypatch.delenv(name, raising=False)
    demo = ours(top, {}, "inventories/lab/lab.molecule.yml")["_meta"]["hostvars"]
    tests = ours(top, {}, "molecule/default/inventory/lab.molecule.yml")["_meta"]["hostvars"]
    assert sorted(demo) == ["db1", "db2", "lb1", "web1", "web2"]
    assert demo["lb1"]["ansible_host"] == "172.30.80.11"
    assert not {each["ansible_host"] for each in demo.values()} & {each["ansible_host"] for each in tests.values()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "a"),
        ("${A:-x}", "a"),
        ("${EMPTY:-x}", "x"),
        ("${MISSING:-x y}", "x y"),
        ("${MISSING:-}", ""),
        ("${MISSING--x}", "-x"),
        ("${EMPTY--x}", ""),
        ("n-${MISSING}-${A}", "n--a"),
        ("$A", "$A"),
    ],
)
def test_names_are_filled_in(text, expected):
    assert expand(text, {"A": "a", "EMPTY": ""}) == expected


def test_a_scenario_that_is_not_there_is_named(top, tmp_path):
    source = tmp_path / "lab.molecule.yml"
    source.write_text("plugin: pentad.webstack.molecule\nscenario: nowhere\naccess: access\n")
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
    source.write_text(
        "plugin: pentad.webstack.molecule\nscenario: scenario\naccess: access\nenvironment: {LAB_REST: z}\n"
    )
    (tmp_path / "scenario").mkdir()
    return source


def write(source: Path, content: str) -> None:
    """Describe the machines."""
    (source.parent / "scenario" / "molecule.yml").write_text(content)


def test_each_platform_is_a_host_in_the_groups_that_it_names(scenario, monkeypatch):
    monkeypatch.setenv("LAB_SUFFIX", "-x")
    write(
        scenario,
        "platforms:\n- {name: 'a${LAB_SUFFIX}', groups: [web, all_of_them]}\n- {name: b, groups: [web]}\n"
        "- {name: 'c${LAB_REST}', networks: [{name: n}, {name: m, ipv4_address: 192.0.2.1}]}",
    )
    inventory = parsed(scenario)
    assert {name: [host.name for host in inventory.groups[name].hosts] for name in ("web", "all_of_them")} == {
        "web": ["a-x", "b"], "all_of_them": ["a-x"],
    }  # fmt: skip
    assert {name: host.vars["ansible_host"] for name, host in inventory.hosts.items()} == {
        "a-x": "a-x", "b": "b", "cz": "192.0.2.1",
    }  # fmt: skip


def test_machines_are_reached_as_the_set_up_has_made_it(scenario):
    write(scenario, "platforms: [{name: a}]")
    assert parsed(scenario).hosts["a"].vars["ansible_become_password"] == ""
    directory = scenario.parent / "access"
    directory.mkdir()
    (directory / "password").write_text("secret\n")
    found = parsed(scenario).hosts["a"].vars
    assert (found["ansible_user"], found["ansible_become_password"]) == ("deploy", "secret")
    assert found["ansible_ssh_private_key_file"] == str(directory / "key")
    assert f"UserKnownHostsFile={directory / 'known_hosts'}" in found["ansible_ssh_common_args"]


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


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ([{"name": "n", "ipv4_address": "192.0.2.1", "ipv6_address": "fd00::1"}], "192.0.2.1"),
        ([{"name": "n"}, {"name": "m", "ipv6_address": "fd00::1"}], "fd00::1"),
        ([], "lb1"),
    ],
)
def test_a_machine_is_reached_by_the_address_that_it_is_given(networks, address):
    assert address_of({"name": "lb1", "networks": networks}) == address


def test_the_lab_with_nothing_single_has_the_same_machines(top, monkeypatch):
    for suffix in ("", "-other"):
        monkeypatch.setenv("WEBSTACK_LAB_SUFFIX", suffix)
        plain, double = (groups_of(ours(top, {}, f"inventories/{name}/lab.molecule.yml")) for name in ("lab", "ha"))
        assert double == {**plain, "haproxy": {f"lb1{suffix}", f"web1{suffix}"}}
