#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a server out of a running HAProxy and put it back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Take a server out of a running HAProxy and put it back
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Drains a server in every backend that has it, and waits until its sessions are gone; or puts it back and waits until
    its health checks pass.
  - A drained server gets no new request. Requests that it has begun are finished.
  - Refuses to drain the last server of a backend that is up.
  - In a backend of mode C(tcp) the sessions that backup servers hold end when a server is put back, so that they open
    anew on it; C(on-marked-up shutdown-backup-sessions) does so for a server that was down, and not for one that was
    drained.
  - With O(lease) a timer of systemd on the balancer puts the server back, should nobody else do so, for example because
    the play that drained it was killed.
  - Asks HAProxy's runtime interface, which M(community.general.haproxy) does too; that module has no check mode, and no
    lease.
options:
  name:
    description: Name of the server in its backends.
    type: str
    required: true
  state:
    description: V(drain) takes it out, V(ready) puts it back.
    type: str
    choices: [drain, ready]
    required: true
  backends:
    description: Backends to change it in; by default every one that has a server of this name and checks its health.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait for its sessions to end (V(drain)) or for its health checks to pass (V(ready)).
      - Sessions that are left are no error. RV(sessions) tells how many there are.
    type: int
    default: 60
  lease:
    description: Seconds after which a drained server is put back by itself; V(0) for never. Draining again renews it.
    type: int
    default: 0
  socket:
    description: Socket of HAProxy's runtime interface, of level C(admin).
    type: path
    default: /run/haproxy/admin.sock
attributes:
  check_mode:
    description: Says what would change, and waits for nothing.
    support: full
  diff_mode:
    description: Shows the state in each backend before and after.
    support: full
"""

EXAMPLES = r"""
- name: Take this node out of every balancer
  pentad.webstack.haproxy_server:
    name: "{{ inventory_hostname }}"
    state: drain
    timeout: 60
    lease: 600
  delegate_to: "{{ item }}"
  loop: "{{ groups['haproxy'] }}"
"""

RETURN = r"""
backends:
  description: Status of the server in each backend, in HAProxy's words.
  returned: success
  type: dict
  sample: {site: DRAIN}
sessions:
  description: Sessions that the server still has, over all backends.
  returned: success
  type: int
  sample: 0
