# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of failover.yml and rejoin.yml, on nodes whose modules answer as a test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from stubbed_modules import ADDRESSES, DATABASES, WEB, Stage, history, server

MODULES = (
    "haproxy_server", "host_config", "mariadb_seed", "mysql_clone", "mysql_clone_donor_info", "mysql_events",
    "mysql_fence", "mysql_primary_sightings", "mysql_replica_settle", "mysql_replication_channel",
    "mysql_replication_info", "mysql_replication_verify", "mysql_saved_transactions", "mysql_settings",
)  # fmt: skip
LOGIN = {"login_unix_socket": "/run/mysqld/mysqld.sock", "login_user": "", "login_password": ""}
BLIND = {"alive": False, "seen": [], "unseen": ["its port 3306 is closed"], "writable": None}
STOPPED = {"changed": True, "active": "inactive", "killed": False}
REFUSED = {"changed": True, "backends": {"mysql_primary": "MAINT"}}
EVENT = {"schema": "shop", "name": "tidy"}
AWAY = {"failed": True, "msg": "/run/mysqld/mysqld.sock cannot be reached"}


def settled(name: str, applied: int = 0, **written: int) -> dict[str, Any]:
    """What mysql_replica_settle returns of it."""
    now = history(name, **(written or {"db1": 100}))
    return {"changed": True, "history": now, "received": now, "applied": applied, "error": "", "channels": [""]}


class Stack(Stage):
    """Five nodes: three databases, of which db1 was the primary, and two web nodes."""

    def __init__(self, top: Path) -> None:
        super().__init__(top, MODULES)
        self.away: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()
        self.refused: list[str] = []

    def run_plays(self, plays: list[dict[str, Any]], *words: str) -> bool:
        """Run these plays on the nodes that are not away."""
        groups = {
            "mysql": {"hosts": {host: {"webstack_address": ADDRESSES[host]} for host in DATABASES}},
            "mysql_primary": {"hosts": {"db1": {}}},
            "web": {"hosts": {host: {"__webstack_survey": {"haproxy": {"maintained": self.refused}}} for host in WEB}},
            "webstack_nodes": {"hosts": {host: {} for host in ADDRESSES if host not in self.left_out}},
            "webstack_prepared": {"hosts": {host: {} for host in ADDRESSES if host not in self.away}},
        }
        variables = {"ansible_connection": "local", "ansible_become": False, "webstack_mysql_engine": "mariadb"}
        self.inventory = {"all": {"hosts": {host: {} for host in ADDRESSES}, "vars": variables, "children": groups}}
        internal = {
            "__mysql_failover_record": f"{self.top}/record-{{{{ inventory_hostname }}}}",
            "webstack_mysql_primary_marker": f"{self.top}/marker-{{{{ inventory_hostname }}}}",
            "__haproxy_save_state": "/bin/true",
            "__webstack_source_reading": f"{self.top}/source-{{{{ inventory_hostname }}}}",
        }
        return super().run_plays(plays, "-e", json.dumps(internal), *words)

    def order(self) -> list[str]:
        """The modules in the order in which they were first used, without those that only read."""
        reading = {"mysql_replication_info", "mysql_primary_sightings"}
        return list(dict.fromkeys(name for _host, name, _options in self.calls if name not in reading))

    def record(self, host: str) -> Path:
        return self.top / f"record-{host}"


def without_primary(top: Path) -> Stack:
    """A primary that is gone, and two replicas; db3 is ahead of db2."""
    found = Stack(top)
    for host in ADDRESSES:
        found.says(host, "mysql_primary_sightings", BLIND)
    for host in WEB:
        found.says(host, "haproxy_server", REFUSED)
    found.says("db1", "mysql_replication_info", AWAY)
    found.says("db1", "mysql_fence", STOPPED)
    opened = server("db3", writable=True)
    found.says("db2", "mysql_replication_info", server("db2", "db1", db1=90), server("db2", "db1"))
    found.says("db3", "mysql_replication_info", server("db3", "db1"), opened)
    found.says("db2", "mysql_replica_settle", settled("db2", db1=90))
    found.says("db3", "mysql_replica_settle", settled("db3", applied=496))
    found.says("db1", "mysql_saved_transactions", {"changed": False, "count": 0, "transactions": [], "file": ""})
    return found


@pytest.fixture
def stack(tmp_path):
    return without_primary(tmp_path)


