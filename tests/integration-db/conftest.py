"""Pairs of real servers, healthy before every test, and the modules called in this process."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable

import lab
import pymysql
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import Connection, ConnectionOptions
from ansible_collections.pentad.webstack.plugins.module_utils.replication.channel import Manager
from ansible_collections.pentad.webstack.plugins.modules import (
    mysql_accounts,
    mysql_replication_channel,
    mysql_replication_verify,
)
from waiting import wait

BASE = {"mysql97": 10, "mariadb118": 20, "mariadb1011": 30}
ENGINES = os.environ.get("REPLTEST_ENGINES", " ".join(BASE)).split()


class Pair:
    """A primary, its replica, and a third server when a test asks for one."""

    def __init__(self, engine: str) -> None:
        number = BASE[engine]
        self.engine = engine
        self.mariadb = engine.startswith("mariadb")
        self.primary = lab.Server(engine, number)
        self.replica = lab.Server(engine, number + 1, ["--read-only=ON"] if self.mariadb else ["--super-read-only=ON"])
        self.third: lab.Server | None = None

    def start(self) -> None:
        self.primary.start()
        self.replica.start()

    def healthy(self) -> None:
        """The known state that every test starts from."""
        if self.third:
            self.third.remove()
            self.third = None
        for server in (self.primary, self.replica):
            server.unpause()
            with contextlib.suppress(RuntimeError):
                server.cut(off=False)
            try:
                server.value("SELECT 1")
            except Exception:
                server.start()
        self._reset(self.replica)
        self._reset(self.primary)
        origin = "SELECT GLOBAL_VALUE_ORIGIN FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'READ_ONLY'"
        if self.mariadb and self.replica.value(origin) == "SQL":
            # Only a start brings back the value that a restart keeps.
            self.replica.stop()
            self.replica.restart()
        for server in (self.primary, self.replica):
            server.accounts()
        if not self.mariadb:
            self.replica.sql("SET PERSIST super_read_only=ON")
        self.primary.sql(
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(40))",
            "INSERT INTO app.t VALUES (1, 'one'), (2, 'two'), (3, 'three')",
            "CREATE TABLE app.heartbeat (ts VARCHAR(26) NOT NULL, server_id INT UNSIGNED NOT NULL PRIMARY KEY)",
        )
        self.replica.follow(self.primary)
        self.settle()

    # What tests may have set, and what has to be alike on both servers.
    DEFAULTS = (
        "sql_mode", "max_allowed_packet", "character_set_server", "collation_server", "explicit_defaults_for_timestamp",
        "time_zone", "init_connect",
    )  # fmt: skip

    def _reset(self, server: lab.Server) -> None:
        stop = ["STOP REPLICA", "RESET REPLICA ALL"]
        if self.mariadb:
            names = [row["Connection_name"] for row in server.sql("SHOW ALL SLAVES STATUS")]
            stop = ["STOP ALL SLAVES", *(f"RESET SLAVE '{name}' ALL" for name in names)]
        if self.mariadb:
            for name in ("do_db", "ignore_db", "do_table", "ignore_table", "wild_do_table", "wild_ignore_table"):
                stop.append(f"SET GLOBAL replicate_{name} = ''")
            stop += [
                "SET GLOBAL rpl_semi_sync_master_enabled=0",
                "SET GLOBAL rpl_semi_sync_slave_enabled=0",
                f"SET GLOBAL server_id={server.number}",
                "SET SESSION sql_log_bin=0",
            ]
        else:
            stop += [
                "SET GLOBAL super_read_only=OFF",
                "SET GLOBAL read_only=OFF",
                "RESET PERSIST",
                f"SET GLOBAL server_id={server.number}",
                "SET SESSION sql_log_bin=0",
            ]
            empty = ", ".join(
                f"REPLICATE_{f}=()"
                for f in ("DO_DB", "IGNORE_DB", "DO_TABLE", "IGNORE_TABLE", "WILD_DO_TABLE", "WILD_IGNORE_TABLE")
            )
            stop.insert(2, f"CHANGE REPLICATION FILTER {empty}")
        stop += [f"SET GLOBAL {name}=DEFAULT" for name in self.DEFAULTS]
        for database in server.sql("SHOW DATABASES"):
            if database["Database"] not in {"mysql", "sys", "performance_schema", "information_schema"}:
                name = database["Database"].replace("`", "``")
                stop.append(f"DROP DATABASE `{name}`")
        for user in server.sql("SELECT User AS u, Host AS h FROM mysql.user"):
            if user["u"] not in {"root", "mysql", "mariadb.sys"} and not user["u"].startswith("mysql."):
                stop.append(f"DROP USER '{user['u']}'@'{user['h']}'")
        stop.append("RESET MASTER" if self.mariadb else "RESET BINARY LOGS AND GTIDS")
        if self.mariadb:
            stop.append("SET GLOBAL gtid_slave_pos=''")
        server.sql(*stop)

    def more(self, options: list[str] | None = None, **kwargs: object) -> lab.Server:
        self.third = lab.Server(self.engine, BASE[self.engine] + 2, options or [], **kwargs)  # type: ignore[arg-type]
        self.third.start()
        self.third.accounts()
        return self.third

    def settle(self, seconds: int = 20) -> None:
        """Wait until the replica is connected, where it is to be, and has applied everything the primary has."""
        wait("the receiver to connect", lambda: self.replica.channel()["Replica_IO_Running"] in ("Yes", "No"))
        variable, function = (
            ("gtid_binlog_pos", "MASTER_GTID_WAIT") if self.mariadb else ("gtid_executed", "WAIT_FOR_EXECUTED_GTID_SET")
        )
        position = self.primary.value(f"SELECT @@{variable}").replace("\n", "")
        for _slice in range(0, seconds, 20):
            reached = self.replica.value(f"SELECT {function}('{position}', 20)")
            if str(reached) == "0":
                break
        assert str(reached) == "0", self.replica.channel()

    def wait_for_receiver(self) -> None:
        """Wait until the replica is connected to its source."""
        wait("the receiver to run", lambda: self.replica.channel()["Replica_IO_Running"] == "Yes")

    def wait_for_stopped_applier(self) -> None:
        """Wait until the replica has stopped at something that it can't apply."""
        wait("the applier to stop", lambda: self.replica.channel()["Replica_SQL_Running"] == "No")

    def wait_for_receiver_error(self) -> None:
        """Wait until the replica tells why it receives nothing."""
        wait("an error of the receiver", lambda: self.replica.channel()["Last_IO_Errno"])

    def stop_replica(self, thread: str = "") -> None:
        self.replica.sql(f"STOP {'SLAVE' if self.mariadb else 'REPLICA'} {thread}")

    def start_replica(self, thread: str = "") -> None:
        self.replica.sql(f"START {'SLAVE' if self.mariadb else 'REPLICA'} {thread}")

    def change(self, **settings: object) -> None:
        """Change settings of the stopped channel; keys without their SOURCE_ or MASTER_ prefix."""
        prefix, words = ("MASTER", "CHANGE MASTER TO") if self.mariadb else ("SOURCE", "CHANGE REPLICATION SOURCE TO")
        body = ", ".join(
            f"{key if key.startswith('GET_') else f'{prefix}_{key}'}={lab._literal(value)}"
            for key, value in settings.items()
        )
        self.replica.sql(f"{words} {body}")

    def local_write(self, *statements: str, binlog: bool = True) -> None:
        """Write on the replica, as somebody with too many privileges would."""
        before = [] if self.mariadb else ["SET GLOBAL super_read_only=OFF"]
        after = [] if self.mariadb else ["SET GLOBAL super_read_only=ON"]
        self.replica.sql(*before, *([] if binlog else ["SET SESSION sql_log_bin=0"]), *statements, *after)


