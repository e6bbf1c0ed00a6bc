# SPDX-License-Identifier: GPL-3.0-or-later
"""The health endpoint says which role a node has, and lets a restarted primary write only if all its peers agree."""

from __future__ import annotations

import http.client
import io
import json
import threading
from http.server import ThreadingHTTPServer
from typing import Any

import node_programs
import pytest
import scripted_mysql

health = node_programs.load("roles/mysql_health/files/mysql-health")

ENGINES = ["mysql97", "mariadb118", "mariadb1011"]
RUNNING = {"source_host": "192.0.2.31", "source_id": "me", "receiver": "on", "applier": "on", "lag_seconds": 0}
FOLLOWER = {
    "role": "replica",
    "writable": False,
    "id": "peer",
    "fresh": True,
    "readable": True,
    "channels": [RUNNING],
}
ME = {"id": "me"}
UUIDS = [f"{number}0000000-71ca-11e1-9e33-c80aa9429562" for number in (1, 2)]
UNREACHABLE = {"role": "unreachable", "writable": False, "error": "gone"}


def replica(**changes: Any) -> dict[str, Any]:
    """A replica whose one channel differs in this."""
    return {**FOLLOWER, "channels": [{**RUNNING, **changes}]}


def recorded(engine: str, side: str, variables: dict[str, Any] | None = None, **columns: Any) -> dict[str, Any]:
    """What a real server answered, with these variables and columns of its channel changed, by MySQL's names."""
    snapshot = scripted_mysql.recorded(engine)[side]
    snapshot["variables"].update(variables or {})
    for name, value in columns.items():
        if name == "Auto_Position" and "mariadb" in engine:
            name, value = "Using_Gtid", "No"
        known = name.replace("Replica_", "Slave_").replace("Source", "Master") if "mariadb" in engine else name
        assert known in snapshot["replica_status"][0]
        snapshot["replica_status"][0][known] = value
    if "Seconds_Behind_Source" in columns and "mariadb" not in engine:
        # MySQL is judged by the age of the transaction that is being applied.
        worker = {"APPLYING_TRANSACTION": "u:9", "APPLYING_AGE": columns["Seconds_Behind_Source"]}
        snapshot["workers"] = [{**snapshot["workers"][0], **worker}]
    return snapshot


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_is_told_in_the_same_words_by_all_engines(engine):
    told = health.state_of(health.build(recorded(engine, "replica")), 10)
    channel = told["channels"][0]
    assert (told["role"], told["writable"], told["fresh"]) == ("replica", False, True)
    assert (channel["receiver"], channel["applier"], channel["lag_seconds"]) == ("on", "on", 0)
    primary = health.state_of(health.build(recorded(engine, "primary")), 10)
    assert channel["source_id"] == primary["id"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("fence", "role", "writable"), [("OFF", "primary", True), ("ON", "fenced", False)], ids=["open", "fenced"]
)
def test_a_server_that_follows_nobody_is_the_primary_or_fenced(engine, fence, role, writable):
    fences = {"read_only": fence} if "mariadb" in engine else {"read_only": fence, "super_read_only": fence}
    told = health.state_of(health.build(recorded(engine, "primary", fences)), 10)
    assert (told["role"], told["writable"], told["fresh"], told["channels"]) == (role, writable, False, [])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, True),
        ({"Seconds_Behind_Source": 10}, True),
        ({"Seconds_Behind_Source": 11}, False),
        ({"Seconds_Behind_Source": None}, False),
        ({"Replica_IO_Running": "Connecting"}, False),
        ({"Replica_IO_Running": "No"}, False),
        ({"Replica_SQL_Running": "No"}, False),
        ({"SQL_Delay": 3600}, False),
        # A delay is not counted as lag, but what is read is as old as both together.
        ({"SQL_Delay": 6, "Seconds_Behind_Source": 10}, True),
        ({"SQL_Delay": 6, "Seconds_Behind_Source": 11}, False),
        # What is wrong without making reads old is for the verdict.
        ({"SQL_Delay": 5, "Auto_Position": 0}, True),
    ],
)
def test_reads_go_to_replicas_that_run_within_the_limit(engine, columns, expected):
    assert health.state_of(health.build(recorded(engine, "replica", **columns)), 10)["fresh"] is expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"Replica_IO_Running": "Connecting"}, True),
        ({"Replica_IO_Running": "No"}, True),
        ({"Seconds_Behind_Source": 3600}, True),
        ({"Replica_SQL_Running": "No"}, False),
    ],
)
def test_a_replica_can_be_read_at_need_as_long_as_it_applies(engine, columns, expected):
    told = health.state_of(health.build(recorded(engine, "replica", **columns)), 10)
    assert (told["readable"], told["fresh"]) == (expected, False)
    assert health.state_of(health.build(recorded(engine, "primary")), 10)["readable"] is False


