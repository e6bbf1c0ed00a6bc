# SPDX-License-Identifier: GPL-3.0-or-later
"""The health endpoint says which role a node has, and lets a restarted primary write only if all its peers agree."""

from __future__ import annotations

import http.client
import io
import json
import threading
from http.server import ThreadingHTTPServer
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pymysql
import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "mysql_health" / "files" / "mysql-health"
LOADER = SourceFileLoader("mysql_health", str(PROGRAM))
health = module_from_spec(spec_from_loader(LOADER.name, LOADER))
LOADER.exec_module(health)

RUNNING = {"source_host": "192.0.2.31", "source_id": "me", "receiver": "Yes", "applier": "Yes", "lag_seconds": 0}
FOLLOWER = {"role": "replica", "writable": False, "id": "peer", "channels": [RUNNING]}
UNREACHABLE = {"role": "unreachable", "writable": False, "error": "gone"}

MYSQL_ROW = {
    "Source_Host": "192.0.2.31",
    "Source_UUID": "u-1",
    "Master_Server_Id": 7,
    "Replica_IO_Running": "Yes",
    "Replica_SQL_Running": "No",
    "Seconds_Behind_Source": None,
}
MARIADB_ROW = {
    "Master_Host": "192.0.2.31",
    "Master_Server_Id": 31,
    "Slave_IO_Running": "Connecting",
    "Slave_SQL_Running": "Yes",
    "Seconds_Behind_Master": 4,
}


def replica(**changes: Any) -> dict[str, Any]:
    """A replica whose one channel differs in this."""
    return {**FOLLOWER, "channels": [{**RUNNING, **changes}]}


@pytest.mark.parametrize(
    ("row", "mariadb", "expected"),
    [
        (MYSQL_ROW, False, {"source_id": "u-1", "receiver": "Yes", "applier": "No", "lag_seconds": None}),
        (MARIADB_ROW, True, {"source_id": "31", "receiver": "Connecting", "applier": "Yes", "lag_seconds": 4}),
    ],
)
def test_a_channel_is_told_in_the_same_words_by_both_engines(row, mariadb, expected):
    assert health.channel(row, mariadb) == {"source_host": "192.0.2.31", **expected}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (replica(), True),
        (replica(lag_seconds=10), True),
        (replica(lag_seconds=10.5), False),
        (replica(lag_seconds=None), False),
        (replica(receiver="Connecting"), False),
        (replica(receiver="No"), False),
        (replica(applier="No"), False),
        ({**FOLLOWER, "channels": [RUNNING, {**RUNNING, "applier": "No"}]}, False),
        ({"role": "primary", "writable": True, "channels": []}, False),
        ({"role": "fenced", "writable": False, "channels": []}, False),
        (UNREACHABLE, False),
    ],
)
def test_reads_go_to_replicas_that_run_within_the_limit(status, expected):
    assert health.fresh(status, 10) is expected


@pytest.mark.parametrize(
    ("peers", "reason"),
    [
        ({}, ""),
        ({"db2": FOLLOWER}, ""),
        ({"db2": FOLLOWER, "db3": FOLLOWER}, ""),
        ({"db2": {**FOLLOWER, "channels": [{**RUNNING, "source_id": "other"}, RUNNING]}}, ""),
        ({"db2": replica(receiver="Connecting")}, ""),
        ({"db2": {}}, "db2 does not answer"),
        ({"db2": UNREACHABLE}, "db2 does not answer"),
        ({"db2": replica(source_id="other")}, "db2 does not follow this node"),
        ({"db2": {"role": "fenced", "writable": False, "channels": []}}, "db2 does not follow this node"),
        ({"db2": {"role": "primary", "writable": True, "channels": []}}, "db2 takes writes"),
        ({"db2": {**FOLLOWER, "writable": True}}, "db2 takes writes"),
        ({"db2": FOLLOWER, "db3": {}}, "db3 does not answer"),
        ({"db2": FOLLOWER, "db3": replica(source_id="other")}, "db3 does not follow this node"),
    ],
)
def test_every_peer_has_to_follow(peers, reason):
    said = health.objection("me", peers)
    assert said.startswith(reason)
    assert bool(said) is bool(reason)