def remove_semi_sync(pair: Pair) -> None:
    """Leave neither server with the plugins of semi-synchronous replication, as other tests expect it."""
    for server in (pair.primary, pair.replica):
        with contextlib.suppress(pymysql.err.MySQLError):
            server.sql(f"STOP {'SLAVE' if pair.mariadb else 'REPLICA'}")
    for server in (pair.primary, pair.replica) if not pair.mariadb else ():
        for side in ("source", "replica"):
            wait(f"the {side}'s plugin to be removed", lambda server=server, side=side: _removed(server, side))


def _removed(server: lab.Server, side: str) -> bool:
    """Whether the plugin is gone, or the server; one that a session still uses cannot be removed."""
    try:
        for row in server.sql("SHOW PROCESSLIST"):
            if row["Command"].startswith("Binlog Dump"):
                server.sql(f"KILL {row['Id']}")
        server.sql(
            "SET GLOBAL super_read_only=OFF", "SET SESSION sql_log_bin=0", f"UNINSTALL PLUGIN rpl_semi_sync_{side}"
        )
    except pymysql.err.MySQLError as error:
        return error.args[0] in {1305, 2002, 2003}
    return True


def module_params(module, **options) -> dict:
    checked = ArgumentSpecValidator(module._spec()).validate({"config_file": "", **options})
    assert not checked.error_messages, checked.error_messages
    return checked.validated_parameters


