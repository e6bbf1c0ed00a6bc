# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlasts a reload or a restart of HAProxy: maintenance by hand, and a drain only while somebody is at work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from places import TOP

TEMPLATE = TOP / "roles" / "haproxy" / "templates" / "save-state.j2"
HEAD = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n"
MORE = "1 1 5 6 3 4 6 0 0 0 - 8080 - 1 0 - - 0"
UP, DOWN = 2, 0
MAINTAINED, DRAINED, INHERITED = 1, 8, 16


def row(name: str, op_state: int, admin: int, address: str = "192.0.2.1") -> str:
    """A line of show servers state."""
    return f"2 site 1 {name} {address} {op_state} {admin} {MORE}\n"


class Node:
    """A balancer on which the program runs, with the answer of HAProxy and the leases that run."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.file, self.answer = top / "state", top / "answer"
        config = top / "haproxy.cfg"
        places = [("web1", "192.0.2.1"), ("web2", "192.0.2.1"), ("web-3.x", "192.0.2.1"), ("web6", "[2001:db8::6]")]
        config.write_text("".join(f"    server {name} {address}:8080 check\n" for name, address in places))
        (top / "bin").mkdir()
        self.program("socat", f'[ -e {self.answer} ] && cat {self.answer} || {{ echo "no such socket" >&2; exit 1; }}')
        self.lease("")
        text = TEMPLATE.read_text().replace("/etc/haproxy/haproxy.cfg", str(config))
        for name, value in (("__haproxy_state_file", self.file), ("__haproxy_socket", "socket"), (r"\w+", "# Managed")):
            text = re.sub(r"\{\{ " + name + r" \}\}", str(value), text)
        (top / "save-state").write_text(text)

    def program(self, name: str, text: str) -> None:
        """Have a program."""
        (self.top / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.top / "bin" / name).chmod(0o755)

    def lease(self, name: str) -> None:
        """Have the lease of a server run, and no other."""
        self.program("systemctl", f'[ "$*" = "is-active --quiet haproxy-return-{name}.timer" ]')

    def save(self, *servers: str, how: str = "") -> dict[str, tuple[int, int]]:
        """Operational and administrative state that are kept, by server."""
        if servers:
            (self.file if how else self.answer).write_text(HEAD + "".join(servers))
        words = ["sh", str(self.top / "save-state"), *([how] if how else [])]
        subprocess.run(words, check=True, env={"PATH": f"{self.top / 'bin'}:/usr/bin:/bin"}, timeout=20)
        rows = [line.split() for line in self.file.read_text().splitlines()[2:]]
        assert all(len(fields) == 20 for fields in rows)
        return {fields[3]: (int(fields[5]), int(fields[6])) for fields in rows}


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.mark.parametrize("how", ["", "start"])
@pytest.mark.parametrize("op_state", [UP, DOWN])
def test_a_drain_that_nobody_owns_does_not_outlast_the_process(node, op_state, how):
    kept = node.save(row("web1", op_state, DRAINED), row("web2", UP, 0), how=how)
    assert kept == ({} if how else {"web1": (op_state, 0), "web2": (UP, 0)})


@pytest.mark.parametrize("how", ["", "start"])
@pytest.mark.parametrize("name", ["web1", "web-3.x"])
def test_a_drain_with_a_lease_does(node, how, name):
    node.lease(name)
    assert node.save(row(name, UP, DRAINED), how=how) == {name: (UP, DRAINED)}
    assert node.save(row("web2", UP, DRAINED), how=how) == ({} if how else {"web2": (UP, 0)})


@pytest.mark.parametrize("how", ["", "start"])
def test_maintenance_by_hand_does(node, how):
    assert node.save(row("web1", DOWN, MAINTAINED), how=how) == {"web1": (DOWN, MAINTAINED)}


def test_a_server_with_an_address_of_ipv6_is_known_by_it(node):
    there, elsewhere = (row("web6", DOWN, MAINTAINED, address=f"2001:db8::{number}") for number in (6, 9))
    assert node.save(there) == {"web6": (DOWN, MAINTAINED)}
    assert node.save(elsewhere) == {}


def test_a_start_does_not_believe_what_was_known_of_health_before_it(node):
    assert node.save(row("web1", DOWN, 0), row("web2", UP, 0), how="start") == {}
    assert node.save(row("web1", DOWN, 0), row("web2", UP, INHERITED)) == {"web1": (DOWN, 0), "web2": (UP, INHERITED)}


def test_a_server_elsewhere_is_not_the_same(node):
    assert node.save(row("web1", DOWN, MAINTAINED, address="192.0.2.9"), row("gone", UP, 0)) == {}


def test_without_an_answer_or_a_file_nothing_is_known_and_nothing_fails(node):
    assert node.save() == {}
    node.file.unlink()
    assert node.save(how="start") == {}
