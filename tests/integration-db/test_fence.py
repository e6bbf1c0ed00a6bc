"""The program on the node, with real servers: peers are asked over TLS, and only one server takes writes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab
import node_programs
import pymysql
import pytest
from conftest import local, remove_semi_sync, troubles, verify
from waiting import wait

health = node_programs.load("roles/mysql_health/files/mysql-health")

INTERVAL = 0.2
SECOND_CA = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=other -keyout /dev/null -out {}"


def settings(server: lab.Server, peer: lab.Server, folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of the program on the node of a server."""
    account = {"user": lab.MONITOR_USER, "password": lab.MONITOR_PASSWORD, "ca_cert": str(lab.ROOT / "tls" / "ca.pem")}
    return {
        "socket": server.socket,
        "administrator": {"user": "root", "password": ""},
        "primary_marker": str(folder / f"primary-{server.number}"),
        "mysql_port": 3306,
        "health_port": 3380,
        "peers": [peer.ip],
        "peer_account": account,
        "resume_timeout": 4,
        "isolation_timeout": 0,
        **changes,
    }


@pytest.fixture
def node(pair, tmp_path, monkeypatch):
    """The configuration of the program, on the node of the primary or of the replica."""
    # Every service of a test has a memory of its own, which is not kept.
    monkeypatch.setattr(health, "MEMORY", tmp_path / "nowhere" / "fence.json")
    monkeypatch.setattr(health.Fence, "_save", lambda _fence: None)

    def made(of: lab.Server, **changes: Any) -> dict[str, Any]:
        other = pair.replica if of is pair.primary else pair.primary
        found = settings(of, other, tmp_path, **changes)
        Path(found["primary_marker"]).touch()
        return found

    yield made
    pair.primary.unpause()
    for server in (pair.primary, pair.replica):
        server.cut(off=False)
    pair.primary.sql("SET GLOBAL read_only = OFF")


