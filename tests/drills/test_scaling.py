# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web node more, and one fewer, by the inventory alone, while clients ask. In the order of the file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from client import AUTHORITY, INVENTORY_DIR, SITE, TOP, Client
from figures import figure
from nodes import SUFFIX, WEB, Lab, servers, wait_until_healthy
from waiting import wait

NEW = f"web3{SUFFIX}"


def output(*words: str) -> str:
    """What a command says that must succeed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def inventory(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A machine as bare as the others were, and the inventory that names it."""
    wait_until_healthy(lab)
    beside = lab.container("web1")
    (shown,) = json.loads(output("docker", "inspect", beside))
    (network,) = shown["NetworkSettings"]["Networks"]
    address = lab.address("web1").rsplit(".", 1)[0] + ".23"
    words = ["--detach", "--name", NEW, "--hostname", NEW, "--network", network, "--ip", address]
    words += ["--cgroupns", "private", "--env", "container=docker"]
    for option, key in (
        ("--cap-add", "CapAdd"),
        ("--security-opt", "SecurityOpt"),
        ("--tmpfs", "Tmpfs"),
        ("--volume", "Binds"),
    ):
        words += [word for value in shown["HostConfig"][key] for word in (option, value)]
    platform = yaml.safe_load((TOP / "molecule" / "default" / "molecule.yml").read_text())["platforms"][0]
    lab.docker("run", *words, platform["image"], platform["command"])
    variables = json.loads(output("ansible-inventory", "-i", str(INVENTORY_DIR), "--host", beside))
    access = {name: value for name, value in variables.items() if name.startswith("ansible_")}
    path = tmp_path_factory.mktemp("scaling") / "more.yml"
    more = {
        # Hosts of another source would have a directory of their own, which preflight refuses.
        "all": {"vars": {"webstack_state_dir": str(AUTHORITY.parents[1])}},
        "web": {"hosts": {NEW: {**access, "ansible_host": address}}},
    }
    path.write_text(json.dumps(more))
    yield path
    lab.docker("rm", "--force", NEW)


def test_a_new_node_serves_after_one_run(lab: Lab, inventory: Path) -> None:
    with Client(SITE, rate=50) as client:
        client.answered(200)
        run = lab.playbook("site.yml", "-i", str(inventory))
        assert run.code == 0, run.output.split("PLAY [Proof]")[0][-3000:]
        wait("the new node to serve", lambda: client.served_by[NEW] > 100)
    assert f"balanced via {lab.container('lb1')}" in run.output.split(NEW, 1)[1]
    assert client.failures == []
    figure("a third web node added", f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")


def test_a_node_that_is_no_longer_listed_gets_nothing_more(lab: Lab, inventory: Path) -> None:
    assert len(servers()) == 3
    with Client(SITE, rate=50) as client:
        wait("the third node to serve", lambda: client.served_by[NEW] > 100)
        run = lab.playbook("site.yml")
        assert run.code == 0, run.output[-3000:]
        served = client.served_by[NEW]
        client.answered(500)
        assert client.served_by[NEW] == served
    assert list(servers()) == [*map(lab.container, WEB)]
    assert client.failures == []
    figure("and taken out again", f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")
