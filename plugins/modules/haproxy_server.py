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
  - Drains a server in every backend that has it, and waits until its sessions have ended; or puts it back and waits
    until its health checks pass.
  - A drained server gets no new request. Requests that it has begun are finished.
  - The administrative state counts, and not the status that HAProxy shows, so that a server which is down is drained
    and put back like any other.
  - A server that an operator has put into maintenance (C(set server site/web1 state maint)) is left alone, and not
    waited for; RV(maintained) names it. Only O(state=maintenance) and O(state=unmaintained) are about that.
  - Refuses to drain the last server of a backend that is up.
  - In a backend of mode C(tcp) the sessions that backup servers hold end when a server is put back, so that they open
    anew on it; C(on-marked-up shutdown-backup-sessions) does so for a server that was down, and not for one that was
    drained.
  - With O(lease) a timer of systemd on the balancer puts the server back, if nothing else has done so, for example
    because the play that drained it was killed.
  - Uses HAProxy's runtime interface, as M(community.general.haproxy) does; that module has no check mode and no lease.
options:
  name:
    description: Name of the server in its backends; needed unless O(state=undrained).
    type: str
    version_added: 0.1.0
  state:
    description:
      - V(drain) takes it out, V(ready) puts it back.
      - V(undrained) puts back every server that is drained, whatever its health, and waits for none. Use it while
        holding M(pentad.webstack.rollout_lock), so that no other run is working on them.
      - V(maintenance) refuses the server whatever its health, and ends its sessions at once, also those that processes
        from before a reload still have. V(unmaintained) ends that, whoever began it, and waits for nothing.
    type: str
    choices: [drain, ready, undrained, maintenance, unmaintained]
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
  master_socket:
    description:
      - Socket of HAProxy's master process, which shows the sessions of processes from before a reload. Without one
        they are not waited for.
    type: path
    default: /run/haproxy-master.sock
attributes:
  check_mode:
    description: Says what would change, and waits for nothing.
    support: full
  diff_mode:
    description: Shows the state in each backend before and after.
    support: full
"""

EXAMPLES = r"""
- name: Put back what an interrupted rollout has left drained
  pentad.webstack.haproxy_server:
    state: undrained

- name: Refuse a database server whatever it says of itself
  pentad.webstack.haproxy_server:
    name: db1
    state: maintenance
    backends: [mysql_primary]

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
  description: Status of the server in each backend, as HAProxy shows it.
  returned: success
  type: dict
  sample: {site: DRAIN, site-streams: DRAIN}
maintained:
  description: >-
    Those of RV(backends) in which an operator has put the server into maintenance, or the server that this one tracks.
  returned: with O(name)
  type: list
  elements: str
  sample: [site, site-streams]
returned:
  description: Servers that were put back, with their backends.
  returned: O(state=undrained)
  type: list
  elements: str
  sample: [site/web1]
sessions:
  description: Sessions that the server still has, over all backends.
  returned: success
  type: int
  sample: 0