@pytest.fixture(scope="module")
def failed_over(tmp_path_factory):
    """One whose primary was replaced; an event waits on the new one."""
    found = without_primary(tmp_path_factory.mktemp("failed_over"))
    waits = {"events": {"enabled": [], "waiting": [EVENT]}}
    found.says("db3", "mysql_replication_info", server("db3", "db1"), {**server("db3", writable=True), **waits})
    for host in ("db2", "db3"):
        (found.top / f"source-{host}").touch()
    assert found.run("failover"), found.output
    return found


def test_a_primary_that_is_gone_is_replaced_in_this_order(failed_over):
    assert failed_over.order() == [
        "mysql_fence", "mysql_replica_settle", "mysql_replication_channel", "host_config", "mysql_settings",
        "mysql_saved_transactions",
    ]  # fmt: skip
    assert set(failed_over.told("mysql_primary_sightings")) == set(ADDRESSES)
    # A receiver is asked where one is.
    asked = failed_over.told("mysql_primary_sightings")
    assert {host for host, options in asked.items() if options.get("login_unix_socket")} == {"db2", "db3"}
    assert set(failed_over.told("mysql_fence")) == {"db1"}
    assert set(failed_over.told("mysql_replica_settle")) == {"db2", "db3"}
    assert set(failed_over.told("mysql_settings")) == {"db3"}
    assert failed_over.told("mysql_settings")["db3"]["settings"] == {"read_only": False}
    channels = [
        (host, options["state"]) for host, name, options in failed_over.calls if name == "mysql_replication_channel"
    ]
    assert channels == [("db3", "absent"), ("db2", "started")]
    assert failed_over.told("mysql_replication_channel")["db2"]["source_host"] == ADDRESSES["db3"]
    for words in (
        "db1 is fenced: its server is stopped, and kept from starting",
        "db3 had received 496 transactions that it applied now.",
        "db3 is the primary and takes writes.",
        "db2 follows db3.",
        "Nothing is missing: db1 has nothing in its binary logs that db3 lacks.",
        "run rejoin.yml with -e mysql_rejoin=db1",
    ):
        assert words in failed_over.output
    assert not failed_over.record("db3").exists()


@pytest.mark.parametrize("playbook", [("failover",), ("rejoin", "-e", "mysql_rejoin=db1")])
def test_a_database_server_that_the_limit_leaves_out_is_named(stack, playbook):
    stack.left_out = stack.away = ("db2", "db3")
    assert not stack.run(*playbook)
    assert "--limit leaves out db2 and db3, which has to be asked" in " ".join(stack.output.split())
    assert stack.order() == []


def test_what_enables_the_events_is_told(failed_over):
    told = "Scheduled events wait on db3 (shop.tidy): rejoin.yml and site.yml enable those that db1 ran"
    assert told in failed_over.output


def test_the_new_primary_keeps_no_reading_of_the_old_one(failed_over):
    assert [(failed_over.top / f"source-{host}").exists() for host in ("db2", "db3")] == [True, False]


def test_a_primary_that_somebody_sees_is_left_alone(stack):
    seen = {"alive": True, "seen": ["its port 3306 sends a greeting"], "unseen": [], "writable": True}
    stack.says("web2", "mysql_primary_sightings", seen)
    assert not stack.run("failover")
    assert "db1 is still seen (web2: its port 3306 sends a greeting), though not by" in stack.output
    assert stack.order() == []


def test_a_node_that_is_away_is_fenced_by_every_web_node(stack):
    stack.away = ("db1",)
    assert stack.run("failover"), stack.output
    assert stack.order()[0] == "haproxy_server"
    refused = stack.told("haproxy_server")
    assert set(refused) == set(WEB)
    assert [refused["web1"][name] for name in ("name", "state", "backends")] == [
        "db1",
        "maintenance",
        ["mysql_primary"],
    ]
    assert "db1 is fenced: every web node (web1, web2) refuses it" in stack.output
    assert "Possibly missing on db3: everything that db1 committed after 0-1-100." in stack.output


def test_without_a_fence_nothing_is_opened_until_the_operator_confirms(stack):
    stack.away = ("db1", "web2")
    assert not stack.run("failover")
    assert "db1 cannot be fenced: its node does not answer, and web2 could not be told" in stack.output
    assert stack.order() == ["haproxy_server"]
    assert stack.run("failover", "-e", "mysql_failover_confirmed=db1"), stack.output
    assert "mysql_failover_confirmed = db1: the operator says that db1 takes no writes" in stack.output


