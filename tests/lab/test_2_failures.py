# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real failures on the lab: what the client notices, what the proof says. Each test puts the lab right again."""

from __future__ import annotations

import json

import pytest
from client import Client, ask
from nodes import Lab, healthy, journal_has, without_wishes
from waiting import wait

pytestmark = pytest.mark.usefixtures("lab_is_right")


def test_web_node_killed_under_load_costs_no_request(lab: Lab) -> None:
    with Client() as client:
        client.answered(400)
        lab.docker("kill", lab.container("web2"))
        client.answered(2000)
    lab.docker("start", lab.container("web2"))
    assert client.failures == []
    assert client.served_by[lab.container("web1")] > client.served_by[lab.container("web2")] > 0
    print(f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")


def test_readers_notice_nothing_of_a_primary_that_dies(lab: Lab) -> None:
    with Client(rate=50) as client:
        client.answered(100)
        lab.docker("kill", lab.container("db1"))
        client.answered(600)
    lab.docker("start", lab.container("db1"))
    assert client.failures == []
    print(f"{client.total} requests, 0 failed, longest {client.longest:.2f} s")


@pytest.mark.parametrize(
    ("node", "command"),
    [
        ("lb1", "systemctl reload haproxy"),
        ("web1", "systemctl reload haproxy"),
        ("web1", "systemctl reload nginx"),
        ("web1", "systemctl reload guestbook"),
    ],
)
def test_reload_under_load_costs_no_request(lab: Lab, node: str, command: str) -> None:
    with Client() as client:
        client.answered(200)
        lab.sh(node, command)
        client.answered(600)
    assert client.failures == []


@pytest.mark.parametrize("service", ["guestbook", "nginx"])
def test_crash_under_load_costs_only_answers_of_which_a_part_was_sent(lab: Lab, service: str) -> None:
    with Client() as client:
        client.answered(200)
        lab.sh("web1", f"systemctl kill --signal=KILL --kill-whom=all {service}.service")
        client.answered(600)
    assert client.failures == client.cut
    # The application sends the head and the body of an answer one after the other: few are in between.
    assert len(client.cut) <= 2


@pytest.mark.parametrize("nodes", [("lb1",), ("web1", "db2"), ("web2", "db1")], ids="-".join)
def test_proof_names_each_node_that_is_stopped(lab: Lab, nodes: tuple[str, ...]) -> None:
    containers = [lab.container(node) for node in nodes]
    lab.docker("stop", "--time", "5", *containers)
    try:
        # Nobody starts them meanwhile.
        proof = lab.playbook("verify.yml", "-e", "proof_timeout=3")
    finally:
        lab.docker("start", *containers)
        states = [lab.host(node) for node in nodes]
        wait(
            "the nodes to boot",
            lambda: all(each.run("systemctl is-system-running").stdout.strip() == "running" for each in states),
        )
    assert proof.code != 0
    said = [line.split()[1] for line in proof.output.splitlines() if "does not answer" in line and "WRONG" in line]
    assert sorted(set(said)) == sorted(containers)
    # The others are still looked at.
    assert proof.output.count("ok     ") >= 4


def test_site_refuses_to_start_over_a_node_that_is_stopped(lab: Lab) -> None:
    lab.docker("stop", "--time", "5", lab.container("db2"))
    try:
        run = lab.playbook("site.yml")
    finally:
        lab.docker("start", lab.container("db2"))
    assert run.code != 0
    assert f"{lab.container('db2')}: did not answer" in run.output
    assert "nothing was changed" in run.output
    assert not any(run.changed.values())


def test_restarted_primary_takes_writes_while_its_replica_follows_it(lab: Lab) -> None:
    lab.docker("restart", "--time", "5", lab.container("db1"))
    wait(
        "db1 to take writes",
        lambda: ask("/canary", method="POST", body='{"token": "restarted"}', Content_Type="application/json")[0] == 200,
        60,
    )
    assert "every peer still follows it" in lab.sh("db1", "journalctl -u mysql-resume --output=cat --no-pager")


def test_restarted_primary_stays_read_only_while_nobody_confirms_it(lab: Lab) -> None:
    lab.sh("db2", "systemctl stop mysql")
    try:
        lab.sh("db1", "systemctl restart mysql")
        wait("mysql-resume to look", lambda: lab.host("db1").service("mysql-resume").is_running, 20)
        # Long enough for it to be opened, were it confirmed.
        lab.sh("db1", "sleep 3")
        assert lab.sql("db1", "SELECT @@super_read_only") == "1"
    finally:
        lab.sh("db2", "systemctl start mysql")
    wait("db1 to take writes", lambda: lab.sql("db1", "SELECT @@super_read_only") == "0", 30)


def test_conflicting_row_on_the_replica_is_red_and_explained(lab: Lab) -> None:
    lab.sql("db1", "DELETE FROM guestbook.entries WHERE id = 900001")
    wait(
        "db2 to have no such row",
        lambda: lab.sql("db2", "SELECT COUNT(*) FROM guestbook.entries WHERE id = 900001") == "0",
    )
    lab.sql(
        "db2",
        "SET GLOBAL super_read_only = OFF; SET SESSION sql_log_bin = 0; "
        "INSERT INTO guestbook.entries VALUES (900001, 'x', 'local', NOW(6), 'db2'); SET GLOBAL super_read_only = ON",
    )
    lab.sql("db1", "INSERT INTO guestbook.entries VALUES (900001, 'x', 'primary', NOW(6), 'db1')")
    try:
        wait("the applier to stop", lambda: "1062" in lab.sql("db2", "SHOW REPLICA STATUS"), 20)
        told = lab.host("db2").run("mysql-verdict")
        assert told.rc == 2
        assert told.stdout.startswith("CRITICAL")
        assert "guestbook.entries" in told.stdout
        assert "900001" in told.stdout
        for playbook in ("verify.yml", "site.yml"):
            run = lab.playbook(playbook)
            assert run.code != 0, playbook
            for word in (lab.container("db2"), "guestbook.entries", "900001", "1062"):
                assert word in run.output, f"{playbook} does not say {word}"
            assert not any(run.changed.values())
    finally:
        lab.sql(
            "db2",
            "SET GLOBAL super_read_only = OFF; SET SESSION sql_log_bin = 0; "
            "DELETE FROM guestbook.entries WHERE id = 900001; SET GLOBAL super_read_only = ON; START REPLICA",
        )
    wait(
        "the applier to catch up",
        lambda: lab.sql("db2", "SELECT COUNT(*) FROM guestbook.entries WHERE id = 900001") == "1",
    )
    wait("reads to come from the replica again", lambda: healthy(lab), 60)
    proof = lab.playbook("verify.yml")
    assert proof.code == 0, proof.output[-3000:]


def test_replica_with_data_of_its_own_is_left_alone_until_it_is_named(lab: Lab) -> None:
    lab.sql(
        "db2",
        "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; CREATE DATABASE precious; "
        "CREATE TABLE precious.only (id INT PRIMARY KEY); SET GLOBAL super_read_only = ON",
    )
    refused = lab.playbook("site.yml")
    assert refused.code != 0
    assert "precious" in refused.output
    assert "mysql_replica_rebuild" in refused.output
    assert lab.sql("db2", "SHOW TABLES FROM precious") == "only"
    rebuilt = lab.playbook("site.yml", "-e", json.dumps({"mysql_replica_rebuild": [lab.container("db2")]}))
    assert rebuilt.code == 0, rebuilt.output[-3000:]
    assert "precious" not in lab.sql("db2", "SHOW DATABASES")
    assert lab.sql("db2", "SELECT COUNT(*) FROM guestbook.entries") == lab.sql(
        "db1", "SELECT COUNT(*) FROM guestbook.entries"
    )


def test_full_run_changes_nothing_and_check_mode_neither(lab: Lab, secrets: dict[str, str]) -> None:
    run = lab.playbook("site.yml", "-vvv", "--diff")
    assert run.code == 0, run.output[-3000:]
    assert set(run.changed.values()) == {0}, run.changed
    assert not any(value in run.output for value in secrets.values())
    assert {name: journal_has(lab, name, secrets) for name in lab.names} == dict.fromkeys(lab.names, [])
    check = lab.playbook("site.yml", "--check", "--diff")
    assert check.code == 0, check.output[-3000:]
    assert set(check.changed.values()) == {0}, check.changed


def test_oldest_supported_ansible_core_agrees(lab: Lab) -> None:
    oldest = lab.playbook("site.yml", binary=str(lab.oldest_core))
    assert oldest.code == 0, oldest.output[-3000:]
    assert set(oldest.changed.values()) == {0}, oldest.changed


def test_change_is_shown_by_check_mode_and_applied_by_reload(lab: Lab) -> None:
    secret = {"mail": "swordfish-1f8e"}
    receivers = [{"name": "mail", "webhook_configs": [{"url": f"http://192.0.2.1/{secret['mail']}"}]}]
    wished = {
        "haproxy_balance": "leastconn",
        "monitoring_alertmanager_receivers": receivers,
        "monitoring_alertmanager_route": {"receiver": "mail"},
    }
    balance = ["-vvv", "--diff", "-e", json.dumps(wished)]
    check = lab.playbook("site.yml", "--check", *balance)
    assert "-    balance roundrobin" in check.output
    assert "+    balance leastconn" in check.output
    assert "balance roundrobin" in lab.sh("lb1", "cat /etc/haproxy/haproxy.cfg")
    started = lab.sh("lb1", "systemctl show -P ExecMainStartTimestamp haproxy")
    with Client(rate=50) as client:
        client.answered(20)
        changed = lab.playbook("site.yml", *balance)
        assert changed.code == 0, changed.output[-3000:]
        assert secret["mail"] in lab.sh("lb1", "cat /etc/prometheus/alertmanager.yml")
        told = without_wishes(check.output) + without_wishes(changed.output)
        assert secret["mail"] not in told
        assert journal_has(lab, "lb1", secret) == []
        assert "balance leastconn" in lab.sh("lb1", "cat /etc/haproxy/haproxy.cfg")
        assert lab.playbook("site.yml").code == 0
    assert client.failures == []
    assert lab.sh("lb1", "systemctl show -P ExecMainStartTimestamp haproxy") == started


def test_bad_input_is_refused_all_at_once_before_anything_changes(lab: Lab) -> None:
    run = lab.playbook("site.yml", "-e", json.dumps({
        "haproxy_balance": "random", "webstack_domain": "not a domain", "app_server_source": "/nowhere",
        "webstack_mysql_engine": "oracle", "webstack_web_port": 8404,
    }))  # fmt: skip
    assert run.code != 0
    for words in ("haproxy_balance must be one of", "'not a domain'", "'/nowhere' is not a directory",
                  "webstack_mysql_engine must be one of", "are both 8404"):  # fmt: skip
        assert words in " ".join(run.output.split()), run.output[-4000:]
    assert "nothing was changed" in run.output
    assert not any(run.changed.values())


def test_port_taken_by_a_stranger_is_named(lab: Lab) -> None:
    lab.sh("web1", "systemctl stop haproxy && systemd-run --unit=stranger python3 -m http.server --bind 127.0.0.1 3307")
    try:
        wait("the stranger to listen", lambda: "127.0.0.1:3307" in lab.sh("web1", "ss -Htln"))
        run = lab.playbook("site.yml")
        assert run.code != 0
        assert f"{lab.container('web1')}: port 3307 (webstack_replica_endpoint_port) is taken by python3" in " ".join(
            run.output.split()
        )
    finally:
        lab.sh("web1", "systemctl stop stranger; systemctl start haproxy")
