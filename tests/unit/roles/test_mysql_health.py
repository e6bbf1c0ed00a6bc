# SPDX-License-Identifier: GPL-3.0-or-later
"""The health endpoint says which role a node has, and lets a restarted primary write only if all its peers agree."""

from __future__ import annotations

import http.client
import json
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any

import node_programs
import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.dialect import Dialect

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

    def __call__(self, options: Any) -> Answering:
        assert (options.unix_socket, options.user, options.password) == ("/s.sock", "root", "s3cret")
        return self

    def status(self) -> dict[str, Any]:
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    role = status

    def unfence(self) -> None:
        self.unfenced = True


class Asked:
    """In place of the other database nodes: what each says, one after the other."""

    def __init__(self, said: dict[str, list[dict[str, Any]]]) -> None:
        self.said = said

    def roles(self) -> dict[str, dict[str, Any]]:
        return {peer: said.pop(0) if len(said) > 1 else said[0] for peer, said in self.said.items()}


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
        monkeypatch.setattr(health, "Peers", lambda _config: Asked(peers))
        config = {
            "socket": "/s.sock", "primary_marker": str(marker), "resume_timeout": 30,
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


def test_a_node_that_is_to_hand_over_meanwhile_stays_read_only(resume, tmp_path, monkeypatch):
    def follows(own: Any, peers: Any) -> str:
        (tmp_path / "primary").unlink(missing_ok=True)
        return ""

    monkeypatch.setattr(health, "objection", follows)
    assert resume(Answering(FENCED), {"db2": [FOLLOWER]})[:2] == (1, False)


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


FENCE = {"mysql97": "SET GLOBAL super_read_only = ON"} | dict.fromkeys(ENGINES[1:], "SET GLOBAL read_only = ON")


class Kernel(scripted_mysql.Recorded):
    """A recorded server whose switches can be set."""

    def __init__(self, engine: str, side: str, clock: scripted_mysql.Clock, **variables: str) -> None:
        super().__init__(scripted_mysql.recorded(engine)[side], clock)
        self.engine = engine
        self.rows["variables"].update(variables)
        self.clients = "0"
        self.dumps: list[str] = []
        self.on("SHOW GLOBAL STATUS WHERE", lambda *_: [{"Variable_name": "clients", "Value": self.clients}])
        self.on("SHOW PROCESSLIST", lambda *_: self._sessions())
        self.on("SELECT CONNECTION_ID()", [{"id": "1"}])
        self.on("SET GLOBAL", self._set)
        for words in ("SET SESSION", "FLUSH TABLES", "UNLOCK TABLES", "KILL"):
            self.on(words, [])

    def _sessions(self) -> list[dict[str, Any]]:
        client = {"Id": 7, "User": "app", "Host": "192.0.2.21:5000", "Command": "Sleep"}
        # Of this node, once it has asked to close the server.
        second = {"Id": 9, "User": "root", "Host": "localhost", "Command": "Query"}
        return [client, *([second] if len(self.told_to(FENCE[self.engine])) > 1 else [])] + [
            {"Id": 20, "User": "replication", "Host": host, "Command": "Binlog Dump GTID"} for host in self.dumps
        ]

    def _set(self, statement: str, _values: tuple[Any, ...]) -> list[Any]:
        _set, _global, name, _equals, value = statement.split()
        name = name.strip("`")
        self.rows["variables"][name] = value
        if (name, value) == ("read_only", "OFF"):
            self.rows["variables"].update({"super_read_only": "OFF"} if self.engine.startswith("mysql") else {})
        if (name, value) == ("super_read_only", "ON"):
            self.rows["variables"]["read_only"] = "ON"
        return []

    @property
    def ran(self) -> list[str]:
        """What it was told to change."""
        return self.told_to("SET GLOBAL", "FLUSH", "UNLOCK", "KILL")


SEMI_SYNC = {
    "mysql97": ("rpl_semi_sync_source_enabled", "rpl_semi_sync_source_wait_no_replica"),
    "mariadb118": ("rpl_semi_sync_master_enabled", "rpl_semi_sync_master_wait_no_slave"),
    "mariadb1011": ("rpl_semi_sync_master_enabled", "rpl_semi_sync_master_wait_no_slave"),
}
OPEN = {"read_only": "OFF"}
SOCKET = health.ConnectionOptions(unix_socket="/s.sock", user="root")


@pytest.fixture
def database(network, clock):
    """The server of this node, and the one that it is."""

    def made(engine: str, side: str, **variables: str) -> tuple[Any, Kernel]:
        kernel = network.add("/s.sock", Kernel(engine, side, clock, **variables))
        server = health.Server(SOCKET)
        server.role()
        return server, kernel

    return made


@pytest.mark.parametrize("engine", ENGINES)
def test_a_primary_with_a_replica_waits_for_it_also_when_it_has_gone(database, engine):
    enabled, alone = SEMI_SYNC[engine]
    server, kernel = database(engine, "primary", **{enabled: "ON", alone: "OFF"})
    server.hold()
    assert kernel.ran == [], "it never had one"
    kernel.clients = "1"
    server.hold()
    assert kernel.ran == [f"SET GLOBAL `{alone}` = ON"]
    kernel.clients = "0"
    server.role()
    server.hold()
    assert kernel.ran == [f"SET GLOBAL `{alone}` = ON"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_waits_for_nobody_so_that_its_applier_goes_on(database, engine):
    enabled, alone = SEMI_SYNC[engine]
    server, kernel = database(engine, "replica", **{enabled: "ON", alone: "ON"})
    server.hold()
    assert kernel.ran == [f"SET GLOBAL `{alone}` = OFF"]


@pytest.mark.parametrize("engine", ENGINES)
def test_without_semi_synchronous_replication_nothing_is_held(database, engine):
    enabled, alone = SEMI_SYNC[engine]
    server, kernel = database(engine, "primary", **{enabled: "OFF", alone: "OFF"})
    kernel.clients = "1"
    server.hold()
    assert kernel.ran == []


@pytest.mark.parametrize("engine", ENGINES)
def test_writes_are_opened_only_once_they_wait_for_a_replica(database, engine):
    enabled, alone = SEMI_SYNC[engine]
    server, kernel = database(engine, "primary", **{enabled: "ON", alone: "OFF"})
    server.unfence()
    opened = ["SET GLOBAL read_only = OFF"]
    clients = ["SET GLOBAL offline_mode = OFF"] if engine == "mysql97" else []
    assert kernel.ran == [f"SET GLOBAL `{alone}` = ON", *clients, *opened]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_that_is_fenced_takes_no_writes_and_ends_its_sessions(database, engine):
    server, kernel = database(engine, "primary")
    server.fence()
    lock = [] if engine == "mysql97" else ["FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"]
    assert kernel.ran == [FENCE[engine], *lock, "KILL 7"]


def stuck(kernel: Kernel, until: str) -> None:
    """Let the server be closed only once it was told this."""

    def wait_for_it(statement: str, values: tuple[Any, ...]) -> list[Any]:
        deadline = time.monotonic() + 10
        while not kernel.told_to(until):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return kernel._set(statement, values)

    kernel.on(FENCE[kernel.engine], scripted_mysql.error(1205), wait_for_it)
    # Asked for the message, then by the second session, then by the first one.
    kernel.on("SELECT CONNECTION_ID()", [{"id": "1"}], [{"id": "9"}], [{"id": "1"}])


def test_commits_that_wait_are_not_confirmed_when_a_server_is_fenced(database):
    enabled, _alone = SEMI_SYNC["mysql97"]
    server, kernel = database("mysql97", "primary", **{enabled: "ON"})
    off = f"SET GLOBAL `{enabled}` = OFF"
    stuck(kernel, off)
    server.fence()
    fence = FENCE["mysql97"]
    # Who waits is gone before commits go on, and nobody else writes meanwhile.
    assert kernel.ran == [fence, fence, "KILL 7", off, f"SET GLOBAL `{enabled}` = ON", "KILL 7", "KILL 9"]


def test_waiting_is_switched_on_again_though_the_sessions_are_lost(database):
    enabled, _alone = SEMI_SYNC["mysql97"]
    server, kernel = database("mysql97", "primary", **{enabled: "ON"})
    kernel.on(FENCE["mysql97"], scripted_mysql.error(1205), scripted_mysql.LOST)
    kernel.on(f"SET GLOBAL `{enabled}` = OFF", scripted_mysql.LOST)
    kernel.on("SELECT CONNECTION_ID()", [{"id": "1"}], [{"id": "9"}], [{"id": "1"}])
    with pytest.raises(health.DatabaseError):
        server.fence()
    assert kernel.ran[-1] == f"SET GLOBAL `{enabled}` = ON"
    # So that nobody has to be let in again.
    assert not [statement for statement in kernel.ran if "offline_mode" in statement]


def test_a_server_of_mariadb_that_holds_out_takes_no_writes_meanwhile(database):
    server, kernel = database("mariadb118", "primary")
    kernel.on("FLUSH TABLES", scripted_mysql.error(1205))
    kernel.on("SELECT CONNECTION_ID()", [{"id": "1"}], [{"id": "9"}], [{"id": "1"}])
    with pytest.raises(health.PromotionError):
        server.fence()
    assert kernel.rows["variables"]["read_only"] == "ON"
    assert "SET GLOBAL read_only = OFF" not in kernel.ran


def test_sessions_of_mariadb_that_wait_are_ended_while_it_is_fenced(database):
    server, kernel = database("mariadb118", "primary")
    stuck(kernel, "KILL 7")
    server.fence()
    fence = FENCE["mariadb118"]
    lock = ["FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"]
    assert kernel.ran == [fence, fence, "KILL 7", *lock, "KILL 7", "KILL 9"]


def test_waiting_is_switched_on_again_where_a_server_cannot_be_fenced(database):
    enabled, _alone = SEMI_SYNC["mysql97"]
    server, kernel = database("mysql97", "primary", **{enabled: "ON"})
    kernel.on(FENCE["mysql97"], scripted_mysql.error(1205))
    kernel.on("SELECT CONNECTION_ID()", [{"id": "1"}], [{"id": "9"}], [{"id": "1"}])
    with pytest.raises(health.PromotionError):
        server.fence()
    assert kernel.ran[-1] == f"SET GLOBAL `{enabled}` = ON"


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def connection(port: int, state: str = "01", sent_again: int = 0, asked: int = 0) -> str:
    """A line of the kernel's table of connections."""
    columns = f"1: 1F0200C0:0CEA 200200C0:{port:04X} {state} 00000000:00000000 02:00000000 {sent_again:08X}   108"
    return f"   {columns} {asked:8d} 1 2 x 20 4 24 10\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([connection(40001)], True),
        ([connection(40002)], False),
        ([connection(40001, sent_again=1)], True),
        # What is sent to it again and again is not acknowledged.
        ([connection(40001, sent_again=2)], False),
        ([connection(40001, asked=1)], True),
        # Its own link is down, so that nothing can be sent at all.
        ([connection(40001, asked=2)], False),
        ([connection(40001, state="06")], False),
        ([], False),
    ],
)
def test_a_replica_is_connected_while_its_machine_acknowledges(database, monkeypatch, tmp_path, lines, expected):
    table = tmp_path / "tcp"
    table.write_text(HEADER + "".join(lines))
    monkeypatch.setattr(health, "CONNECTIONS", (table, tmp_path / "tcp6"))
    server, kernel = database("mysql97", "primary")
    assert server.attached() is False
    kernel.dumps = ["192.0.2.32:40001"]
    assert server.attached() is expected


