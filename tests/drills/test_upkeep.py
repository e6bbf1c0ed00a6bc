# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are rebooted and upgraded one by one while clients ask and write; the primary leaves its node before."""

from __future__ import annotations

import pytest
from client import Client, Writer
from figures import figure
from nodes import DATABASES, Lab, Run, booted, nothing_is_lost, open_node

pytestmark = pytest.mark.usefixtures("lab_is_right")


def read(client: Client) -> str:
    """What a client has seen that saw no failure."""
    return f"{client.total} requests, 0 failed, longest {client.longest:.2f} s"


def written(writer: Writer) -> str:
    """What a writer has seen of which nothing is lost."""
    return (
        f"{len(writer.acknowledged)} entries acknowledged, 0 lost, {len(writer.refused)} refused, "
        f"longest pause {writer.longest_pause:.2f} s"
    )


def moved(lab: Lab, run: Run, old: str) -> None:
    """The primary has left a node, and the run says so."""
    [new] = set(DATABASES) - {old}
    assert open_node(lab) == new
    told, names = " ".join(run.output.split()), (lab.container(new), lab.container(old))
    assert "{} is the primary now, instead of {}: to move it back, run switchover.yml".format(*names) in told


def test_all_nodes_but_an_only_balancer_are_rebooted_and_nobody_notices(lab: Lab) -> None:
    before, primary = booted(lab), open_node(lab)
    with Client() as client, Writer("reboots") as writer:
        client.answered(200)
        run = lab.playbook("reboot.yml")
        client.answered(200)
    assert run.code == 0, run.output[-3000:]
    after = booted(lab)
    assert {node for node in Lab.names if after[node] != before[node]} == set(Lab.names) - {"lb1"}
    told = " ".join(run.output.split())
    assert f"{lab.container('lb1')} was left alone, because no other balancer answers" in told
    assert f"{lab.container(primary)} was left alone" not in told
    moved(lab, run, primary)
    nothing_is_lost(lab, writer)
    assert client.failures == []
    figure("all nodes rebooted but an only balancer", f"{read(client)}, {written(writer)}")


# A package in two versions, the older one installed and the newer one in a repository on the node.
SAMPLE = """
set -e
for version in 1 2; do
  mkdir -p /var/tmp/sample/$version/DEBIAN
  printf '%s\\n' 'Package: webstack-sample' "Version: $version" 'Architecture: all' \\
    'Maintainer: nobody <nobody@localhost>' 'Description: sample' > /var/tmp/sample/$version/DEBIAN/control
  dpkg-deb --build /var/tmp/sample/$version /var/tmp/sample/$version.deb
done
cd /var/tmp/sample
{ dpkg-deb --field 2.deb; printf 'Filename: ./2.deb\\nSize: %s\\nSHA256: %s\\n' \\
  "$(stat --format=%s 2.deb)" "$(sha256sum 2.deb | cut -d' ' -f1)"; } > Packages
dpkg --install 1.deb
echo 'deb [trusted=yes] file:/var/tmp/sample ./' > /etc/apt/sources.list.d/sample.list
"""


def sample_version(lab: Lab, node: str) -> str:
    """Version of the sample package that is installed."""
    return lab.sh(node, "dpkg-query --show --showformat='${Version}' webstack-sample")


def test_packages_are_upgraded_where_there_are_any_and_nobody_notices(lab: Lab) -> None:
    primary = open_node(lab)
    nodes = ("web1", "web2", primary)
    for node in nodes:
        lab.sh(node, SAMPLE)
    before = booted(lab)
    try:
        with Client(rate=50) as client, Writer("upgrades") as writer:
            client.answered(200)
            run = lab.playbook("upgrade_packages.yml")
            client.answered(200)
        assert run.code == 0, run.output[-3000:]
        assert [sample_version(lab, node) for node in nodes] == ["2", "2", "2"]
    finally:
        for node in nodes:
            lab.sh(node, "rm -rf /var/tmp/sample /etc/apt/sources.list.d/sample.list; dpkg --purge webstack-sample")
    assert booted(lab) == before
    moved(lab, run, primary)
    nothing_is_lost(lab, writer)
    assert client.failures == []
    figure("packages upgraded", f"{read(client)}, {written(writer)}")
