# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts the playbooks run on, and which of their tasks a tag selects."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.filter.topology import tagged_roles
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import OUR_GROUPS
from places import TOP

PLAYBOOKS = sorted((TOP / "playbooks").glob("*.yml"))


def plays(path: Path) -> list[dict[str, Any]]:
    """Plays that a playbook has itself."""
    return [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]


def test_the_hosts_of_the_stack_are_those_of_the_groups_of_the_contract():
    (play,) = plays(TOP / "playbooks" / "nodes.yml")
    assert tuple(play["hosts"].split(":")) == OUR_GROUPS


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_no_play_runs_on_hosts_of_others(path):
    known = {*OUR_GROUPS, *(f"webstack_{name}" for name in ("nodes", "prepared", "primary_node", "replica_nodes"))}
    for play in plays(path):
        for part in play["hosts"].split(":"):
            name = part.lstrip("&!")
            assert name in known or name.startswith(("webstack_rollout", "webstack_upkeep_")), play["name"]


def steps(path: Path) -> list[str]:
    """Plays and playbooks of a playbook, those that it imports included, in their order."""
    found = []
    for play in yaml.safe_load(path.read_text()):
        inner = play.get("ansible.builtin.import_playbook")
        found += [inner, *steps(path.with_name(inner))] if inner else [play["name"]]
    return found


# The playbooks that look at the whole stack before they change it, and those that others are made of.
CHANGING = [path for path in PLAYBOOKS if "preflight.yml" in steps(path) and path.stem != "preflight"]


@pytest.mark.parametrize("path", CHANGING, ids=lambda path: path.stem)
def test_whatever_changes_nodes_holds_the_lock_from_preflight_to_proof(path):
    found = steps(path)
    begin, end = found.index("lock.yml"), found.index("unlock.yml")
    assert (found.count("lock.yml"), found.count("unlock.yml")) == (1, 1)
    looking = {"preflight.yml", *steps(path.with_name("preflight.yml"))}
    looking |= {"topology.yml", *steps(path.with_name("topology.yml"))}
    assert set(found[:begin]) <= looking | {"upkeep.yml"}
    proof = {"verify.yml", "proof.yml", *steps(path.with_name("verify.yml"))}
    telling = {"What was left alone", "Where the primary is now"}
    assert set(found[end + 1 :]) <= {*proof, *telling, *steps(path.with_name("unlock.yml"))}


def tasks(node: Any) -> list[dict[str, Any]]:
    """Tasks of a file of plays or tasks, those in blocks included."""
    if isinstance(node, list):
        return [task for each in node for task in tasks(each)]
    if not isinstance(node, dict):
        return []
    inner = [node.get(name) for name in ("tasks", "block", "rescue", "always")]
    return [node, *(task for each in inner for task in tasks(each))]


def test_a_database_server_is_asked_by_the_account_that_it_may_want():
    files = [*PLAYBOOKS, *(TOP / "roles").glob("*/tasks/*.yml")]
    asking = [
        (f"{path.relative_to(TOP)}: {task['name']}", words)
        for path in files
        for task in tasks(yaml.safe_load(path.read_text()))
        for words in task.values()
        if isinstance(words, dict) and "login_unix_socket" in words
    ]
    assert len(asking) > 10
    assert [where for where, words in asking if not {"login_user", "login_password"} <= {*words}] == []


# --- tags -----------------------------------------------------------------------------------------------------------

ROLES = ("haproxy", "nginx", "app_server", "acme", "mysql_server", "mysql_health", "mysql_primary", "mysql_replica",
         "monitoring", "exporters", "packages")  # fmt: skip


NODE_ROLES = ["mysql_server", "mysql_health", "nginx", "haproxy", "exporters", "app_server"]

# What runs always, and only compares variables with their documentation.
NOTHING = re.compile(r"Validating arguments")


