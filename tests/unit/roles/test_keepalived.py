# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a virtual address: what keepalived is told, when a balancer gives its addresses up, and who hears of it."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import node_programs
import pytest
from rendering import Cases, render

CHECK = node_programs.load("roles/keepalived/files/keepalived-check")
FACTS = {"eth0": {"device": "eth0", "ipv4": {"address": "192.0.2.11", "prefix": "24"}}}
BOTH = {
    "webstack_balancers": ["lb1", "web1"],
    "webstack_virtual_addresses": [{"addresses": ["192.0.2.10", "fd00::10"]}, {"addresses": ["192.0.2.9"]}],
    "ansible_facts": FACTS,
}
LIMITED = {**BOTH, "haproxy_rate_limit": 50}
MOVED = {**BOTH, "keepalived_notify_command": ["sh", "-c", 'echo "$@" >> moved', "move it"]}
OWN = {**BOTH, "haproxy_admin_address": "127.0.0.1", "haproxy_admin_port": 9000}
CASES: Cases = {
    "lb1": {
        "keepalived": ("keepalived", "keepalived.conf.j2", BOTH),
        "notify": ("keepalived", "notify.j2", BOTH),
        "notify command": ("keepalived", "notify.j2", MOVED),
        "check": ("keepalived", "keepalived-check.service.j2", BOTH),
        "own check": ("keepalived", "keepalived-check.service.j2", OWN),
        "check of all": ("keepalived", "keepalived-check.service.j2", {**OWN, "haproxy_admin_address": "*"}),
        "haproxy": ("haproxy", "haproxy.cfg.j2", BOTH),
        "limited": ("haproxy", "haproxy.cfg.j2", LIMITED),
        "bound": ("haproxy", "haproxy.cfg.j2", {**BOTH, "haproxy_site_address": "192.0.2.10"}),
        "alone": ("haproxy", "haproxy.cfg.j2", {**LIMITED, "webstack_balancers": ["lb1"]}),
    },
    "web1": {
        "keepalived": ("keepalived", "keepalived.conf.j2", BOTH),
        "haproxy": ("haproxy", "haproxy.cfg.j2", LIMITED),
        "nginx": ("nginx", "nginx.conf.j2", BOTH),
    },
    "web2": {"haproxy": ("haproxy", "haproxy.cfg.j2", LIMITED)},
}


