# SPDX-License-Identifier: GPL-3.0-or-later
"""What topology.yml finds holds for the plays that come after it; where it finds nothing, none comes after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml

ADDRESSES = {"db1": "192.0.2.31", "db2": "192.0.2.32", "db3": "192.0.2.33"}
LATER = "A later play"
ASKING = {
    "Gather the role of the server",
    "Gather the role of servers that the limit leaves out",
    "Record the role of each of them",
}


def said(writable: bool = False, follows: str = "", executed: str = "0-1-100") -> dict[str, Any]:
    """What the module mysql_replication_info returned."""
    channel = {
        "name": "",
        "source": {"host": ADDRESSES.get(follows, ""), "port": 3306, "user": "replication", "id": follows[2:]},
        "receiver": {"state": "on", "errno": 0, "error": ""},
    }
    return {
        "engine": {"report_host": ""},
        "role": {"observed": "replica" if follows else "standalone", "writable": writable},
        "channels": [channel] if follows else [],
        "history": {"mariadb": True, "identity": "", "executed": executed, "applied": "", "position": executed},
        "schemas": ["shop"],
        "primary_marker": False,
    }


@pytest.fixture
def sources(top, tmp_path):
    """Whom a later play has each replica follow, and all that the run said."""

    def run(*words: str, **servers: dict[str, Any]) -> tuple[dict[str, str], str]:
        hosts = {
            name: {
                "webstack_address": ADDRESSES[name],
                "__webstack_replication": {**server, "history": {**server["history"], "identity": name[2:]}},
            }
            for name, server in servers.items()
        }
        primary = {"hosts": {"db1": hosts.pop("db1")}}
        children = {"mysql": {"children": {"mysql_primary": primary, "mysql_replica": {"hosts": hosts}}}}
        inventory = {"all": {"vars": {"ansible_connection": "local", "ansible_become": False}, "children": children}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        role = top / "roles" / "mysql_replica"
        message = "{{ inventory_hostname }} follows {{ mysql_replica_source }}, or not: {{ __mysql_replica_objection }}"
        find = yaml.safe_load((top / "playbooks" / "topology.yml").read_text())
        # What they would have said is in the inventory.
        find[0]["tasks"] = [task for task in find[0]["tasks"] if task["name"] not in ASKING]
        plays = [
            *find,
            {
                "name": LATER,
                "hosts": "webstack_replica_nodes",
                "gather_facts": False,
                "vars_files": [str(role / "defaults" / "main.yml"), str(role / "vars" / "main.yml")],
                "tasks": [
                    {
                        "name": "Load the names of the stack",
                        "ansible.builtin.import_role": {"name": "pentad.webstack.topology", "rolespec_validate": False},
                    },
                    {"name": "Tell", "ansible.builtin.debug": {"msg": message}},
                ],
            },
        ]
        (tmp_path / "site.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("ansible-playbook"), "-i", tmp_path / "hosts.yml"),
                *(tmp_path / "site.yml", *words),
            ],
            env=ansible_runs.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        told = " ".join((done.stdout + done.stderr).split())
        found = {}
        for name in ADDRESSES:
            _before, there, after = told.partition(f"{name} follows ")
            if there:
                found[name] = after.split(",")[0]
        return (found if done.returncode == 0 else {}), told

    return run


def test_all_replicas_follow_the_promoted_one(sources):
    """The old primary is not pointed at itself."""
    found, words = sources(db1=said(follows="db2"), db2=said(writable=True), db3=said(follows="db2"))
    assert found == {"db1": "db2", "db3": "db2"}, words


def test_a_limit_that_leaves_the_primary_out_does_not_hide_it(sources):
    found, words = sources("--limit", "db3", db1=said(follows="db2"), db2=said(writable=True), db3=said(follows="db2"))
    assert found == {"db3": "db2"}, words


def test_a_fresh_set_follows_the_one_of_the_inventory(sources):
    empty = {**said(executed=""), "schemas": []}
    found, words = sources(db1=empty, db2=empty)
    assert found == {"db2": "db1"}, words


def test_what_the_primary_lacks_is_an_objection(sources):
    found, words = sources(db1=said(), db2=said(writable=True), db3=said(follows="db1", executed="0-1-101"))
    assert found["db3"] == "db2"
    assert "or not: db3 follows 192.0.2.31 and has transactions that the primary db2 lacks (0-1-101)" in words


def test_two_writers_end_the_run(sources):
    found, words = sources(db1=said(writable=True), db2=said(writable=True))
    assert found == {}
    assert "db1 and db2 both take writes: decide which one is the primary" in words
    assert LATER not in words


def test_a_former_primary_of_mariadb_goes_on_where_it_stopped(top):
    """Without it the channel begins at the position of an earlier role, or at none."""
    tasks = yaml.safe_load((top / "roles" / "mysql_replica" / "tasks" / "configure.yml").read_text())
    channel = next(task for task in tasks if "pentad.webstack.mysql_replication_channel" in task)
    assert channel["pentad.webstack.mysql_replication_channel"]["demote"] is True
