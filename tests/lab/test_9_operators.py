# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A colleague's checkout, an inventory with hosts of others, and runs over a part of the stack."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from client import INVENTORY_DIR
from nodes import Lab, another_operator, files, fingerprints

STATE = INVENTORY_DIR / ".webstack"
FILES = {
    "webstack_authority_certificate": "pki/ca.pem",
    "webstack_authority_key": "pki/ca.key",
    "webstack_app_password": "secrets/app",
    "webstack_app_reader_password": "secrets/app_reader",
    "webstack_replication_password": "secrets/replication",
    "webstack_verification_password": "secrets/verification",
    "webstack_switchover_password": "secrets/switchover",
    "mysql_primary_administration_password": "secrets/administration",
}


@pytest.fixture
def colleague(lab_is_right: None, tmp_path: Path) -> Path:
    """A checkout without the state directory, over a stack that is well."""
    return another_operator(tmp_path)


@pytest.mark.parametrize("playbook", ["site.yml", "deploy.yml"])
def test_without_the_state_nothing_is_changed_and_nothing_is_made(lab: Lab, colleague: Path, playbook: str) -> None:
    before, had = fingerprints(lab), files(colleague)
    run = lab.playbook(playbook, inventory=colleague)
    told = " ".join(run.output.split())
    assert run.code != 0
    assert f"copy the state directory of whoever deployed them to {colleague}/.webstack" in told, run.output[-3000:]
    assert all(name in told for name in FILES)
    assert files(colleague) == had
    assert not any(run.changed.values())
    assert fingerprints(lab) == before
    assert not any((STATE / name).read_text().strip() in run.output for name in FILES.values() if name != "pki/ca.pem")


def vaulted(colleague: Path) -> str:
    """The whole state as variables that are encrypted; returns the option for the run."""
    password, variables = colleague.parent / "password", colleague / "group_vars" / "all" / "vault.yml"
    password.write_text("only for this test")
    variables.write_text(yaml.safe_dump({name: (STATE / file).read_text().strip() for name, file in FILES.items()}))
    words = ["ansible-vault", "encrypt", "--vault-password-file", str(password), str(variables)]
    subprocess.run(words, check=True, capture_output=True)
    return f"--vault-password-file={password}"


def test_with_the_state_in_variables_and_a_host_of_others_nothing_changes(lab: Lab, colleague: Path) -> None:
    # Nobody answers there, and nothing is to be asked of it.
    mail = {"mail1": {"ansible_host": "192.0.2.99", "haproxy_balance": "random", "ansible_ssh_common_args": ""}}
    (colleague / "mail.yml").write_text(json.dumps({"mailservers": {"hosts": mail}}))
    option, before = vaulted(colleague), fingerprints(lab)
    run = lab.playbook("site.yml", option, inventory=colleague)
    assert run.code == 0, run.output[-3000:]
    assert run.changed == dict.fromkeys(map(lab.container, lab.names), 0)
    assert "mail1" not in run.output
    assert fingerprints(lab) == before
    made = [name for name in files(colleague / ".webstack") if name.startswith(("pki", "secrets"))]
    assert made == []
    assert "*" in (colleague / ".webstack" / ".gitignore").read_text().split()


def test_a_part_of_the_stack_by_tag_and_limit(lab: Lab) -> None:
    wished = {"nginx_client_max_body_size": "11m", "haproxy_maxconn": 3999}
    web1 = lab.container("web1")
    run = lab.playbook("site.yml", "--limit", web1, "--tags", "nginx", "-e", json.dumps(wished))
    assert run.code == 0, run.output[-3000:]
    assert (list(run.changed), run.changed[web1] > 0) == ([web1], True)
    assert "11m" in lab.sh("web1", "cat /etc/nginx/nginx.conf")
    assert "11m" not in lab.sh("web2", "cat /etc/nginx/nginx.conf")
    assert "3999" not in lab.sh("web1", "cat /etc/haproxy/haproxy.cfg")
    (left,) = re.findall("Left out by --limit, and not checked: (.*)", run.output)
    # In the order of the inventory, of which Molecule writes one of its own.
    assert sorted(left.split(", ")) == sorted(map(lab.container, ("lb1", "web2", "db1", "db2")))
    again = lab.playbook("site.yml", "--limit", web1, "--tags", "nginx", "--skip-tags", "proof")
    assert again.code == 0, again.output[-3000:]
    assert "11m" not in lab.sh("web1", "cat /etc/nginx/nginx.conf")
    assert "TASK [Check the whole stack]" in run.output
    assert "TASK [Check the whole stack]" not in again.output
