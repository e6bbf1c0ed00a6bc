# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over a part of the stack, and over one with a dead machine: what takes part is done, the rest is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client import INVENTORY_DIR, Client, ask
from figures import figure
from nodes import Lab, another_operator, booted, fingerprints, release_of, releases, wait_until_healthy

# Nothing is known of a host but what it says in this run.
FORGETFUL = {"ANSIBLE_CACHE_PLUGIN": "memory"}


@pytest.fixture(autouse=True)
def dead_machines_are_started_again(lab: Lab, lab_is_right: None) -> Iterator[None]:
    """Before the lab has to be right again."""
    yield
    lab.docker("start", *map(lab.container, lab.names))


def dead(lab: Lab, node: str) -> str:
    """Kill a machine; returns its name in the inventory."""
    lab.docker("kill", lab.container(node))
    return lab.container(node)


def said(output: str) -> str:
    """Output without its line breaks."""
    return " ".join(output.split())


def test_a_copied_state_directory_is_as_good_as_the_first(lab: Lab, tmp_path: Path) -> None:
    colleague, before = another_operator(tmp_path), fingerprints(lab)
    shutil.copytree(INVENTORY_DIR / ".webstack", colleague / ".webstack")
    run = lab.playbook("site.yml", inventory=colleague)
    assert run.code == 0, run.output[-3000:]
    assert run.changed == dict.fromkeys(map(lab.container, lab.names), 0)
    assert fingerprints(lab) == before


@pytest.mark.parametrize("node", ["lb1", "web1", "db2"])
def test_each_host_by_itself_is_left_as_it_is(lab: Lab, node: str) -> None:
    host = lab.container(node)
    run = lab.playbook("site.yml", "--limit", host, **FORGETFUL)
    assert run.code == 0, run.output[-3000:]
    assert run.changed == {host: 0}


@pytest.mark.parametrize(("playbook", "node"), [("verify.yml", "db2"), ("deploy.yml", "web1")])
def test_other_playbooks_take_a_limit_too(lab: Lab, playbook: str, node: str) -> None:
    host = lab.container(node)
    run = lab.playbook(playbook, "--limit", host, **FORGETFUL)
    assert run.code == 0, run.output[-3000:]
    assert run.changed == {host: 0}


def test_a_release_reaches_one_node_alone(lab: Lab, version: Callable[..., Path]) -> None:
    (before,) = releases(lab)
    run = lab.playbook(
        "deploy.yml", "--limit", lab.container("web2"), "-e", f"app_server_source={version('one')}", **FORGETFUL
    )
    assert run.code == 0, run.output[-3000:]
    assert release_of(lab, "web1") == before
    assert release_of(lab, "web2") != before
    back = lab.playbook("rollback.yml", "--limit", lab.container("web2"))
    assert back.code == 0, back.output[-3000:]
    assert releases(lab) == {before}


def test_site_insists_on_a_dead_machine_unless_it_is_left_out(lab: Lab) -> None:
    host = dead(lab, "db2")
    run = lab.playbook("site.yml")
    assert run.code != 0
    assert not any(run.changed.values())
    assert f"{host}: did not answer" in said(run.output)
    assert f"leave it out by --limit '!{host}'" in said(run.output)
    unknown = lab.playbook("site.yml", "--limit", f"all:!{host}", **FORGETFUL)
    assert unknown.code != 0
    assert not any(unknown.changed.values())
    assert f"--limit leaves out {host}, whose address is not known, and the configuration of" in said(unknown.output)
    known = lab.playbook("site.yml", "--limit", f"all:!{host}", "-e", json.dumps(addresses(lab)), **FORGETFUL)
    assert known.changed == dict.fromkeys((lab.container(node) for node in lab.names if node != "db2"), 0)


def addresses(lab: Lab) -> dict[str, str]:
    """The addresses of all hosts, for runs in which one of them cannot say its own."""
    shown = {lab.container(node): lab.inspect_address(node) for node in lab.names}
    return {"webstack_address": f"{{{{ {json.dumps(shown)}[inventory_hostname] }}}}"}


def test_a_dead_replica_keeps_no_release_and_no_rollback_away(lab: Lab, version: Callable[..., Path]) -> None:
    host = dead(lab, "db2")
    (before,) = releases(lab)
    for playbook, words in (("deploy.yml", ["-e", f"app_server_source={version('beside')}"]), ("rollback.yml", [])):
        with Client(rate=50) as client:
            client.answered(100)
            run = lab.playbook(playbook, *words, **FORGETFUL)
            client.answered(100)
        assert run.code != 0
        assert f"{host} did not answer" in said(run.output)
        assert "This run goes on without it" in said(run.output)
        assert "and this run went on without it" in said(run.output)
        (now,) = releases(lab)
        assert (now == before) == (playbook == "rollback.yml")
        assert client.failures == []


def test_a_dead_web_node_keeps_a_release_from_itself_alone(lab: Lab, version: Callable[..., Path]) -> None:
    (before,) = releases(lab)
    source = ["-e", f"app_server_source={version('last')}"]
    host = dead(lab, "web2")
    with Client(rate=50) as client:
        client.answered(100)
        run = lab.playbook("deploy.yml", *source, **FORGETFUL)
        client.answered(100)
    assert run.code != 0
    assert f"{host} did not answer" in said(run.output)
    assert json.loads(ask("/readyz")[2])["release"] == release_of(lab, "web1") != before
    assert client.failures == []
    figure("the last web node released in place", f"{client.total} requests, longest {client.longest:.2f} s")
    lab.docker("start", host)
    wait_until_healthy(lab)
    assert release_of(lab, "web2") == before
    again = lab.playbook("deploy.yml", *source)
    assert again.code == 0, again.output[-3000:]
    assert len(releases(lab)) == 1
    back = lab.playbook("rollback.yml", "-e", f"app_server_rollback_to={before}")
    assert back.code == 0, back.output[-3000:]
    assert releases(lab) == {before}


def test_upkeep_goes_on_without_a_dead_machine_and_spares_its_stand_in(lab: Lab) -> None:
    before = booted(lab)
    host = dead(lab, "web2")
    with Client(rate=50) as client:
        client.answered(100)
        run = lab.playbook("reboot.yml", **FORGETFUL)
        client.answered(100)
    lab.docker("start", host)
    assert run.code != 0
    assert f"{host} did not answer" in said(run.output)
    for node, others in {"web1": "web node", "lb1": "balancer"}.items():
        assert f"{lab.container(node)} was left alone, because no other {others} answers" in said(run.output)
    wait_until_healthy(lab)
    after = booted(lab)
    # The primary has moved to db2 before db1 was rebooted.
    assert {node for node in lab.names if after[node] != before[node]} == {"web2", "db1", "db2"}
    assert client.failures == []
