# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof says of every part whether it is right, and of what is wrong where, what and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_verify
from ansible_collections.pentad.webstack.plugins.plugin_utils import inventory_contract as contract
from ansible_collections.pentad.webstack.plugins.plugin_utils import proof
from jinja2 import nativetypes

HOSTS = ["lb1", "web1", "db1", "db2"]
GROUPS = {"all": HOSTS, "haproxy": ["lb1"], "monitoring": ["lb1"], "web": ["web1"], "mysql": ["db1", "db2"]}
PORTS = {
    claim.port_variable: 1000 + number
    for number, claim in enumerate(claim for claims in contract.CLAIMS.values() for claim in claims)
}
LISTENERS = [{"address": "0.0.0.0", "port": port, "process": "any"} for port in PORTS.values()]
PROBED = {"findings": [{"host": "site", "check": "write", "ok": True, "fact": "web1 wrote", "remedy": ""}]}
TARGET = {"health": "up", "labels": {"job": "node", "instance": "db1"}, "scrapeUrl": "http://192.0.2.1:9100/metrics"}
RIGHT: dict[str, dict[str, Any]] = {
    "lb1": {"__proof_site": PROBED, "__proof_targets": {"json": {"data": {"activeTargets": [TARGET]}}}},
    "web1": {},
    "db1": {"__proof_replication": {"verdict": "ok", "role": {"observed": "primary"}, "summary": "ok: right"}},
    "db2": {"__proof_replication": {"verdict": "warning", "role": {"observed": "replica"}, "summary": "warning: late"}},
}


def judged(failed: tuple[str, ...] = (), **changes: dict[str, Any]) -> list[proof.Finding]:
    """Findings of a stack in which all is right but for the changes."""
    facts = {"ansible_facts": {"distribution": "Debian"}}
    common = {"webstack_address": "192.0.2.1", **facts, **PORTS, "__webstack_survey": {"listeners": LISTENERS}}
    variables = {host: {**common, **RIGHT[host], **changes.get(host, {})} for host in HOSTS}
    return proof.findings(contract.Stack(groups=GROUPS, variables=variables, given=dict.fromkeys(HOSTS, ())), failed)


