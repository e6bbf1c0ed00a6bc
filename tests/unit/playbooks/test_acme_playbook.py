# SPDX-License-Identifier: GPL-3.0-or-later
"""A site whose certificates do not come from ACME pays nothing for it: its nodes are not even spoken to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ansible_runs
import pytest
import yaml

SITE = {"name": "site", "domains": ["www.example.com"]}


@pytest.mark.parametrize(("source", "spoken_to"), [("authority", False), ("acme", True)])
def test_balancers_are_spoken_to_only_for_acme(top, tmp_path, source, spoken_to):
    inventory = {
        "all": {
            # Nobody listens there.
            "vars": {"ansible_host": "127.0.0.1", "ansible_port": 1, "webstack_sites": [SITE]},
            "children": {
                "haproxy": {"hosts": {"lb1": {"webstack_address": "192.0.2.11"}}},
                "web": {"hosts": {"web1": {"webstack_address": "192.0.2.21"}}},
                # As the playbooks before it would have found.
                "webstack_prepared": {"hosts": {"lb1": {}, "web1": {}}},
            },
        }
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    program = Path(sys.executable).with_name("ansible-playbook")
    ran = subprocess.run(
        [
            program,
            "-i",
            tmp_path,
            "-e",
            f"webstack_certificate_source={source}",
            top / "playbooks" / "certificates.yml",
        ],
        env=ansible_runs.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("unreachable=1" in ran.stdout) is spoken_to, ran.stdout + ran.stderr
    assert (ran.returncode != 0) is spoken_to