def ansible(*words: str) -> str:
    """What ansible-playbook says of the deployment of the example."""
    done = subprocess.run(
        ["ansible-playbook", "-i", TOP / "inventories" / "production.example", TOP / "playbooks" / "site.yml", *words],
        cwd=TOP,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def selected(*words: str) -> list[tuple[str, str]]:
    """Plays and tasks that a run would do."""
    found, play = [], ""
    for line in ansible("--list-tasks", *words).splitlines():
        if match := re.match(r"  play #\d+ \([^)]*\): (.*?)\tTAGS", line):
            play = match[1]
        elif (match := re.match(r"      (.*?)\tTAGS", line)) and not NOTHING.search(line):
            found.append((play, match[1]))
    return found


def test_every_role_has_a_tag():
    told = re.findall(r"TASK TAGS: \[(.*)\]", ansible("--list-tags"))
    known = {tag.strip() for tags in told for tag in tags.split(",")}
    assert known >= {*ROLES, "mysql", "always", "proof"}
    listed = (TOP / "README.md").read_text().split("[Tags]")[1].split("\n\n")[0]
    assert [tag for tag in sorted(known - {"always"}) if f"`{tag}`" not in listed] == []


def test_a_tag_selects_its_role_and_what_every_role_needs():
    plays_of_tag = {play for play, _task in selected("--tags", "nginx")}
    assert plays_of_tag == {
        "Find the hosts of the stack",
        "Check the whole input",
        "Exclude other runs",
        "Let other runs go on",
        "Packages of all roles, in one transaction",
        "Web servers",
        "Find the primary",
        "Gather what every node runs",
        "Gather what every part does",
        "Proof",
    }


@pytest.mark.parametrize(
    ("tag", "tasks"),
    [
        ("haproxy", {"haproxy : Configure and run HAProxy"}),
        ("monitoring", {"monitoring : Configure and run Prometheus and Alertmanager"}),
        ("mysql_server", {"mysql_server : Configure and run the server"}),
        ("mysql", {"mysql_server : Configure and run the server", "mysql_replica : Follow the primary"}),
    ],
)
def test_a_tag_selects_nothing_of_other_roles(tag, tasks):
    found = {task.removeprefix("pentad.webstack.") for _play, task in selected("--tags", tag)}
    assert all(any(name.startswith(task) for name in found) for task in tasks), found
    others = [role for role in ROLES if role != "packages" and not role.startswith(tag)]
    assert [name for name in found if name.startswith(tuple(f"{role} : " for role in others))] == []


def test_packages_may_be_left_out():
    found = {play for play, _task in selected("--skip-tags", "packages")}
    assert {"Database servers", "Packages of all roles, in one transaction", "Proof"} <= found
    assert [task for _play, task in selected("--skip-tags", "packages") if "nstall" in task] == []


def test_the_proof_may_be_left_out():
    found = {play for play, _task in selected("--skip-tags", "proof")}
    assert {"Gather what every part does", "Proof"} & found == set()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["all"], NODE_ROLES),
        (["tagged"], NODE_ROLES),
        (["packages"], NODE_ROLES),
        (["nginx"], ["nginx"]),
        (["mysql"], ["mysql_server", "mysql_health"]),
        (["proof"], []),
    ],
    ids=lambda value: value[0] if value else "none",
)
def test_packages_are_those_of_the_roles_that_were_asked_for(tags, expected):
    assert tagged_roles(NODE_ROLES, tuple(tags)) == expected


def test_a_node_waits_for_its_turn_unless_no_balancer_knows_it(tmp_path):
    (play,) = [play for play in plays(TOP / "playbooks" / "applications.yml") if play["name"] == "Applications"]
    (variables,) = [task["vars"] for task in play["tasks"] if "vars" in task]
    surveys = {
        "new": {"__webstack_survey": {"haproxy": {"servers": []}}},
        "knows": {"__webstack_survey": {"haproxy": {"servers": ["drained", "other"]}}},
        "similar": {"__webstack_survey": {"haproxy": {"servers": ["unknown10"]}}},
        "down": {"__webstack_survey": {"unreachable": "no route"}},
        "left_out": {},
    }
    cases = {
        "unknown": (["new", "similar"], False),
        "drained": (["new", "knows"], True),
        "doubtful": (["new", "down"], True),
        "limited": (["left_out"], True),
    }
    nodes = {name: {"webstack_balancers": balancers, "waits": waits} for name, (balancers, waits) in cases.items()}
    children = {"web": {"hosts": nodes}, "haproxy": {"hosts": surveys}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children}}))
    check = {"name": "Check", "ansible.builtin.assert": {"that": "app_server_rolling == waits"}, "vars": variables}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "web", "gather_facts": False, "tasks": [check]}]))
    done = subprocess.run(
        ["ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        cwd=TOP, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok=1 ") == len(cases)