def test_a_replica_that_is_away_is_named_before_the_opening_and_at_the_end(stack):
    stack.says("db2", "mysql_replication_info", AWAY)
    assert stack.run("failover"), stack.output
    told = stack.output.index("db2 does not answer, and what was received there alone will be missing")
    assert told < stack.output.index("Let the server take writes")
    assert "db2 does not answer and was left out: when it is back, run site.yml" in stack.output


def test_where_it_may_have_what_was_confirmed_nothing_is_fenced(stack):
    stack.says("db2", "mysql_replication_info", AWAY)
    waiting = {**server("db3", "db1"), "acknowledging": {"wanted": 1, "connected": 0}}
    stack.says("db3", "mysql_replication_info", waiting, server("db3", writable=True))
    assert not stack.run("failover")
    assert "db2 does not answer, and what db1 has confirmed last may be there alone" in stack.output
    assert stack.order() == []
    assert stack.run("failover", "-e", "mysql_failover_confirmed=db2"), stack.output


def test_a_wanted_successor_must_lack_nothing(stack):
    assert not stack.run("failover", "-e", "mysql_new_primary=db2")
    assert "mysql_new_primary = db2 lacks transactions that db3 has (0-1-100): name db3, or none." in stack.output
    assert stack.order() == ["mysql_fence", "mysql_replica_settle"]


def test_a_run_that_ended_at_the_opening_is_finished_by_the_next_one(stack):
    stack.says("db3", "mysql_replication_channel", {"failed": True, "msg": "the run was killed"})
    assert not stack.run("failover")
    assert json.loads(stack.record("db3").read_text())["old"] == "db1"
    # Nothing tells any more whom it followed.
    stack.says("db3", "mysql_replication_info", server("db3"), server("db3", writable=True))
    stack.says("db2", "mysql_replication_info", AWAY, AWAY)
    stack.says("db3", "mysql_replica_settle", {**settled("db3"), "channels": []})
    stack.says("db3", "mysql_replication_channel", {"changed": True})
    assert stack.run("failover"), stack.output
    assert "db3 is the primary and takes writes." in stack.output
    assert not stack.record("db3").exists()


def test_a_run_that_ended_after_the_opening_has_the_others_follow(stack):
    stack.record("db3").write_text(json.dumps({"old": "db1", "identity": "1"}))
    stack.says("db3", "mysql_replication_info", server("db3", writable=True))
    assert stack.run("failover"), stack.output
    assert stack.told("mysql_primary_sightings") == {}
    assert set(stack.told("mysql_replication_channel")) == {"db2"}
    assert stack.told("mysql_settings") == {}
    assert not stack.record("db3").exists()


def test_check_mode_says_what_would_be_done(stack):
    assert stack.run("failover", "--check"), stack.output
    assert "db3 would be the primary and would take writes." in stack.output
    assert not stack.record("db3").exists()


def test_the_proof_of_the_new_primary_expects_no_replica_that_is_away(stack):
    task = {
        "import_role": {"name": "pentad.webstack.proof", "tasks_from": "replication"},
        "when": "'db3' in inventory_hostname",
    }
    play = {"hosts": "webstack_prepared", "gather_facts": False, "roles": ["pentad.webstack.topology"], "tasks": [task]}
    choice = {"__webstack_choice": {"primary": "db3", "silent": ["db1"]}, "proof_primary": "db3"}
    assert stack.run_plays([play], "-e", json.dumps(choice)), stack.output
    assert stack.told("mysql_replication_verify")["db3"]["expected_replicas"] == [ADDRESSES["db2"]]


# --- what a server is told when it is opened or closed ---------------------------------------------------------------


def opened(stack: Stack, engine: str, **observed: Any) -> list[tuple[str, Any]]:
    """The settings that the role mysql_primary gives a server that it opens, in their order."""
    stack.says("db2", "mysql_replication_info", {**server("db2"), **observed})
    role = {"name": "pentad.webstack.mysql_primary", "tasks_from": "open"}
    gather = {"name": "pentad.webstack.topology", "tasks_from": "replication"}
    tasks = [{"import_role": gather}, {"import_role": role}]
    play = {"hosts": "db2", "gather_facts": False, "roles": ["pentad.webstack.topology"], "tasks": tasks}
    assert stack.run_plays([play], "-e", f"webstack_mysql_engine={engine}"), stack.output
    return list(stack.told("mysql_settings")["db2"]["settings"].items())


