"""A planned change of the primary on real servers, under a writer, and what is left when something dies on the way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import lab
import pymysql
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    user_schemas,
)
from ansible_collections.pentad.webstack.plugins.module_utils.replication import switchover as steps
from ansible_collections.pentad.webstack.plugins.module_utils.replication.promotion import PromotionError
from ansible_collections.pentad.webstack.plugins.module_utils.replication.switchover import (
    REFUSED,
    SWITCHED,
    UNDONE,
    Refused,
    Switchover,
)
from ansible_collections.pentad.webstack.plugins.modules import mysql_events
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_info as info
from ansible_collections.pentad.webstack.plugins.modules import mysql_switchover as module
from ansible_collections.pentad.webstack.plugins.plugin_utils import primary as roles
from conftest import configure_channel, local, module_params
from waiting import wait

USER, PASSWORD = "switchover", "Switch-pass-1"
# What the role mysql_primary grants.
GRANTS = {
    False: [
        "REPLICATION CLIENT, REPLICATION SLAVE, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, RELOAD, REFERENCES"
        " ON *.*",
        "SELECT ON performance_schema.*",
        "SELECT (User, Host, plugin, Repl_slave_priv, password_expired, account_locked, ssl_type, password_lifetime,"
        " password_last_changed) ON mysql.user",
    ],
    True: [
        "SLAVE MONITOR, BINLOG MONITOR, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN, READ_ONLY ADMIN, RELOAD,"
        " REFERENCES ON *.*",
        "SELECT ON performance_schema.*",
        "SELECT (User, Host, plugin, Repl_slave_priv, password_expired, ssl_type) ON mysql.user",
    ],
}


class Died(BaseException):
    """The process ends here, as by SIGKILL: nothing is put back."""


class Fleet:
    """Servers of which one is the primary, and a switchover between them."""

    def __init__(self, pair) -> None:
        self.pair, self.mariadb = pair, pair.mariadb
        self.servers = {"db1": pair.primary, "db2": pair.replica}
        # The files on the nodes: who is marked as the primary, and who hands over to whom.
        self.marked = {"db1"}
        self.handing_over: dict[str, str] = {}
        # The lab starts a server open; the configuration of the roles has it start closed.
        self.starting: set[str] = set()

    def prepare(self) -> None:
        """The accounts that the roles create, and a table for a writer."""
        auth = "IDENTIFIED VIA mysql_native_password USING PASSWORD('{}')" if self.mariadb else "IDENTIFIED BY '{}'"
        self.servers["db1"].sql(
            f"CREATE USER {USER}@'%' {auth.format(PASSWORD)} REQUIRE SSL",
            *(f"GRANT {each} TO {USER}@'%'" for each in GRANTS[self.mariadb]),
            f"CREATE USER writer@'%' {auth.format('Writer-pass-1')}",
            "GRANT ALL ON app.* TO writer@'%'",
            "CREATE TABLE app.numbers (n INT PRIMARY KEY, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
        )
        self.pair.settle()

    def add(self, name: str = "db3") -> lab.Server:
        """A third server, which follows the primary."""
        server = self.pair.more(["--read-only=ON"] if self.mariadb else [])
        server.follow(self.servers["db1"])
        self.close(server)
        self.servers[name] = server
        table = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'app' AND table_name = 'numbers'"
        wait("the third to have the table", lambda: server.sql(table))
        return server

    def close(self, server: lab.Server) -> None:
        server.sql(f"SET GLOBAL {'' if self.mariadb else 'super_'}read_only=ON")

    def change(self, old: str, new: str, on_step: Callable[[str], None] | None = None, **options) -> Switchover:
        """A switchover with the options of the module."""
        others = [name for name in self.servers if name not in {old, new}]
        params = module_params(
            module,
            **{
                **local(self.servers[old]),
                "name": old,
                "new_primary": {"name": new, "host": self.servers[new].ip},
                "replicas": [{"name": name, "host": self.servers[name].ip} for name in others],
                "peer_user": USER,
                "peer_password": PASSWORD,
                "peer_ca_cert": str(lab.ROOT / "tls" / "ca.pem"),
                "replication_password": lab.REPL_PASSWORD,
                "connect_timeout": 3,
                "read_timeout": 3,
                **options,
            },
        )
        assert not module.complaints(params)
        found = module.switchover(params)
        if on_step:
            found.journal.on_step = on_step
        return found

    def begin(self, old: str, new: str) -> None:
        """What the playbook writes on the old primary before it calls the module."""
        self.marked.discard(old)
        self.handing_over[old] = new

    def repair(self, preferred: str = "db1") -> str:
        """What site.yml does: find the primary, open it, and have the others follow. Returns the primary."""
        choice = roles.choose(self.members(), [preferred])
        found = self.servers[choice.primary]
        if not self.writable(choice.primary):
            found.sql("SET GLOBAL read_only=OFF")
        self.marked, self.handing_over = {choice.primary}, {}
        for name, server in self.servers.items():
            if name == choice.primary:
                continue
            assert name not in choice.objections
            configure_channel(
                server, source_host=found.ip, source_user=lab.REPL_USER, source_password=lab.REPL_PASSWORD,
                source_ssl_ca="/tls/ca.pem", demote=True,
            )  # fmt: skip
        if choice.events:
            events = [dict(zip(("schema", "name"), each, strict=True)) for each in choice.events]
            with Connection(ConnectionOptions(user="root", unix_socket=found.socket)) as connection:
                mysql_events.enable(connection, events, False)
        return choice.primary

    def revive(self, name: str) -> None:
        """Start a server that was killed, as its unit does; it comes up closed."""
        server = self.servers[name]
        self.starting.add(name)
        server.restart()
        self.close(server)
        self.starting.discard(name)

    # --- what servers tell ------------------------------------------------------------------------------------------

    def members(self) -> list[roles.Member]:
        """The servers as the playbooks find them."""
        found = []
        for name, server in self.servers.items():
            try:
                with Connection(ConnectionOptions.from_params({**local(server), "config_file": ""})) as connection:
                    said = {
                        **info.server_result(info.gather(connection)),
                        "schemas": user_schemas(connection),
                        "events": info.events(connection),
                        "primary_marker": name in self.marked,
                        "handed_over_to": self.handing_over.get(name, ""),
                    }
            except Exception:
                said = None
            found.append(roles.member(name, said, address=server.ip))
        return found

    def writable(self, name: str) -> bool:
        return any(each.writable for each in self.members() if each.name == name)

    def checksums(self) -> set[object]:
        return {server.sql("CHECKSUM TABLE app.numbers")[0]["Checksum"] for server in self.servers.values()}

    def wait_equal(self) -> None:
        """Wait until every server has the same rows."""
        wait("equal tables", lambda: len(self.checksums()) == 1)


class Writer:
    """Writes numbered rows to whichever server takes them, and records which were acknowledged."""

    def __init__(self, fleet: Fleet, pause: float = 0.005) -> None:
        self.fleet, self.pause = fleet, pause
        self.acknowledged: list[int] = []
        self.at: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        wait("the first rows", lambda: len(self.acknowledged) > 20)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        number, servers, current, connection = 0, list(self.fleet.servers.values()), 0, None
        while not self._stop.is_set():
            number += 1
            try:
                if connection is None:
                    connection = pymysql.connect(
                        host=servers[current].ip, user="writer", password="Writer-pass-1", autocommit=True,
                        connect_timeout=1, read_timeout=5,
                    )  # fmt: skip
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO app.numbers (n) VALUES (%s)", (number,))
                self.acknowledged.append(number)
                self.at.append(time.monotonic())
                time.sleep(self.pause)
            except (pymysql.err.MySQLError, OSError):
                # As an endpoint does that follows the role: the next server is tried.
                with contextlib.suppress(Exception):
                    connection.close()
                connection, current = None, (current + 1) % len(servers)
                time.sleep(0.005)

    @property
    def gap(self) -> float:
        """The longest time between two acknowledged rows."""
        return max(b - a for a, b in zip(self.at, self.at[1:], strict=False))

    def lost(self, server: lab.Server) -> set[int]:
        """Acknowledged rows that a server does not have."""
        return set(self.acknowledged) - {row["n"] for row in server.sql("SELECT n FROM app.numbers")}


class Watch:
    """Samples every server 20 times a second, and records when more than one took writes."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.samples = 0
        self.doubles: list[tuple[str, ...]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        held: dict[str, pymysql.connections.Connection] = {}
        while not self._stop.wait(0.05):
            # In both directions: one that hands over between two readings is seen once as open and once as closed.
            there, back = (self._open(held, order) for order in (1, -1))
            self.samples += 1
            both = tuple(sorted(there & back))
            if len(both) > 1:
                self.doubles.append(both)

    def _open(self, held: dict, order: int) -> set[str]:
        found = set()
        for name, server in list(self.fleet.servers.items())[::order]:
            if name in self.fleet.starting:
                continue
            try:
                if name not in held:
                    patience = {"connect_timeout": 1, "read_timeout": 1}
                    held[name] = pymysql.connect(unix_socket=server.socket, user="root", autocommit=True, **patience)
                with held[name].cursor() as cursor:
                    cursor.execute("SELECT @@GLOBAL.read_only")
                    if not cursor.fetchone()[0]:
                        found.add(name)
            except (pymysql.err.MySQLError, OSError):
                with contextlib.suppress(Exception):
                    held.pop(name).close()
        return found


@pytest.fixture
def fleet(pair) -> Iterator[Fleet]:
    found = Fleet(pair)
    found.prepare()
    with Watch(found) as watch:
        yield found
    # A server of MariaDB keeps what it was told until it is started again.
    if pair.mariadb:
        for server, closed in ((pair.primary, "OFF"), (pair.replica, "ON")):
            server.unpause()
            with contextlib.suppress(pymysql.err.MySQLError):
                server.sql(f"SET GLOBAL read_only={closed}", "SET GLOBAL event_scheduler=OFF")
    assert not watch.doubles
    assert watch.samples


def names(change: Switchover) -> list[str]:
    return [each.name for each in change.journal.steps]


# --- there and back -------------------------------------------------------------------------------------------------


def test_there_and_back_under_a_writer(fleet, record_property):
    gaps, closed = [], []
    with Writer(fleet) as writer:
        for old, new in [("db1", "db2"), ("db2", "db1")] * 3:
            change = fleet.change(old, new)
            change.run()
            assert (change.outcome, change.problems) == (SWITCHED, [])
            assert names(change) == [each for each in steps.STEPS if each != steps.REPOINT]
            assert (fleet.writable(old), fleet.writable(new)) == (False, True)
            closed.append(change.without_writer)
            time.sleep(1)
        gaps.append(writer.gap)
    fleet.wait_equal()
    assert [writer.lost(server) for server in fleet.servers.values()] == [set(), set()]
    assert roles.choose(fleet.members(), ["db1"]).primary == "db1"
    record_property("longest pause of the writer", round(max(gaps), 3))
    record_property("longest time without a writer", round(max(closed), 3))
    print(f"\n{fleet.pair.engine}: pause {max(gaps):.3f} s, closed {[round(each, 3) for each in closed]}")


def test_a_third_server_follows(fleet):
    third = fleet.add()
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2")
        change.run()
        assert (change.outcome, change.problems) == (SWITCHED, [])
        assert third.channel()["Source_Host"] == fleet.servers["db2"].ip
    fleet.wait_equal()
    assert not writer.lost(third)


def test_events_run_on_the_new_primary_alone(fleet):
    old, new = fleet.servers["db1"], fleet.servers["db2"]
    for server in (old, new) if fleet.mariadb else ():
        server.sql("SET GLOBAL event_scheduler=ON")
    old.sql(
        "CREATE USER owner@localhost",
        "GRANT ALL ON app.* TO owner@localhost",
        "SET SESSION sql_mode='ANSI_QUOTES', time_zone='+03:00'",
        "CREATE DEFINER=owner@localhost EVENT app.tick ON SCHEDULE EVERY 1 SECOND DO"
        " INSERT INTO app.t VALUES (1000 + FLOOR(RAND() * 1000000), @@server_id)",
        "CREATE EVENT app.never ON SCHEDULE EVERY 1 SECOND DISABLE DO DELETE FROM app.t",
    )
    fleet.pair.settle()
    change = fleet.change("db1", "db2")
    change.run()
    assert change.outcome == SWITCHED
    assert change.scheduler_stopped is fleet.mariadb
    if fleet.mariadb:
        # As the playbook does.
        old.sql("SET GLOBAL event_scheduler=ON")
    assert fleet.repair() == "db2"
    mark = new.value("SELECT COUNT(*) FROM app.t")
    wait("the event to run on the new primary", lambda: new.value("SELECT COUNT(*) FROM app.t") > mark)
    columns = "EVENT_NAME AS n, STATUS AS s, DEFINER AS d, SQL_MODE AS m, TIME_ZONE AS z"
    states = f"SELECT {columns} FROM information_schema.EVENTS"
    rows = {row["n"]: row for row in new.sql(states)}
    assert [rows["tick"][each] for each in "sdmz"] == ["ENABLED", "owner@localhost", "ANSI_QUOTES", "+03:00"]
    assert rows["never"]["s"] != "ENABLED"
    wait("the event to stop on the old one", lambda: not [r for r in old.sql(states) if r["s"] == "ENABLED"])
    assert old.channel()["Replica_SQL_Running"] == "Yes"


# --- what holds it up -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def session(server: lab.Server, *statements: str) -> Iterator[pymysql.connections.Connection]:
    """A session that has run these statements and stays open."""
    connection = pymysql.connect(host=server.ip, user="writer", password="Writer-pass-1", autocommit=False)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield connection
    finally:
        with contextlib.suppress(Exception):
            connection.close()


def test_a_transaction_that_stays_open_is_ended(fleet):
    with Writer(fleet) as writer, session(fleet.servers["db1"], "INSERT INTO app.t VALUES (500, 'open')") as left:
        time.sleep(2.5)
        change = fleet.change("db1", "db2", transaction_timeout=1)
        change.run()
        assert (change.outcome, len(change.ended_transactions)) == (SWITCHED, 1)
        with pytest.raises(pymysql.err.MySQLError):
            left.commit()
    fleet.wait_equal()
    assert not writer.lost(fleet.servers["db2"])
    assert not fleet.servers["db2"].has(500)


def test_a_transaction_that_ends_in_time_is_kept(fleet):
    with session(fleet.servers["db1"], "INSERT INTO app.t VALUES (501, 'short')") as left:
        time.sleep(2.5)
        timer = threading.Timer(1, left.commit)
        timer.start()
        change = fleet.change("db1", "db2", transaction_timeout=10)
        change.run()
        timer.join()
    assert (change.outcome, change.ended_transactions) == (SWITCHED, [])
    assert fleet.servers["db2"].has(501)


def test_locked_tables_undo_it(fleet):
    with Writer(fleet) as writer, session(fleet.servers["db1"], "LOCK TABLES app.t WRITE"):
        change = fleet.change("db1", "db2")
        with pytest.raises(PromotionError, match="could not be closed within 2 s.*Everything was put back"):
            change.run()
        assert change.outcome == UNDONE
        before = len(writer.acknowledged)
        wait("the writer to go on", lambda: len(writer.acknowledged) > before + 20)
    assert (fleet.writable("db1"), fleet.writable("db2")) == (True, False)
    assert writer.gap < 4


def test_a_lagging_replica_is_refused(fleet):
    change = fleet.change("db1", "db2", catch_up_timeout=3)
    # It applies nothing while this holds the table.
    lock = fleet.servers["db2"].connect()
    with Writer(fleet) as writer:
        lock.cursor().execute("LOCK TABLES app.numbers READ")
        time.sleep(1)
        with pytest.raises(Refused, match="more than catch_up_timeout = 3 s|cannot take over"):
            change.run()
    lock.close()
    assert change.outcome == REFUSED
    assert steps.CLOSE not in names(change)
    assert writer.gap < 2


def test_a_replica_with_transactions_of_its_own_is_refused(fleet):
    fleet.pair.local_write("INSERT INTO app.t VALUES (600, 'errant')")
    change = fleet.change("db1", "db2")
    with pytest.raises(Refused, match="errant"):
        change.run()
    assert fleet.writable("db1")


SEMI_SYNC = {True: ("master", "slave"), False: ("source", "replica")}


@pytest.fixture
def acknowledged(fleet) -> Iterator[None]:
    """Semi-synchronous replication as the roles set it up, in which a commit waits an hour for its acknowledgement."""
    sides, servers = SEMI_SYNC[fleet.mariadb], (fleet.servers["db1"], fleet.servers["db2"])
    for server in servers if not fleet.mariadb else ():
        server.sql(
            "SET SESSION sql_log_bin=0",
            "SET GLOBAL super_read_only=OFF",
            *(f"INSTALL PLUGIN rpl_semi_sync_{side} SONAME 'semisync_{side}.so'" for side in sides),
        )
        if server is servers[1]:
            fleet.close(server)
    for server in servers:
        server.sql(
            f"SET GLOBAL rpl_semi_sync_{sides[0]}_timeout=3600000, rpl_semi_sync_{sides[0]}_wait_no_{sides[1]}=OFF",
            *(f"SET GLOBAL rpl_semi_sync_{side}_enabled=1" for side in sides),
        )
    fleet.pair.stop_replica()
    fleet.pair.start_replica()
    fleet.pair.wait_for_receiver()
    yield
    for server in servers:
        server.sql(*(f"SET GLOBAL rpl_semi_sync_{side}_enabled=0" for side in sides))
        if not fleet.mariadb:
            server.sql("STOP REPLICA", "SET GLOBAL super_read_only=OFF", "SET SESSION sql_log_bin=0")
    if not fleet.mariadb:
        for server in servers:
            wait("the plugins to be uninstalled", lambda: uninstalled(server, sides))  # noqa: B023 - done in its round


def uninstalled(server: lab.Server, sides: tuple[str, str]) -> bool:
    """Uninstall what is left of the plugins; whether none is."""
    for row in server.sql("SHOW PROCESSLIST"):
        if row["Command"].startswith("Binlog Dump"):
            server.sql(f"KILL {row['Id']}")
    try:
        for side in sides:
            if server.sql(f"SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME='rpl_semi_sync_{side}'"):
                server.sql("SET SESSION sql_log_bin=0", f"UNINSTALL PLUGIN rpl_semi_sync_{side}")
    except pymysql.err.MySQLError:
        return False
    return True


@pytest.mark.usefixtures("acknowledged")
def test_an_undone_one_waits_for_replicas_as_before(fleet):
    old, new = fleet.servers["db1"], fleet.servers["db2"]
    source, replica = SEMI_SYNC[fleet.mariadb]
    waits = f"rpl_semi_sync_{source}_wait_no_{replica}"
    old.sql(f"SET GLOBAL {waits}=ON")

    def while_it_is_closed() -> None:
        # As the health endpoint does.
        old.sql(f"SET GLOBAL {waits}=OFF")
        new.pause()

    change = fleet.change("db1", "db2", at(steps.APPLY, while_it_is_closed), apply_timeout=3)
    with pytest.raises(PromotionError, match="db1 takes writes again"):
        change.run()
    new.unpause()
    assert int(old.value(f"SELECT @@GLOBAL.{waits}")) == 1


@pytest.mark.usefixtures("acknowledged")
def test_no_acknowledgement_is_waited_for(fleet):
    with Writer(fleet) as writer:
        for pair in (("db1", "db2"), ("db2", "db1")):
            change = fleet.change(*pair)
            change.run()
            assert (change.outcome, change.problems) == (SWITCHED, [])
            assert change.without_writer < 3
            before = len(writer.acknowledged)
            wait("acknowledged rows", lambda: len(writer.acknowledged) > before + 20)  # noqa: B023 - done in its round
    fleet.wait_equal()
    assert not writer.lost(fleet.servers["db2"])


# --- something dies on the way --------------------------------------------------------------------------------------

REVERSIBLE = tuple(dict.fromkeys(steps.STEPS[: steps.STEPS.index(steps.OPEN) + 1]))
LATER = tuple(each for each in steps.STEPS[steps.STEPS.index(steps.OPEN) + 1 :] if each != steps.REPOINT)


def at(step: str, action: Callable[[], None]) -> Callable[[str], None]:
    """Do something when a step begins, once."""
    done = []

    def told(name: str) -> None:
        if name == step and not done:
            done.append(name)
            action()

    return told


def die() -> None:
    raise Died


@pytest.mark.parametrize("step", REVERSIBLE)
def test_the_new_one_dies_before_it_is_opened(fleet, step):
    new = fleet.servers["db2"]
    fleet.begin("db1", "db2")
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2", at(step, new.stop))
        with pytest.raises((Refused, PromotionError)):
            change.run()
        assert change.outcome in {REFUSED, UNDONE}
        assert fleet.writable("db1")
        before = len(writer.acknowledged)
        wait("the writer to go on", lambda: len(writer.acknowledged) > before + 20)
        fleet.revive("db2")
        assert fleet.repair() == "db1"
    fleet.wait_equal()
    assert not writer.lost(new)


@pytest.mark.parametrize("step", LATER)
def test_the_new_one_dies_after_it_was_opened(fleet, step):
    new = fleet.servers["db2"]
    fleet.begin("db1", "db2")
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2", at(step, new.stop))
        change.limits = steps.Limits(verify_timeout=2)
        change.run()
        assert change.outcome == SWITCHED
        assert change.problems
        assert not fleet.writable("db1")
        if fleet.handing_over and not any(each.links for each in fleet.members()):
            with pytest.raises(roles.Refused, match="db2, which does not answer"):
                fleet.repair()
        fleet.revive("db2")
        assert fleet.repair() == "db2"
        before = len(writer.acknowledged)
        wait("the writer to go on", lambda: len(writer.acknowledged) > before + 20)
    fleet.wait_equal()
    assert not writer.lost(fleet.servers["db1"])


@pytest.mark.parametrize("step", dict.fromkeys(each for each in steps.STEPS if each != steps.REPOINT))
def test_the_process_dies(fleet, step):
    fleet.begin("db1", "db2")
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2", at(step, die))
        with pytest.raises(Died):
            change.run()
        wanted = "db1" if step in REVERSIBLE else "db2"
        assert fleet.repair(preferred="db2" if wanted == "db1" else "db1") == wanted
        before = len(writer.acknowledged)
        wait("the writer to go on", lambda: len(writer.acknowledged) > before + 20)
        again = fleet.change(wanted, "db1" if wanted == "db2" else "db2")
        fleet.pair.settle() if wanted == "db1" else None
        again.run()
        assert again.outcome == SWITCHED
    fleet.wait_equal()
    assert not writer.lost(fleet.servers["db1"])


@pytest.mark.parametrize("step", dict.fromkeys(each for each in steps.STEPS if each != steps.REPOINT))
def test_the_old_one_dies(fleet, step):
    old = fleet.servers["db1"]
    fleet.begin("db1", "db2")
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2", at(step, old.stop))
        with contextlib.suppress(Refused, PromotionError):
            change.run()
        switched = change.outcome == SWITCHED
        assert fleet.writable("db2") is switched
        fleet.revive("db1")
        assert fleet.repair() == ("db2" if switched else "db1")
        before = len(writer.acknowledged)
        wait("the writer to go on", lambda: len(writer.acknowledged) > before + 20)
    fleet.wait_equal()
    assert not writer.lost(fleet.servers["db2"])


def test_a_frozen_new_one_is_given_up(fleet):
    new = fleet.servers["db2"]
    with Writer(fleet) as writer:
        change = fleet.change("db1", "db2", at(steps.APPLY, new.pause), apply_timeout=3)
        with pytest.raises(PromotionError, match="db1 takes writes again"):
            change.run()
        assert change.outcome == UNDONE
        new.unpause()
    assert writer.gap < 10
    fleet.wait_equal()
    assert not writer.lost(new)


def test_nobody_knows_whether_it_was_opened(fleet, monkeypatch):
    """The server freezes with the statement on its way: the old one stays closed until it answers."""
    new = fleet.servers["db2"]
    fleet.begin("db1", "db2")
    real = steps.open_server

    def freeze(connection: Connection) -> None:
        new.pause()
        real(connection)

    monkeypatch.setattr(steps, "open_server", freeze)
    change = fleet.change("db1", "db2")
    change.limits = steps.Limits(answer_timeout=2)
    with pytest.raises(PromotionError, match="db1 stays closed"):
        change.run()
    assert change.outcome == steps.UNKNOWN
    assert not fleet.writable("db1")
    new.unpause()
    wait("the statement to be run", lambda: fleet.writable("db2"))
    assert fleet.repair() == "db2"
    fleet.wait_equal()