@pytest.fixture(scope="module")
def rendered(top: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each case became, by host."""
    return render(top, tmp_path_factory.mktemp("keepalived"), CASES)


def instance(text: str, name: str) -> str:
    """The statements of a VRRP instance, one a line, without indentation."""
    [found] = re.findall(rf"^vrrp_instance {name} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    return re.sub(r"(?m)^ +", "", found)


def test_balancers_take_the_addresses_in_opposite_orders(rendered):
    for host, priorities in (("lb1", (250, 200)), ("web1", (200, 250))):
        found = [instance(rendered[host]["keepalived"], name) for name in ("virtual-10", "virtual-9")]
        assert [re.findall(r"^priority (\d+)$", each, re.MULTILINE) for each in found] == [
            [str(each)] for each in priorities
        ]


def test_balancers_speak_to_each_other_alone_and_nobody_preempts(rendered):
    for host, own, peer in (("lb1", "192.0.2.11", "192.0.2.21"), ("web1", "192.0.2.21", "192.0.2.11")):
        text = rendered[host]["keepalived"]
        assert "vrrp_version 3" in text
        assert "enable_script_security" in text
        found = instance(text, "virtual-10")
        assert f"unicast_src_ip {own}\nunicast_peer {{\n{peer}\n}}\n" in found
        assert "state BACKUP\nnopreempt\ninterface eth0\nvirtual_router_id 10\n" in found
        assert "advert_int 0.2\n" in found


def test_addresses_of_both_protocols_move_together(rendered):
    found = instance(rendered["lb1"]["keepalived"], "virtual-10")
    assert "virtual_ipaddress {\n192.0.2.10/32 dev eth0\n}\n" in found
    assert "virtual_ipaddress_excluded {\nfd00::10/128 dev eth0\n}\n" in found
    assert "excluded" not in instance(rendered["lb1"]["keepalived"], "virtual-9")


def test_a_balancer_that_does_not_answer_gives_up_whatever_its_priority(rendered):
    text = rendered["lb1"]["keepalived"]
    for name, weight in (("haproxy", 0), ("servers", -125)):
        assert re.search(rf'track_file {name} {{\n +file "/run/keepalived-check/{name}"\n +weight {weight}\n}}', text)
    assert all("track_file {\nhaproxy\nservers\n}\n" in instance(text, name) for name in ("virtual-10", "virtual-9"))
    assert "--url=http://192.0.2.11:8404/healthz" in rendered["lb1"]["check"]
    assert "    monitor-uri /healthz\n    monitor fail if { nbsrv(site) eq 0 }\n" in rendered["lb1"]["haproxy"]
    assert "monitor-uri" not in rendered["web2"]["haproxy"] + rendered["lb1"]["alone"]


def test_haproxy_is_asked_where_it_listens(rendered):
    assert "--url=http://127.0.0.1:9000/healthz" in rendered["lb1"]["own check"]
    assert "--url=http://192.0.2.11:9000/healthz" in rendered["lb1"]["check of all"]


def test_haproxy_can_bind_an_address_that_another_balancer_holds(rendered):
    assert "bind 192.0.2.10:80 transparent\n" in rendered["lb1"]["bound"]
    assert "transparent" not in rendered["lb1"]["haproxy"]


def test_balancers_share_what_they_count_and_prove_who_they_are(rendered):
    certificate = "crt /etc/haproxy/certificates/.peers.pem ca-file /etc/ssl/webstack/ca.pem verify required"
    for host, own, others in (
        ("lb1", "192.0.2.11", ["server lb1", "server web1 192.0.2.21:8405 verifyhost web1"]),
        ("web1", "192.0.2.21", ["server lb1 192.0.2.11:8405 verifyhost lb1", "server web1"]),
    ):
        text = rendered[host]["haproxy" if host == "web1" else "limited"]
        section = text.split("\npeers balancers\n")[1].split("\n\n")[0]
        assert [line.strip() for line in section.splitlines() if line.strip()] == [
            f"bind {own}:8405 ssl {certificate}", f"default-server ssl {certificate}", *others,
        ]  # fmt: skip
        assert f"localpeer {host}\n" in text
        assert "store http_req_rate(10s) peers balancers\n" in text
    for text in (rendered["lb1"]["haproxy"], rendered["lb1"]["alone"], rendered["web2"]["haproxy"]):
        assert "peers" not in text


def test_web_nodes_believe_all_balancers(rendered):
    assert re.findall(r"set_real_ip_from (\S+);", rendered["web1"]["nginx"]) == ["192.0.2.11", "192.0.2.21"]


def test_a_balancer_may_ask_by_a_virtual_address_during_maintenance(rendered):
    assert re.findall(r"acl maintenance_allowed src 127.0.0.0/8 ::1 (.*)", rendered["lb1"]["haproxy"]) == [
        "192.0.2.11 192.0.2.21 192.0.2.10 fd00::10 192.0.2.9"
    ]


class Node:
    """A balancer on which the hook runs, with the addresses that it has."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.metrics = folder, folder / "metrics" / "virtual_addresses.prom"
        self.metrics.parent.mkdir()
        (folder / "bin").mkdir()
        self.program("ip", f'grep -x "$5" {folder}/addresses || true')
        self.program("logger", "cat > /dev/null")
        text = text.replace("/var/lib/prometheus/node-exporter", str(self.metrics.parent))
        text = text.replace("/run/keepalived-notify.lock", str(folder / "lock"))
        (folder / "notify").write_text(text.replace("PATH=", f"PATH={folder}/bin:"))

    def program(self, name: str, text: str) -> None:
        """Have a program."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def notify(self, state: str, *held: str) -> None:
        """Run the hook as keepalived does, while the node has these addresses."""
        (self.folder / "addresses").write_text("".join(f"{each}\n" for each in held))
        words = ["192.0.2.10,fd00::10", "INSTANCE", "virtual-10", state, "250"]
        done = subprocess.run(
            ["sh", self.folder / "notify", *words],
            cwd=self.folder, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

    @property
    def moved(self) -> list[str]:
        """What the user's command was told."""
        path = self.folder / "moved"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def held(self) -> dict[str, str]:
        """The metric by address."""
        return dict(re.findall(r'^webstack_virtual_address_held{address="(.+)"} (\d)$', self.metrics.read_text(), re.M))


def test_the_metric_says_what_the_node_has_and_not_what_the_hook_is_told(rendered, tmp_path):
    node = Node(tmp_path, rendered["lb1"]["notify"])
    node.notify("MASTER", "192.0.2.10", "fd00::10")
    assert node.held == {"192.0.2.10": "1", "fd00::10": "1", "192.0.2.9": "0"}
    # The hook of an earlier change may come last.
    node.notify("MASTER", "192.0.2.9")
    assert node.held == {"192.0.2.10": "0", "fd00::10": "0", "192.0.2.9": "1"}
    assert [path.name for path in node.metrics.parent.iterdir()] == [node.metrics.name]
    assert node.moved == []


def test_without_the_exporter_there_is_no_metric(rendered, tmp_path):
    node = Node(tmp_path, rendered["lb1"]["notify"])
    node.metrics.parent.rmdir()
    node.notify("MASTER", "192.0.2.10")
    assert not node.metrics.parent.exists()


def test_the_users_command_is_run_for_each_address_with_the_state(rendered, tmp_path):
    node = Node(tmp_path, rendered["lb1"]["notify command"])
    node.notify("MASTER", "192.0.2.10", "fd00::10")
    node.notify("FAULT")
    assert node.moved == [
        "MASTER 192.0.2.10 virtual-10", "MASTER fd00::10 virtual-10",
        "FAULT 192.0.2.10 virtual-10", "FAULT fd00::10 virtual-10",
    ]  # fmt: skip


def test_the_users_command_is_not_run_for_a_state_that_has_passed(rendered, tmp_path):
    node = Node(tmp_path, rendered["lb1"]["notify command"])
    node.notify("MASTER")
    node.notify("BACKUP", "192.0.2.10", "fd00::10")
    assert node.moved == []


@pytest.mark.parametrize(
    ("answers", "states"),
    [
        ([True], "0"),
        ([False], "1"),
        ([True, False], "00"),
        ([True, False, False, False], "0011"),
        ([True, False, True, False, True], "00000"),
        ([False, True, True], "110"),
    ],
)
def test_two_answers_in_a_row_change_the_state_and_the_first_one_alone(answers, states):
    state = CHECK.State()
    found = ""
    for answered in answers:
        state.changed(answered)
        found += state.value
    assert found == states


class Health(BaseHTTPRequestHandler):
    """A balancer that says whether it lives, and has servers."""

    def do_GET(self) -> None:
        """Answer by the path."""
        time.sleep(1 if self.path == "/late" else 0)
        self.send_response(200 if self.path in ("/healthz", "/late") else 503)
        self.end_headers()

    def log_message(self, *_said: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """Where the balancer listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/other", 503), ("/late", CHECK.LATE)])
def test_an_answer_counts_in_time(place, path, status):
    assert CHECK.status(f"{place}{path}", 0.3) == status


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_10.0\r\n", b"HTTP/1.1 many\r\n"])
def test_what_is_no_answer_of_http_counts_as_none(said):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(said)
                connection.recv(1024)

        threading.Thread(target=answer, daemon=True).start()
        assert CHECK.status(f"http://127.0.0.1:{server.getsockname()[1]}/healthz", 5) == 0


def test_a_balancer_that_is_stopped_or_frozen_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = frozen.getsockname()[1]
        began = time.monotonic()
        assert CHECK.status(f"http://127.0.0.1:{port}/healthz", 0.1) == CHECK.LATE
        assert time.monotonic() - began < 1
    assert CHECK.status(f"http://127.0.0.1:{port}/healthz", 0.1) == CHECK.NONE


def test_an_answer_that_is_late_decides_alone(tmp_path, monkeypatch):
    states = {name: CHECK.State() for name in CHECK.FILES}
    seen = []
    for found in (200, CHECK.NONE, 200, CHECK.LATE, 200, CHECK.NONE, 200, 200):
        monkeypatch.setattr(CHECK, "status", lambda _url, _timeout, found=found: found)
        CHECK.step(states, "", CHECK.Patience(0.5), tmp_path)
        seen.append((tmp_path / "haproxy").read_text().strip())
    assert "".join(seen) == "00011110"


def test_a_node_without_time_for_the_check_says_nothing_of_haproxy(tmp_path, monkeypatch):
    class Slow:
        """A clock that jumps while an answer is waited for."""

        def __init__(self) -> None:
            self.times = iter((0.0, 0.0, 5.0))

        def monotonic(self) -> float:
            return next(self.times)

    with socket.create_server(("127.0.0.1", 0)) as frozen, monkeypatch.context() as patched:
        patched.setattr(CHECK, "time", Slow())
        found = CHECK.status(f"http://127.0.0.1:{frozen.getsockname()[1]}/", 0.05)
    assert found == CHECK.STARVED
    states = {name: CHECK.State() for name in CHECK.FILES}
    for found in (200, CHECK.STARVED, CHECK.STARVED, CHECK.STARVED):
        monkeypatch.setattr(CHECK, "status", lambda _url, _timeout, found=found: found)
        CHECK.step(states, "", CHECK.Patience(0.5), tmp_path)
    assert (tmp_path / "haproxy").read_text() == "0\n"


def test_a_balancer_that_was_only_slow_gets_more_time_until_it_is_quick():
    patience = CHECK.Patience(0.4)
    found = []
    for answer, now in (
        (200, 1), (CHECK.LATE, 2), (CHECK.LATE, 3), (503, 4),
        (CHECK.LATE, 10), (200, 11), (CHECK.LATE, 12), (200, 13), (CHECK.LATE, 14), (200, 15),
        (200, 615), (200, 616),
    ):  # fmt: skip
        patience.learn(answer, now)
        found.append(patience.timeout)
    assert found == [0.4, 0.4, 0.4, 0.8, 0.8, 1.6, 1.6, 2.0, 2.0, 2.0, 2.0, 0.4]


def test_a_balancer_that_was_dead_gets_no_more_time():
    patience = CHECK.Patience(0.4)
    for answer, now in ((CHECK.LATE, 1), (CHECK.NONE, 3), (CHECK.LATE, 6), (200, 7)):
        patience.learn(answer, now)
    assert patience.timeout == 0.4


def test_only_changes_are_written_down(place, tmp_path, capsys):
    states = {name: CHECK.State() for name in CHECK.FILES}
    files = [tmp_path / "haproxy", tmp_path / "servers"]

    def written(url: str) -> list[str]:
        CHECK.step(states, url, CHECK.Patience(0.5), tmp_path)
        found = [path.read_text().strip() if path.exists() else "" for path in files]
        for path in files:
            path.unlink(missing_ok=True)
        return found

    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert written(f"{place}/healthz") == ["0", "0"]
    assert [written(f"{place}/healthz") for _again in range(2)] == [["", ""]] * 2
    # Without servers, then without anything, of which nothing is known about servers.
    assert [written(f"{place}/other") for _again in range(3)] == [["", ""], ["", "1"], ["", ""]]
    assert [written(gone) for _again in range(3)] == [["", ""], ["1", ""], ["", ""]]
    assert [written(f"{place}/healthz") for _again in range(2)] == [["", ""], ["0", "0"]]
    assert capsys.readouterr().out.splitlines() == [
        "HAProxy answers.", "HAProxy has servers.", "HAProxy has no server.", "HAProxy does not answer.",
        "HAProxy answers.", "HAProxy has servers.",
    ]  # fmt: skip
