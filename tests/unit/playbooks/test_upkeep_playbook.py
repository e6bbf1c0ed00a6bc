# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order upkeep.yml changes nodes, when it moves the primary before, and when it leaves the primary alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from places import TOP
from stubbed_modules import ADDRESSES, DATABASES, Stage, server

MODULES = (
    "haproxy_server", "host_config", "mysql_events", "mysql_replication_info", "mysql_replication_verify",
    "mysql_settings", "mysql_switchover", "rollout_lock", "web_node_wait",
)  # fmt: skip
# Modules of Ansible that would change this machine, or wait for a node.
BUILTIN = ("apt", "reboot", "stat", "wait_for", "wait_for_connection")
SWITCHED = {
    "changed": True, "outcome": "switched", "old": "db1", "new": "db2", "steps": [], "seconds_without_writer": 0.09,
    "ended_transactions": [], "ended_sessions": [], "scheduler_stopped": False, "problems": [],
}  # fmt: skip
REFUSED = {**SWITCHED, "failed": True, "outcome": "refused", "msg": "db2 is 20.0 s behind db1. Nothing was changed."}
UPGRADES = ({"changed": False}, {"changed": True, "stdout": "Inst mysql-server"}, {"changed": True})


class Site:
    """A balancer, two web nodes and two database servers, as the playbooks before have found them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.members = {"haproxy": ["lb1"], "web": ["web1", "web2"], "mysql": ["db1", "db2"]}
        self.primary, self.silent = "db1", list[str]()
        roles = stage.collection / "roles"
        roles.unlink()
        roles.mkdir()
        for role in (TOP / "roles").iterdir():
            if role.name in ("rollout", "upkeep"):
                self.copy(role.name)
            else:
                (roles / role.name).symlink_to(role)
        for host in ("lb1", "web1", "db2"):
            stage.says(host, "haproxy_server", {"changed": True, "backends": {"site": "UP"}})
        for host in ("lb1", *ADDRESSES):
            stage.says(host, "stat", {"changed": False, "stat": {"exists": False}})
        stage.says("db1", "mysql_switchover", SWITCHED)
        self.moves("db2")

    def copy(self, role: str) -> None:
        """Copy a role, with modules of this test in the place of those of Ansible."""
        for path in (TOP / "roles" / role).rglob("*.yml"):
            copied = self.stage.collection / path.relative_to(TOP)
            copied.parent.mkdir(parents=True, exist_ok=True)
            text = re.sub(rf"ansible\.builtin\.({'|'.join(BUILTIN)}):", r"pentad.webstack.\1:", path.read_text())
            copied.write_text(text)

    def moves(self, new: str) -> None:
        """The primary will be found on another server after it was moved."""
        for name in DATABASES:
            found = [server(name, "" if name == one else one, writable=name == one) for one in ("db1", new)]
            self.stage.says(name, "mysql_replication_info", *found)

    def run(self, *words: str, work: str = "reboot", **variables: Any) -> bool:
        replicas = [host for host in self.members["mysql"] if host != self.primary]
        members = {
            **self.members, "mysql_primary": ["db1"],
            "webstack_primary_node": [self.primary], "webstack_replica_nodes": replicas,
        }  # fmt: skip
        addresses = {"lb1": "192.0.2.11", **ADDRESSES}
        hosts = {host: {"webstack_address": addresses[host]} for names in self.members.values() for host in names}
        members |= {"webstack_nodes": list(hosts), "webstack_prepared": list(hosts)}
        for host in self.members["mysql"]:
            hosts[host]["__webstack_choice"] = {"primary": self.primary, "silent": self.silent}
            follows = "" if host == self.primary else self.primary
            hosts[host]["__webstack_replication"] = server(host, follows, writable=not follows)
        common = {
            "ansible_connection": "local", "ansible_become": False, "webstack_mysql_engine": "mariadb",
            "webstack_mysql_primary_marker": f"{self.stage.top}/primary-{{{{ inventory_hostname }}}}",
            "webstack_mysql_handover_marker": f"{self.stage.top}/handover-{{{{ inventory_hostname }}}}",
            **{f"webstack_{name}_password": name for name in ("switchover", "replication")},
        }  # fmt: skip
        groups = {group: {"hosts": dict.fromkeys(names, {})} for group, names in members.items()}
        self.stage.inventory = {"all": {"hosts": hosts, "vars": common, "children": groups}}
        extra = json.dumps({"upkeep_work": work, **variables})
        return self.stage.run("upkeep", "-e", extra, *words)

    def done(self) -> list[str]:
        """Nodes that were rebooted or upgraded, and from where to where the primary was moved, in order."""
        found, tried = [], []
        for host, module, options in self.stage.calls:
            # The first time it is only tried which packages there are.
            if module == "reboot" or (module == "apt" and "upgrade" in options and host in tried):
                found.append(host)
            elif module == "apt" and "upgrade" in options:
                tried.append(host)
            elif module == "mysql_switchover":
                found.append(f"{host} > {options['new_primary']['name']}")
        return found

    def drained(self) -> list[tuple[str, str, list[str]]]:
        """Who drained whom in which backends after the primary was moved."""
        calls = self.stage.calls
        moved = [module for _host, module, _options in calls].index("mysql_switchover")
        return [
            (host, options["name"], options["backends"])
            for host, module, options in calls[moved:]
            if module == "haproxy_server" and options["state"] == "drain"
        ]

    def said(self, text: str) -> bool:
        return text in self.stage.output


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(Stage(tmp_path, (*MODULES, *BUILTIN)))


MOVED = "db2 is the primary now, instead of db1: to move it back, run switchover.yml with -e mysql_new_primary=db1."


def test_the_primary_leaves_its_node_before_that_is_rebooted(site):
    assert site.run(), site.stage.output
    assert site.done() == ["web1", "web2", "db2", "db1 > db2", "db1"]
    assert (site.said("lb1 was left alone"), site.said("db1 was left alone"), site.said(MOVED)) == (True, False, True)
    assert site.drained() == [(web, "db1", ["mysql_replica"]) for web in ("web1", "web2")]
    assert site.stage.told("mysql_replication_verify")["db1"]["role"] == "replica"


def test_with_two_balancers_the_whole_site_is_rebooted(site):
    site.members["haproxy"] = ["lb1", "web1"]
    assert site.run(), site.stage.output
    assert site.done() == ["web1", "web2", "db2", "lb1", "db1 > db2", "db1"]
    assert not site.said("was left alone, because")


def test_a_primary_that_is_named_is_rebooted_where_it_is(site):
    assert site.run(upkeep_downtime=["db1"]), site.stage.output
    assert site.done() == ["web1", "web2", "db2", "db1"]
    assert site.stage.told("mysql_replication_verify")["db1"]["role"] == "primary"
    assert not site.said("is the primary now")


NOBODY = "no replica of its own can be the primary meanwhile"


@pytest.mark.parametrize(
    ("databases", "words", "variables", "done", "reason"),
    [
        (["db1"], [], {}, ["web1", "web2"], NOBODY),
        (["db1", "db2"], ["--limit", "db1"], {}, [], NOBODY),
        (["db1", "db2"], [], {"upkeep_switchover": False}, ["web1", "web2", "db2"], "upkeep_switchover is false"),
    ],
    ids=["alone", "limited", "by wish"],
)
def test_a_primary_that_nobody_replaces_is_left_alone(site, databases, words, variables, done, reason):
    site.members["mysql"] = databases
    assert site.run(*words, **variables), site.stage.output
    assert site.done() == done
    assert site.said(f"db1 was left alone, because {reason}: include it with -e")


def test_a_web_node_with_a_database_is_back_when_both_are(site):
    site.members["web"] = ["web1", "db1"]
    assert site.run(), site.stage.output
    assert site.done()[-2:] == ["db1 > db2", "db1"]
    # A balancer asks it.
    assert "db1" in [options["name"] for _host, module, options in site.stage.calls if module == "web_node_wait"]
    assert site.stage.told("mysql_replication_verify")["db1"]["role"] == "replica"


def test_a_switchover_that_is_refused_comes_after_all_the_others(site):
    site.members["haproxy"] = ["lb1", "web1"]
    site.stage.says("db1", "mysql_switchover", REFUSED)
    assert not site.run()
    assert site.done() == ["web1", "web2", "db2", "lb1", "db1 > db2"]
    assert site.said(REFUSED["msg"])
    assert not site.said("is the primary now")
    written = [file["dest"] for options in [site.stage.told("host_config")["db1"]] for file in options["files"]]
    assert written == [f"{site.stage.top}/primary-db1"], "it is the primary as before"


def test_in_check_mode_the_move_and_what_follows_are_told(site):
    site.stage.says("db1", "mysql_switchover", {**SWITCHED, "outcome": "planned"})
    assert site.run("--check"), site.stage.output
    assert site.said("This would move the primary from db1 to db2, then reboot db1.")
    assert not site.said("is the primary now")


def test_the_primary_moves_only_for_a_node_with_something_to_upgrade(site):
    site.stage.says("db1", "apt", *UPGRADES)
    assert site.run(work="upgrade"), site.stage.output
    assert site.done() == ["db1 > db2", "db1"]
    site.stage.answers["db2"]["apt"] = site.stage.answers["db1"].pop("apt")
    assert site.run(work="upgrade"), site.stage.output
    assert site.done() == ["db2"]


def test_after_an_interruption_the_former_primary_is_a_replica(site):
    site.primary = "db2"
    for host in ("lb1", *ADDRESSES):
        site.stage.says(host, "stat", {"changed": False, "stat": {"exists": host == "db1"}})
    assert site.run(upkeep_only_when_required=True), site.stage.output
    assert site.done() == ["db1"]


def test_of_several_replicas_a_healthy_one_becomes_the_primary(site):
    site.members["mysql"] = ["db1", "db2", "db3"]
    site.moves("db3")
    for host, verdict in (("db2", "critical"), ("db3", "warning")):
        site.stage.says(host, "mysql_replication_verify", {"changed": False, "verdict": verdict})
    assert site.run("--limit", "mysql"), site.stage.output
    assert site.done() == ["db2", "db3", "db1 > db3", "db1"]
    judged = [options for host, module, options in site.stage.calls if host == "db3" and "fail_on" in options]
    assert [(each["require_promotable"], each["fail_on"]) for each in judged] == [(True, "never")]


def test_a_replica_that_the_limit_leaves_out_is_not_changed(site):
    site.members["mysql"] = ["db1", "db2", "db3"]
    assert site.run("--limit", "db1,db2"), site.stage.output
    assert site.done() == ["db2", "db1 > db2", "db1"]
    assert site.stage.told("mysql_switchover")["db1"]["replicas"] == []


def test_a_primary_on_a_web_node_is_drained_as_one(site):
    site.members["web"] = ["db1", "web1", "web2"]
    assert site.run(), site.stage.output
    assert site.done() == ["web1", "web2", "db2", "db1 > db2", "db1"]
    assert site.drained() == [("lb1", "db1", [])]
