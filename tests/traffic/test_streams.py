# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets and events through the whole chain: at once, silent for long, over reloads and while a node is drained."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from conftest import DOMAIN, TOP, WEB, Traffic
from exact_client import Place, WebSocket
from waiting import wait

# Longer than every timeout of the balancers that is not about streams.
SILENCE = 4
ACCEPT = [("Accept", "text/event-stream")]


@pytest.fixture
def site(traffic: Traffic) -> Place:
    """The site."""
    return Place(traffic["lb1"].address, 443, DOMAIN, traffic.authority.path)


def events(
    place: Place, path: str, headers: list[tuple[str, str]] = (), method: str = "GET"
) -> Iterator[tuple[float, bytes]]:
    """Pieces of an answer as they come, each with the seconds since the request."""
    with place.connect() as connection:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {place.name}", *(f"{name}: {value}" for name, value in headers)]
        body = "{}" if method == "POST" else ""
        connection.sendall("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())
        begun = time.monotonic()
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        assert answer.status == 200
        while piece := answer.read1(65536):
            yield time.monotonic() - begun, piece


def at_once(pieces: list[tuple[float, bytes]], every: float) -> bool:
    """Whether each event came before the next one was sent."""
    return len(pieces) == 3 and all(seconds < every * (number + 1) for number, (seconds, _piece) in enumerate(pieces))


@pytest.mark.parametrize("headers", [ACCEPT, [("Accept", "*/*, Text/Event-Stream;q=0.9"), ("Accept-Encoding", "gzip")]])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_events_come_when_they_are_sent_without_a_word_of_the_application(site, headers, method):
    assert at_once(list(events(site, "/events?every=2", headers, method)), 2)


def test_events_may_be_far_apart(site):
    assert at_once(list(events(site, f"/events?every={SILENCE}", ACCEPT)), SILENCE)


def test_a_path_can_be_one_of_streams_for_clients_that_do_not_say_so(site):
    pieces = list(events(site, f"/stream/events?every={SILENCE}&type=application/json"))
    assert at_once(pieces, SILENCE)
    held_back = list(events(site, "/events?every=0.5&type=application/json"))
    assert not at_once(held_back, 0.5)


def test_a_websocket_carries_both_ways_and_may_be_silent(site):
    socket = WebSocket(site)
    assert socket.status == 101
    assert socket.receive() in WEB
    for number in range(3):
        socket.send(f"hello {number}")
        assert socket.receive() == f"hello {number}"
    time.sleep(SILENCE)
    socket.send("still here")
    assert socket.receive() == "still here"
    socket.close()


def test_a_websocket_over_http2_is_one_to_the_application(traffic: Traffic):
    found = traffic.http2("lb1", [[(":authority", DOMAIN), ("sec-websocket-version", "13")]], "websocket")
    assert (found["offered"], found[":status"]) == ("True", "200")
    assert "hello" in found["body"]


def test_an_unknown_host_gets_no_websocket(site):
    assert WebSocket(site, host="evil.example").status == 421


def workers(traffic: Traffic, name: str, program: str) -> set[str]:
    """Processes of a program on a node."""
    return set(traffic[name].sh(f"pidof {program}", check=False).split())


def test_a_reload_of_either_program_cuts_neither(traffic: Traffic, site):
    sockets = [WebSocket(site) for _each in range(4)]
    assert {socket.receive() for socket in sockets} == set(WEB)
    streams = [events(site, "/events?every=1&count=6", ACCEPT) for _each in range(4)]
    for stream in streams:
        next(stream)
    before = {name: workers(traffic, name, "nginx") for name in WEB} | {"lb1": workers(traffic, "lb1", "haproxy")}
    traffic["lb1"].sh("kill -USR2 $(cat /run/haproxy.pid)")
    for name in WEB:
        traffic[name].sh("nginx -s reload")
    wait("new HAProxy", lambda: workers(traffic, "lb1", "haproxy") - before["lb1"])
    for name in WEB:
        wait("new nginx", lambda name=name: workers(traffic, name, "nginx") - before[name])
    wait("the new HAProxy to have both web nodes", lambda: traffic.up("lb1"))
    for socket in sockets:
        socket.send("after the reload")
        assert socket.receive() == "after the reload"
        socket.close()
    for stream in streams:
        assert len(list(stream)) == 5
    wait("the old HAProxy to end", lambda: len(workers(traffic, "lb1", "haproxy")) == 2, 20)


def haproxy_server(traffic: Traffic, name: str, state: str, timeout: int) -> subprocess.CompletedProcess[str]:
    """Drain a node or put it back by the module that releases use."""
    return subprocess.run(
        ["ansible", traffic["lb1"].container, "-i", f"{traffic['lb1'].container},", "-c", "community.docker.docker",
         "-m", "pentad.webstack.haproxy_server", "-a", f"name={name} state={state} timeout={timeout}"],
        env=os.environ | {"ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("reloaded", [False, True], ids=["", "after a reload"])
def test_a_drained_node_keeps_its_connections_for_the_time_of_the_drain(traffic: Traffic, site, reloaded):
    sockets = [WebSocket(site) for _each in range(4)]
    nodes = [socket.receive() for socket in sockets]
    if reloaded:
        # Those of the old process are no less worth.
        before = workers(traffic, "lb1", "haproxy")
        traffic["lb1"].sh("kill -USR2 $(cat /run/haproxy.pid)")
        wait("new HAProxy", lambda: workers(traffic, "lb1", "haproxy") - before)
        wait("the new HAProxy to have both web nodes", lambda: traffic.up("lb1"))
    begun = time.monotonic()
    drained = haproxy_server(traffic, "web1", "drain", 5)
    try:
        assert drained.returncode == 0, drained.stdout
        assert time.monotonic() - begun > 5, "it waits as long as there are sessions"
        assert f"sessions: {nodes.count('web1')}\n" in drained.stdout
        for socket in sockets:
            socket.send("while it is drained")
            assert socket.receive() == "while it is drained"
        fresh = [WebSocket(site) for _each in range(4)]
        assert {socket.receive() for socket in fresh} == {"web2"}
        # Now the node may have its application restarted; the end is told as an end, and a client comes back elsewhere.
        traffic["web1"].sh("pkill -f '^python3 /opt/application.py'")
        for socket, node in zip(sockets, nodes, strict=True):
            if node == "web1":
                assert socket.receive() is None
        again = WebSocket(site)
        assert again.receive() == "web2"
        for socket in [*sockets, *fresh, again]:
            socket.close()
    finally:
        traffic["web1"].begin("env NODE_NAME=web1 python3 /opt/application.py /run/app.sock")
        wait(
            "the application",
            lambda: Place(traffic["web1"].address, 8080, "web1", traffic.authority.path).ask("/livez").status == 200,
        )
        back = haproxy_server(traffic, "web1", "ready", 20)
    assert back.returncode == 0, back.stdout


def runs(traffic: Traffic, of: str) -> int:
    """How often both applications were asked for something."""
    places = [Place(traffic[name].address, 8080, name, traffic.authority.path) for name in WEB]
    return sum(place.ask(f"/runs?of={of}").json for place in places)


def test_a_slow_request_is_run_once(traffic: Traffic, site):
    answer = site.ask("/slow?seconds=5&id=slow")
    assert (answer.status, runs(traffic, "slow")) == (504, 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 425])
def test_only_an_application_that_is_not_available_is_asked_again(traffic: Traffic, site, status):
    answer = site.ask(f"/says?status={status}&id=says{status}")
    assert answer.status == (502 if status == 425 else status)
    # 503 says that nothing was done: while a primary dies, the other node may be the one that can read.
    assert runs(traffic, f"says{status}") == (4 if status in (425, 503) else 1)


def test_what_changes_nothing_is_asked_elsewhere_if_an_application_dies(traffic: Traffic, site):
    answer = site.ask("/dies?id=get")
    assert (answer.status, b"X-Request-ID" in answer.body or b"does not answer" in answer.body) == (502, True)
    assert runs(traffic, "get") == 4
    assert site.ask("/dies?id=post", "POST").status == 502
    assert runs(traffic, "post") == 1


def test_who_asks_a_node_itself_is_told_that_the_application_has_died(traffic: Traffic):
    place = Place(traffic["web1"].address, 8080, "web1", traffic.authority.path)
    assert place.ask("/dies").status == 502
