# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSockets and events during a release: none is cut while its node is drained, and each comes back elsewhere."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from client import AUTHORITY, DOMAIN, SITE, Background
from exact_client import Place, WebSocket
from figures import figure
from nodes import Lab, wait_until_healthy
from waiting import wait

DRAIN = 20
# Longer than nginx or HAProxy would wait for a connection by the habit of its distribution.
WATCHED = 70
CLIENTS = 6
# From the drain that is seen to the connection that is seen to end, on a busy machine.
BLUR = 1.5


def site() -> Place:
    """The site, as the lab publishes it."""
    return Place("127.0.0.1", int(SITE.rpartition(":")[2]), DOMAIN, AUTHORITY)


@dataclass
class Life:
    """One connection: to which node and release, from when to when, and how it ended."""

    kind: str
    node: str
    release: str
    begun: float
    ended: float = 0.0
    how: str = ""


@dataclass
class Crowd(Background):
    """Clients that hold a connection each, and open another one when it ends, as browsers do."""

    lives: list[Life] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def _works(self) -> list[Callable[[], None]]:
        return [partial(self._live, hold) for hold in (self._socket, self._events) for _each in range(CLIENTS)]

    def _live(self, hold: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                hold()
            except (OSError, http.client.HTTPException, AssertionError) as error:
                # Not to get in, or to be thrown out, is what must not happen.
                self.problems.append(f"{time.monotonic():.1f} {hold.__name__}: {type(error).__name__} {error}")
                self._stop.wait(0.5)

    def _begin(self, kind: str, name: str) -> Life:
        life = Life(kind, *name.split(), time.monotonic())
        self.lives.append(life)
        return life

    def _socket(self) -> None:
        socket = WebSocket(site())
        assert socket.status == 101, socket.status
        life = self._begin("websocket", socket.receive() or "none none")
        while not self._stop.is_set():
            socket.send("ping")
            if (said := socket.receive()) != "ping":
                life.how = "closed" if said is None else said
                break
            self._stop.wait(0.5)
        life.ended = time.monotonic()
        socket.close()

    def _events(self) -> None:
        with site().connect() as connection:
            connection.sendall(f"GET /events HTTP/1.1\r\nHost: {DOMAIN}\r\nAccept: text/event-stream\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200, answer.status
            life = self._begin("events", answer.readline().decode().removeprefix("data: ").strip())
            while not self._stop.is_set():
                try:
                    piece = answer.readline()
                except http.client.IncompleteRead:
                    # For an EventSource an end as any other.
                    piece = b""
                if not piece:
                    life.how = "closed"
                    break
            life.ended = time.monotonic()

    def cut(self) -> list[Life]:
        """Connections that have ended by themselves."""
        return [life for life in self.lives if life.how]


class Drains(Background):
    """When the balancer drains which node, as it says itself."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.begun: dict[str, list[float]] = {}

    def _works(self) -> list[Callable[[], None]]:
        return [self._watch]

    def _watch(self) -> None:
        drained: set[str] = set()
        while not self._stop.wait(0.2):
            said = self.lab.host("lb1").run("echo 'show stat' | socat - /run/haproxy/admin.sock").stdout
            now = {line.split(",")[1] for line in said.splitlines() if line.startswith("site,") and "DRAIN" in line}
            for node in now - drained:
                self.begun.setdefault(node, []).append(time.monotonic())
            drained = now


@pytest.fixture(scope="module")
def application(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The lab runs an application of streams for the time of these drills; its source, and the variables of it."""
    source = tmp_path_factory.mktemp("application") / "streams"
    shutil.copytree(Path(__file__).with_name("streams"), source)
    variables = {
        "app_server_source": str(source),
        "webstack_app_asgi": "streams:app",
        "app_server_wsgi": "",
        "app_server_migrate": [],
        "app_server_graceful_timeout": 5,
        "webstack_app_packages": ["gunicorn", "python3-uvicorn", "python3-websockets"],
        "proof_canary_path": "",
        "rollout_drain_timeout": DRAIN,
    }
    words = json.dumps(variables)
    wait_until_healthy(lab)
    run = lab.playbook("site.yml", "-e", words)
    try:
        assert run.code == 0, run.output[-4000:]
        yield source, words
    finally:
        run = lab.playbook("site.yml")
        assert run.code == 0, run.output[-4000:]
        wait_until_healthy(lab)


def gathered(crowd: Crowd) -> bool:
    """Whether every client holds a connection, and each node has some of either kind."""
    held = [life for life in crowd.lives if not life.ended]
    return len(held) == 2 * CLIENTS and len({(life.kind, life.node) for life in held}) == 4


def releases(crowd: Crowd) -> set[str]:
    """Releases of the nodes that clients are connected to."""
    return {life.release for life in crowd.lives if not life.ended}


def test_a_reload_of_a_balancer_and_of_a_web_node_cuts_nobody(lab: Lab, application: tuple[Path, str]) -> None:
    with Crowd() as crowd:
        wait("the clients", lambda: gathered(crowd), 30)
        lab.sh("lb1", "systemctl reload haproxy")
        lab.sh("web1", "systemctl reload nginx")
        deadline = time.monotonic() + WATCHED
        while time.monotonic() < deadline:
            assert crowd.cut() == []
            time.sleep(0.5)
    assert crowd.problems == []


def test_a_release_cuts_nobody_before_the_drain_is_over(lab: Lab, application: tuple[Path, str]) -> None:
    source, words = application
    (source / "RELEASE").write_text("two\n")
    with Crowd() as crowd, Drains(lab) as drains:
        wait("the clients", lambda: gathered(crowd), 30)
        # They are of an old process then, and are not to be cut for it.
        lab.sh("lb1", "systemctl reload haproxy")
        run = lab.playbook("deploy.yml", "-e", words)
        assert run.code == 0, run.output[-4000:]
        wait("everybody on the new release", lambda: releases(crowd) == {"two"}, 30)
    assert crowd.problems == []
    cut = crowd.cut()
    assert len(cut) >= 2 * CLIENTS
    assert set(drains.begun) == {lab.container("web1"), lab.container("web2")}
    held = []
    for life in cut:
        drained = [begun for begun in drains.begun[life.node] if begun < life.ended]
        assert drained, f"{life} ended and its node was not drained"
        held.append(life.ended - max(drained))
    figure(
        f"a release with {2 * CLIENTS} WebSockets and event streams, drain time {DRAIN} s",
        f"{len(cut)} ended, {min(held):.1f} to {max(held):.1f} s after the drain of their node began",
    )
    assert min(held) > DRAIN - BLUR
    # Nobody came back to a node that was about to be released.
    for life in crowd.lives:
        for begun in drains.begun.get(life.node, []):
            assert not begun + 0.5 < life.begun < begun + DRAIN, f"{life} began while its node was drained"
