# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks registered on each host becomes a decision, or a refusal in a sentence."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.filter import failover
from ansible_collections.pentad.webstack.plugins.filter.topology import find_primary

ADDRESSES = {"db1": "192.0.2.31", "db2": "192.0.2.32", "db3": "192.0.2.33"}
GROUPS = {"mysql": list(ADDRESSES), "mysql_primary": ["db1"], "web": ["web1", "web2"]}
SILENT = {"unreachable": True}


def said(name: str, follows: str = "", **more: Any) -> dict[str, Any]:
    """What a server of MariaDB returned."""
    channel = {
        "source": {"host": ADDRESSES.get(follows, ""), "port": 3306, "id": follows[2:]},
        "receiver": {"state": "on"},
    }
    return {
        "role": {"writable": more.get("writable", False)},
        "channels": [channel] if follows else [],
        "history": {"mariadb": True, "identity": name[2:], "executed": more.get("executed", "0-1-100")},
        "schemas": ["shop"],
        "primary_marker": more.get("marker", False),
        "handed_over_to": more.get("handed_over_to", ""),
    }


def hosts(records: dict[str, dict[str, Any]] | None = None, **servers: Any) -> dict[str, dict[str, Any]]:
    """Variables of the hosts."""
    found: dict[str, dict[str, Any]] = {}
    for name, server in servers.items():
        found[name] = {"webstack_address": ADDRESSES[name], "__webstack_replication": server}
        if name in (records or {}):
            content = base64.b64encode(json.dumps((records or {})[name]).encode()).decode()
            found[name]["__mysql_failover_recorded"] = {"content": content}
    return found


def old(variables: dict[str, Any], preferred: str = "db1") -> tuple[str, str]:
    """Which primary is to be replaced, and which server has replaced it already."""
    found = failover.old_primary(variables, {"mysql": list(variables), "mysql_primary": [preferred]})
    assert not found["refusal"], found
    return found["old"], found["new"]


DEAD = {"db1": SILENT, "db2": said("db2", "db1"), "db3": said("db3", "db1")}
RECORD = {"db2": {"old": "db1", "identity": "1"}}


def test_the_one_that_the_others_follow_is_to_be_replaced():
    assert old(hosts(**DEAD)) == ("db1", "")
    assert old(hosts(**DEAD), preferred="db3") == ("db1", "")
    found = failover.old_primary(hosts(**DEAD), GROUPS)
    assert (found["identity"], found["address"]) == ("1", "192.0.2.31")


def test_one_whose_address_nobody_knows_has_that_by_which_it_is_followed():
    variables = hosts(**DEAD)
    del variables["db1"]["webstack_address"]
    assert failover.old_primary(variables, GROUPS)["address"] == ""
    # Of the channel only the identity can be matched, and a dead server tells none.
    variables["db1"]["webstack_address"] = "192.0.2.31"
    assert failover.old_primary(variables, GROUPS)["address"] == "192.0.2.31"


@pytest.mark.parametrize("preferred", ["db1", "db2"])
def test_one_that_ended_before_the_opening_keeps_its_primary(preferred):
    """Its successor follows nobody any more, and the inventory may name any."""
    servers = {"db1": SILENT, "db2": said("db2", marker=True)}
    assert old(hosts(RECORD, **servers), preferred) == ("db1", "")
    groups = {"mysql": list(servers), "mysql_primary": [preferred]}
    assert failover.old_primary(hosts(RECORD, **servers), groups)["identity"] == "1"


def test_address_and_identity_are_those_of_its_own_record():
    variables = hosts({"db2": {"old": "db1", "address": "192.0.2.31", "identity": "1"}}, db1=SILENT, db2=said("db2"))
    del variables["db1"]["webstack_address"]
    other = json.dumps({"old": "db3", "address": "192.0.2.33", "identity": "3"}).encode()
    variables["db1"]["__mysql_failover_recorded"] = {"content": base64.b64encode(other).decode()}
    found = failover.old_primary(variables, {"mysql": ["db1", "db2"], "mysql_primary": ["db1"]})
    assert (found["old"], found["address"], found["identity"]) == ("db1", "192.0.2.31", "1")


def test_one_that_ended_after_the_opening_has_its_successor_already():
    servers = {"db1": SILENT, "db2": said("db2", writable=True), "db3": said("db3", "db1")}
    assert old(hosts(RECORD, **servers)) == ("db1", "db2")
    # Without a record it is a primary like any other.
    assert old(hosts(**servers)) == ("db2", "")


def test_one_that_was_lost_in_the_middle_of_a_switchover_is_to_be_replaced():
    """It may have been opened; topology refuses to open the one that was closed for it."""
    servers = {"db1": said("db1", handed_over_to="db2"), "db2": SILENT, "db3": said("db3", "db1")}
    assert old(hosts(**servers)) == ("db2", "")
    assert "run failover.yml" in find_primary(hosts(**servers), GROUPS)["refusal"]
    # It is back, or another one writes.
    assert old(hosts(**{**servers, "db2": said("db2", "db1")})) == ("db1", "")
    assert old(hosts(**{**servers, "db3": said("db3", writable=True)})) == ("db3", "")


