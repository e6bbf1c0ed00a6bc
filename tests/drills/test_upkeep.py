# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are rebooted and upgraded one by one while clients ask; those that nobody stands in for are left alone."""

from __future__ import annotations

import pytest
from client import Client
from figures import figure
from nodes import Lab, booted

pytestmark = pytest.mark.usefixtures("lab_is_right")
SPARED = ("web1", "web2", "db2")
NEEDED = ("lb1", "db1")


def test_nodes_that_can_be_spared_are_rebooted_and_nobody_notices(lab: Lab) -> None:
    before = booted(lab)
    with Client() as client:
        client.answered(200)
        run = lab.playbook("reboot.yml")
        client.answered(200)
    assert run.code == 0, run.output[-3000:]
    after = booted(lab)
    assert {node for node in Lab.names if after[node] != before[node]} == set(SPARED)
    told = " ".join(run.output.split())
    for node in NEEDED:
        assert f"{lab.container(node)} was left alone, because no other node replaces it meanwhile" in told
    assert client.failures == []
    figure("web1, web2 and db2 rebooted", f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")


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
    for node in ("web1", "web2"):
        lab.sh(node, SAMPLE)
    before = booted(lab)
    try:
        with Client(rate=50) as client:
            client.answered(200)
            run = lab.playbook("upgrade_packages.yml")
            client.answered(200)
        assert run.code == 0, run.output[-3000:]
        assert [sample_version(lab, node) for node in ("web1", "web2")] == ["2", "2"]
    finally:
        for node in ("web1", "web2"):
            lab.sh(node, "rm -rf /var/tmp/sample /etc/apt/sources.list.d/sample.list; dpkg --purge webstack-sample")
    assert booted(lab) == before
    assert client.failures == []
    figure("packages upgraded", f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")
