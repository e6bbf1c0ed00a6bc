# SPDX-License-Identifier: GPL-3.0-or-later
"""What switchover.yml refuses, what it writes on which node and when, and what stays after a failure."""

from __future__ import annotations

from typing import Any

import pytest
from stubbed_modules import ADDRESSES, DATABASES, Stage, server

MODULES = ("host_config", "mysql_events", "mysql_replication_info", "mysql_settings", "mysql_switchover")
SWITCHED = {
    "changed": True, "outcome": "switched", "old": "db1", "new": "db2", "steps": [], "seconds_without_writer": 0.09,
    "ended_transactions": [], "ended_sessions": [], "scheduler_stopped": False, "problems": [],
}  # fmt: skip
EVENT = {"schema": "shop", "name": "tidy"}


def observed(name: str, follows: str = "", *, marker: bool = False, **events: list[dict[str, str]]) -> dict[str, Any]:
    """What mysql_replication_info returns of a server, with its scheduled events."""
    found = server(name, follows, writable=not follows)
    return {**found, "primary_marker": marker, "events": {**found["events"], **events}}


class Stack:
    """Three database servers, of which db1 is the primary, and db2 after the module has run."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.hosts = stage, {name: {"webstack_address": ADDRESSES[name]} for name in DATABASES}
        stage.says("db1", "mysql_replication_info", observed("db1", marker=True, enabled=[EVENT]), self.after("db1"))
        stage.says("db2", "mysql_replication_info", observed("db2", "db1", waiting=[EVENT]), self.after("db2"))
        stage.says("db3", "mysql_replication_info", observed("db3", "db1"), self.after("db3"))
        stage.says("db1", "mysql_switchover", SWITCHED)
        self.web: dict[str, Any] = {"__webstack_survey": {"haproxy": {"maintained": ["mysql_replica/db2"]}}}
        for name in DATABASES:
            self.marker("primary", name, exists=name == "db1")
            self.marker("handover", name, exists=name == "db1")

    @staticmethod
    def after(name: str) -> dict[str, Any]:
        if name == "db2":
            return observed("db2", waiting=[EVENT])
        return observed(name, "db2", enabled=[EVENT] if name == "db1" else [])

    def marker(self, kind: str, host: str, exists: bool | None = None) -> bool:
        """Whether a node has a file; those that the module host_config would write are not written."""
        path = self.stage.top / f"{kind}-{host}"
        if exists:
            path.touch()
        return path.exists()

    def run(self, *words: str) -> bool:
        variables = {
            "ansible_connection": "local", "ansible_become": False, "webstack_mysql_engine": "mariadb",
            "webstack_mysql_primary_marker": f"{self.stage.top}/primary-{{{{ inventory_hostname }}}}",
            "webstack_mysql_handover_marker": f"{self.stage.top}/handover-{{{{ inventory_hostname }}}}",
            **{f"webstack_{name}_password": name for name in ("switchover", "replication")},
        }  # fmt: skip
        everybody = dict.fromkeys(self.hosts, {})
        groups = {
            "mysql": {"hosts": everybody}, "mysql_primary": {"hosts": {"db1": {}}},
            "webstack_prepared": {"hosts": everybody},
        }  # fmt: skip
        groups["web"] = {"hosts": {"web1": {"webstack_address": "192.0.2.21", **self.web}}}
        self.stage.inventory = {"all": {"hosts": {**self.hosts, "web1": {}}, "vars": variables, "children": groups}}
        return self.stage.run("switchover", *words)

    def move(self, *words: str) -> bool:
        return self.run("-e", "mysql_new_primary=db2", *words)

    def written(self) -> list[tuple[str, str, str]]:
        """Files that were written: host, file, and what stands in it."""
        top = f"{self.stage.top}/"
        return [
            (host, file["dest"].removeprefix(top), file["content"])
            for host, name, options in self.stage.calls
            if name == "host_config"
            for file in options["files"]
        ]


@pytest.fixture
def stack(tmp_path) -> Stack:
    return Stack(Stage(tmp_path, MODULES))


def test_the_records_of_the_nodes_move_with_the_primary(stack):
    assert stack.move(), stack.stage.output
    (first, second) = stack.written()
    assert first == ("db1", "handover-db1", "db2\n")
    assert second[:2] == ("db2", "primary-db2")
    order = [name for host, name, _options in stack.stage.calls if host in {"db1", "db2"} and name != "mysql_settings"]
    assert order.index("host_config") < order.index("mysql_switchover") < len(order) - order[::-1].index("host_config")
    assert [stack.marker(kind, "db1") for kind in ("primary", "handover")] == [False, False]
    options = stack.stage.told("mysql_switchover")
    assert set(options) == {"db1"}
    assert options["db1"]["new_primary"] == {"name": "db2", "address": "192.0.2.32", "port": 3306}
    assert [each["name"] for each in options["db1"]["replicas"]] == ["db3"]
    assert stack.stage.told("mysql_events")["db2"]["events"] == [EVENT]
    assert "db2 is the primary instead of db1; writes paused for 0.09 s." in stack.stage.output


def test_a_replica_with_a_source_of_its_own_keeps_it(stack):
    stack.hosts["db3"]["mysql_replica_source"] = "db1"
    assert stack.move(), stack.stage.output
    assert stack.stage.told("mysql_switchover")["db1"]["replicas"] == []


def test_the_scheduler_that_was_stopped_runs_again(stack):
    stack.stage.says("db1", "mysql_switchover", {**SWITCHED, "scheduler_stopped": True})
    assert stack.move(), stack.stage.output
    assert stack.stage.told("mysql_settings")["db1"]["settings"] == {"event_scheduler": True}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("", "mysql_new_primary = names no host of the group mysql"),
        ("web1", "mysql_new_primary = web1 names no host of the group mysql"),
        ("db1", "mysql_new_primary = db1 is the primary already, and nothing was changed"),
    ],
)
def test_a_wrong_name_is_refused(stack, named, said):
    assert not stack.run("-e", f"mysql_new_primary={named}")
    assert said in stack.stage.output
    assert not stack.written()


def test_one_that_a_web_node_refuses_is_not_made_the_primary(stack):
    stack.web = {"__webstack_survey": {"haproxy": {"maintained": ["mysql_primary/db2"]}}}
    assert not stack.move()
    assert "run rejoin.yml -e mysql_rejoin=db2, or name another server" in stack.stage.output
    assert not stack.written()


def test_one_that_takes_no_part_is_refused(stack):
    assert not stack.move("--limit", "db1,db3")
    assert "mysql_new_primary = db2 does not answer, or --limit leaves it out" in stack.stage.output


def test_in_check_mode_the_steps_are_told_and_nothing_follows(stack):
    steps = [{"name": "close", "server": "db1"}, {"name": "open", "server": "db2"}]
    stack.stage.says("db1", "mysql_switchover", {**SWITCHED, "outcome": "planned", "steps": steps})
    assert stack.move("--check"), stack.stage.output
    assert "in these steps: close (db1), open (db2)." in stack.stage.output
    assert "mysql_events" not in stack.stage.output
    assert stack.marker("primary", "db1")


@pytest.mark.parametrize("outcome", ["refused", "undone"])
def test_after_a_failure_that_was_undone_the_old_records_are_back(stack, outcome):
    failed = {"failed": True, "msg": "db2 is 20 s behind.", "outcome": outcome}
    stack.stage.says("db1", "mysql_switchover", {**SWITCHED, **failed})
    assert not stack.move()
    assert "db2 is 20 s behind." in stack.stage.output
    assert [each[:2] for each in stack.written()] == [("db1", "handover-db1"), ("db1", "primary-db1")]
    assert not stack.marker("handover", "db1")


@pytest.mark.parametrize("outcome", [{"outcome": "unknown"}, {}])
def test_while_nobody_knows_the_node_keeps_the_record_of_its_successor(stack, outcome):
    known = {name: value for name, value in SWITCHED.items() if name != "outcome"}
    stack.stage.says("db1", "mysql_switchover", {**known, "failed": True, "msg": "db1 stays closed.", **outcome})
    assert not stack.move()
    assert "db1 stays closed." in stack.stage.output
    assert [each[:2] for each in stack.written()] == [("db1", "handover-db1")]
    assert stack.marker("handover", "db1")
    assert not stack.marker("primary", "db1")