@pytest.mark.parametrize(
    ("engine", "waits"),
    [("mysql", "rpl_semi_sync_source_wait_no_replica"), ("mariadb", "rpl_semi_sync_master_wait_no_slave")],
)
def test_a_primary_waits_for_its_replicas_before_it_is_opened(stack, engine, waits):
    told = opened(stack, engine, acknowledging={"wanted": 1, "connected": 1})
    assert (told[0], told[-1]) == ((waits, True), ("read_only", False))
    # Without a replica it would wait for ever.
    assert waits not in dict(opened(stack, engine, acknowledging={"wanted": 1, "connected": 0}))


def test_a_server_that_is_opened_lets_clients_in_before(stack):
    assert opened(stack, "mysql") == [("offline_mode", False), ("super_read_only", False), ("read_only", False)]
    assert opened(stack, "mariadb") == [("read_only", False)]


@pytest.mark.parametrize(("engine", "closing"), [("mysql", "super_read_only"), ("mariadb", "read_only")])
def test_a_replica_that_is_open_to_administrators_is_closed(stack, engine, closing):
    follow = {"name": "pentad.webstack.mysql_replica", "tasks_from": "configure"}
    gather = {"name": "pentad.webstack.topology", "tasks_from": "replication"}
    tasks = [{"import_role": gather}, {"import_role": follow, "vars": {"mysql_replica_wait": 0}}]
    play = {"hosts": "db2", "gather_facts": False, "roles": ["pentad.webstack.topology"], "tasks": tasks}
    for observed, told in (({closing: False}, {closing: True}), ({closing: True}, None)):
        found = server("db2", "db1")
        stack.says("db2", "mysql_replication_info", {**found, "role": {**found["role"], **observed}})
        assert stack.run_plays([play], "-e", f"webstack_mysql_engine={engine}"), stack.output
        assert stack.told("mysql_settings").get("db2", {}).get("settings") == told


# --- the dead one stays dead: each playbook accepts the way out that the other one names -----------------------------


def opens(stack: Stack, *words: str) -> bool:
    """Whether site.yml would open the primary that it finds, before it changes anything."""
    role = stack.collection / "roles" / "mysql_primary"
    plays = yaml.safe_load((stack.collection / "playbooks" / "topology.yml").read_text())[:1]
    tasks = yaml.safe_load((role / "tasks" / "configure.yml").read_text())
    plays.append(
        {
            "hosts": "webstack_primary_node",
            "gather_facts": False,
            "vars_files": [str(role / "vars" / "main.yml")],
            "roles": ["pentad.webstack.topology"],
            "tasks": [task for task in tasks if task["name"] == "Fail if another server may take writes"],
        }
    )
    return stack.run_plays(plays, *words)


def test_a_new_primary_that_was_restarted_is_opened_without_the_dead_one(stack):
    stack.away = ("db1",)
    stack.says("db2", "mysql_replication_info", {**server("db2"), "primary_marker": True})
    stack.says("db3", "mysql_replication_info", server("db3", "db2"))
    for host in ADDRESSES:
        closed = {"alive": True, "seen": ["its port 3306 sends a greeting"], "unseen": [], "writable": False}
        stack.says(host, "mysql_primary_sightings", closed)
    way_out = "-e", "mysql_failover_confirmed=db1"
    assert not stack.run("failover")
    assert "db2 is alive and takes no writes" in stack.output
    assert f"run site.yml, which opens it if it has all that the others have, with {' '.join(way_out)}" in stack.output
    assert not opens(stack)
    assert f"run this again with {' '.join(way_out)}" in stack.output
    assert opens(stack, *way_out), stack.output
    stack.refused = ["mysql_primary/db1"]
    assert opens(stack), stack.output


# --- the way back ---------------------------------------------------------------------------------------------------


def with_old_primary(stack: Stack) -> Stack:
    """The old primary is back, and another one in its place."""
    stack.says("db1", "mysql_replication_info", AWAY, server("db1"))
    stack.says("db1", "mysql_fence", {"changed": True, "active": "active", "killed": False})
    stack.says("db1", "mariadb_seed", {"changed": False, "action": "none"})
    stack.says("db2", "mysql_replication_info", server("db2", "db3"))
    stack.says("db3", "mysql_replication_info", server("db3", writable=True, db1=100, db3=50))
    for host in WEB:
        stack.says(host, "haproxy_server", {"changed": True, "backends": {"mysql_primary": "UP"}, "maintained": []})
    return stack


REJOIN = ("-e", "mysql_rejoin=db1")


@pytest.fixture
def replaced(stack):
    return with_old_primary(stack)


