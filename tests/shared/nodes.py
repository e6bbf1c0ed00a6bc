# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five nodes of the lab: their hosts by the names of the demo, and how playbooks are run against them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra
from client import INVENTORY_DIR, TOP, Writer, ask
from waiting import wait

WEB = ("web1", "web2")
DATABASES = ("db1", "db2")
# MariaDB's has a name of its own.
CLIENT = "$(command -v mysql || command -v mariadb)"
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
        _before, recap, rows = self.output.rpartition("PLAY RECAP")
        assert recap, f"it ended with {self.code} and no recap: {self.output[-3000:]}"
        return {host: int(count) for host, count in re.findall(r"^(\S+) +: .*?changed=(\d+)", rows, re.MULTILINE)}


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
        return self.sh(name, f"{CLIENT} --batch --skip-column-names --execute={json.dumps(statement)}")

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

    @property
    def mariadb(self) -> bool:
        """Whether the databases are of MariaDB."""
        return self.host("db1").run("command -v mariadbd").rc == 0

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


class Command:
    """A playbook that runs while something else happens."""

    def __init__(self, output: Path, name: str, *words: str, inventory: Path = INVENTORY_DIR) -> None:
        self._output = output
        self._process = subprocess.Popen(
            ["ansible-playbook", "-i", str(inventory), str(TOP / "playbooks" / name), *words],
            cwd=TOP,
            env={**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=output.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it at once, with all that it has started here."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_text()

    def reaches(self, task: str) -> None:
        """Wait until it begins a task."""
        wait(f"the task {task!r}", lambda: f"[{task}]" in self._said() or self._process.poll() is not None, 120)
        assert f"[{task}]" in self._said(), self.output[-4000:]

    def _said(self) -> str:
        """Without the names of roles."""
        return re.sub(r"\[pentad\.webstack\.\w+ : ", "[", self.output)

    def ends(self) -> Run:
        """How it ended, and all that it said."""
        return Run(self._process.wait(300), self.output)


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
        found[f"accounts of {node}"] = hashlib.sha256(lab.sql(node, accounts).encode()).hexdigest()
    return found


def healthy(lab: Lab) -> bool:
    """Whether both web nodes are ready, reads come from the replica, and the balancer has both in use."""
    try:
        for node in WEB:
            status, _headers, body = ask("/readyz", f"https://{lab.address(node)}:8080")
            if status != 200 or json.loads(body)["read_only"]["role"] != "replica":
                return False
        served = {ask("/")[1]["X-Served-By"] for _attempt in range(4)}
    except OSError:
        return False
    return served == set(map(lab.container, WEB))


def wait_until_healthy(lab: Lab) -> None:
    """Wait for the lab to be as it was deployed."""
    wait("the lab to be healthy", lambda: healthy(lab), 120)


def journal_has(lab: Lab, name: str, secrets: dict[str, str]) -> list[str]:
    """Which of the secrets the journal of a node has, where modules write down what they were asked for."""
    journal = lab.sh(name, "journalctl --no-pager --output=cat")
    return [secret for secret, value in secrets.items() if value in journal]


def without_wishes(output: str) -> str:
    """What a playbook said, without the command line and the variables that -vvv repeats of it."""
    return output[output.index("PLAY [") :]


def release_of(lab: Lab, node: str, link: str = "current") -> str:
    """Id of the release that a link of a node leads to; empty if there is no such link."""
    return lab.sh(node, f"basename $(readlink /srv/guestbook/{link}) 2>/dev/null || true")


def releases(lab: Lab) -> set[str]:
    """Ids of the releases that run."""
    return {release_of(lab, node) for node in WEB}


def described(lab: Lab) -> dict[str, str]:
    """What the nodes have of the units of the application and of their environment."""
    return {node: lab.sh(node, "sha256sum /etc/guestbook.env /etc/systemd/system/guestbook*") for node in WEB}


def servers() -> dict[str, str]:
    """Status of each server that the balancer has for the site."""
    rows = csv.DictReader(ask("/;csv", STATISTICS)[2].removeprefix("# ").splitlines())
    found = {row["svname"]: row["status"] for row in rows if row["pxname"] == "site"}
    return {name: status for name, status in found.items() if name not in ("FRONTEND", "BACKEND")}


def in_the_balancer(lab: Lab, node: str) -> str:
    """What the balancer says of a web node."""
    return servers()[lab.container(node)]


def answers(lab: Lab, node: str) -> bool:
    """Whether the database server of a node answers its administrator."""
    return lab.host(node).run(f"{CLIENT} --execute='SELECT 1'").rc == 0


def closed(lab: Lab, node: str) -> bool:
    """Whether the database server of a node takes no writes."""
    return lab.sql(node, "SELECT @@GLOBAL.read_only") != "0"


def open_node(lab: Lab) -> str:
    """The node whose database server takes writes."""
    found = [node for node in DATABASES if answers(lab, node) and not closed(lab, node)]
    assert len(found) == 1, f"{found} take writes"
    return found[0]


def nothing_is_lost(lab: Lab, writer: Writer) -> None:
    """Wait until both database servers have every entry that was acknowledged."""
    for node in DATABASES:
        command = f"SELECT message FROM guestbook.entries WHERE name = '{writer.name}'"
        wait(
            f"{node} to have {len(writer.acknowledged)} entries",
            lambda node=node, command=command: writer.acknowledged.keys() <= {*lab.sql(node, command).splitlines()},
        )


def booted(lab: Lab) -> dict[str, str]:
    """When each node came up."""
    return {node: lab.sh(node, "stat --format=%Z /run/systemd/system") for node in Lab.names}