def test_one_that_its_successor_had_left_is_to_be_replaced():
    """The successor is closed and follows nobody, and the inventory names it already."""
    servers = {"db1": SILENT, "db2": said("db2")}
    assert find_primary(hosts(**servers), {"mysql": list(servers), "mysql_primary": ["db2"]})["primary"] == "db2"
    assert old(hosts(**servers), preferred="db2") == ("db1", "")
    # It was opened, or followed, or nobody can tell which one is lost.
    assert old(hosts(**{**servers, "db2": said("db2", writable=True)}), preferred="db2") == ("db2", "")
    assert old(hosts(**servers, db3=said("db3", "db2")), preferred="db2") == ("db2", "")
    assert old(hosts(**servers, db3=SILENT), preferred="db2") == ("db2", "")


def test_a_record_of_which_nothing_came_overrules_nobody():
    servers = {"db1": said("db1", "db3"), "db2": said("db2", "db3"), "db3": SILENT}
    assert old(hosts(RECORD, **servers)) == ("db3", "")


def test_a_record_that_was_cut_off_is_none():
    variables = hosts(RECORD, **DEAD)
    variables["db2"]["__mysql_failover_recorded"]["content"] = base64.b64encode(b'{"old": "d').decode()
    assert old(variables) == ("db1", "")
    variables["db2"]["__mysql_failover_recorded"] = {"failed": True, "msg": "not found"}
    assert old(variables) == ("db1", "")


def test_what_topology_refuses_is_refused():
    both = hosts(db1=said("db1", writable=True), db2=said("db2", writable=True))
    groups = {"mysql": ["db1", "db2"], "mysql_primary": ["db1"]}
    refusal = failover.old_primary(both, groups)["refusal"]
    assert refusal == find_primary(both, groups)["refusal"]
    assert "both take writes" in refusal


def test_hosts_that_were_not_asked_are_no_witnesses():
    blind = {"alive": False, "seen": [], "unseen": ["its port 3306 is closed"], "writable": None}
    variables = {
        "lb1": {"__mysql_failover_sighting": blind},
        "web1": {"__mysql_failover_sighting": blind},
        "web2": {},
        "db1": {"__mysql_failover_sighting": {"skipped": True, "changed": False}},
    }
    found = failover.primary_gone(variables, list(variables), "db1")
    assert found["refusal"] == ""
    assert found["text"].startswith("db1 is seen by none of lb1, web1 (")
    variables["web1"]["__mysql_failover_sighting"] = {"unreachable": True}
    assert "only lb1 could be asked" in failover.primary_gone(variables, list(variables), "db1")["refusal"]


@pytest.mark.parametrize(
    ("stopped", "refused", "held"),
    [
        ({"active": "inactive"}, [{}, {}], "its server is stopped"),
        ({"active": "failed"}, [{}, {}], "its server is stopped"),
        ({"active": "active"}, [{"backends": {"mysql_primary": "MAINT"}}] * 2, "every web node (web1, web2)"),
        ({"failed": True, "msg": "x"}, [{"backends": {"mysql_primary": "MAINT"}}] * 2, "every web node (web1, web2)"),
        ({"failed": True, "msg": "x"}, [{"backends": {"mysql_primary": "MAINT"}}, {"failed": True}], ""),
        ({"unreachable": True}, [{}, {}], ""),
    ],
)
def test_a_fence_counts_that_was_put_up(stopped, refused, held):
    nodes = {name: {"__haproxy_refusal": said} for name, said in zip(("web1", "web2"), refused, strict=True)}
    found = failover.primary_fence({**nodes, "db1": {"__mysql_failover_stopped": stopped}}, ["web1", "web2"], "db1")
    assert found["text"].startswith(held)
    assert bool(found["refusal"]) is not bool(held)
    assert not found["refusal"] or "db1 cannot be fenced" in found["refusal"]


def test_a_server_is_refused_everywhere_where_no_web_node_is_left_out():
    def web(*refused: str) -> dict[str, Any]:
        return {"__webstack_survey": {"haproxy": {"maintained": list(refused)}}}

    both = web("mysql_primary/db1", "mysql_primary/db2", "site/web2")
    variables = {"web1": both, "web2": web("mysql_primary/db1"), "web3": {}}
    assert failover.refused_everywhere(["web1", "web2"], variables) == ["db1"]
    assert failover.refused_everywhere(["web1", "web3"], variables) == []
    assert failover.refused_everywhere([], variables) == []


def test_the_successor_is_chosen_from_what_has_settled():
    def settled(last: int, received: int) -> dict[str, Any]:
        history = {"mariadb": True, "identity": "2", "executed": f"0-1-{last}", "position": f"0-1-{last}"}
        more = {**history, "executed": f"0-1-{received}", "position": f"0-1-{received}"}
        return {"__mysql_failover_settled": {"history": history, "received": more, "error": ""}}

    variables = {"db1": {}, "db2": settled(90, 110), "db3": settled(100, 100)}
    assert failover.new_primary(variables, list(variables), "db1", planned=True)["name"] == "db2"
    found = failover.new_primary({"db1": {}, "db2": SILENT}, ["db1", "db2"], "db1")
    assert (found["name"], found["left_out"]) == ("", {})
    assert "no server can replace db1" in found["refusal"]


def test_what_the_primary_lacks_of_an_old_one_is_told():
    primary = {"mariadb": True, "identity": "2", "executed": "0-1-100,0-2-150", "position": "0-2-150"}
    old_one = {"mariadb": True, "identity": "1", "executed": "0-1-120", "position": "0-1-120"}
    assert failover.lacked_by(old_one, primary) == "0-1-120"
    assert failover.lacked_by({**old_one, "executed": "0-1-100"}, primary) == ""
    assert "after 0-1-100" in failover.possibly_missing(primary, "db1", "1")