class Database:
    """In place of a connection: answers as it was recorded, or is lost."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot
        self.lost = self.closed = False
        self.dialect = Dialect.of("9.7.4")
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
    return health.Server(health.ConnectionOptions(unix_socket="/socket", user="user"), 10), made, ahead, now


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


CONFIG = {
    "mysql_port": 3306,
    "health_port": 3380,
    "peers": ["192.0.2.32", "2001:db8::33"],
    "peer_account": {"user": "verification", "password": "s3cret", "ca_cert": "/etc/ssl/webstack/ca.pem"},
}


def test_peers_are_asked_over_tls_and_have_to_prove_who_they_are(monkeypatch):
    asked = []

    def connect(options: Any) -> Any:
        asked.append(options)
        raise health.DatabaseError(f"TLS to {options.where} failed: certificate verify failed.", 2026)

    monkeypatch.setattr(health, "Connection", connect)
    roles = health.Peers(CONFIG).roles()
    assert sorted(each.host for each in asked) == CONFIG["peers"]
    # Where nothing else is said, the name is verified, too.
    assert {(each.ca_cert, each.check_hostname, each.user, each.port) for each in asked} == {
        ("/etc/ssl/webstack/ca.pem", None, "verification", 3306)
    }
    assert {status["role"] for status in roles.values()} == {"unreachable"}
    assert health.objection(ME, roles).startswith("192.0.2.32 does not answer")


REFUSES, SILENT = "x cannot be reached: [Errno 111] Connection refused.", "x did not answer within 2 s."


@pytest.mark.parametrize(
    ("message", "endpoint", "down"),
    [
        (REFUSES, "unreachable", True),
        # A firewall refuses the connection, and that to the endpoint as well.
        (REFUSES, "", False),
        (REFUSES, "primary", False),
        (SILENT, "unreachable", False),
    ],
)
def test_a_server_is_down_where_its_own_node_says_so(monkeypatch, message, endpoint, down):
    def connect(_options: Any) -> Any:
        raise health.DatabaseError(message, 2003)

    monkeypatch.setattr(health, "Connection", connect)
    monkeypatch.setattr(health, "endpoint_role", lambda host, port: endpoint if port == 3380 else "")
    assert health.Peers(CONFIG).roles()["192.0.2.32"].get("down", False) is down


def test_the_endpoint_of_a_node_tells_the_role_of_its_server():
    answering = Answering({"role": "unreachable", "writable": False})
    server = ThreadingHTTPServer(("127.0.0.1", 0), health.handler(answering))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert health.endpoint_role("127.0.0.1", server.server_port) == "unreachable"
    server.shutdown()
    server.server_close()
    assert health.endpoint_role("127.0.0.1", server.server_port) == ""


class Watched(Answering):
    """In place of the server of this node, with what was done to it."""

    def __init__(self, *said: dict[str, Any], replicas: bool = False) -> None:
        super().__init__(*said)
        self.done: list[str] = []
        self.replicas = replicas
        self.refusal: Exception | None = None

    def fence(self) -> None:
        self.done.append("fence")
        if self.refusal:
            raise self.refusal

    def unfence(self) -> None:
        self.done.append("unfence")

    def hold(self) -> None:
        self.done.append("hold")

    def attached(self) -> bool:
        return self.replicas


WRITES = {"role": "primary", "writable": True, "id": "me", "channels": []}
PROMOTED = {"role": "primary", "writable": True, "id": "peer", "channels": []}


@pytest.fixture
def watching(monkeypatch, tmp_path):
    """The service with this server and these peers; a second goes by between two steps."""
    now = [0.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(health, "MEMORY", tmp_path / "fence.json")
    marker = tmp_path / "primary"
    marker.touch()

    def made(server: Watched, peers: dict[str, list[dict[str, Any]]], limit: int = 0) -> Any:
        monkeypatch.setattr(health, "Server", server)
        monkeypatch.setattr(health, "Peers", lambda _config: Asked(peers))
        config = {
            "socket": "/s.sock", "primary_marker": str(marker), "isolation_timeout": limit,
            "administrator": {"user": "root", "password": "s3cret"},
        }  # fmt: skip
        fence = health.Fence(config)

        def step(times: int = 1) -> list[str]:
            server.done.clear()
            for _time in range(times):
                now[0] += 1
                fence.step()
            return server.done

        return step

    return made


def test_a_primary_whose_follower_was_promoted_closes_itself_and_says_why(watching, capsys):
    step = watching(Watched(WRITES), {"db2": [FOLLOWER, {}, PROMOTED]})
    assert step(2) == ["hold", "hold"]
    assert step() == ["fence", "hold"]
    assert "db2 takes writes and has followed this server before" in capsys.readouterr().out


def test_what_was_seen_is_remembered_when_the_service_restarts(watching):
    assert watching(Watched(WRITES), {"db2": [FOLLOWER]})() == ["hold"]
    assert watching(Watched(WRITES), {"db2": [PROMOTED]})() == ["fence", "hold"]


def test_a_memory_that_cannot_be_written_keeps_no_server_open(watching, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(health, "MEMORY", tmp_path / "none" / "fence.json")
    step = watching(Watched(WRITES), {"db2": [FOLLOWER, FOLLOWER, PROMOTED]})
    assert step(3) == ["hold", "hold", "fence", "hold"]
    assert capsys.readouterr().out.count("cannot be written, so a restart would forget it") == 1


def test_a_memory_that_cannot_be_read_is_none(watching, tmp_path):
    for text in ("", "[]", '{"followers": 1}'):
        (tmp_path / "fence.json").write_text(text)
        assert watching(Watched(WRITES), {"db2": [PROMOTED]})() == ["hold"]


def test_a_primary_that_is_cut_off_closes_itself_and_opens_again_later(watching, capsys):
    server = Watched(WRITES)
    step = watching(server, {"db2": [FOLLOWER, UNREACHABLE]}, limit=5)
    assert step(5) == ["hold"] * 5
    assert step() == ["fence", "hold"]
    server.said = [FENCED]
    assert step() == ["hold"]
    # Restarted meanwhile.
    step = watching(server, {"db2": [UNREACHABLE, replica(receiver="off"), FOLLOWER]}, limit=5)
    assert step(2) == ["hold", "hold"]
    assert step() == ["unfence", "hold"]
    said = capsys.readouterr().out
    assert "no other database node was seen for 5 s" in said
    assert "takes writes again" in said


def test_a_server_that_lost_the_right_to_be_primary_meanwhile_stays_closed(watching, tmp_path):
    server = Watched(WRITES)
    step = watching(server, {"db2": [FOLLOWER, UNREACHABLE]}, limit=2)
    assert step(3)[-2:] == ["fence", "hold"]
    (tmp_path / "primary").unlink()
    server.said = [FENCED]
    assert watching(server, {"db2": [FOLLOWER]}, limit=2)(3) == ["hold"] * 3


def test_a_server_that_cannot_be_closed_is_tried_again_and_told_once(watching, capsys):
    server = Watched(WRITES)
    step = watching(server, {"db2": [FOLLOWER, UNREACHABLE]}, limit=2)
    step(2)
    server.refusal = health.PromotionError("/s.sock could not be closed within 2 s.")
    assert step(3) == ["fence"] * 3
    server.refusal = None
    assert step() == ["fence", "hold"]
    assert capsys.readouterr().out.count("no other database node") == 4


def test_nobody_is_asked_on_behalf_of_a_replica(watching):
    peers: dict[str, list[dict[str, Any]]] = {}
    step = watching(Watched(FOLLOWER), peers)
    peers["db1"] = []
    assert step() == ["hold"]


def test_writes_are_opened_by_one_statement_and_clients_let_in_before(server):
    asked, made, _ahead, _now = server
    asked.status()
    asked.unfence()
    assert made[0].statements == ["essentials", "SET GLOBAL offline_mode = OFF", "SET GLOBAL read_only = OFF"]