def local(server: lab.Server) -> dict:
    return {"login_user": "root", "login_unix_socket": server.socket}


def remote(server: lab.Server) -> dict:
    return {
        "primary_host": server.ip,
        "primary_user": lab.MONITOR_USER,
        "primary_password": lab.MONITOR_PASSWORD,
        "primary_ca_cert": str(lab.ROOT / "tls" / "ca.pem"),
    }


def configure_channel(server: lab.Server, check_mode: bool = False, **options) -> dict:
    """What mysql_replication_channel answers, with the statements that it ran or would run."""
    params = module_params(mysql_replication_channel, **local(server), **options)
    with Connection(ConnectionOptions.from_params(params)) as connection:
        manager = Manager(connection, params["channel"], check_mode)
        result = mysql_replication_channel.apply(manager, params)
        return {**result, "statements": manager.statements, "notes": manager.notes}


def channel_options(pair: Pair, **more) -> dict:
    """Options of a channel from the primary."""
    options = {
        "source_host": pair.primary.ip,
        "source_user": lab.REPL_USER,
        "source_password": lab.REPL_PASSWORD,
        "source_ssl_ca": "/tls/ca.pem",
    }
    return {**options, **more}


def configure_accounts(server: lab.Server, run: bool = True, **options) -> dict:
    """What mysql_accounts plans for a server, and runs unless told otherwise."""
    params = module_params(mysql_accounts, **local(server), **options)
    assert not mysql_accounts.complaints(params), mysql_accounts.complaints(params)
    with Connection(ConnectionOptions.from_params(params)) as connection:
        manager = mysql_accounts.Manager(connection, params)
        manager.databases()
        manager.accounts()
        if run:
            manager.run()
        return {"changed": bool(manager.plan), "diff": [manager.before, manager.after], **manager.done}


def verify(**options) -> dict:
    params = module_params(mysql_replication_verify, **options)
    assert not mysql_replication_verify.complaints(params), mysql_replication_verify.complaints(params)
    if params["servers"]:
        return mysql_replication_verify.verify_set(params)
    return mysql_replication_verify.verify(params, False)


def both(pair: Pair, **options) -> dict:
    """The replica's verdict with a second connection to its primary."""
    return verify(**{"role": "replica", **local(pair.replica), **remote(pair.primary), **options})


def as_set(pair: Pair, *names: str, **options) -> dict:
    servers = {"db1": pair.primary, "db2": pair.replica, "db3": pair.third}
    listed = [{"name": n, "host": servers[n].ip} for n in names or ("db1", "db2")]
    login = {"login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD}
    return verify(servers=listed, **{**login, **options})


def troubles(result: dict) -> dict[str, str]:
    """Every rule that is not passed, with its status."""
    return {c["id"]: c["status"] for c in result["checks"] if c["status"] not in {"pass", "info"}}


def wait_for_troubles(expected: dict[str, str], ask: Callable[[], dict]) -> dict:
    """The first answer that has these troubles and no others."""
    return _first(ask, troubles, expected)


def wait_until_ok(ask: Callable[[], dict]) -> dict:
    """The first answer whose verdict is ok."""
    return _first(ask, lambda answer: answer["verdict"], "ok")


def _first(ask: Callable[[], dict], part: Callable[[dict], object], expected: object) -> dict:
    deadline = time.monotonic() + 60
    while part(answer := ask()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert part(answer) == expected, answer["summary"]
    return answer


def check(result: dict, identifier: str) -> dict:
    found = [c for c in result["checks"] if c["id"] == identifier]
    assert found, f"no check {identifier} in {sorted(c['id'] for c in result['checks'])}"
    return next((c for c in found if c["status"] != "pass"), found[0])


@pytest.fixture(scope="session", params=ENGINES)
def running(request):
    lab.prepare()
    pair = Pair(request.param)
    pair.start()
    yield pair
    for server in (pair.primary, pair.replica, pair.third):
        if server:
            server.unpause()
            if not os.environ.get("REPLTEST_KEEP"):
                server.remove()


@pytest.fixture
def pair(running):
    running.healthy()
    return running


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a module as Ansible does."""
    # Tests of plugins load Ansible's controller, in which a warning is printed in the place of being returned.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)

    def call(module, check_mode=False, **options):
        arguments = {"config_file": "", "_ansible_check_mode": check_mode, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit) as stopped:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(result.get("failed")) == bool(stopped.value.code)
        return result

    return call
