# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody has an address who answers, refuses, or is seen on the network; a virtual router is one that is heard."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import virtual_address_probe as probe

NOBODY = "192.0.2.10 dev eth0 FAILED\n"
SOMEBODY = "192.0.2.10 dev eth0 lladdr 02:42:ac:1e:51:0a STALE\n"
# Version and type, router id, priority, addresses, interval, checksum, and one address.
VERSION_2 = struct.pack("!BBBBHH4s", 0x21, 51, 100, 1, 1, 0, bytes([192, 0, 2, 9]))
VERSION_3 = struct.pack("!BBBBHH4s", 0x31, 10, 250, 1, 20, 0, bytes([192, 0, 2, 10]))


class Node:
    """What the module finds where it runs."""

    def __init__(self) -> None:
        self.neighbours = NOBODY
        self.params = {"ports": [80, 443]}
        self.commands: list[list[str]] = []

    def run_command(self, words: list[str]) -> tuple[int, str, str]:
        """Say what the kernel says."""
        self.commands.append(words)
        return 0, self.neighbours, ""


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """A network on which nobody answers."""
    monkeypatch.setattr(probe, "answers", lambda _address, _port: "")
    return Node()


def test_whoever_answers_or_refuses_is_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe.answers("127.0.0.1", port) == f"answers on port {port}"
    assert probe.answers("127.0.0.1", port) == f"refuses connections to port {port}"


def test_an_address_on_which_nobody_answers_is_looked_for_on_the_network(node):
    assert probe.who_has(node, "192.0.2.10") == ""
    node.neighbours = SOMEBODY
    assert probe.who_has(node, "192.0.2.10") == "is that of the interface 02:42:ac:1e:51:0a"
    assert node.commands[0] == ["ip", "neighbour", "show", "to", "192.0.2.10"]


@pytest.mark.parametrize(
    ("packet", "number"),
    [(VERSION_2, 51), (VERSION_3, 10), (VERSION_3[:7], None), (b"", None), (b"\x32" + VERSION_3[1:], None)],
)
def test_a_router_says_its_id_in_every_version(packet, number):
    assert probe.virtual_router_id(packet) == number


def test_the_header_of_ipv4_is_left_out():
    header = bytes([0x46]) + bytes(23)
    assert probe.payload(header + VERSION_3, socket.AF_INET) == VERSION_3
    assert probe.payload(VERSION_3, socket.AF_INET6) == VERSION_3


def test_routers_are_told_once_with_where_they_were_heard(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    class Heard:
        """A socket that says who has sent a packet."""

        def fileno(self) -> int:
            return ours.fileno()

        def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
            return ours.recv(size), ("fe80::1%eth0", 0)

        def close(self) -> None:
            ours.close()

    monkeypatch.setattr(probe, "listeners", lambda _interfaces: {Heard(): ("eth0", socket.AF_INET6)})
    for packet in (VERSION_3, VERSION_3, VERSION_2, b"?"):
        theirs.send(packet)
    closing = threading.Timer(0.1, theirs.close)
    closing.start()
    assert probe.heard(["eth0"], 0.2) == [
        {"interface": "eth0", "virtual_router_id": 10, "source": "fe80::1"},
        {"interface": "eth0", "virtual_router_id": 51, "source": "fe80::1"},
    ]
    closing.join()


def test_what_is_used_and_who_was_heard_is_returned(run_module, monkeypatch):
    router = {"interface": "eth0", "virtual_router_id": 10, "source": "192.0.2.1"}
    used = {"192.0.2.10": "answers on port 80"}
    monkeypatch.setattr(probe, "heard", lambda _interfaces, _seconds: [router])
    monkeypatch.setattr(probe, "who_has", lambda _module, address: used.get(address, ""))
    found = run_module(probe, check=True, addresses=["192.0.2.10", "192.0.2.11"], interfaces=["eth0"])
    assert (found["used"], found["routers"], found["changed"]) == (used, [router], False)


def test_without_the_right_to_listen_it_says_so(run_module, monkeypatch):
    def refused(*_words: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(probe, "listener", refused)
    monkeypatch.setattr(probe, "who_has", lambda _module, _address: "")
    found = run_module(probe, addresses=["192.0.2.10"], interfaces=["eth0"])
    assert found["msg"] == "cannot listen for virtual routers on eth0: Operation not permitted"
