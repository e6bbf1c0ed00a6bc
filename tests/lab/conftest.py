# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployed lab: its hosts by the names of the demo, and how playbooks are run against it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
from client import INVENTORY_DIR, TOP

# Certificates are made as in the unit tests.
sys.path.insert(0, str(TOP / "tests" / "unit"))

SUFFIX = os.environ.get("WEBSTACK_LAB_SUFFIX", "")
PLAIN = f"http://127.0.0.1:{os.environ.get('WEBSTACK_LAB_SITE_PORT', '8080')}"
STATISTICS = f"http://127.0.0.1:{os.environ.get('WEBSTACK_LAB_STATS_PORT', '8404')}"


@dataclass
class Run:
    """How a command ended, and all that it said."""

    code: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Changed tasks of each host, from the recap."""
        recap = self.output.split("PLAY RECAP")[-1]
        return {
            line.split()[0]: int(line.split("changed=")[1].split()[0])
            for line in recap.splitlines()
            if "changed=" in line
        }


class Lab:
    """The five nodes."""

    names = ("lb1", "web1", "web2", "db1", "db2")
    oldest_core = TOP / ".cache" / "oldest-core" / "bin" / "ansible-playbook"

    def container(self, name: str) -> str:
        """Container of a node, which is its name in the inventory too."""
        return name + SUFFIX

    def host(self, name: str) -> Any:
        """A node, as testinfra sees it."""
        return testinfra.get_host(f"docker://{self.container(name)}")

    def sh(self, name: str, command: str) -> str:
        """Output of a shell command on a node; it must succeed."""
        done = self.host(name).run(command)
        assert done.rc == 0, f"{name}: {command}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def sql(self, name: str, statement: str) -> str:
        """Result of a statement, as the administrator on the node, without headings."""
        return self.sh(name, f"mysql --batch --skip-column-names --execute={json.dumps(statement)}")

    def docker(self, *words: str) -> None:
        """Run a Docker command."""
        subprocess.run(["docker", *words], check=True, capture_output=True, timeout=120)

    def address(self, name: str) -> str:
        """Address of a node."""
        return self.sh(name, "hostname -I").split()[0]

    def inspect_address(self, name: str) -> str:
        """Address of a node that need not run."""
        shown = subprocess.run(
            ["docker", "inspect", self.container(name)], check=True, capture_output=True, text=True, timeout=60
        )
        (network,) = json.loads(shown.stdout)[0]["NetworkSettings"]["Networks"].values()
        return network["IPAMConfig"]["IPv4Address"]

    def playbook(
        self,
        name: str,
        *words: str,
        binary: str = "ansible-playbook",
        inventory: Path = INVENTORY_DIR,
        **environment: str,
    ) -> Run:
        """Run a playbook of the collection against the lab."""
        done = subprocess.run(
            [binary, "-i", str(inventory), str(TOP / "playbooks" / name), *words],
            cwd=TOP,
            env={**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
        return Run(done.returncode, done.stdout)


def another_operator(folder: Path) -> Path:
    """The inventory of the lab in a checkout of somebody else, without the state directory."""
    checkout = folder / "checkout"
    shutil.copytree(INVENTORY_DIR / "group_vars", checkout / "group_vars")
    for path in INVENTORY_DIR.iterdir():
        if path.is_file():
            (checkout / path.name).symlink_to(path.resolve())
    return checkout


def files(folder: Path) -> list[str]:
    """Everything that is in a directory."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fingerprints(lab: Lab) -> dict[str, str]:
    """What nodes are configured by, with owners and modes, and the accounts of the databases, as digests."""
    configured = "find /etc -xdev \\( -type f -o -type l \\) -printf '%p %u %g %m %l\\n' | sort; "
    configured += "find /etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum"
    found = {node: lab.sh(node, f"({configured}) | sha256sum") for node in lab.names}
    accounts = "SELECT * FROM mysql.user ORDER BY User, Host; SELECT * FROM mysql.db ORDER BY User, Host, Db"
    for node in ("db1", "db2"):
        # MariaDB's client has a name of its own.
        program = "$(command -v mysql || command -v mariadb)"
        told = lab.sh(node, f"{program} --batch --skip-column-names --execute='{accounts}'")
        found[f"accounts of {node}"] = hashlib.sha256(told.encode()).hexdigest()
    return found


def wait(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition; a failure says what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.3)
    pytest.fail(f"waited {seconds:.0f} s in vain for {what}")


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """Generated passwords by name."""
    directory = INVENTORY_DIR / ".webstack" / "secrets"
    found = {path.name: path.read_text().strip() for path in directory.iterdir() if not path.name.startswith(".")}
    assert len(found) >= 5, f"{directory} holds {sorted(found)}"
    return found