class Guard:
    """The service of one node, in a thread, with a memory of its own."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._stop = threading.Event()
        self.said: list[str] = []
        self.fence = health.Fence(config)
        self.fence._say = self.said.append
        self._thread = threading.Thread(target=self._run)

    @property
    def followers(self) -> dict[str, str]:
        """Who has followed the server, as it remembers."""
        return self.fence._watch.memory.followers

    def _run(self) -> None:
        while not self._stop.is_set():
            self.fence.step()
            time.sleep(INTERVAL)

    def __enter__(self) -> Guard:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


def writable(server: lab.Server) -> bool:
    """Whether it takes writes; the session that asks may be ended by the service."""
    with contextlib.suppress(pymysql.err.OperationalError):
        return server.value("SELECT @@GLOBAL.read_only") == 0
    return server.value("SELECT @@GLOBAL.read_only") == 0


def close(server: lab.Server) -> None:
    """As it is after a start of the server."""
    server.sql(f"SET GLOBAL {'' if server.mariadb else 'super_'}read_only = ON")


def promote(pair) -> None:
    """As a failover does it."""
    pair.stop_replica()
    if pair.mariadb:
        pair.replica.sql("RESET SLAVE ALL", "SET GLOBAL read_only = OFF")
    else:
        pair.replica.sql("RESET REPLICA ALL", "SET GLOBAL read_only = OFF")


# --- after a start --------------------------------------------------------------------------------------------------


def test_a_restarted_primary_opens_once_its_peers_have_confirmed_over_tls(pair, node, capsys):
    close(pair.primary)
    assert health.resume(node(pair.primary)) == 0
    assert writable(pair.primary)
    assert "writable again" in capsys.readouterr().out


def test_a_peer_that_cannot_prove_who_it_is_confirms_nothing(pair, node, tmp_path, capsys):
    close(pair.primary)
    other = tmp_path / "other.pem"
    lab.run(*SECOND_CA.format(other).split())
    config = node(pair.primary)
    config["peer_account"]["ca_cert"] = str(other)
    assert health.resume(config) == 1
    assert not writable(pair.primary)
    assert "does not answer" in capsys.readouterr().err


def test_a_restarted_primary_stays_closed_beside_one_that_was_promoted(pair, node, capsys):
    close(pair.primary)
    promote(pair)
    assert health.resume(node(pair.primary)) == 1
    assert not writable(pair.primary)
    assert "takes writes: it is the primary now" in capsys.readouterr().err


# --- while it runs --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def both_watched(pair, node) -> Iterator[tuple[Guard, Guard]]:
    """The service on both nodes."""
    with Guard(node(pair.primary)) as first, Guard(node(pair.replica)) as second:
        wait("the primary's node to see its follower", lambda: first.followers)
        yield first, second


def test_a_frozen_primary_closes_when_it_thaws_beside_a_promoted_one(pair, node):
    with both_watched(pair, node) as (first, second):
        pair.primary.pause()
        promote(pair)
        pair.replica.sql("INSERT INTO app.t VALUES (990, 'new')")
        time.sleep(3)
        pair.primary.unpause()
        thawed = time.monotonic()
        wait("the old primary to close", lambda: not writable(pair.primary), 20)
        took = time.monotonic() - thawed
        time.sleep(2)
        assert writable(pair.replica) and not writable(pair.primary)
    print(f"closed {took:.2f} s after it thawed")
    assert took < 5
    assert [text for text in first.said if "it was promoted; this server takes no writes" in text]
    assert second.said == []


def test_sessions_of_a_server_that_closes_itself_are_ended(pair, node):
    pair.primary.sql("CREATE USER app@localhost IDENTIFIED BY 'App-pass-1'", "GRANT ALL ON app.* TO app@localhost")
    pair.settle()
    client = pymysql.connect(unix_socket=pair.primary.socket, user="app", password="App-pass-1")
    client.query("INSERT INTO app.t VALUES (991, 'open')")
    with both_watched(pair, node):
        promote(pair)
        wait("the old primary to close", lambda: not writable(pair.primary), 20)
    with pytest.raises(pymysql.err.MySQLError):
        client.commit()
    assert not pair.primary.has(991)


def test_a_primary_that_is_cut_off_closes_and_opens_again_afterwards(pair, node):
    with Guard(node(pair.primary, isolation_timeout=4)) as guard:
        wait("the node to see its follower", lambda: guard.followers)
        pair.replica.cut()
        cut = time.monotonic()
        wait("the primary to close", lambda: not writable(pair.primary), 40)
        took = time.monotonic() - cut
        assert took > 4
        pair.replica.cut(off=False)
        wait("the primary to open again", lambda: writable(pair.primary), 60)
    print(f"closed {took:.1f} s after the cut")
    assert [text.partition(";")[0] for text in guard.said] == [
        "no other database node was seen for 4 s, and one may be promoted there",
        "every other database node follows this one again",
    ]


def test_a_replica_that_is_stopped_closes_no_primary(pair, node):
    with Guard(node(pair.primary, isolation_timeout=2)) as guard:
        wait("the node to see its follower", lambda: guard.followers)
        # Its machine answers for it.
        pair.stop_replica()
        time.sleep(5)
        assert writable(pair.primary)
    assert guard.said == []


def test_a_connected_replica_keeps_a_primary_open_that_cannot_ask_it(pair, node, monkeypatch):
    process = lab.run("docker", "inspect", "--format", "{{.State.Pid}}", pair.primary.name)
    monkeypatch.setattr(health, "CONNECTIONS", tuple(Path(f"/proc/{process}/net/{name}") for name in ("tcp", "tcp6")))
    config = node(pair.primary, isolation_timeout=2)
    with Guard(config) as guard:
        wait("the node to see its follower", lambda: guard.followers)
        pair.replica.sql("SET SESSION sql_log_bin=0", *lifted(pair, f"DROP USER {lab.MONITOR_USER}@'%'"))
        for server in guard.fence._peers._servers.values():
            server._close()
        time.sleep(5)
        assert writable(pair.primary)
        pair.stop_replica()
        wait("the primary to close", lambda: not writable(pair.primary), 30)


def test_no_replica_is_connected_once_the_own_link_is_down(pair, node, monkeypatch):
    process = lab.run("docker", "inspect", "--format", "{{.State.Pid}}", pair.primary.name)
    monkeypatch.setattr(health, "CONNECTIONS", (Path(f"/proc/{process}/net/tcp"),))
    server = health.Server(health.local(node(pair.primary), user="root"))
    wait("the replica to be connected", server.attached)
    pair.primary.cut()
    # Nothing can be sent at all, so that nothing is sent again.
    wait("its connection to count no more", lambda: not server.attached(), 30)
    pair.primary.cut(off=False)
    pair.settle()
    wait("the replica to be connected again", server.attached)


def lifted(pair, statement: str) -> list[str]:
    """The statement, run as an administrator on a replica."""
    return [statement] if pair.mariadb else [
        "SET GLOBAL super_read_only=OFF", statement, "SET GLOBAL super_read_only=ON"]  # fmt: skip


# --- semi-synchronous -----------------------------------------------------------------------------------------------


@pytest.fixture
def semi_sync(pair):
    """Both sides on, and writes that wait for as long as it takes."""
    names = ("master", "slave") if pair.mariadb else ("source", "replica")
    for server in (pair.replica, pair.primary):
        if not pair.mariadb:
            for name in names:
                install = [f"INSTALL PLUGIN rpl_semi_sync_{name} SONAME 'semisync_{name}.so'"]
                install = lifted(pair, *install) if server is pair.replica else install
                server.sql("SET SESSION sql_log_bin=0", *install)
        server.sql(
            f"SET GLOBAL rpl_semi_sync_{names[0]}_wait_no_{names[1]}=OFF",
            f"SET GLOBAL rpl_semi_sync_{names[0]}_timeout=4294967295",
            f"SET GLOBAL rpl_semi_sync_{names[0]}_enabled=ON",
            f"SET GLOBAL rpl_semi_sync_{names[1]}_enabled=ON",
        )
    pair.stop_replica("IO_THREAD")
    pair.start_replica("IO_THREAD")
    yield f"rpl_semi_sync_{names[0]}_wait_no_{names[1]}"
    for server in (pair.primary, pair.replica):
        server.sql(*(f"SET GLOBAL rpl_semi_sync_{name}_enabled=OFF" for name in names))
    remove_semi_sync(pair)


def test_a_primary_waits_for_a_gone_replica_and_a_replica_for_nobody(pair, node, semi_sync):
    waits = f"SELECT @@GLOBAL.{semi_sync}"
    with both_watched(pair, node):
        wait("the primary to wait", lambda: pair.primary.value(waits) == 1)
        assert pair.replica.value(waits) == 0
        assert troubles(verify(role="primary", require_semi_sync=True, **local(pair.primary))) == {}
        # A switchover.
        close(pair.primary)
        pair.settle()
        promote(pair)
        pair.primary.follow(pair.replica)
        wait("the new primary to wait", lambda: pair.replica.value(waits) == 1)
        wait("the old one to wait no more", lambda: pair.primary.value(waits) == 0)
        pair.replica.sql("INSERT INTO app.t VALUES (992, 'new')")
        wait("the row", lambda: pair.primary.has(992), 20)


def test_commits_that_wait_are_not_confirmed_when_their_server_closes(pair, node, semi_sync):
    with Guard(node(pair.primary, isolation_timeout=4)) as guard:
        wait("the primary to wait", lambda: pair.primary.value(f"SELECT @@GLOBAL.{semi_sync}") == 1)
        pair.replica.cut()
        told: list[str] = []

        def write(number: int) -> None:
            try:
                pair.primary.sql(f"INSERT INTO app.t VALUES ({number}, 'unacknowledged')")
                told.append("confirmed")
            except pymysql.err.MySQLError:
                told.append("refused")

        writers = [threading.Thread(target=write, args=(number,)) for number in (993, 994, 995)]
        for writer in writers:
            writer.start()
        wait("the primary to close", lambda: not writable(pair.primary), 60)
        for writer in writers:
            writer.join(timeout=10)
        assert told == ["refused"] * 3, guard.said
        pair.replica.cut(off=False)
        wait("the primary to open again", lambda: writable(pair.primary), 60)
        pair.settle()
