# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is drained and put back by a runtime interface that answers as HAProxy does."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.modules import haproxy_server

STAT = "# pxname,svname,qcur,scur,status,bck,mode,\n"


class Balancer:
    """The servers of a balancer behind a socket of the runtime interface."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status = {("site", "web1"): "UP", ("site", "web2"): "UP"}
        self.admin: dict[tuple[str, str], int] = {}
        self.sessions: dict[tuple[str, str], list[int]] = {}
        self.modes: dict[str, str] = {}
        self.backups: list[str] = []
        self.commands: list[str] = []
        self.recovers = True
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = self._listener.accept()
                with connection:
                    connection.sendall(self._answer(connection.recv(4096).decode().strip()).encode() + b"\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, command: str) -> str:
        if command == "show stat":
            return STAT + "".join(self._row(*key) for key in self.status) + "site,BACKEND,0,9,UP,0,http,\n"
        if command.startswith("show servers state"):
            rows = [
                f"2 {backend} 1 {name} 192.0.2.1 {2 * int(status == 'UP')} {self.admin.get((backend, name), 0)} 1 1 5"
                for (backend, name), status in self.status.items()
                if command.split()[3:] in ([], [backend])
            ]
            return "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n" + "\n".join(rows) + "\n"
        self.commands.append(command)
        backend, name = next(word for word in command.split() if "/" in word).split("/")
        if (backend, name) not in self.status:
            return "No such server."
        if command.startswith("shutdown"):
            return ""
        state = command.split()[-1]
        self.admin[backend, name] = {"drain": 8, "ready": 0, "maint": 1}[state]
        # As HAProxy does, of one that is down it shows only that.
        if self.status[backend, name] != "DOWN":
            self.status[backend, name] = "DRAIN" if state == "drain" else ("UP 1/2" if self.recovers else "DOWN")
        return ""

    def _row(self, backend: str, name: str) -> str:
        left = self.sessions.get((backend, name), [0])
        now = left.pop(0) if len(left) > 1 else left[0]
        backup = int(name in self.backups)
        return f"{backend},{name},0,{now},{self.status[backend, name]},{backup},{self.modes.get(backend, 'http')},\n"


@pytest.fixture
def balancer(tmp_path):
    (tmp_path / "run").mkdir()
    made = Balancer(tmp_path / "run" / "admin.sock")
    yield made
    made.close()


class Master:
    """The master process, which passes commands on to those that it knows, here to old ones with so many sessions."""

    def __init__(self, path: Path, old: dict[int, list[int]]) -> None:
        self.old = old
        self.ended: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _peer = self._listener.accept()
                with connection:
                    connection.sendall(self._answer(connection.recv(4096).decode().strip()).encode() + b"\n")

    def _answer(self, command: str) -> str:
        if command == "show proc":
            old = "".join(f"{pid}  worker  1  0d00h01m00s  3.0.11\n" for pid in self.old)
            head = "#<PID> <type> <reloads> <uptime> <version>\n7  master  1  0d00h02m00s  3.0.11\n"
            return f"{head}# workers\n99  worker  0  0d00h00m10s  3.0.11\n# old workers\n{old}# programs\n"
        target, _space, asked = command.partition(" ")
        if asked.startswith("shutdown sessions server"):
            self.ended.append(f"{target} {asked.split()[-1]}")
            return "No such server."
        assert asked == "show stat"
        left = self.old[int(target.removeprefix("@!"))]
        if not left:
            return "Can't find the target CLI!"
        now = left.pop(0) if len(left) > 1 else left[0]
        return f"{STAT}site,web1,0,{now},UP,0,http,\nsite,web2,0,5,UP,0,http,\n"


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """What systemctl and systemd-run were told; systemctl knows of no timer until systemd-run made one."""
    log = tmp_path / "systemd.log"
    log.touch()
    for program in ("systemctl", "systemd-run"):
        script = tmp_path / program
        script.write_text(
            f'#!/bin/sh\necho "{program} $1 $2 $3" >> {log}\n[ "$1" = show ] && '
            f"{{ grep -q systemd-run {log} && echo loaded || echo not-found; }}\nexit 0\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda: [line for line in log.read_text().splitlines() if " show " not in line]


@pytest.fixture
def server(run_module, balancer, systemd):
    def run(state: str, name: str = "web1", check: bool = False, **arguments):
        arguments = {"timeout": 2, "master_socket": "/nonexistent", **arguments}
        return run_module(haproxy_server, check=check, name=name, state=state, socket=str(balancer.path), **arguments)

    return run


def test_a_server_is_drained_once_and_its_sessions_are_waited_for(server, balancer):
    balancer.sessions["site", "web1"] = [3, 2, 1, 0]
    done = server("drain")
    assert (done["changed"], done["backends"], done["sessions"]) == (True, {"site": "DRAIN"}, 0)
    assert done["diff"] == {"before": "site/web1 UP\n", "after": "site/web1 DRAIN\n"}
    assert server("drain")["changed"] is False
    assert balancer.commands == ["set server site/web1 state drain"]


def test_sessions_from_before_a_reload_are_waited_for_too(server, balancer, tmp_path):
    # Of a process that has just ended nothing is known.
    master = Master(tmp_path / "master.sock", {5: [2, 1, 0], 6: []})
    assert server("drain", master_socket=str(tmp_path / "master.sock"))["sessions"] == 0
    assert master.old[5] == [0]
    master.old[5] = [4]
    assert server("drain", timeout=1, master_socket=str(tmp_path / "master.sock"))["sessions"] == 4


def test_sessions_that_do_not_end_are_told(server, balancer):
    balancer.sessions["site", "web1"] = [3]
    assert server("drain", timeout=1)["sessions"] == 3


def test_a_server_is_put_back_and_has_to_be_up(server, balancer):
    server("drain")
    assert server("ready")["backends"] == {"site": "UP 1/2"}
    assert server("ready")["changed"] is False
    server("drain")
    balancer.recovers = False
    said = server("ready", timeout=1)["msg"]
    assert said.startswith("name: web1 was put back, but its health checks do not pass (DOWN in site) after 1 s: ")


@pytest.mark.parametrize(
    ("mode", "sessions", "ended"),
    [("tcp", 2, ["shutdown sessions server reads/db1"]), ("tcp", 0, []), ("http", 2, [])],
)
def test_borrowed_sessions_of_a_tcp_service_go_back(server, balancer, mode, sessions, ended):
    balancer.status |= {("reads", "db2"): "UP", ("reads", "db3"): "UP", ("reads", "db1"): "UP"}
    balancer.sessions = {("reads", "db1"): [sessions], ("reads", "db2"): [0], ("reads", "db3"): [5]}
    balancer.backups, balancer.modes = ["db1"], {"reads": mode}
    for state, _repeated in (("drain", 1), ("ready", 1), ("ready", 2)):
        server(state, name="db2", backends=["reads"])
    commands = ["set server reads/db2 state drain", "set server reads/db2 state ready", *ended]
    assert balancer.commands == commands


def test_the_last_server_that_is_up_stays(server, balancer):
    balancer.status["site", "web2"] = "DOWN"
    assert server("drain")["msg"] == (
        "name: web1 is the only server that is up in backend site: "
        "bring another one up first, or the site is down without it."
    )
    assert balancer.commands == []


def test_one_that_is_down_itself_may_be_drained(server, balancer):
    balancer.status["site", "web1"] = "DOWN"
    balancer.status["site", "web2"] = "DOWN"
    assert server("drain")["changed"] is True


def test_every_backend_with_health_checks_is_meant_or_those_that_are_named(server, balancer):
    balancer.status |= {("api", "web1"): "UP", ("api", "web2"): "UP", ("raw", "web1"): "no check"}
    assert set(server("drain")["backends"]) == {"site", "api"}
    server("ready")
    assert set(server("drain", backends=["api"])["backends"]) == {"api"}


@pytest.mark.parametrize(
    ("arguments", "where"),
    [({"name": "web9"}, "any backend with health checks"), ({"backends": ["shop"]}, "backend shop")],
)
def test_a_server_that_is_not_there_is_named(server, arguments, where):
    name = arguments.get("name", "web1")
    assert server("drain", **arguments)["msg"].startswith(f"name: HAProxy has no server {name} in {where}: ")


def test_check_mode_changes_and_waits_for_nothing(server, balancer, systemd):
    balancer.sessions["site", "web1"] = [3]
    done = server("drain", check=True, lease=60)
    assert (done["changed"], done["diff"]["after"]) == (True, "site/web1 DRAIN\n")
    assert (balancer.commands, systemd()) == ([], [])


def test_a_lease_is_begun_renewed_and_ended(server, systemd):
    server("drain", lease=60)
    server("drain", lease=60)
    server("ready")
    begun = "systemd-run --unit=haproxy-return-web1 --on-active=60s --timer-property=AccuracySec=1s"
    ended = ["systemctl stop haproxy-return-web1.timer ", "systemctl stop haproxy-return-web1.service "]
    assert systemd() == [begun, *ended, begun, *ended]


@pytest.mark.parametrize(
    ("status", "admin", "commands"),
    [
        ("DRAIN", 8, ["set server site/web1 state ready"]),
        ("DOWN", 8, ["set server site/web1 state ready"]),
        ("MAINT", 1, []),
        ("UP", 0, []),
    ],
)
def test_a_lease_puts_its_server_back_unless_somebody_has_taken_it(balancer, status, admin, commands):
    balancer.status["site", "web1"], balancer.admin["site", "web1"] = status, admin
    program = [sys.executable, "-c", haproxy_server.RETURN_PROGRAM, str(balancer.path), "site/web1", "gone/web1"]
    subprocess.run(program, check=True, timeout=20)
    assert balancer.commands == commands


def test_the_program_of_a_lease_fails_without_haproxy_and_is_tried_again(tmp_path):
    program = [sys.executable, "-c", haproxy_server.RETURN_PROGRAM, str(tmp_path / "none.sock"), "site/web1"]
    assert subprocess.run(program, capture_output=True, timeout=20, check=False).returncode != 0


def test_one_that_is_down_is_put_back_too_and_its_lease_ended_only_then(server, balancer, systemd):
    balancer.status["site", "web1"], balancer.admin["site", "web1"] = "DOWN", 8
    assert server("ready", check=True)["diff"]["before"] == "site/web1 DOWN (drained)\n"
    said = server("ready", timeout=1)
    assert said["msg"].startswith(
        "name: web1 was put back, but its health checks do not pass (DOWN in site) after 1 s: "
    )
    assert (balancer.commands, balancer.admin["site", "web1"]) == (["set server site/web1 state ready"], 0)


def test_one_that_is_down_is_drained_once(server, balancer):
    balancer.status["site", "web1"] = "DOWN"
    assert [server("drain")["changed"] for _attempt in range(2)] == [True, False]
    assert balancer.commands == ["set server site/web1 state drain"]


@pytest.mark.parametrize("state", ["drain", "ready"])
def test_maintenance_by_hand_is_left_alone_and_not_waited_for(server, balancer, state):
    balancer.status["site", "web1"], balancer.admin["site", "web1"] = "MAINT", 1
    done = server(state)
    assert (done["changed"], done["maintained"], balancer.commands) == (False, ["site"], [])


@pytest.mark.parametrize("state", ["drain", "ready"])
def test_servers_that_follow_one_in_maintenance_are_left_alone_too(server, balancer, state):
    followed, following = ("site", "web1"), ("site-streams", "web1")
    balancer.status |= {followed: "MAINT", following: "MAINT (via site/web1)", ("site-streams", "web2"): "UP"}
    balancer.admin = {followed: 1, following: 2}
    done = server(state)
    assert (done["changed"], done["maintained"], balancer.commands) == (False, ["site", "site-streams"], [])


@pytest.mark.parametrize("check", [True, False])
def test_whoever_holds_the_lock_puts_back_what_is_drained(run_module, balancer, systemd, check):
    balancer.status |= {("site", "web1"): "DOWN", ("site", "web2"): "MAINT", ("reads", "db2"): "DRAIN"}
    balancer.admin = {("site", "web1"): 8, ("site", "web2"): 1, ("reads", "db2"): 8}
    for changed in (True, check):
        done = run_module(haproxy_server, check=check, state="undrained", socket=str(balancer.path))
        assert done["changed"] is changed
    assert done["returned"] == (["site/web1", "reads/db2"] if check else [])
    commands = ["set server site/web1 state ready", "set server reads/db2 state ready"]
    assert balancer.commands == ([] if check else commands)


def test_a_balancer_that_does_not_run_is_named(run_module, tmp_path):
    said = run_module(haproxy_server, name="web1", state="drain", socket=str(tmp_path / "none.sock"))["msg"]
    assert said.startswith(f"socket: HAProxy's runtime interface {tmp_path / 'none.sock'} says: ")


def test_a_refusal_of_haproxy_is_told(server, balancer):
    balancer._answer_before = balancer._answer
    balancer._answer = lambda command: "Permission denied" if "set" in command else balancer._answer_before(command)
    assert server("drain")["msg"].endswith("says: Permission denied")


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_maintenance_refuses_a_server_and_ends_its_sessions_at_once(server, balancer, tmp_path):
    """HAProxy closes the sessions of a server that goes down, and not those that an old process still has."""
    balancer.status["site", "web1"] = "DOWN"
    master = Master(tmp_path / "master.sock", {42: [3]})
    done = server("maintenance", backends=["site"], master_socket=str(tmp_path / "master.sock"))
    assert (done["changed"], done["maintained"]) == (True, ["site"])
    assert balancer.commands == ["set server site/web1 state maint", "shutdown sessions server site/web1"]
    assert master.ended == ["@!42 site/web1"]
    assert done["diff"] == {"before": "site/web1 DOWN\n", "after": "site/web1 MAINT\n"}
    again = server("maintenance", backends=["site"], master_socket=str(tmp_path / "master.sock"))
    assert again["changed"] is False
    # A session may have come in while the first run was interrupted.
    assert balancer.commands[2:] == ["shutdown sessions server site/web1"]


def test_maintenance_may_leave_a_backend_without_a_server(server, balancer):
    balancer.status["site", "web2"] = "DOWN"
    assert server("maintenance")["changed"] is True


def test_maintenance_is_ended_whoever_began_it_and_nothing_is_waited_for(server, balancer):
    balancer.admin["site", "web1"] = 1
    balancer.recovers = False
    done = server("unmaintained")
    assert (done["changed"], done["maintained"], balancer.commands) == (True, [], ["set server site/web1 state ready"])
    assert server("unmaintained")["changed"] is False


@pytest.mark.parametrize(("state", "before", "shown"), [("maintenance", 0, "MAINT"), ("unmaintained", 1, "UP")])
def test_check_mode_tells_of_maintenance_and_changes_nothing(server, balancer, state, before, shown):
    balancer.admin["site", "web1"] = before
    done = server(state, check=True)
    assert (done["changed"], balancer.commands) == (True, [])
    assert done["diff"]["after"] == f"site/web1 {shown}\n"


def test_a_server_that_this_haproxy_does_not_have_is_not_refused_silently(server):
    assert (
        "HAProxy has no server web1 in backend mysql_primary"
        in server("maintenance", backends=["mysql_primary"])["msg"]
    )