"""

import re
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.haproxy_runtime import (
    MAINTAINED,
    MASTER_SOCKET,
    SOCKET,
    Runtime,
    RuntimeRefusal,
    Server,
    old_processes,
)

STATES = ["drain", "ready", "undrained", "maintenance", "unmaintained"]
# Run by the timer of the lease, which has no file of its own to go stale. Maintenance begun since is left alone.
RETURN_PROGRAM = """
import socket, sys
def query(command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        connection.sendall(command.encode() + b"\\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
for path in sys.argv[2:]:
    backend, name = path.split("/")
    rows = [line.split() for line in query("show servers state " + backend).splitlines() if line[:1] != "#"]
    if any(int(row[6]) & 8 for row in rows if len(row) > 6 and row[3] == name):
        query("set server " + path + " state ready")
"""


def chosen(servers: list[Server], name: str, backends: list[str]) -> list[Server]:
    """The servers of this name in the wanted backends."""
    return [
        server
        for server in servers
        if server.name == name and (server.backend in backends if backends else server.status != "no check")
    ]


def without_another(servers: list[Server], leaving: list[Server]) -> list[str]:
    """Backends that have no server up besides those that leave."""
    return [
        each.backend
        for each in leaving
        if each.usable
        and not any(other.usable for other in servers if other.backend == each.backend and other.name != each.name)
    ]


def unit(name: str) -> str:
    """Name of the units of a lease."""
    return "haproxy-return-" + re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def end_lease(module: AnsibleModule, name: str) -> None:
    """Stop the timer and the service that it starts, if there are any."""
    for kind in ("timer", "service"):
        code, loaded, _error = module.run_command(
            ["systemctl", "show", "--property=LoadState", "--value", f"{unit(name)}.{kind}"]
        )
        if code == 0 and loaded.strip() == "loaded":
            module.run_command(["systemctl", "stop", f"{unit(name)}.{kind}"], check_rc=True)


def begin_lease(module: AnsibleModule, drained: list[Server], seconds: int) -> None:
    """Have systemd put the server back after so many seconds."""
    name = drained[0].name
    end_lease(module, name)
    module.run_command(
        [
            "systemd-run",
            f"--unit={unit(name)}",
            f"--on-active={seconds}s",
            "--timer-property=AccuracySec=1s",
            # HAProxy may be restarting.
            "--property=Restart=on-failure",
            "--property=RestartSec=5s",
            f"--description=Put {name} back into HAProxy",
            "/usr/bin/python3",
            "-c",
            RETURN_PROGRAM,
            module.params["socket"],
            *[each.path for each in drained],
        ],
        check_rc=True,
    )


def wait_for_end(
    runtime: Runtime, master: str, name: str, backends: list[str], timeout: float
) -> tuple[list[Server], int]:
    """Wait until the sessions have ended, also those of processes from before a reload; returns how many are left."""
    deadline = time.monotonic() + timeout
    while True:
        servers = chosen(runtime.servers(), name, backends)
        waited_for = [each for each in servers if not each.maintained]
        old = sum(each.sessions(name, [server.backend for server in waited_for]) for each in old_processes(master))
        left = sum(each.sessions for each in waited_for) + old
        if not left or time.monotonic() >= deadline:
            return servers, sum(each.sessions for each in servers) + old
        time.sleep(0.2)


def wait_until_up(runtime: Runtime, name: str, backends: list[str], timeout: float) -> list[Server]:
    """Wait until the server is up; returns its state in each backend."""
    deadline = time.monotonic() + timeout
    while True:
        servers = chosen(runtime.servers(), name, backends)
        if all(each.usable for each in servers if not each.maintained) or time.monotonic() >= deadline:
            return servers
        time.sleep(0.2)


def end_backup_sessions(runtime: Runtime, returned: list[Server]) -> None:
    """End the sessions that backup servers took over, so that clients open them anew on the returned server."""
    backends = {each.backend for each in returned if not each.takes_over}
    for each in runtime.servers():
        if each.takes_over and each.sessions and each.backend in backends:
            runtime.end_sessions(each)


def maintain(runtime: Runtime, before: list[Server], wanted: bool, master: str) -> None:
    """Begin or end the maintenance of these servers; where it begins their sessions end in every process."""
    for each in before:
        if bool(each.admin & MAINTAINED) != wanted:
            runtime.set_state(each, "maint" if wanted else "ready")
        if wanted:
            runtime.end_sessions(each)
            for process in old_processes(master):
                # One that has ended meanwhile, or has no such server, has none of its sessions either.
                process.query(f"shutdown sessions server {each.path}")


def shown(server: Server) -> str:
    """The status of a server, with a note that it is drained where the status does not show that."""
    return server.status + (" (drained)" if server.drained and not server.status.startswith("DRAIN") else "")


def put_back_all(module: AnsibleModule) -> dict[str, Any]:
    """Put back every server that is drained."""
    runtime = Runtime(module.params["socket"])
    drained = [each for each in runtime.servers() if each.drained]
    for each in drained if not module.check_mode else []:
        runtime.set_state(each, "ready")
        end_lease(module, each.name)
    return {
        "changed": bool(drained),
        "returned": [each.path for each in drained],
        "diff": {
            "before": "".join(f"{each.path} drained\n" for each in drained),
            "after": "".join(f"{each.path} ready\n" for each in drained),
        },
    }


def result(
    before: list[Server], after: list[Server], wrong: list[Server], state: str, sessions: int | None = None
) -> dict[str, Any]:
    """What the module returns; wrong are those that are changed, and sessions are counted unless they are given."""
    status = {"drain": "DRAIN", "maintenance": "MAINT"}.get(state, "UP")
    changing = [each.backend for each in wrong]
    return {
        "changed": bool(wrong),
        "maintained": [each.backend for each in after if each.maintained],
        "backends": {each.backend: each.status for each in after},
        "sessions": sum(each.sessions for each in after) if sessions is None else sessions,
        "diff": {
            "before": "".join(f"{each.path} {shown(each)}\n" for each in before),
            "after": "".join(f"{each.path} {status if each.backend in changing else shown(each)}\n" for each in after),
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
    if state in ("maintenance", "unmaintained"):
        wanted = state == "maintenance"
        wrong = [each for each in before if bool(each.admin & MAINTAINED) != wanted]
        if not module.check_mode:
            maintain(runtime, before, wanted, module.params["master_socket"])
        after = before if module.check_mode else chosen(runtime.servers(), name, backends)
        return result(before, after, wrong, state)
    wrong = [each for each in before if not each.maintained and each.drained != (state == "drain")]
    alone = without_another(servers, wrong) if state == "drain" else []
    if alone:
        module.fail_json(
            msg=f"name: {name} is the only server that is up in backend {', '.join(alone)}: "
            "bring another one up first, or the site is down without it."
        )
    if module.check_mode:
        return result(before, before, wrong, state)
    if state == "drain" and module.params["lease"]:
        begin_lease(module, before, module.params["lease"])
    for each in wrong:
        runtime.set_state(each, state)
    if state == "drain":
        after, left = wait_for_end(runtime, module.params["master_socket"], name, backends, module.params["timeout"])
        return result(before, after, wrong, state, left)
    end_lease(module, name)
    after = wait_until_up(runtime, name, backends, module.params["timeout"])
    if not all(each.usable or each.maintained for each in after):
        states = ", ".join(f"{each.status} in {each.backend}" for each in after)
        module.fail_json(
            msg=f"name: {name} was put back, but its health checks do not pass ({states}) after "
            f"{module.params['timeout']} s: check what the health path answers on {name}.",
            **result(before, after, wrong, state),
        )
    end_backup_sessions(runtime, wrong)
    return result(before, after, wrong, state)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state": {"type": "str", "required": True, "choices": STATES},
            "backends": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
            "lease": {"type": "int", "default": 0},
            "socket": {"type": "path", "default": SOCKET},
            "master_socket": {"type": "path", "default": MASTER_SOCKET},
        },
        required_if=[("state", state, ["name"]) for state in STATES if state != "undrained"],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**(put_back_all if module.params["state"] == "undrained" else run)(module))
    except (OSError, RuntimeRefusal) as error:
        module.fail_json(msg=f"socket: HAProxy's runtime interface {module.params['socket']} says: {error}")


if __name__ == "__main__":
    main()
