"""Semi-synchronous replication: switched on under writes, and what is acknowledged when a server is lost."""

from __future__ import annotations

import contextlib
import threading
import time

import lab
import pymysql
import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.modules import mysql_semi_sync, mysql_settings
from conftest import local, remove_semi_sync, troubles, verify, wait_until_ok
from places import TOP
from waiting import wait

STEPS = ("load", "register", "wait")
WAITING_FOR_EVER = 4294967295


def role_settings(pair, milliseconds: int) -> dict[str, str]:
    """What the role mysql_server writes into the option file, with this timeout."""
    engine = "mariadb" if pair.mariadb else "mysql"
    settings = yaml.safe_load((TOP / "roles/mysql_server/vars/main.yml").read_text())
    given = {"milliseconds": str(milliseconds), "replicas": "1", "wait_point": "AFTER_SYNC"}
    return {
        name: next((text for word, text in given.items() if f"{word} }}}}" in value), value)
        for name, value in settings["__mysql_server_semi_sync"][engine].items()
        if name not in settings["__mysql_server_not_live"]
    }


def no_settings(pair) -> dict[str, str]:
    """What the role sets on a running server where semi-synchronous replication is not wanted."""
    settings = yaml.safe_load((TOP / "roles/mysql_server/vars/main.yml").read_text())
    return settings["__mysql_server_semi_sync_off"]["mariadb" if pair.mariadb else "mysql"]


def status(server: lab.Server) -> dict[str, str]:
    """The counters and states of semi-synchronous replication, in today's words."""
    rows = server.sql("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync%'")
    plain = {row["Variable_name"].removeprefix("Rpl_semi_sync_"): row["Value"] for row in rows}
    return {name.replace("master", "source").replace("slave", "replica"): value for name, value in plain.items()}


def started(server: lab.Server) -> str:
    """When the server was started."""
    return lab.run("docker", "inspect", "--format", "{{.State.StartedAt}}", server.name)


class Writers:
    """Sessions that write numbered rows, and keep the numbers of those that were confirmed."""

    def __init__(self, server: lab.Server, count: int = 4) -> None:
        self.server = server
        self.confirmed: list[int] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(1000 * 1000 * (n + 1),)) for n in range(count)]

    def _write(self, number: int) -> None:
        with contextlib.suppress(pymysql.err.MySQLError), self.server.connect() as connection:
            while not self._stop.is_set():
                number, began = number + 1, time.monotonic()
                connection.query(f"INSERT INTO app.t VALUES ({number}, 'written')")
                self.confirmed.append(number)
                self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def switch(pair, run):
    """Switch it on as the role does, or off; it is off, and its plugins are gone, when the test ends."""

    def call(milliseconds: int | None) -> bool:
        changed = False
        for step in STEPS if milliseconds is not None else ():
            for server in (pair.primary, pair.replica):
                answer = run(mysql_semi_sync, step=step, **local(server))
                assert not answer.get("failed"), answer
                changed |= answer["changed"]
        wanted = no_settings(pair) if milliseconds is None else role_settings(pair, milliseconds)
        for server in (pair.primary, pair.replica):
            answer = run(mysql_settings, settings=wanted, **local(server))
            assert not answer.get("failed"), answer
            assert answer["restart_required"] == []
            changed |= answer["changed"]
        if milliseconds is not None:
            hold(pair)
        return changed

    yield call
    for server in (pair.primary, pair.replica):
        server.unpause()
    with contextlib.suppress(pymysql.err.MySQLError):
        pair.primary.sql("SELECT 1")
        call(None)
    remove_semi_sync(pair)


def hold(pair) -> None:
    """Have the primary wait also for a replica that has gone, as the service mysql-fence does."""
    name = "rpl_semi_sync_master_wait_no_slave" if pair.mariadb else "rpl_semi_sync_source_wait_no_replica"
    wait("the replica to register", lambda: status(pair.primary)["source_clients"] == "1")
    pair.primary.sql(f"SET GLOBAL {name} = ON")


def required(pair) -> list[dict[str, str]]:
    """What is wrong with each server where it is required."""
    sides = {"primary": pair.primary, "replica": pair.replica}
    return [troubles(verify(role=role, require_semi_sync=True, **local(server))) for role, server in sides.items()]


