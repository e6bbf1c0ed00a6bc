# SPDX-License-Identifier: GPL-3.0-or-later
"""The two nodes of the scenario, and a way to repeat the deployment of the replica."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host
from testinfra.utils.ansible_runner import AnsibleRunner

SCENARIO = Path(__file__).parents[2] / "molecule" / "mariadb"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]


def member(group: str) -> Host:
    """The one host of a group."""
    names = AnsibleRunner(INVENTORY).get_hosts(group)
    return testinfra.get_host(f"ansible://{names[0]}", ansible_inventory=INVENTORY)


@pytest.fixture(scope="session")
def primary() -> Host:
    """The primary."""
    return member("mysql_primary")


@pytest.fixture(scope="session")
def replica() -> Host:
    """The replica."""
    return member("mysql_replica")


def sql(host: Host, statement: str) -> str:
    """Answer of the local server, one row a line."""
    return host.check_output("mariadb --batch --skip-column-names --execute %s", statement)


def channel(host: Host) -> dict[str, str]:
    """The replica's channel; empty if it has none."""
    told = host.check_output("mariadb --vertical --execute 'SHOW ALL REPLICAS STATUS'")
    pairs = (line.split(":", 1) for line in told.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def await_value(host: Host, statement: str, wanted: str, seconds: float = 10) -> str:
    """Repeat a query until it has the wanted answer; returns the last one."""
    deadline = time.monotonic() + seconds
    while (seen := sql(host, statement)) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


@pytest.fixture
def deploy() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the replica's part of the deployment again."""

    def run(**variables: Any) -> subprocess.CompletedProcess[str]:
        inventory = str(Path(INVENTORY).parent)
        return subprocess.run(
            ["ansible-playbook", "-i", inventory, "-e", json.dumps(variables), SCENARIO / "replica.yml"],
            env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
