# SPDX-License-Identifier: GPL-3.0-or-later
"""A node sees a database server by its greeting, its health endpoint and what its own receiver gets."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_primary_sightings
from scripted_mysql import Recorded, recorded

SOCKET = "/db2.sock"


@contextlib.contextmanager
def listening(greeting: bytes | None) -> Iterator[int]:
    """A port that greets; without a greeting it accepts and says nothing, as that of a frozen server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = server.accept()
                    kept.append(connection)
                    if greeting is not None:
                        connection.sendall(greeting)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for each in kept:
            each.close()


@contextlib.contextmanager
def endpoint(body: Any) -> Iterator[int]:
    """A health endpoint with this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/status"
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def closed() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def look(run_module):
    """What the module finds of a server on this machine."""

    def run(port: int, health_port: int, **more: Any) -> dict[str, Any]:
        given = {"address": "127.0.0.1", "port": port, "health_port": health_port, "timeout": 1, "config_file": ""}
        return run_module(mysql_primary_sightings, **given, **more)

    return run


def test_a_server_that_lives_is_seen(look):
    with listening(b"\x4a\x00\x00\x00\x0a9.7.4") as port, endpoint({"role": "primary", "writable": True}) as health:
        found = look(port, health)
    assert (found["alive"], found["writable"], found["unseen"]) == (True, True, [])
    assert found["seen"] == [f"its port {port} sends a greeting", "its health endpoint says primary, takes writes"]


def test_a_server_that_is_gone_is_not(look, closed):
    found = look(closed, closed)
    assert (found["alive"], found["writable"], found["seen"]) == (False, None, [])
    assert found["unseen"][0] == f"its port {closed} refuses connections"
    assert found["refused"] is True


def test_a_frozen_server_is_gone_though_its_port_takes_connections(look):
    unreachable = {"role": "unreachable", "writable": False, "error": "did not answer within 2 s"}
    with listening(None) as port, endpoint(unreachable) as health:
        found = look(port, health)
    assert (found["alive"], found["refused"]) == (False, False)
    assert found["unseen"] == [
        f"its port {port} sends no greeting within 1 s",
        "its health endpoint says unreachable (did not answer within 2 s)",
    ]


def test_a_frozen_node_takes_connections_and_answers_nothing(look):
    with listening(None) as port, listening(None) as health:
        found = look(port, health)
    assert (found["alive"], found["writable"]) == (False, None)
    assert "its health endpoint says nothing (no answer within 1 s)" in found["unseen"]


def test_a_server_that_has_no_connection_left_lives(look, closed):
    with listening(b"\x17\x00\x00\x00\xff\x10\x04Too many connections") as port:
        assert look(port, closed)["alive"] is True


def test_an_endpoint_that_answers_nonsense_shows_nothing(look, closed):
    with endpoint(["primary"]) as health:
        assert look(closed, health)["alive"] is False


@pytest.fixture(params=["mysql97", "mariadb118", "mariadb1011"])
def replica(request, network, clock):
    """A replica of the server that is looked for."""
    server = network.add(SOCKET, Recorded(recorded(request.param)["replica"], clock))
    server.mariadb = request.param.startswith("mariadb")
    name = "Master_Host" if server.mariadb else "Source_Host"
    server.status[name] = "127.0.0.1"
    return server


def beat(server: Recorded) -> None:
    """Have the receiver get a heartbeat with every reading."""
    rows = server.rows["replica_status"]

    def answer(*_: Any) -> list[dict[str, Any]]:
        rows[0]["Slave_received_heartbeats"] = int(rows[0]["Slave_received_heartbeats"]) + 1
        return rows

    server.on("SHOW ALL REPLICAS STATUS", answer)


def silence(server: Recorded, seconds: float | None) -> None:
    """How long MySQL says that nothing has come."""
    for row in server.rows["connection_status"]:
        row["SINCE_LAST_MESSAGE"] = seconds


def test_a_receiver_that_gets_heartbeats_sees_its_source(replica, look, closed, clock):
    beat(replica) if replica.mariadb else silence(replica, 0.5)
    found = look(closed, closed, login_unix_socket=SOCKET)
    assert found["alive"] is True
    assert found["seen"][0].startswith("the receiver here got something 0.")
    # The last message of a server that has died since would be too old by now.
    assert sum(clock.naps) >= 7


def test_the_last_message_of_a_server_that_died_is_no_sign(replica, look, closed, clock):
    if replica.mariadb:
        pytest.skip("MariaDB is watched for the next message")
    silence(replica, 0.5)
    clock.meanwhile.append(lambda: silence(replica, 7.5))
    found = look(closed, closed, login_unix_socket=SOCKET)
    assert found["alive"] is False
    assert "the receiver here is connected and has got nothing for 8 s" in found["unseen"]


def test_a_receiver_that_is_connected_and_gets_nothing_sees_nobody(replica, look, closed):
    if not replica.mariadb:
        silence(replica, 30)
    found = look(closed, closed, login_unix_socket=SOCKET)
    assert found["alive"] is False
    assert "the receiver here is connected and has got nothing for" in found["unseen"][-1]


def test_a_receiver_that_connects_in_vain_sees_nobody(replica, look, closed):
    replica.status["Slave_IO_Running" if replica.mariadb else "Replica_IO_Running"] = "Connecting"
    found = look(closed, closed, login_unix_socket=SOCKET)
    assert found["alive"] is False
    assert "the receiver here is connecting" in found["unseen"][-1]


def test_a_server_here_that_follows_another_one_says_nothing(replica, look, closed):
    replica.status["Master_Host" if replica.mariadb else "Source_Host"] = "192.0.2.99"
    assert len(look(closed, closed, login_unix_socket=SOCKET)["unseen"]) == 2


def test_a_server_here_that_does_not_answer_is_told(look, closed, network):
    found = look(closed, closed, login_unix_socket="/away.sock")
    assert "the server here cannot be asked" in found["unseen"][-1]
