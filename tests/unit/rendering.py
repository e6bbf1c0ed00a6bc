# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates as Ansible renders them, on five hosts with addresses, from the roles' own defaults and from other values.

One run renders everything: for each host a file with all its cases. Entering the roles also validates their defaults
against their argument specs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runs
import yaml

# Role, template, and the variables that differ from the defaults.
Case = tuple[str, str, dict[str, Any]]
# By host and name.
Cases = dict[str, dict[str, Case]]
ADDRESSES = {"lb1": "192.0.2.11", "web1": "192.0.2.21", "web2": "192.0.2.22", "db1": "192.0.2.31", "db2": "192.0.2.32"}
# What ansible.cfg or a variable says may have several lines.
MANAGED = ["Ansible managed", "do not edit; ask #web"]


def inventory() -> dict[str, Any]:
    """Five hosts with addresses, on which everything happens here."""
    named = {host: {"webstack_address": address} for host, address in ADDRESSES.items()}
    return {
        "all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "hosts": named,
            "children": {
                "haproxy": {"hosts": {"lb1": None}},
                "monitoring": {"hosts": {"lb1": None}},
                "web": {"hosts": {"web1": None, "web2": None}},
                "mysql": {
                    "children": {
                        "mysql_primary": {"hosts": {"db1": None}},
                        "mysql_replica": {"hosts": {"db2": None}},
                    }
                },
            },
        }
    }


def play(top: Path, host: str, cases: dict[str, Case], roles: list[str], output: Path) -> dict[str, Any]:
    """A play that enters the roles and renders the cases of a host into one file; tasks of the roles are not tagged."""
    rendered = ", ".join(
        f"{name!r}: lookup('ansible.builtin.template', {str(top / 'roles' / role / 'templates' / template)!r}, "
        f"template_vars=cases[{name!r}])"
        for name, (role, template, _changed) in cases.items()
    )
    return {
        "hosts": host,
        "gather_facts": False,
        "roles": [f"pentad.webstack.{role}" for role in roles],
        "vars": {"cases": {name: changed for name, (_role, _template, changed) in cases.items()}},
        "tasks": [
            {
                "name": "Render",
                "ansible.builtin.copy": {
                    "content": "{{ {" + rendered + "} | to_json }}",
                    "dest": str(output / f"{host}.json"),
                    "mode": "0600",
                },
                "tags": "render",
            }
        ],
    }


def render(top: Path, work: Path, cases: Cases) -> dict[str, dict[str, str]]:
    """What each case becomes, by host and name."""
    roles = sorted({role for named in cases.values() for role, _template, _changed in named.values()})
    plays = [play(top, host, named, roles, work) for host, named in cases.items()]
    (work / "hosts.yml").write_text(yaml.safe_dump(inventory()))
    (work / "render.yml").write_text(yaml.safe_dump(plays))
    managed = "ansible_managed = " + "\n    ".join(MANAGED)
    (work / "ansible.cfg").write_text((top / "ansible.cfg").read_text().replace("[defaults]", f"[defaults]\n{managed}"))
    environment = ansible_runs.environment(ANSIBLE_CONFIG=str(work / "ansible.cfg"), ANSIBLE_LOCALHOST_WARNING="false")
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", work / "hosts.yml", "--tags", "render", work / "render.yml"],
        cwd=work, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: json.loads((work / f"{host}.json").read_text()) for host in cases}
