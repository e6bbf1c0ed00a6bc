# SPDX-License-Identifier: GPL-3.0-or-later
"""When a node's turn comes: while others replace it in all that it is, and last if the primary leaves it before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml

WEB, BALANCERS, DATABASES = ["web1", "web2", "web3"], ["lb1", "web1"], ["db1", "db2", "web2"]
# Who does not answer, and who is a replica.
SILENT = ("", "lb1", "web1", "db2", "db1 db2", "web1 web2")
REPLICAS = ("db2 web2", "db1 db2")
NAMES = ("__upkeep_tier", "__upkeep_included", "__upkeep_can_hand_over", "__upkeep_turn")
# By name, what else is said of a site in which all answer and db1 is the primary.
SPECIAL: dict[str, dict[str, Any]] = {
    "unwanted": {"upkeep_switchover": False},
    "named": {"upkeep_downtime": ["db1"]},
    "chained": {"__webstack_named_sources": [["db1", ""], ["db2", "web2"], ["web2", "db1"]]},
    "refused": {"__webstack_refused_servers": ["mysql_primary/db2", "mysql_replica/web2"]},
    "refused all": {"__webstack_refused_servers": ["mysql_primary/db2", "mysql_primary/web2"]},
    "alone": {"webstack_database_nodes": ["db1"], "__upkeep_replicas": []},
}
ON_A_WEB_NODE = {"__webstack_primary": "web2", "__upkeep_replicas": ["db1", "db2"]}
SPECIAL["unwanted, on a web node"] = {**SPECIAL["unwanted"], **ON_A_WEB_NODE}
SPECIAL |= {
    name: {"__upkeep_verdicts": verdicts, "__upkeep_left": left}
    for name, verdicts, left in (
        ("both healthy", ["ok", "warning"], []),
        ("the second healthy", ["critical", "ok"], []),
        ("none healthy", ["critical", "unknown"], []),
        ("the second changed", ["ok", "ok"], ["db2"]),
        ("the first healthy, the second changed", ["ok", "critical"], ["db2"]),
    )
}
SPECIAL["on the only web node"] = {"__webstack_answering_web_nodes": ["web2"], **ON_A_WEB_NODE}
SUCCESSORS = {"chained": ["web2"], "refused": ["web2"], "refused all": [], "alone": []}


def situation(silent: str, replicas: str, downtime: Sequence[str]) -> dict[str, Any]:
    """Variables of a site whose web nodes are a balancer and a database server, too."""
    lost = silent.split()
    return {
        "upkeep_switchover": True,
        "__webstack_primary": next(host for host in DATABASES if host not in replicas.split()),
        "__webstack_choice": {"silent": lost},
        "__webstack_refused_servers": [],
        "__webstack_named_sources": [[host, ""] for host in DATABASES],
        "webstack_web_nodes": WEB,
        "webstack_balancers": BALANCERS,
        "webstack_database_nodes": DATABASES,
        "__upkeep_replicas": replicas.split(),
        "upkeep_downtime": list(downtime),
        "__webstack_silent": lost,
        "__webstack_answering_web_nodes": [host for host in WEB if host not in lost],
        "__webstack_answering_balancers": [host for host in BALANCERS if host not in lost],
    }


@pytest.fixture(scope="module")
def found(top: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the role says of each host in each situation."""
    work = tmp_path_factory.mktemp("upkeep")
    hosts = sorted({*WEB, *BALANCERS, *DATABASES, "monitor"})
    keys = [*((silent, REPLICAS[0], ()) for silent in SILENT), ("", REPLICAS[1], ()), ("lb1", REPLICAS[0], hosts)]
    tasks = [
        {
            "ansible.builtin.set_fact": {f"case_{number}": "{{ [" + ", ".join(NAMES) + "] }}"},
            "vars": situation(*key),
        }
        for number, key in enumerate(keys)
    ]
    tasks += [
        {
            "ansible.builtin.set_fact": {
                f"case_{number}": "{{ [__upkeep_turn, __upkeep_successors, __upkeep_ranked] }}"
            },
            "vars": {**situation("", REPLICAS[0], ()), **special},
        }
        for number, special in enumerate(SPECIAL.values(), len(keys))
    ]
    collected = ", ".join(f"case_{number}" for number in range(len(tasks)))
    copied = {"content": "{{ [" + collected + "] | to_json }}", "dest": f"{work}/{{{{ inventory_hostname }}}}"}
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "vars_files": [str(top / "roles/upkeep/vars/main.yml")],
        "tasks": [*tasks, {"ansible.builtin.copy": copied}],
    }
    (work / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", f"{','.join(hosts)},", work / "play.yml"],
        env=ansible_runs.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    answers = {host: json.loads((work / host).read_text()) for host in hosts}
    names = [*((*key[:2], bool(key[2])) for key in keys), *SPECIAL]
    return {host: dict(zip(names, answers[host], strict=True)) for host in hosts}


@pytest.mark.parametrize(
    ("host", "silent", "expected"),
    [
        ("web1", "", ["web", True]),
        # It is the only balancer that answers.
        ("web1", "lb1", ["web", False]),
        ("web3", "lb1", ["web", True]),
        ("web3", "web1 web2", ["web", False]),
        ("lb1", "", ["balancer", True]),
        ("lb1", "web1", ["balancer", False]),
        # It is a replica, too, and in the end the only database server that answers.
        ("web2", "db2", ["web", True]),
        ("web2", "db1 db2", ["web", False]),
        ("db2", "", ["replica", True]),
        # It is the primary, and can be moved to one that answers.
        ("db1", "", ["primary", True]),
        ("db1", "db2", ["primary", True]),
        ("monitor", "", ["rest", True]),
    ],
)
def test_a_node_is_included_if_others_replace_it_in_each_of_its_tiers(found, host, silent, expected):
    assert found[host][silent, REPLICAS[0], False][:2] == expected


def test_whoever_is_named_is_included(found):
    assert {host: answers["lb1", REPLICAS[0], True][1] for host, answers in found.items()} == dict.fromkeys(found, True)


@pytest.mark.parametrize(
    ("host", "silent", "replicas", "turn"),
    [
        ("db1", "", REPLICAS[0], "former_primary"),
        ("db2", "", REPLICAS[0], "replica"),
        ("web3", "", REPLICAS[0], "web"),
        ("lb1", "web1", REPLICAS[0], "left"),
        ("monitor", "", REPLICAS[0], "rest"),
        # On a web node, too.
        ("web2", "", REPLICAS[1], "former_primary"),
        ("db2", "", REPLICAS[1], "replica"),
    ],
)
def test_the_node_of_the_primary_comes_after_the_others(found, host, silent, replicas, turn):
    assert found[host][silent, replicas, False][3] == turn


def test_a_primary_that_is_named_is_changed_as_the_primary(found):
    answers = {host: found[host]["lb1", REPLICAS[0], True] for host in ("db1", "db2", "web2")}
    assert {host: answer[3] for host, answer in answers.items()} == {"db1": "primary", "db2": "replica", "web2": "web"}
    assert found["db1"]["named"][0] == "primary"


@pytest.mark.parametrize("special", ["unwanted, on a web node", "on the only web node"])
def test_a_primary_on_a_web_node_is_left_alone_if_either_is_needed(found, special):
    assert found["web2"][special][0] == "left"


@pytest.mark.parametrize("special", ["unwanted", "named", "chained", "refused", "refused all", "alone"])
def test_the_primary_stays_where_nobody_can_take_over_or_nobody_wants_it(found, special):
    stays = {"unwanted": "left", "named": "primary", "refused all": "left", "alone": "left"}
    assert found["db1"][special][:2] == [stays.get(special, "former_primary"), SUCCESSORS.get(special, ["db2", "web2"])]


@pytest.mark.parametrize(
    ("silent", "away", "expected"), [("", False, True), ("lb1", False, False), ("lb1", True, True)]
)
def test_addresses_are_handed_over_only_where_somebody_takes_them(found, silent, away, expected):
    assert found["web1"][silent, REPLICAS[0], away][2] is expected


@pytest.mark.parametrize(
    ("special", "first"),
    [
        ("both healthy", "db2"),
        ("the second healthy", "web2"),
        # The switchover says what is in the way.
        ("none healthy", "db2"),
        ("the second changed", "web2"),
        ("the first healthy, the second changed", "db2"),
    ],
)
def test_a_healthy_replica_that_was_changed_is_the_first_to_take_over(found, special, first):
    assert found["db1"][special][2][0] == first
