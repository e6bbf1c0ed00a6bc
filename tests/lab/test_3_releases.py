# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases come and go while clients ask 200 times a second; none of them notices. In the order of the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from client import INVENTORY_DIR, SITE, TOP, Client, ask
from nodes import WEB, Lab, described, in_the_balancer, journal_has, release_of, releases, without_wishes
from waiting import wait

pytestmark = pytest.mark.usefixtures("lab_is_right")
# Keeps a rollout at its first node, while no balancer uses that.
HELD = ("-e", json.dumps({"app_server_hooks": {"after_switch": [["sleep", "300"]]}}))
UNHEALTHY = """

answers = app


def app(environ, start_response):
    if environ["PATH_INFO"] == "/livez":
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"out of order"]
    return answers(environ, start_response)
"""


def starts(lab: Lab, node: str) -> int:
    """How often the application was started since the node came up."""
    told = lab.sh(node, "journalctl --boot --unit=guestbook.service --output=cat --no-pager")
    return sum(line.startswith("Started ") for line in told.splitlines())


def begin(name: str, *words: str) -> subprocess.Popen[str]:
    """Start a playbook and go on."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(INVENTORY_DIR), str(TOP / "playbooks" / name), *words],
        cwd=TOP,
        env={**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def source(path: Path) -> list[str]:
    """The variable that names the application."""
    return ["-e", f"app_server_source={path}"]


def test_check_mode_shows_a_release_and_switches_nothing(lab: Lab, version: Callable[..., Path]) -> None:
    before = releases(lab)
    (running,) = before
    check = lab.playbook("deploy.yml", "--check", "--diff", *source(version("seen")))
    assert check.code == 0, check.output[-3000:]
    assert f"current -> /srv/guestbook/releases/{running}" in check.output
    assert releases(lab) == before
    assert {in_the_balancer(lab, node) for node in WEB} == {"UP"}


def test_a_release_and_its_rollback_cost_no_request(lab: Lab, version: Callable[..., Path]) -> None:
    (first,) = releases(lab)
    with Client(SITE) as client:
        client.answered(200)
        deployed = lab.playbook("deploy.yml", *source(version("second")))
        assert deployed.code == 0, deployed.output[-3000:]
        (second,) = releases(lab)
        assert second != first
        assert "/* second */" in ask("/static/guestbook.css")[2]
        client.answered(200)
    assert client.failures == []
    print(f"release: {client.total} requests, 0 failed, longest {client.longest:.2f} s")

    with Client(SITE) as client:
        client.answered(200)
        back = lab.playbook("rollback.yml")
        assert back.code == 0, back.output[-3000:]
        client.answered(200)
    assert releases(lab) == {first}
    assert "/* second */" not in ask("/static/guestbook.css")[2]
    assert client.failures == []
    print(f"rollback: {client.total} requests, 0 failed, longest {client.longest:.2f} s")


def test_what_was_rolled_back_stays_away_until_it_is_asked_for(lab: Lab, version: Callable[..., Path]) -> None:
    (first,) = releases(lab)
    second = release_of(lab, "web1", "withdrawn")
    assert second not in ("", first)
    changed = source(version("second"))
    secret = {"environment": "opensesame-77c2"}
    environment = ["-e", json.dumps({"app_server_environment": {"TOKEN": secret["environment"]}})]
    before = {node: starts(lab, node) for node in WEB}
    with Client(SITE, rate=50) as client:
        client.answered(200)
        configured = lab.playbook("site.yml", "-vvv", "--diff", *changed, *environment)
        assert configured.code == 0, configured.output[-3000:]
        assert f"Release {second} was rolled back and is left out" in " ".join(configured.output.split())
        assert secret["environment"] in lab.sh("web1", "cat /etc/guestbook.env")
        assert secret["environment"] not in without_wishes(configured.output)
        assert {node: journal_has(lab, node, secret) for node in WEB} == dict.fromkeys(WEB, [])
        client.answered(200)
    assert releases(lab) == {first}
    assert {node: starts(lab, node) for node in WEB} == {node: before[node] + 1 for node in WEB}
    assert client.failures == []
    print(f"new environment: {client.total} requests, 0 failed, longest {client.longest:.2f} s")
    assert lab.playbook("deploy.yml", *changed).code == 0
    assert releases(lab) == {second}
    assert release_of(lab, "web1", "withdrawn") == ""
    again = lab.playbook("deploy.yml", *changed)
    assert set(again.changed.values()) == {0}, again.changed


def test_a_rollback_to_nowhere_says_what_there_is(lab: Lab) -> None:
    before = releases(lab)
    refused = lab.playbook("rollback.yml", "-e", "app_server_rollback_to=v9")
    assert refused.code != 0
    told = " ".join(refused.output.split())
    assert f"release v9 is not on {lab.container('web1')}, so nothing was changed" in told
    assert all(each in told for each in before)
    assert releases(lab) == before


def test_a_release_that_is_not_healthy_is_put_back_and_costs_no_request(lab: Lab, version: Callable[..., Path]) -> None:
    before, was = releases(lab), described(lab)
    beside = {
        "app_server_environment": {"GREETING": "hello"},
        "app_server_background": [{"name": "idler", "command": ["sleep", "infinity"]}],
        "rollout_health_timeout": 5,
    }
    with Client(SITE) as client:
        client.answered(200)
        failed = lab.playbook("deploy.yml", *source(version("sick", wsgi=UNHEALTHY)), "-e", json.dumps(beside))
        client.answered(200)
    assert failed.code != 0
    told = " ".join(failed.output.split())
    assert f"{lab.container('web1')} was not changed" in told, failed.output[-3000:]
    assert f"Not touched: {lab.container('web2')}." in told
    assert client.failures == []
    assert (releases(lab), described(lab)) == (before, was)
    assert {in_the_balancer(lab, node) for node in WEB} == {"UP"}
    print(f"failing release: {client.total} requests, 0 failed, longest {client.longest:.2f} s")


def test_a_migration_that_fails_switches_nothing(lab: Lab, version: Callable[..., Path], secrets) -> None:
    before, was = releases(lab), described(lab)
    dying = (
        "import os, sys\nprint('upgrading', flush=True)\n"
        "edition = open('/etc/guestbook/edition').read() + os.environ['EDITION']\n"
        "sys.exit(f'table entries is locked by {edition}, said ' + os.environ['DATABASE_URL'])\n"
    )
    # What comes with a release is there for its migration, and there alone.
    given = {"app_server_environment": {"EDITION": "second"}, "app_server_files": {"/etc/guestbook/edition": "the "}}
    failed = lab.playbook("deploy.yml", *source(version("stuck", migrate=dying)), "-e", json.dumps(given))
    assert failed.code != 0
    told = " ".join(failed.output.split())
    assert "so nothing was switched: upgrading table entries is locked by the second, said (DATABASE_URL)" in told
    assert secrets["app"] not in failed.output
    assert (releases(lab), described(lab)) == (before, was)
    assert lab.sh("web1", "find /etc/guestbook /run/guestbook-staged 2>/dev/null || true").split() == ["/etc/guestbook"]


def test_a_second_deployment_has_to_wait(lab: Lab, version: Callable[..., Path]) -> None:
    first = begin("deploy.yml", *source(version("third")))
    try:
        wait("the lock", lambda: f'"process": {first.pid}' in lab.sh("lb1", "cat /run/webstack/rollout.json"), 60)
        for playbook in ("deploy.yml", "site.yml"):
            refused = lab.playbook(playbook, *source(version(f"fourth-{playbook}")))
            assert refused.code != 0
            assert f"(process {first.pid}): wait for its end" in " ".join(refused.output.split())
            assert not any(refused.changed.values())
    finally:
        told = first.communicate(timeout=300)[0]
    assert first.returncode == 0, told[-3000:]
    assert len(releases(lab)) == 1


def test_a_node_that_dies_in_the_middle_is_named_and_costs_no_request(lab: Lab, version: Callable[..., Path]) -> None:
    before = releases(lab)
    with Client(SITE, rate=50) as client:
        client.answered(200)
        deploy = begin("deploy.yml", *source(version("fifth")), *HELD, "-e", "rollout_health_timeout=5")
        wait("web1 to drain", lambda: in_the_balancer(lab, "web1") == "DRAIN", 120)
        lab.docker("kill", lab.container("web1"))
        told = deploy.communicate(timeout=300)[0]
        client.answered(200)
    lab.docker("start", lab.container("web1"))
    assert deploy.returncode != 0
    failure = told.split("PLAY RECAP", maxsplit=1)[0].rsplit("Fail with what failed", 1)[-1]
    assert lab.container("web1") in failure, told[-3000:]
    assert client.failures == []
    assert release_of(lab, "web2") in before
    wait("web1 to be back", lambda: in_the_balancer(lab, "web1").startswith("UP"), 60)
    assert lab.playbook("deploy.yml", *source(version("fifth"))).code == 0
    assert len(releases(lab)) == 1
    print(f"node dies: {client.total} requests, 0 failed, longest {client.longest:.2f} s")


def test_the_balancer_is_put_right_although_the_play_was_killed(lab: Lab, version: Callable[..., Path]) -> None:
    deploy = begin("deploy.yml", *source(version("sixth")), *HELD, "-e", "rollout_lease=15")
    wait("web1 to drain", lambda: in_the_balancer(lab, "web1") == "DRAIN", 120)
    os.killpg(deploy.pid, signal.SIGKILL)
    deploy.communicate()
    # Another control node would have to wait no longer than this one.
    wait("the lock to be given back", lambda: lab.sh("lb1", "cat /run/webstack/rollout.json") == "", 20)
    wait("web1 to be back in the balancer", lambda: in_the_balancer(lab, "web1").startswith("UP"), 40)
    # The lock of the dead playbook holds nobody up.
    after = lab.playbook("deploy.yml", *source(version("sixth")))
    assert after.code == 0, after.output[-3000:]
    assert len(releases(lab)) == 1


def test_the_demonstration_is_back_with_all_that_others_left_undone(lab: Lab) -> None:
    web1 = lab.container("web1")
    lab.sh("web1", "systemctl stop nginx")
    wait("web1 to be down", lambda: in_the_balancer(lab, "web1").startswith("DOWN"), 30)
    # As a rollout does that is killed, of a node that dies.
    lab.sh("lb1", f"echo 'set server site/{web1} state drain' | socat - UNIX:/run/haproxy/admin.sock")
    lab.sh("lb1", "echo reload > /var/lib/webstack/pending/haproxy.service")
    lab.sh("web2", "echo restart > /var/lib/webstack/pending/prometheus-node-exporter.service")
    proof = " ".join(lab.playbook("verify.yml").output.split())
    for words in (f"site/{web1} is drained", "haproxy.service has a reload pending", "has a restart pending"):
        assert words in proof
    began = lab.sh("web2", "systemctl show -P ExecMainStartTimestamp prometheus-node-exporter")
    put_right = lab.playbook("site.yml")
    assert put_right.code == 0, put_right.output[-3000:]
    assert in_the_balancer(lab, "web1").startswith("UP")
    assert lab.sh("web2", "systemctl show -P ExecMainStartTimestamp prometheus-node-exporter") != began
    assert {
        name: lab.sh(name, "ls /var/lib/webstack/pending 2>/dev/null || true") for name in lab.names
    } == dict.fromkeys(lab.names, "")
    run = lab.playbook("site.yml")
    assert set(run.changed.values()) == {0}, run.changed
    assert json.loads(ask("/readyz")[2])["release"] in releases(lab)
