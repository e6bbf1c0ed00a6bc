# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of the scenario, what they answer, and a way to release again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
from client import Connection
from places import TOP
from testinfra.host import Host
from testinfra.utils.ansible_runner import AnsibleRunner

INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]


def nodes(group: str) -> list[Host]:
    """The hosts of a group."""
    names = AnsibleRunner(INVENTORY).get_hosts(group)
    assert names, f"no hosts are in {group}"
    return [testinfra.get_host(f"ansible://{name}", ansible_inventory=INVENTORY) for name in names]


def address(host: Host) -> str:
    """Where its nginx listens."""
    return host.check_output("hostname -I").split()[0]


def ask(host: Host, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection = Connection(f"https://{address(host)}:8080")
    try:
        answer = connection.ask(path, method, body, headers)
    finally:
        connection.close()
    return answer.status, answer.content


def told(host: Host, path: str = "/", **headers: str) -> dict[str, Any]:
    """What a site says of itself."""
    status, body = ask(host, path, **headers)
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(scope="session")
def wsgi() -> Host:
    """The site under gunicorn with a virtual environment."""
    return nodes("wsgi")[0]


@pytest.fixture(scope="session")
def php() -> Host:
    """The site under PHP-FPM."""
    return nodes("php")[0]


def converge(**variables: Any) -> subprocess.CompletedProcess[str]:
    """Run the scenario's playbook again."""
    return subprocess.run(
        ["ansible-playbook", "-i", str(Path(INVENTORY).parent), "-e", json.dumps(variables),
         str(TOP / "molecule" / "runtimes" / "converge.yml")],
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