def have_event(stack: Stack) -> Stack:
    """An event runs on the old primary, and waits on the new one."""
    runs, waits = ({"events": {"enabled": [], "waiting": [], kind: [EVENT]}} for kind in ("enabled", "waiting"))
    stack.says("db1", "mysql_replication_info", AWAY, {**server("db1"), **runs})
    stack.says("db3", "mysql_replication_info", {**server("db3", writable=True, db1=100, db3=50), **waits})
    return stack


@pytest.fixture
def with_event(replaced):
    return have_event(replaced)


@pytest.fixture(scope="module")
def rejoined(tmp_path_factory):
    """One that took its old primary back."""
    found = have_event(with_old_primary(without_primary(tmp_path_factory.mktemp("rejoined"))))
    assert found.run("rejoin", *REJOIN), found.output
    return found


def test_one_that_has_nothing_of_its_own_follows_by_its_position(rejoined):
    assert rejoined.told("mysql_fence")["db1"]["state"] == "released"
    assert set(rejoined.told("mysql_replication_channel")) == {"db1"}
    assert rejoined.told("mysql_replication_channel")["db1"]["source_host"] == ADDRESSES["db3"]
    assert rejoined.told("mysql_saved_transactions") == {}
    assert {options["state"] for options in rejoined.told("haproxy_server").values()} == {"unmaintained"}
    # It is let back only when it follows, and waited for after that.
    assert rejoined.order()[-2:] == ["haproxy_server", "mysql_replication_verify"]


def test_events_run_on_the_new_primary_and_nowhere_else(rejoined):
    acts = [
        (host, options.get("settings") or options.get("state") or options["events"])
        for host, name, options in rejoined.calls
        if name in {"mysql_settings", "mysql_events"}
    ]
    # The scheduler stands still until none of them runs there any more.
    assert acts == [
        ("db1", {"event_scheduler": False}),
        ("db3", [EVENT]),
        ("db1", "waiting"),
        ("db1", {"event_scheduler": True}),
    ]
    names = [name for _host, name, _options in rejoined.calls]
    # The role is gathered with the scheduler stopped, so that what is compared is all that there is.
    stopped = names.index("mysql_settings")
    assert names.index("mysql_fence") < stopped < len(names) - names[::-1].index("mysql_replication_info")
    assert names.index("mysql_events") < names.index("mysql_replication_channel")


def test_a_scheduler_that_stood_still_stays_so(with_event):
    with_event.says("db1", "mysql_settings", {"changed": False})
    assert with_event.run("rejoin", *REJOIN), with_event.output
    assert with_event.told("mysql_settings")["db1"]["settings"] == {"event_scheduler": False}
    assert with_event.told("mysql_events")["db1"]["state"] == "waiting"


def test_a_scheduler_that_an_interrupted_run_has_stopped_runs_again(with_event):
    with_event.says("db1", "mysql_settings", {"changed": False})
    settings = json.dumps({"mysql_server_settings": {"event-scheduler": "on"}})
    assert with_event.run("rejoin", *REJOIN, "-e", settings), with_event.output
    assert with_event.told("mysql_settings")["db1"]["settings"] == {"event_scheduler": True}


LOST = {"changed": True, "count": 5, "transactions": ["0-1-101"], "purged": "", "torn": ""}


@pytest.fixture
def errant(replaced):
    """It has transactions that the new primary lacks."""
    saved = replaced.top / "db1-0f3a.sql"
    saved.write_text("-- 5 transactions\n")
    replaced.says("db1", "mysql_replication_info", AWAY, server("db1", db1=105))
    replaced.says("db1", "mysql_saved_transactions", {**LOST, "file": str(saved)})
    return replaced


def test_what_only_it_has_is_saved_and_given_up_by_name_alone(errant):
    errant.answers["db1"]["mysql_saved_transactions"][0].update(purged="0-1-101", torn="cut")
    assert not errant.run("rejoin", *REJOIN)
    for words in (
        "db1 has transactions that db3 lacks (0-1-105)",
        "5 of them are saved in",
        "No longer in its binary logs: 0-1-101.",
        "The last of them ends in the middle (cut)",
        "-e mysql_replica_rebuild=db1",
    ):
        assert words in errant.output
    assert errant.told("mysql_replication_channel") == errant.told("mariadb_seed") == {}
    fetched = errant.top / ".webstack" / "transactions" / "db1-0f3a.sql"
    assert fetched.read_text() == "-- 5 transactions\n"
    assert errant.told("haproxy_server") == {}