"""

import csv
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# Run by the timer of the lease, which has no file of its own to go stale.
RETURN_PROGRAM = (
    "import socket, sys\n"
    "for command in sys.argv[2:]:\n"
    "    with socket.socket(socket.AF_UNIX) as connection:\n"
    "        connection.connect(sys.argv[1])\n"
    "        connection.sendall(command.encode() + b'\\n')\n"
    "        connection.recv(4096)\n"
)


class RuntimeRefusal(Exception):
    """HAProxy did not do as it was told."""


@dataclass(frozen=True)
class Server:
    """One server of one backend."""

    backend: str
    name: str
    status: str
    sessions: int
    lends: bool
    """Whether it is a backup server that holds its sessions for longer than a request."""

    @property
    def usable(self) -> bool:
        """Whether it gets requests."""
        return self.status.startswith(("UP", "no check"))

    @property
    def drained(self) -> bool:
        """Whether it was told to take none."""
        return self.status.startswith("DRAIN")


class Runtime:
    """HAProxy's runtime interface."""

    def __init__(self, path: str) -> None:
        self.path = path

    def ask(self, command: str) -> str:
        """Send one command; returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(self.path)
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode().strip()

    def servers(self) -> list[Server]:
        """Every server of every backend."""
        rows = csv.DictReader(self.ask("show stat").lstrip("# ").splitlines())
        return [
            Server(
                row["pxname"],
                row["svname"],
                row["status"],
                int(row["scur"] or 0),
                row["mode"] == "tcp" and row["bck"] == "1",
            )
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        ]

    def do(self, command: str) -> None:
        """Have HAProxy do something; it answers with nothing when it has done so."""
        answer = self.ask(command)
        if answer:
            raise RuntimeRefusal(answer)

    def set_state(self, server: Server, state: str) -> None:
        """Set the state of a server."""
        self.do(f"set server {server.backend}/{server.name} state {state}")

    def end_sessions(self, server: Server) -> None:
        """End the sessions of a server."""
        self.do(f"shutdown sessions server {server.backend}/{server.name}")


def chosen(servers: list[Server], name: str, backends: list[str]) -> list[Server]:
    """The servers that are meant."""
    return [
        server
        for server in servers
        if server.name == name and (server.backend in backends if backends else server.status != "no check")
    ]


def lonely(servers: list[Server], mine: list[Server]) -> list[str]:
    """Backends in which no other server is up."""
    return [
        each.backend
        for each in mine
        if each.usable
        and not any(other.usable for other in servers if other.backend == each.backend and other.name != each.name)
    ]


def unit(name: str) -> str:
    """Name of the units of a lease."""
    return "haproxy-return-" + re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def end_lease(module: AnsibleModule, name: str) -> None:
    """Stop the timer, if there is one."""
    code, loaded, _error = module.run_command(
        ["systemctl", "show", "--property=LoadState", "--value", f"{unit(name)}.timer"]
    )
    if code == 0 and loaded.strip() == "loaded":
        module.run_command(["systemctl", "stop", f"{unit(name)}.timer"], check_rc=True)


def begin_lease(module: AnsibleModule, mine: list[Server], seconds: int) -> None:
    """Have systemd put the server back after so many seconds."""
    name = mine[0].name
    end_lease(module, name)
    commands = [f"set server {each.backend}/{each.name} state ready" for each in mine]
    module.run_command(
        [
            "systemd-run",
            f"--unit={unit(name)}",
            f"--on-active={seconds}s",
            "--timer-property=AccuracySec=1s",
            f"--description=Put {name} back into HAProxy",
            "/usr/bin/python3",
            "-c",
            RETURN_PROGRAM,
            module.params["socket"],
            *commands,
        ],
        check_rc=True,
    )


def await_state(runtime: Runtime, name: str, backends: list[str], state: str, timeout: float) -> list[Server]:
    """Wait until the sessions are gone, or until the server is up; returns what was seen last."""
    deadline = time.monotonic() + timeout
    while True:
        mine = chosen(runtime.servers(), name, backends)
        settled = all(not each.sessions if state == "drain" else each.usable for each in mine)
        if settled or time.monotonic() >= deadline:
            return mine
        time.sleep(0.2)


def call_in(runtime: Runtime, returned: list[Server]) -> None:
    """Have the sessions that were lent while a server was away open anew."""
    backends = {each.backend for each in returned if not each.lends}
    for each in runtime.servers():
        if each.lends and each.sessions and each.backend in backends:
            runtime.end_sessions(each)


def result(before: list[Server], after: list[Server], changed: bool, state: str) -> dict[str, Any]:
    """What the module returns."""
    told = {"drain": "DRAIN", "ready": "UP"}[state]
    return {
        "changed": changed,
        "backends": {each.backend: each.status for each in after},
        "sessions": sum(each.sessions for each in after),
        "diff": {
            "before": "".join(f"{each.backend}/{each.name} {each.status}\n" for each in before),
            "after": "".join(f"{each.backend}/{each.name} {told if changed else each.status}\n" for each in after),
        },
    }


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the options say."""
    name, state, backends = module.params["name"], module.params["state"], module.params["backends"]
    runtime = Runtime(module.params["socket"])
    servers = runtime.servers()
    before = chosen(servers, name, backends)
    absent = [each for each in backends if each not in {server.backend for server in before}]
    if absent or not before:
        where = f"backend {absent[0]}" if absent else "any backend with health checks"
        module.fail_json(
            msg=f"name: HAProxy has no server {name} in {where}: run site.yml, which writes its configuration."
        )
    wrong = [each for each in before if each.drained != (state == "drain")]
    alone = lonely(servers, wrong) if state == "drain" else []
    if alone:
        module.fail_json(
            msg=f"name: {name} is the only server that is up in backend {', '.join(alone)}: "
            "bring another one up first, or the site goes away with it."
        )
    if module.check_mode:
        return result(before, before, bool(wrong), state)
    if state == "drain" and module.params["lease"]:
        begin_lease(module, before, module.params["lease"])
    for each in wrong:
        runtime.set_state(each, state)
    if state == "ready":
        end_lease(module, name)
    after = await_state(runtime, name, backends, state, module.params["timeout"])
    if state == "ready" and not all(each.usable for each in after):
        seen = ", ".join(f"{each.status} in {each.backend}" for each in after)
        module.fail_json(
            msg=f"name: {name} was put back, but its health checks do not pass ({seen}) after "
            f"{module.params['timeout']} s: see what the health path answers on {name}.",
            **result(before, after, bool(wrong), state),
        )
    if state == "ready":
        call_in(runtime, wrong)
    return result(before, after, bool(wrong), state)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["drain", "ready"]},
            "backends": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
            "lease": {"type": "int", "default": 0},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except (OSError, RuntimeRefusal) as error:
        module.fail_json(msg=f"socket: HAProxy's runtime interface {module.params['socket']} says: {error}")


if __name__ == "__main__":
    main()