def wrong(**changes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong, without what to do, which every one of them has."""
    found = [one for one in judged(**changes) if not one.ok]
    assert all(one.remedy for one in found)
    return [(one.host, one.check, one.fact) for one in found]


def test_a_right_stack_has_a_point_for_every_part_and_none_is_wrong():
    assert [(one.host, one.check) for one in judged()] == [
        *((host, "services") for host in HOSTS),
        ("site", "write via lb1"),
        ("db1", "replication (primary)"),
        ("db2", "replication (replica)"),
        ("lb1", "monitoring"),
    ]
    assert wrong() == []


@pytest.mark.parametrize("host", HOSTS)
def test_of_a_node_that_does_not_answer_nothing_else_is_said(host):
    gone = {"__webstack_survey": {"unreachable": True, "msg": "no  route\nto host"}, **dict.fromkeys(RIGHT[host])}
    assert wrong(**{host: gone}) == [(host, "node", "does not answer (no route to host)")]


def test_what_others_see_of_a_node_that_does_not_answer_is_not_said_again():
    gone = {"__webstack_survey": {"unreachable": True, "msg": "no route"}, **dict.fromkeys(RIGHT["web1"])}
    seen = [
        {"host": "web1", "check": "ready", "ok": False, "fact": "/readyz gives no answer: timed out", "remedy": "x"},
        {"host": "site", "check": "balancer", "ok": False, "fact": "3 of 8 requests answered", "remedy": "x"},
    ]
    down = {**TARGET, "health": "down", "labels": {"job": "nginx", "instance": "web1"}, "lastError": "no route"}
    targets = {"json": {"data": {"activeTargets": [TARGET, down]}}}
    found = judged(web1=gone, lb1={"__proof_site": {"findings": seen}, "__proof_targets": targets})
    assert [(one.host, one.check) for one in found if not one.ok] == [("web1", "node"), ("site", "balancer via lb1")]
    assert ("lb1", "monitoring", "all 1 scrape targets are up") in [(one.host, one.check, one.fact) for one in found]


def test_a_node_without_which_the_run_went_on_is_named_with_that():
    gone = {"__webstack_survey": {"unreachable": True, "msg": "no route"}}
    (found,) = [one for one in judged(failed=("db2",), db2=gone) if not one.ok]
    assert (found.host, found.fact) == ("db2", "does not answer (no route), and this run went on without it")
    assert found.remedy


def test_a_service_that_does_not_listen_is_named_with_its_address():
    port = PORTS["webstack_web_port"]
    others = [each for each in LISTENERS if each["port"] != port]
    elsewhere = [*others, {"address": "127.0.0.1", "port": port, "process": "nginx"}]
    for listeners in (others, elsewhere):
        assert wrong(web1={"__webstack_survey": {"listeners": listeners}}) == [
            ("web1", "services", f"nothing listens for nginx on 192.0.2.1:{port}")
        ]


def test_the_remedy_of_a_silent_service_names_unit_and_host():
    engine = {"webstack_mysql_engine": "mariadb", "__webstack_survey": {"listeners": []}}
    (found,) = [one for one in judged(db1=engine) if not one.ok]
    assert found.remedy == (
        "Read 'journalctl -u prometheus-node-exporter -u mariadb -u mysql-health -u prometheus-mysqld-exporter' on db1"
        ", remove the cause, and run site.yml."
    )
    own = {"webstack_app_name": "shop", "webstack_app_listen": "port", "webstack_app_port": 8000}
    (found,) = [one for one in judged(web1={**own, "__webstack_survey": {"listeners": []}}) if not one.ok]
    assert "shop on 127.0.0.1:" in found.fact
    assert " -u shop' on web1" in found.remedy


def test_units_that_are_masked_failed_or_pending_are_wrong():
    services = {
        "masked": ["nginx.service"],
        "failed": {"app.service": "ends as soon as it is started. The journal ends with:\nno module named app\n"},
        "pending": {"haproxy.service": "reload", "shop.service": "deferred"},
    }
    assert wrong(web1={"__webstack_survey": {"listeners": LISTENERS, "services": services}}) == [
        ("web1", "services", "nginx.service is masked"),
        (
            "web1",
            "services",
            "app.service ends as soon as it is started. The journal ends with:\nno module named app\n",
        ),
        ("web1", "services", "haproxy.service has a reload pending from an earlier run"),
        ("web1", "services", "shop.service has a restart in a rollout pending from an earlier run"),
    ]


def test_a_fenced_database_server_is_wrong_until_it_has_rejoined():
    survey = {"listeners": LISTENERS, "services": {"masked": ["mysql.service"]}}
    (found,) = [one for one in judged(db1={"__webstack_survey": survey}) if not one.ok]
    assert found.fact == "mysql.service is masked, as a failover does with an old primary"
    assert found.remedy == "Run rejoin.yml with -e mysql_rejoin=db1, which takes it back."


def test_one_that_the_web_nodes_refuse_is_wrong_when_its_node_is_back():
    maintained = ["mysql_primary/db1", "mysql_replica/db1-mysql_primary"]
    web = {"__webstack_survey": {"listeners": LISTENERS, "haproxy": {"drained": [], "maintained": maintained}}}
    (found,) = [one for one in judged(web1=web) if not one.ok]
    assert (found.host, found.fact) == ("web1", "db1 is refused as a fenced primary")
    assert "rejoin.yml with -e mysql_rejoin=db1" in found.remedy
    away = {"__webstack_survey": {"unreachable": True, "msg": "timed out"}}
    assert [one.host for one in judged(web1=web, db1=away) if not one.ok] == ["db1"]


def test_lines_of_a_journal_stay_below_their_point():
    found = [proof.Finding("web1", "services", False, "app.service has failed. It said:\none\ntwo\n", "Look.")]
    assert proof.report(found).splitlines()[1:] == ["             | one", "             | two", "             -> Look."]


def test_what_the_probe_found_is_told():
    found = {"host": "web1", "check": "ready", "ok": False, "fact": "answers 503", "remedy": "See there."}
    assert wrong(lb1={"__proof_site": {"findings": [found]}}) == [("web1", "ready via lb1", "answers 503")]


@pytest.mark.parametrize(
    ("host", "changes", "check", "fact"),
    [
        ("lb1", {"__proof_site": {"msg": "crashed"}}, "site", "could not be probed: crashed"),
        ("lb1", {"__proof_site": None}, "site", "could not be probed: no result"),
        ("db1", {"__proof_replication": {"msg": "crashed"}}, "replication", "gave no verdict: crashed"),
        ("db2", {"__proof_replication": None}, "replication", "gave no verdict: no result"),
        ("lb1", {"__proof_targets": {"msg": "refused"}}, "monitoring", "Prometheus does not answer (refused)"),
        (
            "lb1",
            {"__proof_targets": {"json": {"data": {"activeTargets": []}}}},
            "monitoring",
            "Prometheus does not answer (no targets)",
        ),
    ],
)
def test_a_part_that_was_not_looked_at_is_wrong(host, changes, check, fact):
    assert wrong(**{host: changes}) == [(host, check, fact)]


@pytest.mark.parametrize("verdict", ["failed", "unknown"])
def test_a_verdict_is_wrong_unless_it_is_good_and_says_what_to_do_once(verdict):
    hint = "START REPLICA;"
    checks = [{"status": status, "hint": hint} for status in ("fail", "unknown")] + [{"status": "ok", "hint": "no"}]
    told = {"verdict": verdict, "role": {"observed": "replica"}, "summary": "the applier stopped", "checks": checks}
    (found,) = [one for one in judged(db2={"__proof_replication": told}) if not one.ok]
    assert (found.host, found.check, found.fact) == ("db2", "replication (replica)", "the applier stopped")
    assert found.remedy == hint


def test_settings_that_wait_for_a_restart_are_named():
    assert wrong(db1={"mysql_server_live": {"restart_required": ["port", "log_bin"]}}) == [
        ("db1", "settings", "port, log_bin in the configuration, but not yet in the running server")
    ]
    assert wrong(db1={"mysql_server_live": {"restart_required": []}}) == []


def test_each_target_that_is_down_is_named():
    down = {**TARGET, "health": "down", "lastError": "connection refused"}
    new = {**TARGET, "health": "unknown", "labels": {"job": "mysqld", "instance": "db2"}}
    targets = {"__proof_targets": {"json": {"data": {"activeTargets": [TARGET, down, new]}}}}
    assert wrong(lb1=targets) == [
        ("db1", "scrape target", "job node is down: connection refused"),
        ("db2", "scrape target", "job mysqld is unknown: not scraped yet"),
    ]


def test_of_a_host_that_failed_in_the_run_only_that_is_said():
    found = judged(("db2",))
    assert [(one.check, one.ok) for one in found if one.host == "db2"] == [("run", False)]


def test_the_report_has_a_line_for_each_point_and_each_remedy():
    found = [
        proof.Finding("db1", "services", True, "all listen"),
        proof.Finding("lb1", "site", False, "is away", "Start it."),
    ]
    assert proof.report(found).splitlines() == [
        "ok     db1  services  all listen",
        "WRONG  lb1  site      is away",
        "            -> Start it.",
    ]
    assert proof.report([]) == ""


def test_what_haproxy_was_told_once_is_named_with_who_ends_it():
    survey = {"listeners": LISTENERS, "haproxy": {"drained": ["site/web1"], "maintained": ["site/web2"]}}
    assert wrong(lb1={"__webstack_survey": survey}) == [
        ("lb1", "haproxy", "site/web1 is drained"),
        ("lb1", "haproxy", "site/web2 is in maintenance, by hand"),
    ]


def test_a_drained_server_is_named_once_for_all_backends_of_its_site():
    drained = ["site/web1", "site-streams/web1", "site-static/web1", "site-streams/web2"]
    survey = {"listeners": LISTENERS, "haproxy": {"drained": drained, "maintained": []}}
    assert wrong(lb1={"__webstack_survey": survey}) == [
        ("lb1", "haproxy", "site/web1 is drained"),
        ("lb1", "haproxy", "site-streams/web2 is drained"),
    ]


@pytest.mark.parametrize(("given", "expected"), [({}, 0), ({"mysql_replica_delay": "3600"}, "3600")])
def test_the_proof_expects_the_delay_that_is_wished(top, given, expected):
    (task,) = yaml.safe_load((top / "roles/proof/tasks/replication.yml").read_text())
    wished = task["pentad.webstack.mysql_replication_verify"]["expected_delay"]
    # What is omitted is as the module has it by default, which has to be as the role that configures the delay has it.
    documented = yaml.safe_load(mysql_replication_verify.DOCUMENTATION)["options"]["expected_delay"]["default"]
    configured = yaml.safe_load((top / "roles/mysql_replica/defaults/main.yml").read_text())["mysql_replica_delay"]
    assert documented == configured
    found = jinja2.Environment(autoescape=False).from_string(wished).render(omit="omitted", **given)
    assert (documented if found == "omitted" else found) == expected


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({}, "even"),
        ({"haproxy_balance": "leastconn"}, "some"),
        ({"haproxy_balance": "source"}, "any"),
        ({"haproxy_strategy": "active-passive"}, "any"),
    ],
)
def test_requests_are_expected_to_be_spread_as_haproxy_does(top, given, share):
    variables = yaml.safe_load((top / "roles/proof/vars/main.yml").read_text())
    names = ("__proof_haproxy_defaults", "__proof_balance", "__proof_strategy", "__proof_share")
    jinja = nativetypes.NativeEnvironment(autoescape=False)
    jinja.filters["from_yaml"] = yaml.safe_load
    known = {"role_path": str(top / "roles/proof"), "__proof_shares": variables["__proof_shares"], **given}
    known["lookup"] = lambda _plugin, path: Path(path).read_text()
    for name in names:
        known[name] = jinja.from_string(variables[name]).render(known)
    assert known["__proof_share"] == share


def balanced(lb1: tuple[str, ...] = (), web1: tuple[str, ...] = (), silent: str = "") -> list[proof.Finding]:
    """What is found of a virtual address, with the addresses that two balancers have, one of which may not answer."""
    facts = {"ansible_facts": {"distribution": "Debian"}, "webstack_virtual_addresses": [{"addresses": ["192.0.2.9"]}]}
    surveys: dict[str, Any] = {"lb1": {"addresses": list(lb1)}, "web1": {"addresses": list(web1)}}
    surveys.update({silent: {"unreachable": True}} if silent else {})
    variables = {host: {**facts, "__webstack_survey": {"listeners": [], **survey}} for host, survey in surveys.items()}
    groups = {"all": ["lb1", "web1"], "haproxy": ["lb1", "web1"]}
    return list(proof.virtual(contract.Stack(groups=groups, variables=variables, given=dict.fromkeys(surveys, ()))))


def test_exactly_one_balancer_holds_a_virtual_address():
    [found] = balanced(lb1=("192.0.2.11", "192.0.2.9"), web1=("192.0.2.21",))
    assert (found.host, found.check, found.ok, found.fact) == ("192.0.2.9", "virtual address", True, "lb1 holds it")
    both = dict.fromkeys(("lb1", "web1"), ("192.0.2.9",))
    for holders, fact in (({}, "no balancer holds it"), (both, "lb1 and web1 hold it")):
        [found] = balanced(**holders)
        assert (found.ok, found.fact) == (False, fact)
        assert found.remedy


def test_a_balancer_that_does_not_answer_may_hold_it():
    [found] = balanced(web1=("192.0.2.21",), silent="lb1")
    assert (found.ok, found.fact) == (True, "none of web1 holds it; others were not asked")


def test_without_a_virtual_address_nobody_has_to_hold_one():
    assert [one for one in judged() if one.check == "virtual address"] == []