def test_where_it_is_named_its_data_are_replaced_after_they_were_saved(errant):
    assert errant.run("rejoin", *REJOIN, "-e", '{"mysql_replica_rebuild": ["db1"]}'), errant.output
    order = errant.order()
    assert order.index("mysql_saved_transactions") < order.index("mariadb_seed")
    assert errant.told("mariadb_seed")["db1"]["overwrite"] is True


def test_where_some_of_them_cannot_be_saved_its_data_stay(errant):
    errant.says("db1", "mysql_saved_transactions", {**LOST, "count": 0, "file": "", "purged": "0-1-101"})
    assert not errant.run("rejoin", *REJOIN, "-e", '{"mysql_replica_rebuild": ["db1"]}')
    assert "None of them is saved. No longer in its binary logs: 0-1-101. Dump what is wanted" in errant.output
    assert "site.yml with -e mysql_replica_rebuild=db1" in errant.output
    assert errant.told("mariadb_seed") == {}


def test_a_fence_after_which_nothing_was_opened_is_taken_back(replaced):
    replaced.says("db2", "mysql_replication_info", server("db2", "db1"))
    replaced.says("db3", "mysql_replication_info", server("db3", "db1"))
    assert not replaced.run("rejoin", *REJOIN)
    assert "db1 could follow; it runs and takes no writes: run site.yml" in replaced.output
    assert replaced.order() == ["mysql_fence", "haproxy_server"]
    assert replaced.told("mysql_fence")["db1"]["state"] == "released"
    assert {options["state"] for options in replaced.told("haproxy_server").values()} == {"unmaintained"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "mysql_rejoin = names no host of the group mysql"),
        (("-e", "mysql_rejoin=web1"), "mysql_rejoin = web1 names no host of the group mysql"),
        (("-e", "mysql_rejoin=db3"), "db3 cannot rejoin, as no other server, or more than one, takes writes"),
    ],
)
def test_one_that_cannot_rejoin_is_refused(replaced, words, told):
    assert not replaced.run("rejoin", *words)
    assert told in replaced.output
    assert replaced.order() == []


def test_one_that_is_away_is_told(replaced):
    replaced.away = ("db1",)
    assert not replaced.run("rejoin", *REJOIN)
    assert "mysql_rejoin = db1 does not answer: start the machine" in replaced.output


def test_a_second_writer_is_not_made_a_replica(replaced):
    replaced.says("db1", "mysql_replication_info", server("db1", writable=True))
    assert not replaced.run("rejoin", *REJOIN)
    assert "db1 takes writes, and so does db3: decide which one is the primary" in replaced.output
    assert replaced.order() == []


def test_one_on_mysql_follows_as_well(replaced):
    assert replaced.run("rejoin", *REJOIN, "-e", "webstack_mysql_engine=mysql"), replaced.output
    assert set(replaced.told("mysql_replication_channel")) == {"db1"}
    assert replaced.told("mysql_events") == {}


def test_one_that_takes_writes_behind_its_fence_is_put_back(replaced):
    replaced.refused = ["mysql_primary/db1"]
    replaced.says("db1", "mysql_replication_info", server("db1", writable=True))
    for host in ("db2", "db3"):
        replaced.says(host, "mysql_replication_info", server(host, "db1"))
    assert not replaced.run("rejoin", *REJOIN)
    assert "db1 is the only server that takes writes, so nothing has replaced it." in " ".join(replaced.output.split())
    assert replaced.order() == ["haproxy_server"]
    assert {options["state"] for options in replaced.told("haproxy_server").values()} == {"unmaintained"}


def test_one_that_comes_back_before_another_is_opened_keeps_its_place(stack):
    stack.says("db2", "mysql_primary_sightings", BLIND, {**BLIND, "alive": True, "writable": True})
    assert not stack.run("failover")
    assert "db1 has come back and takes writes" in stack.output
    assert "rejoin.yml -e mysql_rejoin=db1" in stack.output
    assert stack.told("mysql_settings") == {}


def test_one_that_has_thawed_is_closed_where_the_web_nodes_refuse_it(replaced):
    replaced.refused = ["mysql_primary/db1"]
    replaced.says("db1", "mysql_replication_info", server("db1", writable=True), server("db1"))
    assert replaced.run("rejoin", *REJOIN), replaced.output
    [first, *_rest] = [call for call in replaced.calls if call[1] == "mysql_settings"]
    assert first == ("db1", "mysql_settings", {**LOGIN, "settings": {"read_only": True}})
    assert replaced.order()[0] == "mysql_settings"
    assert set(replaced.told("mysql_replication_channel")) == {"db1"}