class Answering:
    """In place of the database server: what it says, and whether it was made writable."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self.said = list(said)
        self.unfenced = False

    def __call__(self, *_where: str) -> Answering:
        return self

    def status(self) -> dict[str, Any]:
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    def unfence(self) -> None:
        self.unfenced = True


FENCED = {"role": "fenced", "writable": False, "id": "me", "channels": []}


@pytest.fixture
def resume(monkeypatch, tmp_path):
    """Resume with this server and these peers; time passes as fast as it is slept away."""
    now = [0.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(health.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def run(server: Answering, peers: dict[str, Any], marked: bool = True) -> tuple[int, bool, float]:
        marker = tmp_path / "primary"
        marker.unlink(missing_ok=True)
        if marked:
            marker.touch()
        monkeypatch.setattr(health, "Server", server)
        monkeypatch.setattr(
            health, "ask_peer", lambda peer, port: peers[peer].pop(0) if len(peers[peer]) > 1 else peers[peer][0]
        )
        config = {
            "socket": "", "primary_marker": str(marker), "port": 3380, "peers": list(peers), "resume_timeout": 30,
        }  # fmt: skip
        return health.resume(config), server.unfenced, now[0]

    return run


def test_a_restarted_primary_writes_again_once_its_peers_follow(resume):
    assert resume(Answering(FENCED), {"db2": [{}, UNREACHABLE, FOLLOWER]}) == (0, True, 2)


def test_a_server_that_is_not_up_yet_is_waited_for(resume):
    assert resume(Answering(UNREACHABLE, FENCED), {"db2": [FOLLOWER]}) == (0, True, 1)


def test_a_node_that_was_not_the_primary_stays_read_only(resume):
    assert resume(Answering(FENCED), {"db2": [FOLLOWER]}, marked=False) == (0, False, 0)


def test_a_node_whose_place_was_taken_stays_read_only_at_once(resume, capsys):
    peers = {"db2": [{"role": "primary", "writable": True, "channels": []}]}
    assert resume(Answering(FENCED), peers) == (1, False, 0)
    assert "stays read-only: db2 takes writes" in capsys.readouterr().err


def test_a_node_whose_peer_stays_silent_stays_read_only(resume, capsys):
    assert resume(Answering(FENCED), {"db2": [{}]}) == (1, False, 30)
    assert "db2 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("status", [FOLLOWER, {"role": "primary", "writable": True, "id": "me", "channels": []}])
def test_a_node_with_a_role_is_left_alone(resume, status):
    assert resume(Answering(status), {"db2": [FOLLOWER]}) == (0, False, 0)


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ({"role": "primary", "writable": True, "id": "a", "channels": []}, (200, 503, 200)),
        ({"role": "fenced", "writable": False, "id": "a", "channels": []}, (503, 503, 200)),
        ({"role": "primary", "writable": False, "id": "a", "channels": []}, (503, 503, 200)),
        (replica(), (503, 200, 200)),
        (replica(lag_seconds=11), (503, 503, 200)),
        ({**FOLLOWER, "writable": True}, (503, 200, 200)),
        (UNREACHABLE, (503, 503, 200)),
    ],
)
def test_the_endpoint_answers_by_role(status, codes):
    web = ThreadingHTTPServer(("127.0.0.1", 0), health.handler(Answering(status), 10))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection(*web.server_address, timeout=5)
    found = []
    for path in ("/primary", "/replica", "/status", "/other"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert json.loads(answer.read()) == status
        found.append(answer.status)
    connection.close()
    web.shutdown()
    web.server_close()
    assert tuple(found) == (*codes, 404)


class Cursor:
    """Answers the statements of the endpoint as one of the engines."""

    def __init__(self, version: str, fenced: Any, channels: list[dict[str, Any]]) -> None:
        self.version, self.fenced, self.channels = version, fenced, channels
        self.statements: list[str] = []

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def cursor(self) -> Cursor:
        return self

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def fetchone(self) -> dict[str, Any]:
        return {"version": self.version, "fenced": self.fenced, "id": "me"}

    def fetchall(self) -> list[dict[str, Any]]:
        return self.channels


@pytest.mark.parametrize(
    ("version", "fenced", "channels", "role", "writable"),
    [
        ("9.7.0", 0, [], "primary", True),
        ("9.7.0", 1, [], "fenced", False),
        ("9.7.0", 1, [MYSQL_ROW], "replica", False),
        ("9.7.0", 0, [MYSQL_ROW], "replica", True),
        ("11.8.3-MariaDB", 0, [], "primary", True),
        ("11.8.3-MariaDB", "ON", [], "fenced", False),
        ("11.8.3-MariaDB", "OFF", [], "primary", True),
        ("11.8.3-MariaDB", 1, [MARIADB_ROW], "replica", False),
    ],
)
def test_the_role_is_what_the_server_says(monkeypatch, version, fenced, channels, role, writable):
    cursor = Cursor(version, fenced, channels)
    monkeypatch.setattr(health.pymysql, "connect", lambda **_options: cursor)
    status = health.Server("/socket", "user").status()
    assert (status["role"], status["writable"], len(status["channels"])) == (role, writable, len(channels))
    assert cursor.statements[-1] == ("SHOW ALL REPLICAS STATUS" if "MariaDB" in version else "SHOW REPLICA STATUS")


def test_a_server_is_asked_at_most_five_times_a_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    cursor = Cursor("9.7.0", 0, [])
    monkeypatch.setattr(health.pymysql, "connect", lambda **_options: cursor)
    server = health.Server("/socket", "user")
    for _request in range(10):
        server.status()
    asked = len(cursor.statements)
    now[0] += 0.3
    server.status()
    assert len(cursor.statements) == 2 * asked


@pytest.mark.parametrize("lost", ["refused", "gone away"])
def test_a_server_that_is_lost_is_unreachable_and_connected_to_again(monkeypatch, lost):
    now = [100.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    connections: list[Any] = []

    def connect(**_options: Any) -> Any:
        connections.append(Cursor("9.7.0", 0, []))
        if lost == "refused" and len(connections) == 1:
            raise pymysql.err.OperationalError(2003, lost)
        return connections[-1]

    def fail() -> None:
        raise pymysql.err.OperationalError(2006, lost)

    monkeypatch.setattr(health.pymysql, "connect", connect)
    server = health.Server("/socket", "user")
    if lost == "gone away":
        assert server.status()["role"] == "primary"
        connections[0].cursor = fail
        now[0] += 1
    status = server.status()
    assert (status["role"], status["writable"]) == ("unreachable", False)
    assert lost in status["error"]
    now[0] += 1
    assert server.status()["role"] == "primary"
    assert len(connections) == 2


@pytest.mark.parametrize(
    ("peer", "url"),
    [("192.0.2.32", "http://192.0.2.32:3380/status"), ("2001:db8::32", "http://[2001:db8::32]:3380/status")],
)
def test_a_peer_is_asked_for_its_status(monkeypatch, peer, url):
    asked = []

    def answer(url: str, timeout: float) -> io.StringIO:
        asked.append((url, timeout))
        return io.StringIO(json.dumps(FOLLOWER))

    monkeypatch.setattr(health.urllib.request, "urlopen", answer)
    assert health.ask_peer(peer, 3380) == FOLLOWER
    assert asked == [(url, 3)]


@pytest.mark.parametrize("answer", ["<html>", "refused"])
def test_a_peer_that_makes_no_sense_says_nothing(monkeypatch, answer):
    def urlopen(_url: str, timeout: float) -> io.StringIO:
        if answer == "refused":
            raise OSError(answer)
        return io.StringIO(answer)

    monkeypatch.setattr(health.urllib.request, "urlopen", urlopen)
    assert health.ask_peer("192.0.2.32", 3380) == {}