@pytest.mark.parametrize("section", ["variables", "replica_status"])
def test_a_server_that_may_not_be_asked_says_which_grant_is_missing(section):
    snapshot = recorded("mysql97", "replica")
    grant = "GRANT REPLICATION CLIENT ON *.* TO 'mysql-health'@'localhost';"
    snapshot["denied"] = {section: {"errno": 1227, "error": "Access denied.", "grant": grant}}
    with pytest.raises(health.DatabaseError, match="Access denied. GRANT REPLICATION CLIENT"):
        health.state_of(health.build(snapshot), 10)


@pytest.mark.parametrize(
    ("peers", "reason"),
    [
        ({}, ""),
        ({"db2": FOLLOWER}, ""),
        ({"db2": FOLLOWER, "db3": FOLLOWER}, ""),
        ({"db2": {**FOLLOWER, "channels": [{**RUNNING, "source_id": "other"}, RUNNING]}}, ""),
        ({"db2": replica(receiver="connecting")}, ""),
        ({"db2": replica(receiver="off")}, "the receiver of db2 is stopped"),
        ({"db2": FOLLOWER, "db3": replica(receiver="off")}, "the receiver of db3 is stopped"),
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
    said = health.objection(ME, peers)
    assert said.startswith(reason)
    assert bool(said) is bool(reason)


def history(number: int, executed: str) -> dict[str, Any]:
    """What the server of that number has executed."""
    return {"mariadb": False, "identity": UUIDS[number], "executed": executed, "applied": "", "position": ""}


@pytest.mark.parametrize(
    ("own", "peer", "lacking"),
    [
        (f"{UUIDS[0]}:1-100", f"{UUIDS[0]}:1-90", ""),
        (f"{UUIDS[0]}:1-100", f"{UUIDS[0]}:1-100", ""),
        # Somebody wrote on the peer: the verdict says so, and the site still has its primary.
        (f"{UUIDS[0]}:1-100", f"{UUIDS[0]}:1-100,{UUIDS[1]}:1-2", ""),
        ("", f"{UUIDS[0]}:1-100", f"{UUIDS[0]}:1-100"),
        (f"{UUIDS[0]}:1-100", f"{UUIDS[0]}:1-101", f"{UUIDS[0]}:101"),
        # All that there is was written by the peer, when that was the primary.
        ("", f"{UUIDS[1]}:1-9", f"{UUIDS[1]}:1-9"),
        (f"{UUIDS[0]}:1-100", "nonsense", "not readable"),
    ],
)
def test_a_node_that_lacks_what_a_peer_has_is_not_the_primary_that_it_was(own, peer, lacking):
    said = health.objection({**ME, "history": history(0, own)}, {"db2": {**FOLLOWER, "history": history(1, peer)}})
    assert said == (f"db2 has transactions that this node lacks ({lacking})" if lacking else "")


def test_a_peer_that_does_not_tell_its_history_yet_is_believed():
    assert health.objection({**ME, "history": history(0, f"{UUIDS[0]}:1-100")}, {"db2": FOLLOWER}) == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_real_replica_tells_is_no_objection_to_its_primary(engine):
    own = health.state_of(health.build(recorded(engine, "primary")), 10)
    peer = health.state_of(health.build(recorded(engine, "replica")), 10)
    assert health.objection(own, {"db2": peer}) == ""
    assert health.objection({**own, "history": {**own["history"], "executed": "", "position": ""}}, {"db2": peer})


class Answering:
    """In place of the database server: what it says, and whether it was made writable."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self.said = list(said)
        self.unfenced = False

    def __call__(self, *_where: str, **_login: str) -> Answering:
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
            "administrator": {"user": "root", "password": "s3cret"},
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


def test_a_node_that_follows_another_one_is_no_longer_known_as_the_primary(resume, tmp_path):
    assert resume(Answering(UNREACHABLE, FOLLOWER), {"db2": [FOLLOWER]}) == (0, False, 1)
    assert not (tmp_path / "primary").exists()


def test_a_node_that_is_the_primary_stays_known_as_it(resume, tmp_path):
    assert resume(Answering(FENCED), {"db2": [FOLLOWER]}) == (0, True, 0)
    assert (tmp_path / "primary").exists()


def test_a_promotion_that_is_given_up_lets_the_node_write_again(resume):
    assert resume(Answering(FENCED), {"db2": [replica(receiver="off"), FOLLOWER]}) == (0, True, 1)


def test_a_node_whose_peer_stays_silent_stays_read_only(resume, capsys):
    assert resume(Answering(FENCED), {"db2": [{}]}) == (1, False, 30)
    assert "db2 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("status", [FOLLOWER, {"role": "primary", "writable": True, "id": "me", "channels": []}])
def test_a_node_with_a_role_is_left_alone(resume, status):
    assert resume(Answering(status), {"db2": [FOLLOWER]}) == (0, False, 0)


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ({"role": "primary", "writable": True, "id": "a", "channels": []}, (200, 503, 503, 200)),
        ({"role": "fenced", "writable": False, "id": "a", "channels": []}, (503, 503, 503, 200)),
        ({"role": "primary", "writable": False, "id": "a", "channels": []}, (503, 503, 503, 200)),
        (replica(), (503, 200, 200, 200)),
        ({**FOLLOWER, "fresh": False}, (503, 503, 200, 200)),
        ({**FOLLOWER, "writable": True}, (503, 200, 200, 200)),
        (UNREACHABLE, (503, 503, 503, 200)),
        ({**FOLLOWER, "history": history(1, f"{UUIDS[0]}:1-100")}, (503, 200, 200, 200)),
    ],
)
def test_the_endpoint_answers_by_role(status, codes):
    web = ThreadingHTTPServer(("127.0.0.1", 0), health.handler(Answering(status)))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection(*web.server_address, timeout=5)
    found = []
    for path in ("/primary", "/replica", "/readable", "/status", "/other"):
        connection.request("GET", path)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        # It can be long, and the others are asked every second.
        assert told == (status if path == "/status" else {k: v for k, v in status.items() if k != "history"})
        found.append(answer.status)
    connection.close()
    web.shutdown()
    web.server_close()
    assert tuple(found) == (*codes, 404)


class Database:
    """In place of a connection: answers as it was recorded, or is lost."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot
        self.lost = self.closed = False
        self.statements: list[str] = []

    def rows(self, statement: str) -> list[Any]:
        self.statements.append(statement)
        return []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def server(monkeypatch):
    """The endpoint's server, the connections that it made, those it will make, and a clock."""
    now, made, ahead = [100.0], [], []

    def connect(_options: Any) -> Any:
        if ahead and isinstance(ahead[0], Exception):
            raise ahead.pop(0)
        made.append(Database(recorded("mysql97", "primary")))
        return made[-1]

    class Collector:
        def __init__(self, database: Database) -> None:
            self.database = database

        def essentials(self) -> dict[str, Any]:
            self.database.statements.append("essentials")
            if self.database.lost:
                raise health.DatabaseError("gone away", 2006)
            return self.database.snapshot

    monkeypatch.setattr(health, "Connection", connect)
    monkeypatch.setattr(health, "Collector", Collector)
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    return health.Server("/socket", "user", 10), made, ahead, now


def test_a_server_is_asked_at_most_five_times_a_second_over_one_connection(server):
    asked, made, _ahead, now = server
    for _request in range(10):
        assert asked.status()["role"] == "primary"
    now[0] += 0.3
    asked.status()
    assert [each.statements for each in made] == [["essentials", "essentials"]]


def test_a_server_that_refuses_is_unreachable_and_asked_again(server):
    asked, _made, ahead, now = server
    ahead.append(health.DatabaseError("/socket cannot be reached.", 2002))
    assert asked.status() == {"role": "unreachable", "writable": False, "error": "/socket cannot be reached."}
    now[0] += 1
    assert asked.status()["role"] == "primary"


def test_a_server_that_is_lost_is_unreachable_and_connected_to_again(server):
    asked, made, _ahead, now = server
    asked.status()
    made[0].lost = True
    now[0] += 1
    assert asked.status() == {"role": "unreachable", "writable": False, "error": "gone away"}
    assert made[0].closed
    now[0] += 1
    assert asked.status()["role"] == "primary"
    assert len(made) == 2


def test_writes_are_opened_by_one_statement(server):
    asked, made, _ahead, _now = server
    asked.unfence()
    asked.status()
    asked.unfence()
    assert made[0].statements == ["essentials", "SET GLOBAL read_only = OFF"]


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