def test_it_is_switched_on_under_writes_without_a_restart_and_off_again(pair, switch):
    before = [started(server) for server in (pair.primary, pair.replica)]
    assert required(pair) == [{"semi_sync": "fail"}] * 2
    with Writers(pair.primary) as writers:
        wait("some rows", lambda: len(writers.confirmed) > 50)
        writers.longest = 0.0
        assert switch(10_000) is True
        # Those that came before the replica had registered.
        unconfirmed, confirmed = (int(status(pair.primary)[f"source_{name}_tx"]) for name in ("no", "yes"))
        wait("acknowledged rows", lambda: int(status(pair.primary)["source_yes_tx"]) > confirmed + 50)
    found = status(pair.primary)
    assert (found["source_status"], found["source_clients"], int(found["source_no_tx"])) == ("ON", "1", unconfirmed)
    # No write has waited for the timeout.
    assert writers.longest < 5, writers.longest
    assert status(pair.replica)["replica_status"] == "ON"
    assert [started(server) for server in (pair.primary, pair.replica)] == before
    if not pair.mariadb:
        assert pair.replica.value("SELECT @@super_read_only") == 1
    pair.settle()
    assert required(pair) == [{}, {}]
    assert switch(10_000) is False
    assert switch(None) is True
    assert status(pair.primary)["source_status"] == "OFF"
    assert switch(None) is False


def test_nothing_that_was_confirmed_is_missing_when_the_primary_is_killed(pair, switch):
    switch(WAITING_FOR_EVER)
    with Writers(pair.primary) as writers:
        wait("some rows", lambda: len(writers.confirmed) > 200)
        pair.primary.stop()
    wait("what was received to be applied", lambda: applied(pair))
    there = {row["id"] for row in pair.replica.sql("SELECT id FROM app.t")}
    assert [number for number in writers.confirmed if number not in there] == []


def applied(pair) -> bool:
    """Whether the replica has applied everything that it has received."""
    row = pair.replica.channel()
    if pair.mariadb:
        return row["Gtid_IO_Pos"] == pair.replica.value("SELECT @@gtid_slave_pos")
    received = row["Retrieved_Gtid_Set"].replace("\n", "")
    return bool(pair.replica.value(f"SELECT GTID_SUBSET('{received}', @@GLOBAL.gtid_executed)"))


def test_a_primary_that_may_degrade_goes_on_after_the_timeout(pair, switch):
    switch(1500)
    pair.replica.pause()
    began = time.monotonic()
    pair.primary.sql("INSERT INTO app.t VALUES (960, 'alone')")
    assert 1.2 < time.monotonic() - began < 5
    began = time.monotonic()
    pair.primary.sql("INSERT INTO app.t VALUES (961, 'alone')")
    assert time.monotonic() - began < 1
    judge = {"role": "primary", "require_semi_sync": True, **local(pair.primary)}
    found = verify(**judge)
    assert troubles(found) == {"semi_sync": "fail"}
    assert "silently degraded" in found["summary"]
    pair.replica.unpause()
    wait_until_ok(lambda: verify(**judge))


def test_writes_that_have_to_wait_are_confirmed_when_a_replica_is_back(pair, switch, run):
    switch(WAITING_FOR_EVER)
    pair.replica.stop()
    done: list[float] = []

    def write() -> None:
        pair.primary.sql("INSERT INTO app.t VALUES (970, 'waits')")
        done.append(time.monotonic())

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(3)
    assert not done
    # Nobody reads what may be missing after a failover.
    assert not pair.primary.has(970)
    pair.replica.restart()
    # These servers have no option file.
    run(mysql_semi_sync, step="register", **local(pair.replica))
    pair.start_replica()
    writer.join(timeout=30)
    assert done
    wait("the row", lambda: pair.replica.has(970))


def test_the_applier_of_a_replica_waits_for_nobody(pair, switch):
    switch(WAITING_FOR_EVER)
    with Writers(pair.primary) as writers:
        wait("some rows", lambda: len(writers.confirmed) > 50)
    pair.settle()
    # Promoted, it takes writes before anybody follows it.
    pair.stop_replica()
    pair.replica.sql(*([] if pair.mariadb else ["SET GLOBAL super_read_only=OFF"]), "SET GLOBAL read_only=OFF")
    began = time.monotonic()
    pair.replica.sql("INSERT INTO app.t VALUES (980, 'first')")
    assert time.monotonic() - began < 2
