"""A primary that is gone is replaced by what its replicas really have, and taken back with what only it has."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import lab
import pymysql
import pytest
from ansible_collections.pentad.webstack.plugins.filter.failover import lacked_by
from ansible_collections.pentad.webstack.plugins.module_utils.replication.history import History
from ansible_collections.pentad.webstack.plugins.modules import (
    mysql_primary_sightings,
    mysql_replica_settle,
    mysql_replication_channel,
    mysql_replication_info,
    mysql_saved_transactions,
    mysql_settings,
)
from ansible_collections.pentad.webstack.plugins.plugin_utils.failover import candidate, choose_successor, gone
from ansible_collections.pentad.webstack.plugins.plugin_utils.primary import Refused
from conftest import configure_channel, local
from waiting import wait

ROWS = "SELECT COUNT(*) FROM app.t WHERE id >= 1000"


class Failover:
    """The steps of the role mysql_failover, as its tasks do them."""

    def __init__(self, pair: Any, run: Any) -> None:
        self.pair, self.run = pair, run
        self.servers: dict[str, lab.Server] = {"db1": pair.primary, "db2": pair.replica}

    def add(self) -> lab.Server:
        """A second replica."""
        third = self.pair.more()
        third.sql(f"SET GLOBAL {'' if self.pair.mariadb else 'super_'}read_only=ON")
        third.follow(self.pair.primary)
        self.servers["db3"] = third
        wait("the third to have the rows", lambda: third.has(3))
        return third

    @property
    def replicas(self) -> dict[str, lab.Server]:
        return {name: server for name, server in self.servers.items() if name != "db1"}

    def sightings(self) -> dict[str, dict[str, Any]]:
        """What each replica sees of the primary."""
        options = {"address": self.pair.primary.ip, "timeout": 2}
        return {
            name: self.run(mysql_primary_sightings, **options, **local(server))
            for name, server in self.replicas.items()
        }

    def settle(self) -> dict[str, dict[str, Any]]:
        """What each replica has once it has applied all that it received."""
        return {
            name: self.run(mysql_replica_settle, timeout=60, **local(server)) for name, server in self.replicas.items()
        }

    def choose(self, settled: dict[str, dict[str, Any]], wanted: str = "") -> str:
        """The successor."""
        found = [one for name, said in settled.items() if (one := candidate(name, said)) is not None]
        return choose_successor("db1", found, wanted).name

    def open(self, name: str, settled: dict[str, dict[str, Any]]) -> None:
        """Let it follow nobody, and take writes."""
        server = self.servers[name]
        for channel in settled[name]["channels"]:
            self.run(mysql_replication_channel, state="absent", channel=channel, **local(server))
        settings = {"read_only": False} if self.pair.mariadb else {"super_read_only": False, "read_only": False}
        self.run(mysql_settings, settings=settings, **local(server))

    def follow(self, name: str, source: str) -> None:
        """Have one follow another one."""
        configure_channel(
            self.servers[name],
            source_host=self.servers[source].ip,
            source_user=lab.REPL_USER,
            source_password=lab.REPL_PASSWORD,
            source_ssl_ca="/tls/ca.pem",
            demote=True,
        )

    def history(self, name: str) -> dict[str, Any]:
        return self.run(mysql_replication_info, **local(self.servers[name]))["history"]

    def saved(self, name: str, folder: Path, other: str) -> dict[str, Any]:
        """What is saved of one that another one lacks, from its files alone."""
        server = self.servers[name]
        identity = str(server.number) if self.pair.mariadb else server_uuid(server)
        engine = mysql_saved_transactions.Engine(History.from_dict(self.history(other)), identity)
        logs = mysql_saved_transactions.logs_of(server.data_dir / "binlog.index")
        return mysql_saved_transactions.save(engine, logs, folder, name, False)


def server_uuid(server: lab.Server) -> str:
    """The identity of a MySQL server that need not run."""
    return (server.data_dir / "auto.cnf").read_text().split("server-uuid=")[1].split()[0]


@pytest.fixture
def failover(pair, run, monkeypatch, tmp_path):
    """The steps, with the program of the engine that reads binary logs."""
    program = tmp_path / "bin" / ("mariadb-binlog" if pair.mariadb else "mysqlbinlog")
    program.parent.mkdir()
    image = lab.IMAGES[pair.engine]
    program.write_text(f'#!/bin/sh\nexec docker run --rm -v {lab.DATA}:{lab.DATA}:ro {image} {program.name} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/local/bin:/usr/bin:/bin")
    yield Failover(pair, run)
    if pair.mariadb:
        # A server of MariaDB keeps what it was told until it is started again.
        pair.replica.sql("SET GLOBAL read_only=ON")


class Writer:
    """Clients that write numbered rows, and remember those that were acknowledged."""

    def __init__(self, server: lab.Server, clients: int = 4) -> None:
        self.acknowledged: list[int] = []
        self._numbers = itertools.count(1000)
        self._server = server
        self._threads = [threading.Thread(target=self._write) for _client in range(clients)]

    def _write(self) -> None:
        try:
            with self._server.connect() as connection, connection.cursor() as cursor:
                while True:
                    number = next(self._numbers)
                    cursor.execute("INSERT INTO app.t VALUES (%s, 'written')", [number])
                    self.acknowledged.append(number)
        except (pymysql.err.MySQLError, OSError):
            return

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        wait("some rows", lambda: len(self.acknowledged) > 200)
        return self

    def __exit__(self, *_error: object) -> None:
        for thread in self._threads:
            thread.join()


def test_a_backlog_is_applied_before_the_successor_is_opened(failover):
    """With its receiver ahead of its applier, opening at once would lose what it has received."""
    pair = failover.pair
    with Writer(pair.primary) as writer:
        pair.stop_replica("SQL_THREAD")
        behind = len(writer.acknowledged)
        wait("a backlog", lambda: len(writer.acknowledged) > behind + 200)
        pair.primary.stop()
    assert gone("db1", failover.sightings() | {"web1": {"alive": False, "unseen": []}}).startswith(
        "db1 is seen by none"
    )
    before = pair.replica.value(ROWS)
    settled = failover.settle()
    assert failover.choose(settled) == "db2"
    failover.open("db2", settled)
    after = pair.replica.value(ROWS)
    assert settled["db2"]["unapplied"] == 0
    assert after > before + 100
    # Replication is not semi-synchronous here: what had not been sent yet is missing, and is in the logs of db1.
    have = {row["id"] for row in pair.replica.sql("SELECT id FROM app.t WHERE id >= 1000")}
    lost = set(writer.acknowledged) - have
    assert len(lost) <= 50
    pair.replica.sql("INSERT INTO app.t VALUES (900, 'new primary')")


def test_a_primary_that_is_frozen_is_gone_and_one_that_lives_is_not(failover):
    alive = failover.sightings()
    assert alive["db2"]["alive"] is True
    assert any("greeting" in words for words in alive["db2"]["seen"])
    assert any("the receiver here got something" in words for words in alive["db2"]["seen"])
    failover.pair.primary.pause()
    frozen = failover.sightings()["db2"]
    assert frozen["alive"] is False, frozen
    assert any("sends no greeting within 2 s" in words for words in frozen["unseen"])
    failover.pair.primary.unpause()
    assert failover.sightings()["db2"]["alive"] is True


def test_of_two_replicas_the_most_advanced_one_is_chosen(failover):
    pair, third = failover.pair, failover.add()
    pair.stop_replica("IO_THREAD")
    pair.primary.sql("INSERT INTO app.t VALUES (500, 'only on the third')")
    wait("the third to have it", lambda: third.has(500))
    pair.primary.stop()
    settled = failover.settle()
    assert failover.choose(settled) == "db3"
    with pytest.raises(Refused, match="mysql_new_primary = db2 lacks transactions that db3 has"):
        failover.choose(settled, wanted="db2")
    failover.open("db3", settled)
    failover.follow("db2", "db3")
    third.sql("INSERT INTO app.t VALUES (501, 'new primary')")
    wait("the other one to follow", lambda: pair.replica.has(501))
    assert pair.replica.has(500)


def foreign(failover: Failover, server: lab.Server, number: int) -> None:
    """A transaction that a server has from nobody that the others know."""
    table = f"CREATE TABLE app.foreign{number} (id INT PRIMARY KEY)"
    if failover.pair.mariadb:
        server.sql(f"SET SESSION server_id={number}", f"SET SESSION gtid_domain_id={number}", table)
        return
    uuid = f"{number}0000000-71ca-11e1-9e33-c80aa9429562"
    server.sql(
        "SET GLOBAL super_read_only=OFF", f"SET SESSION gtid_next='{uuid}:1'", table, "SET GLOBAL super_read_only=ON"
    )


def test_where_each_has_something_that_the_other_one_lacks_none_is_chosen(failover):
    pair, third = failover.pair, failover.add()
    foreign(failover, pair.replica, 7)
    foreign(failover, third, 8)
    pair.primary.stop()
    with pytest.raises(Refused, match="none of db2, db3 has all that the others have"):
        failover.choose(failover.settle())


def test_an_applier_that_fails_is_passed_over_at_once(failover):
    pair, third = failover.pair, failover.add()
    pair.local_write("INSERT INTO app.t VALUES (600, 'in the way')", binlog=False)
    pair.primary.sql("INSERT INTO app.t VALUES (600, 'from the primary')")
    wait("the third to have it", lambda: third.has(600))
    pair.wait_for_stopped_applier()
    pair.primary.stop()
    settled = failover.settle()
    assert "1062" in settled["db2"]["error"]
    assert settled["db2"]["unapplied"] == 1
    assert failover.choose(settled) == "db3"


def only_on_the_old_one(failover: Failover) -> None:
    """The primary commits what no replica gets, and dies."""
    pair = failover.pair
    pair.stop_replica("IO_THREAD")
    pair.primary.sql("INSERT INTO app.t VALUES (700, 'only here')", "UPDATE app.t SET v = 'changed here' WHERE id = 1")
    pair.primary.stop()
    settled = failover.settle()
    failover.open(failover.choose(settled), settled)
    pair.replica.sql("INSERT INTO app.t VALUES (701, 'new primary')")


def test_what_only_the_old_primary_has_is_saved_while_it_is_down(failover, tmp_path):
    pair = failover.pair
    only_on_the_old_one(failover)
    down = failover.saved("db1", tmp_path / "saved", "db2")
    assert (down["count"], down["purged"]) == (2, ""), down
    text = Path(down["file"]).read_text()
    for words in (
        "### INSERT INTO `app`.`t`",
        "@1=700",
        "'only here'",
        "### UPDATE `app`.`t`",
        "'one'",
        "'changed here'",
    ):
        assert words in text
    assert "new primary" not in text
    pair.primary.restart()
    extra = lacked_by(failover.history("db1"), failover.history("db2"))
    assert extra
    again = failover.saved("db1", tmp_path / "saved", "db2")
    assert (again["transactions"], again["file"], again["changed"]) == (down["transactions"], down["file"], False)
    # What is listed is what the servers say.
    last = again["transactions"][-1]
    assert last == extra if pair.mariadb else last.partition(":")[2] in extra


def test_one_that_has_nothing_of_its_own_follows_where_it_stopped(failover):
    pair = failover.pair
    pair.settle()
    pair.primary.stop()
    settled = failover.settle()
    failover.open(failover.choose(settled), settled)
    pair.replica.sql("INSERT INTO app.t VALUES (702, 'new primary')")
    pair.primary.restart()
    assert lacked_by(failover.history("db1"), failover.history("db2")) == ""
    failover.follow("db1", "db2")
    wait("the old one to follow", lambda: pair.primary.has(702))


@pytest.mark.parametrize("ends_after", ["settle", "one channel", "all channels", "opening"])
def test_a_run_that_ends_after_any_step_is_finished_by_the_next_one(failover, ends_after):
    pair, third = failover.pair, failover.add()
    pair.primary.sql("INSERT INTO app.t VALUES (500, 'everywhere')")
    for server in (pair.replica, third):
        wait("all to have it", lambda server=server: server.has(500))
    pair.primary.stop()
    first = failover.settle()
    if ends_after != "settle":
        for channel in first["db2"]["channels"] if ends_after == "one channel" else ["", ""]:
            failover.run(mysql_replication_channel, state="absent", channel=channel, **local(pair.replica))
    if ends_after == "opening":
        failover.open("db2", first)
    settled = failover.settle()
    assert failover.choose(settled) == "db2"
    failover.open("db2", settled)
    failover.follow("db3", "db2")
    pair.replica.sql("INSERT INTO app.t VALUES (703, 'new primary')")
    wait("the other one to follow", lambda: third.has(703))
    closed = f"SELECT @@GLOBAL.{'' if pair.mariadb else 'super_'}read_only"
    assert [server.value(closed) for server in (pair.replica, third)] == [0, 1]
