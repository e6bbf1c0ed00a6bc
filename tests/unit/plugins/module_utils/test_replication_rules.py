"""The rules over recorded rows: a healthy pair has no trouble, each disturbance exactly its own."""

from __future__ import annotations

import copy
import json
import re

import pytest
import scripted_mysql
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.gtid import GtidSet
from ansible_collections.pentad.webstack.plugins.module_utils.replication import verdict as rules
from ansible_collections.pentad.webstack.plugins.module_utils.replication.context import DEFAULT_POLICY, Context
from ansible_collections.pentad.webstack.plugins.module_utils.replication.fleet import SET_RULES
from ansible_collections.pentad.webstack.plugins.module_utils.replication.model import build
from places import TOP

MYSQL = ["mysql80", "mysql84", "mysql97"]
MARIADB = ["mariadb1011", "mariadb118"]
OTHER = "99999999-71ca-11e1-9e33-c80aa9429562"


def recorded(engine):
    """Rows of real servers, but for MySQL 8.0 and 8.4: those are rows of 9.7 under another version.

    They show that the rules take the names of these versions, and nothing about what such a server says.
    """
    rows = scripted_mysql.recorded("mysql97" if engine in MYSQL else engine)
    for side in rows.values():
        if engine == "mysql80":
            side["version"] = "8.0.46-0ubuntu0.24.04.1"
        elif engine == "mysql84":
            side["version"] = "8.4.8-0ubuntu1"
    return rows


class Case:
    """A recorded pair that can be disturbed before it is judged."""

    def __init__(self, engine):
        self.mariadb = engine in MARIADB
        rows = recorded(engine)
        self.replica, self.primary = rows["replica"], rows["primary"]
        self.with_primary = True
        self.extra = {}

    @property
    def status(self):
        return self.replica["replica_status"][0]

    def set_status(self, **values):
        """By MySQL's names."""
        for name, value in values.items():
            column = name.replace("Replica_", "Slave_").replace("Source", "Master") if self.mariadb else name
            assert column in self.status, column
            self.status[column] = value

    def context(self, **policy):
        settings = {**DEFAULT_POLICY, "role": "replica", **policy}
        primary = build(copy.deepcopy(self.primary), "db1") if self.with_primary else None
        return Context(build(copy.deepcopy(self.replica), "db2"), settings, primary=primary, **self.extra)

    def judge(self, **policy):
        return rules.judge(self.context(**policy))

    def troubles(self, **policy):
        return {c["id"]: c["status"] for c in self.judge(**policy).checks if c["status"] not in {"pass", "info"}}

    def check(self, identifier, **policy):
        return next(c for c in self.judge(**policy).checks if c["id"] == identifier)

    def as_primary(self, **policy):
        context = Context(build(copy.deepcopy(self.primary), "db1"), {
            **DEFAULT_POLICY, "role": "primary", **policy})  # fmt: skip
        return {c["id"]: c["status"] for c in rules.judge(context).checks if c["status"] not in {"pass", "info"}}


@pytest.fixture(params=MYSQL + MARIADB)
def case(request):
    return Case(request.param)


@pytest.fixture(params=MYSQL)
def mysql(request):
    return Case(request.param)


@pytest.fixture(params=MARIADB)
def mariadb(request):
    return Case(request.param)


def test_healthy(case):
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("ok", [])
    assert "ok: replication of db2 is right" in verdict.summary("db2")
    assert rules.coverage(case.context(), verdict) == "full"
    assert case.as_primary() == {}


def test_alone_is_partial(case):
    case.with_primary = False
    verdict = case.judge()
    assert verdict.verdict == "ok"
    assert rules.coverage(case.context(), verdict) == "partial"


def test_report_is_json_and_complete(case):
    report = rules.report(case.context(), case.judge())
    json.dumps(report)
    assert set(report) >= {
        "verdict", "coverage", "reasons", "summary", "checks", "engine", "role", "channels", "primary", "gtid",
        "semi_sync", "promotion",
    }  # fmt: skip
    assert report["channels"][0]["lag"]["seconds"] == 0
    assert report["promotion"] == {"promotable": True, "blockers": [], "warnings": []}


@pytest.mark.parametrize(
    ("state", "errno", "error", "heals", "word"),
    [
        ("No", 0, "", False, "somebody stopped it"),
        ("Connecting", 2003, "attempt 3/86400, with a delay", True, "attempt 3 of 86400"),
        ("No", 2003, "This was attempt 10/10, with a delay of 60 seconds", False, "given up after 10 of 10"),
        ("Connecting", 1045, "Access denied", False, "refuses the password"),
        ("No", 13114, "the source has purged required binary logs", False, "purged binary logs"),
        ("No", 4242, "something new", False, "something new"),
    ],
)
def test_io_thread(case, state, errno, error, heals, word):
    case.set_status(Replica_IO_Running=state, Last_IO_Errno=errno, Last_IO_Error=error)
    expected = {"io_thread": "fail"}
    if case.mariadb and "10/10" in error:
        # Before MariaDB 12 only the message tells how often the receiver tries.
        expected["retry_window"] = "warn"
    assert case.troubles() == expected
    found = case.check("io_thread")
    assert found["can_heal"] is heals
    assert word in found["message"]
    assert found["hint"]


def test_connecting_without_error_is_a_warning(case):
    case.set_status(Replica_IO_Running="Connecting")
    assert case.troubles() == {"io_thread": "warn"}


def test_preparing_of_mariadb_is_connecting(mariadb):
    mariadb.set_status(Replica_IO_Running="Preparing")
    assert mariadb.troubles() == {"io_thread": "warn"}


def test_sql_thread_stopped(case):
    case.set_status(Replica_SQL_Running="No")
    assert case.troubles() == {"sql_thread": "fail"}
    assert case.check("sql_thread")["can_heal"] is False


def test_sql_thread_error_wins_over_running_yes(mysql):
    mysql.replica["workers"][0].update(
        LAST_ERROR_NUMBER=1062,
        LAST_ERROR_MESSAGE="Could not execute Write_rows event on table app.t; Duplicate entry '5' for key 't.PRIMARY'",
    )
    assert mysql.troubles() == {"sql_thread": "fail"}
    assert mysql.check("sql_thread")["observed"]["table"] == "app.t"


def test_sql_thread_error_of_mariadb(mariadb):
    mariadb.set_status(Replica_SQL_Running="No", Last_SQL_Errno=1950, Last_SQL_Error="An attempt was made to binlog")
    assert mariadb.troubles() == {"sql_thread": "fail"}
    assert "strict mode" in mariadb.check("sql_thread")["message"]


def test_lag_is_never_taken_from_a_stopped_thread(case):
    case.set_status(Replica_IO_Running="No", Last_IO_Errno=2003, Seconds_Behind_Source=0)
    report = rules.report(case.context(), case.judge())
    assert report["channels"][0]["lag"] == {
        "seconds": None, "source": "none", "seconds_behind_raw": 0.0, "applying_age_s": None,
    }  # fmt: skip
    assert not [c for c in report["checks"] if c["id"] == "lag_seconds"]


def test_null_lag_with_running_threads_fails(case):
    case.set_status(Seconds_Behind_Source=None)
    assert case.troubles() == {"lag_seconds": "fail"}


@pytest.mark.parametrize(("seconds", "status"), [(9, None), (11, "warn"), (31, "fail")])
def test_lag(case, seconds, status):
    case.set_status(Seconds_Behind_Source=seconds)
    if not case.mariadb:
        worker = case.replica["workers"][0]
        worker.update(APPLYING_TRANSACTION=f"{OTHER}:1", APPLYING_AGE=seconds)
    assert case.troubles() == ({"lag_seconds": status} if status else {})


def test_lag_without_backlog_is_zero_whatever_the_server_says(mysql):
    mysql.set_status(Seconds_Behind_Source=500)
    assert mysql.troubles() == {}


def test_wanted_delay_is_not_lag(case):
    case.set_status(Seconds_Behind_Source=3605, SQL_Delay=3600)
    assert case.troubles(expected_delay=3600) == {}
    found = {"delay": "warn"}
    assert case.troubles() == found


def test_negative_lag_of_a_skewed_clock_is_zero(mysql):
    mysql.replica["workers"][0].update(APPLYING_TRANSACTION=f"{OTHER}:1", APPLYING_AGE=-3)
    assert mysql.troubles() == {}


def test_heartbeat_table_wins(case):
    case.replica["heartbeat"] = [{"server_id": 1, "age": 40}]
    assert case.troubles() == {"lag_seconds": "fail"}
    case.replica["heartbeat"] = []
    assert case.troubles() == {}


@pytest.mark.parametrize(("age", "status"), [(-0.9, None), (-1.1, "unknown"), (-18000, "unknown")])
def test_a_heartbeat_of_the_future_tells_no_lag(case, age, status):
    case.replica["heartbeat"] = [{"server_id": 1, "age": age}]
    assert case.troubles() == ({"lag_seconds": status} if status else {})
    assert case.judge().verdict == (status or "ok")


def test_a_commit_of_the_future_leaves_the_lag_to_the_server(mysql):
    mysql.set_status(Seconds_Behind_Source=40)
    mysql.replica["connection_status"][0]["RECEIVED_TRANSACTION_SET"] += f",{OTHER}:1"
    mysql.replica["workers"][0].update(APPLYING_TRANSACTION=f"{OTHER}:1", APPLYING_AGE=-3600)
    assert mysql.troubles() == {"lag_seconds": "fail"}


@pytest.mark.parametrize(("quiet", "status"), [(6.9, None), (7.1, "fail")])
def test_source_silent(case, quiet, status):
    if case.mariadb:
        case.replica["quiet_for"] = {"": quiet}
    else:
        case.replica["connection_status"][0]["SINCE_LAST_MESSAGE"] = quiet
    assert case.troubles() == ({"source_silent": status} if status else {})
    assert case.troubles(max_source_silence=60) == {}


def test_source_silent_without_any_message_is_unknown(mysql):
    mysql.replica["connection_status"][0]["SINCE_LAST_MESSAGE"] = None
    assert mysql.troubles() == {"source_silent": "unknown"}
    assert mysql.judge().verdict == "unknown"


def test_source_silent_without_heartbeat_is_a_warning(mysql):
    mysql.replica["connection_status"][0]["SINCE_LAST_MESSAGE"] = None
    mysql.replica["connection_configuration"][0]["HEARTBEAT_INTERVAL"] = 0
    assert mysql.troubles() == {"source_silent": "warn"}


def test_errant(mysql):
    mysql.replica["executed"] += f",{OTHER}:1-2:ops:5"
    assert mysql.troubles() == {"errant": "fail"}
    assert mysql.check("errant")["observed"] == f"{OTHER}:1-2:ops:5"
    assert mysql.troubles(allow_errant=True) == {}
    assert mysql.troubles(ignore_errant_uuids=[OTHER.upper()]) == {}


def test_errant_of_mariadb(mariadb):
    own = mariadb.replica["variables"]["server_id"]
    mariadb.replica["executed"] += f",0-{own}-900"
    assert mariadb.troubles() == {"errant": "fail"}


def emptied(case):
    """The primary was installed again."""
    case.primary["executed"] = case.primary["position"] = case.primary["binlog_pos"] = ""
    if case.mariadb:
        case.primary["slave_pos"] = ""


@pytest.mark.parametrize("engine", MYSQL + MARIADB)
def test_the_side_that_has_the_data_is_never_to_be_rebuilt(engine):
    case = Case(engine)
    emptied(case)
    hints = [c["hint"] for c in case.judge().checks if c["status"] not in {"pass", "info"}]
    assert "The primary lacks transactions" in case.check("errant")["message"]
    assert any("Do not rebuild this server before it is known which of the two has the data" in hint for hint in hints)
    assert not [hint for hint in hints if "rebuild it" in hint or "rebuild this replica" in hint]


def test_what_was_written_here_and_what_the_primary_lost_are_told_apart(mysql, mariadb):
    for case in (mysql, mariadb):
        written = "0-{}-999" if case.mariadb else "{}:999"
        name = "server_id" if case.mariadb else "server_uuid"
        own, lost = (written.format(side["variables"][name]) for side in (case.replica, case.primary))
        before = case.replica["executed"]
        case.replica["executed"] = f"{before},{own}"
        assert "Somebody wrote on this replica" in case.check("errant")["message"]
        case.replica["executed"] = f"{before},{lost}"
        assert "The primary lacks transactions that this server has" in case.check("errant")["message"]


def test_another_server_at_the_sources_address_is_no_reason_to_rebuild(mysql):
    mysql.set_status(Source_UUID=OTHER)
    found = mysql.check("source_identity")
    assert "Another server answers at this address" in found["hint"]
    assert "Do not rebuild this server" in found["hint"]
    assert "Point the channel" in mysql.check("source_identity", expected_source_host="192.0.2.99")["hint"]


def test_errant_confirmed_elsewhere_counts(mysql):
    """The caller re-reads the primary; its finding is the one that is judged."""
    mysql.replica["executed"] += f",{OTHER}:1"
    mysql.extra = {"errant": GtidSet()}
    assert mysql.troubles() == {}


def test_what_waits_for_an_acknowledgement_on_the_primary_is_not_errant(mysql):
    uuid = mysql.primary["variables"]["server_uuid"]
    last = int(mysql.primary["executed"].rsplit("-", 1)[1])
    mysql.replica["executed"] = f"{uuid}:1-{last + 2}"
    assert mysql.troubles() == {"errant": "fail"}
    mysql.primary["owned"] = f"{uuid}:{last + 1}#77:{last + 2}#78"
    assert mysql.troubles() == {}
    mysql.replica["executed"] += f",{OTHER}:1"
    assert mysql.troubles() == {"errant": "fail"}


def second_source(case, **columns):
    """Let the replica follow another source as well, and have applied what came from there."""
    name = "Connection_name" if case.mariadb else "Channel_Name"
    other = {**case.status, name: "second", "Master_User" if case.mariadb else "Source_User": "other"}
    if case.mariadb:
        other.update(Master_Server_Id=99, Master_Host="10.9.9.9", **columns)
        case.replica["executed"] += ",7-99-40,7-98-39"
        case.replica["position"] += ",7-99-40"
    else:
        other.update(Source_UUID=OTHER, Source_Host="10.9.9.9", **columns)
        case.replica["executed"] += f",{OTHER}:1-5,{CHAINED}:1-9"
        row = case.replica["connection_status"][0]
        received = {"RECEIVED_TRANSACTION_SET": f"{OTHER}:4-5,{CHAINED}:1-9", "SOURCE_UUID": OTHER}
        case.replica["connection_status"].append({**row, "CHANNEL_NAME": "second", **received})
        case.replica["connection_configuration"].append(
            {**case.replica["connection_configuration"][0], "CHANNEL_NAME": "second"}
        )
    case.replica["replica_status"].append(other)


CHAINED = "88888888-71ca-11e1-9e33-c80aa9429562"


def test_what_another_allowed_source_sent_is_not_errant(case):
    second_source(case)
    case.replica["quiet_for"] = {"": 0.1, "second": 0.1}
    assert case.troubles(allow_multi_source=True) == {}, "nor is its account looked for on this primary"
    assert case.troubles() == {"channels_unexpected": "fail", "source_identity": "fail"}
    own = case.replica["variables"]["server_id" if case.mariadb else "server_uuid"]
    case.replica["executed"] += f",0-{own}-999" if case.mariadb else f",{own}:1"
    assert case.troubles(allow_multi_source=True) == {"errant": "fail"}


def test_errant_with_a_registered_position_leaves_the_source_out(mysql):
    source = mysql.status["Source_UUID"]
    known = mysql.primary["executed"]
    mysql.with_primary = False
    mysql.extra = {"primary_gtid": known}
    mysql.replica["executed"] = f"{source}:1-999"
    assert mysql.troubles() == {}
    mysql.replica["executed"] += f",{OTHER}:1"
    assert mysql.troubles() == {"errant": "fail"}


def test_purge_horizon(mysql):
    uuid = mysql.primary["variables"]["server_uuid"]
    mysql.primary["purged"] = f"{uuid}:1-500"
    mysql.primary["executed"] = f"{uuid}:1-600"
    assert mysql.troubles() == {"purge_horizon": "fail"}
    report = rules.report(mysql.context(), mysql.judge())
    assert report["gtid"]["unrecoverable"].endswith("-500")


def test_purge_horizon_counts_what_was_received(mysql):
    uuid = mysql.primary["variables"]["server_uuid"]
    mysql.primary["purged"] = mysql.primary["executed"] = f"{uuid}:1-500"
    mysql.replica["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = f"{uuid}:1-500"
    assert mysql.troubles() == {}


def test_purge_horizon_of_mariadb(mariadb):
    server = mariadb.primary["variables"]["server_id"]
    mariadb.primary["oldest_binlog"]["gtids"] = f"0-{server}-900"
    assert mariadb.troubles() == {"purge_horizon": "fail"}


@pytest.mark.parametrize(("limit", "status"), [(10, {}), (3, {"lag_gtid": "warn"}), (0, {"lag_gtid": "fail"})])
def test_lag_gtid(case, limit, status):
    if case.mariadb:
        domain, server, last = case.primary["position"].split("-")
        case.primary["position"] = f"{domain}-{server}-{int(last) + 10}"
    else:
        uuid = case.primary["variables"]["server_uuid"]
        last = int(case.primary["executed"].rsplit("-", 1)[1])
        case.primary["executed"] = f"{uuid}:1-{last + 10}"
    assert case.troubles(max_lag_transactions=limit) == status
    report = rules.report(case.context(), case.judge())
    assert report["gtid"]["missing_count"] == 10


def far_behind(case, count, received):
    """Let the primary be ahead by so many transactions, of which the replica has received all or none."""
    if case.mariadb:
        domain, server, last = case.primary["position"].split("-")
        case.primary["position"] = f"{domain}-{server}-{int(last) + count}"
        if received:
            case.status["Gtid_IO_Pos"] = case.primary["position"]
    else:
        last = int(case.primary["executed"].rsplit("-", 1)[1])
        uuid = case.primary["variables"]["server_uuid"]
        case.primary["executed"] = f"{uuid}:1-{last + count}"
        if received:
            case.replica["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = case.primary["executed"]


@pytest.mark.parametrize(
    ("count", "status"), [(10_000, None), (10_001, "warn"), (100_001, "fail"), (5_000_000, "fail")]
)
@pytest.mark.parametrize("received", [False, True])
def test_an_idle_applier_does_not_hide_what_is_missing(case, count, status, received):
    """The server says a lag of 0 while its applier has nothing to do."""
    far_behind(case, count, received)
    expected = {"lag_gtid": status, **({"apply_backlog": status} if received else {})} if status else {}
    assert case.troubles() == expected
    found = rules.promotion(case.context(), case.judge())
    assert (found["promotable"], found["blockers"]) == (not status, sorted(expected))


def test_a_wanted_delay_is_no_trouble_but_against_a_promotion(case):
    case.set_status(SQL_Delay=3600)
    far_behind(case, 5_000_000, received=True)
    assert case.troubles(expected_delay=3600) == {}
    found = rules.promotion(case.context(expected_delay=3600), case.judge(expected_delay=3600))
    assert found["blockers"] == ["apply_backlog", "lag_gtid"]


def test_what_has_not_arrived_is_trouble_whatever_delay_is_wanted(case):
    case.set_status(SQL_Delay=3600)
    far_behind(case, 5_000_000, received=False)
    assert case.troubles(expected_delay=3600) == {"lag_gtid": "fail"}


def test_without_a_primary_nobody_knows_whether_all_of_it_is_here(case):
    case.with_primary = False
    assert rules.promotion(case.context(), case.judge())["warnings"] == ["lag_gtid"]


def test_apply_backlog(mysql):
    uuid = mysql.primary["variables"]["server_uuid"]
    last = int(mysql.primary["executed"].rsplit("-", 1)[1])
    mysql.replica["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = f"{uuid}:1-{last + 10}"
    assert mysql.troubles() == {}
    assert mysql.troubles(max_lag_transactions=3) == {"apply_backlog": "warn"}


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ({"expected_source_host": "10.9.9.9"}, "fail"),
        ({"expected_source_port": 3307}, "fail"),
        ({"expected_source_server_id": 77}, "fail"),
    ],
)
def test_source_identity(case, policy, status):
    assert case.troubles(**policy) == {"source_identity": status}
    right = {"expected_source_host": case.status["Master_Host" if case.mariadb else "Source_Host"]}
    assert case.troubles(**right) == {}


def test_source_identity_against_the_primary(case):
    if case.mariadb:
        case.set_status(Source_Server_Id=4711)
    else:
        case.set_status(Source_UUID=OTHER)
    assert case.troubles() == {"source_identity": "fail"}


def test_read_only(case):
    case.replica["variables"]["read_only"] = "OFF"
    expected = {"read_only": "fail"}
    assert case.troubles(require_super_read_only=False) == expected
    assert case.troubles(require_read_only=False, require_super_read_only=False) == {}


def test_super_read_only(mysql):
    mysql.replica["variables"]["super_read_only"] = "OFF"
    assert mysql.troubles() == {"super_read_only": "fail"}


@pytest.mark.parametrize(("value", "told", "status"), [(False, None, "warn"), (None, None, "warn"), (None, True, None),
                                                       (True, False, "warn")])  # fmt: skip
def test_boot_read_only(case, value, told, status):
    case.replica["boot"] = {"read_only": value, "super_read_only": value}
    assert case.troubles(boot_read_only=told) == ({"boot_read_only": status} if status else {})
    assert case.troubles(boot_read_only=told, require_boot_read_only=False) == {}


def test_writable_primary(case):
    case.primary["variables"]["read_only"] = "ON"
    assert case.as_primary() == {"writable": "fail"}


def test_offline_mode_is_not_writable(mysql):
    mysql.primary["variables"]["offline_mode"] = "ON"
    assert mysql.as_primary() == {"writable": "fail"}


def test_role(case):
    case.replica["replica_status"] = []
    found = case.troubles()
    assert found["role"] == "fail"


def test_primary_that_still_follows(case):
    case.primary["replica_status"] = case.replica["replica_status"]
    assert case.as_primary()["role"] == "fail"


@pytest.mark.parametrize("name", ["gtid_mode", "enforce_gtid_consistency"])
def test_gtid_mode(mysql, name):
    mysql.replica["variables"][name] = "OFF"
    assert mysql.troubles() == {"gtid_mode": "fail"}
    assert mysql.troubles(require_gtid=False) == {}


def test_gtid_strict_mode(mariadb):
    mariadb.replica["variables"]["gtid_strict_mode"] = "OFF"
    assert mariadb.troubles() == {"gtid_mode": "warn"}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [("log_bin", "OFF", "fail"), ("binlog_format", "MIXED", "warn"), ("binlog_row_image", "MINIMAL", "warn")],
)
def test_binlog(case, name, value, status):
    case.replica["variables"][name] = value
    assert case.troubles() == {"binlog": status}


def test_binlog_of_replicated_writes(case):
    case.replica["variables"]["log_slave_updates" if case.mariadb else "log_replica_updates"] = "OFF"
    assert case.troubles() == {"binlog": "fail"}


def test_retention(case):
    case.replica["variables"]["binlog_expire_logs_seconds"] = "3600"
    assert case.troubles() == {"retention": "warn"}
    case.replica["variables"]["binlog_expire_logs_seconds"] = "0"
    assert case.troubles() == {}
    assert case.check("retention")["status"] == "info"


@pytest.mark.parametrize("name", ["sync_binlog", "innodb_flush_log_at_trx_commit"])
def test_durability(case, name):
    case.replica["variables"][name] = "0"
    assert case.troubles() == {"durability": "warn"}
    assert case.troubles(require_durable=False) == {}


def test_parallel(case):
    case.replica["variables"]["slave_parallel_threads" if case.mariadb else "replica_parallel_workers"] = "0"
    assert case.check("parallel")["status"] == "info"


def test_commit_order(mysql):
    mysql.replica["variables"]["replica_preserve_commit_order"] = "OFF"
    assert mysql.check("parallel")["status"] == "info"


@pytest.mark.parametrize(("free", "status"), [(10.1, None), (9.9, "warn"), (4.9, "fail")])
def test_disk_free(case, free, status):
    case.replica["disk"] = [{"purpose": "data", "path": "/d", "free_bytes": free * 10, "total_bytes": 1000}]
    assert case.troubles() == ({"disk_free": status} if status else {})


def test_tls(case):
    case.set_status(Source_SSL_Allowed="No")
    assert case.troubles() == {"tls": "fail"}
    assert case.troubles(require_tls=False) == {}


def test_tls_verify(case):
    case.set_status(Source_SSL_Verify_Server_Cert="No")
    assert case.check("tls_verify")["status"] == "info"
    assert case.troubles(require_tls_verify=True) == {"tls_verify": "warn"}


def test_tls_in_use(mysql):
    mysql.primary["dump_threads"][0]["connection_type"] = "TCP/IP"
    assert mysql.troubles() == {"tls_in_use": "fail"}
    assert mysql.as_primary() == {"tls_in_use": "fail"}


def test_a_dump_thread_of_the_host_itself_crosses_no_network(mysql):
    mysql.primary["dump_threads"].append({"user": "root", "host": "localhost", "connection_type": "Socket"})
    assert mysql.troubles() == {}
    assert mysql.as_primary() == {}


def test_tls_in_use_is_not_judged_without_performance_schema(mariadb):
    assert not [c for c in mariadb.judge().checks if c["id"] == "tls_in_use"]


@pytest.mark.parametrize(("count", "status"), [(10, "warn"), (720, None), (0, None)])
def test_retry_window(mysql, count, status):
    mysql.set_status(Source_Retry_Count=count)
    assert mysql.troubles() == ({"retry_window": status} if status else {})


def test_retry_window_of_mariadb_from_its_error(mariadb):
    mariadb.set_status(
        Replica_IO_Running="Connecting", Last_IO_Errno=2003, Last_IO_Error="retry-time: 5  maximum-retries: 3  message"
    )
    assert mariadb.troubles() == {"io_thread": "fail", "retry_window": "warn"}


def test_heartbeat_interval(case):
    name = "slave_net_timeout" if case.mariadb else "replica_net_timeout"
    case.replica["variables"][name] = "3"
    assert case.check("heartbeat_interval")["status"] == "info"


@pytest.mark.parametrize("column", ["Replicate_Do_DB", "Replicate_Wild_Ignore_Table", "Replicate_Rewrite_DB"])
def test_filters(case, column):
    case.status[column] = "junk"
    assert case.troubles() == {"filters": "fail"}
    assert case.troubles(allow_filters=True) == {}


def test_global_filter_of_mysql(mysql):
    mysql.replica["global_filters"] = [{"FILTER_NAME": "REPLICATE_IGNORE_DB", "FILTER_RULE": "junk"}]
    assert mysql.troubles() == {"filters": "fail"}


@pytest.mark.parametrize("column", ["Binlog_Do_DB", "Binlog_Ignore_DB"])
def test_binlog_filters(case, column):
    case.primary["binlog_status"][0][column] = "junk"
    assert case.troubles() == {"filters": "fail"}
    assert case.as_primary() == {"binlog_filters": "fail"}
    assert case.as_primary(allow_filters=True) == {}


def test_auto_position(case):
    if case.mariadb:
        case.status["Using_Gtid"] = "No"
    else:
        case.status["Auto_Position"] = 0
    assert case.troubles() == {"auto_position": "fail"}
    assert case.troubles(require_auto_position=False) == {}


def test_current_pos_is_a_warning(mariadb):
    mariadb.status["Using_Gtid"] = "Current_Pos"
    assert mariadb.troubles() == {"auto_position": "warn"}


def test_channels(case):
    second = {**case.status, ("Connection_name" if case.mariadb else "Channel_Name"): "second"}
    case.replica["replica_status"].append(second)
    assert case.troubles(channel="") == {"channels_unexpected": "fail"}
    assert case.troubles(channel="", allow_multi_source=True) == {}


def test_a_channel_that_does_not_exist(case):
    assert case.troubles(channel="primray") == {"channel": "fail"}
    assert case.check("channel", channel="primray")["observed"] == ["(default)"]
    assert case.check("channel", channel="")["status"] == "pass"
    assert case.as_primary(channel="primray") == {}, "a primary has none"


def test_names_of_channels_are_compared_as_the_server_does(case):
    case.status["Connection_name" if case.mariadb else "Channel_Name"] = "Main"
    for row in case.replica.get("connection_status", []) + case.replica.get("connection_configuration", []):
        row["CHANNEL_NAME"] = "Main"
    case.replica["quiet_for"] = {"Main": 0.1}
    assert case.troubles(channel="main") == {}


def test_group_channels_are_no_replication_channels(mysql):
    mysql.replica["replica_status"].append({**mysql.status, "Channel_Name": "group_replication_applier"})
    assert mysql.troubles() == {}


def test_server_id(case):
    case.replica["variables"]["server_id"] = case.primary["variables"]["server_id"]
    assert case.troubles()["server_id_unique"] == "fail"


def test_server_uuid(mysql):
    mysql.replica["variables"]["server_uuid"] = mysql.primary["variables"]["server_uuid"].upper()
    assert mysql.troubles() == {"server_id_unique": "fail"}


def test_server_id_of_attached_replicas(case):
    first = case.primary["replicas"][0]
    case.primary["replicas"].append({**first, "Host": "other"})
    assert case.as_primary() == {"server_id_unique": "fail"}


@pytest.mark.parametrize("host", ["192.0.2.31", "192.0.2.32"])
def test_a_primary_that_was_a_replica_of_this_server_is_one_server(case, host):
    primary = case.primary["variables"]
    primary["report_host"] = "192.0.2.31"
    row = {"Host": host, "Server_Id": primary["server_id"], "Replica_UUID": primary.get("server_uuid", "")}
    case.replica["replicas"] = [row]
    assert ("server_id_unique" in case.troubles()) is (host != "192.0.2.31")


def test_clock(case):
    case.replica["clock"], case.primary["clock"] = 0.0, 1.2
    assert case.troubles() == {"clock": "warn"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"may_replicate": "N"}, "fail"),
        ({"locked": "Y"}, "fail"),
        ({"expired": "Y"}, "fail"),
        ({"expires_in": -5}, "fail"),
        ({"expires_in": 86400}, "warn"),
        ({"expires_in": 30 * 86400}, None),
    ],
)
def test_repl_account(case, change, status):
    case.primary["replication_account"][0].update(change)
    assert case.troubles() == ({"repl_account": status} if status else {})


@pytest.mark.parametrize(
    ("host", "status"),
    [("192.0.2.9", None), ("192.0.%", None), ("own", "fail"), ("172.31.%", "fail"), ("172.31.0.0/16", "fail")],
)
def test_only_the_account_by_which_this_replica_logs_in_has_to_work(case, host, status):
    """The server picks the closest host of a name, and looks at nothing else then."""
    other = {**case.primary["replication_account"][0], "expired": "Y"}
    other["host"] = case.replica["variables"]["report_host"] if host == "own" else host
    case.primary["replication_account"].append(other)
    assert case.troubles() == ({"repl_account": status} if status else {})


def test_without_an_own_address_one_of_the_accounts_has_to_work(case):
    case.replica["variables"]["report_host"] = case.replica["address"] = ""
    case.primary["dump_threads"] = []
    first = case.primary["replication_account"][0]
    case.primary["replication_account"].append({**first, "expired": "Y", "host": "192.0.2.9"})
    assert case.troubles() == {}
    first["expires_in"] = -1
    assert case.troubles() == {"repl_account": "fail"}


def test_the_primary_judges_the_accounts_that_read_from_it(case):
    case.primary["dump_threads"] = [{"user": "repl", "host": "172.31.77.11:40112", "connection_type": "SSL/TLS"}]
    assert case.as_primary() == {}
    case.primary["replication_account"][0]["locked"] = "Y"
    assert case.as_primary() == {"repl_account": "fail"}


def test_a_lock_that_the_account_may_not_see_is_left_to_the_primary(mariadb):
    """On MariaDB it stands beside the passwords."""
    row = mariadb.primary["replication_account"][0]
    for name in ("locked", "expires_in"):
        del row[name]
    mariadb.primary["replication_account_grant"] = "GRANT SELECT ON mysql.* TO x;"
    assert mariadb.judge().verdict == "ok"
    assert rules.coverage(mariadb.context(), mariadb.judge()) == "full"
    found = mariadb.check("repl_account")
    assert (found["status"], "GRANT SELECT ON mysql.*" in found["hint"]) == ("info", True)
    row["expired"] = "Y"
    assert mariadb.troubles() == {"repl_account": "fail"}


def test_repl_account_here(case):
    case.replica["replication_account"] = []
    assert case.troubles() == {"repl_account_here": "warn"}
    report = rules.report(case.context(), case.judge())
    assert report["promotion"]["blockers"] == ["repl_account_here"]
    assert case.troubles(require_promotable=True) == {"repl_account_here": "warn", "promotable": "fail"}


def test_version_order(case):
    case.primary["version"] = "12.9.9-MariaDB" if case.mariadb else "9.9.1"
    assert case.troubles() == {"version_order": "warn"}


def test_version_supported(case):
    case.replica["version"] = "12.9.9-MariaDB" if case.mariadb else "10.1.0"
    assert case.troubles() == {"version_supported": "warn"}


def test_replicas_attached(case):
    there = str(case.primary["replicas"][0].get("Server_Id") or case.primary["replicas"][0].get("Server_id"))
    assert case.as_primary(expected_replicas=[there]) == {}
    assert case.as_primary(expected_replicas=[there, "4711"]) == {"replicas_attached": "fail"}


def test_long_transactions(case):
    case.replica["long_transactions"] = [{"thread": 9, "age": 100, "modified": 0, "query": ""}]
    assert case.troubles() == {"long_transactions": "warn"}


@pytest.mark.parametrize(("seconds", "status"), [(5, "warn"), (31, "fail")])
def test_applier_blocked(mysql, seconds, status):
    mysql.replica["blockers"] = [{"blocker": 9, "user": "x", "host": "y", "kind": "row lock"}]
    mysql.replica["workers"][0]["APPLYING_FOR"] = seconds
    assert mysql.troubles() == {"applier_blocked": status}
    assert "KILL 9" in mysql.check("applier_blocked")["hint"]


@pytest.mark.parametrize(("seconds", "troubles"), [(None, {}), (0.9, {}), (1.0, {"applier_blocked": "warn"})])
def test_a_lock_that_is_held_for_an_instant_is_no_trouble(mysql, seconds, troubles):
    mysql.replica["blockers"] = [{"blocker": 9, "user": "x", "host": "y", "kind": "table lock"}]
    mysql.replica["workers"][0]["APPLYING_FOR"] = seconds
    assert mysql.troubles() == troubles


def test_primary_keys(case):
    case.replica["tables"][0]["keyed"] = False
    assert case.troubles() == {"primary_keys": "warn"}
    assert case.check("primary_keys")["observed"] == ["app.heartbeat"]


@pytest.mark.parametrize(("value", "status"), [("STATEMENT", "fail"), ("mixed", "warn"), ("ROW", None)])
def test_how_the_writer_logs(case, value, status):
    case.primary["variables"]["binlog_format"] = value
    expected = {"row_format": status} if status else {}
    assert case.troubles() == expected
    assert case.as_primary() == expected
    del case.primary["variables"]["binlog_format"]
    assert case.troubles() == {}, "a server without the variable knows rows only"


@pytest.mark.parametrize("engine", ["MyISAM", "MEMORY", "CSV", "ARCHIVE", "BLACKHOLE"])
def test_engines_that_lose_rows(case, engine):
    for side in (case.replica, case.primary):
        side["tables"][1]["engine"] = engine
    assert case.troubles() == {"engines": "warn"}
    assert case.as_primary() == {"engines": "warn"}
    assert f"app.t ({engine})" in case.check("engines")["message"]


@pytest.mark.parametrize("engine", ["InnoDB", "Aria", "ROCKSDB", None])
def test_engines_that_keep_rows(case, engine):
    for side in (case.replica, case.primary):
        side["tables"][1]["engine"] = engine
    assert case.troubles() == {}


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"columns": "1"}, "fail", "app.t: columns."),
        ({"keys": "1"}, "warn", "app.t: keys."),
        ({"foreign_keys": "1"}, "warn", "app.t: foreign keys."),
        ({"collation": "utf8mb4_bin"}, "warn", "app.t: collation utf8mb4_bin here, "),
        ({"engine": "Aria"}, "warn", "app.t: engine Aria here, InnoDB on the primary."),
        ({"keys": "1", "engine": "Aria"}, "warn", "app.t: keys, engine Aria here, "),
        ({"table": "u"}, "fail", "app.t: it is missing here; app.u: it does not exist on the primary."),
    ],
)
def test_tables_that_differ(case, change, status, text):
    case.replica["tables"][1].update(change)
    assert case.troubles() == {"table_definitions": status}
    assert text in case.check("table_definitions")["message"]
    assert rules.promotion(case.context(), case.judge())["promotable"] is (status == "warn")
    case.with_primary = False
    assert case.troubles() == {}


def test_tables_that_differ_are_no_news_while_the_channel_does_not_run(case):
    case.replica["tables"].pop()
    case.set_status(Replica_SQL_Running="No")
    assert case.troubles() == {"sql_thread": "fail"}


def test_tables_of_a_replica_that_is_behind_are_not_judged(case):
    case.replica["tables"].pop()
    case.extra = {"comparable": False}
    assert case.troubles() == {"table_definitions": "unknown"}
    assert case.judge().verdict == "ok"


def test_tables_that_another_source_or_a_filter_explains(case):
    case.replica["tables"].pop()
    assert case.troubles(allow_filters=True) == {"table_definitions": "fail"}
    case.status["Replicate_Ignore_Table"] = "app.t"
    assert case.troubles(allow_filters=True) == {}


def test_tables_that_came_from_another_source(case):
    case.primary["tables"].pop()
    second_source(case)
    case.replica["quiet_for"] = {"": 0.1, "second": 0.1}
    assert case.troubles(allow_multi_source=True) == {}


@pytest.mark.parametrize("side", ["replica", "primary"])
def test_tables_that_may_not_be_seen(case, side):
    deny(getattr(case, side), "tables")
    found = case.troubles()
    assert found == dict.fromkeys(
        ("primary_keys", "engines", "auto_increment", "table_definitions")
        if side == "replica"
        else ("table_definitions",),
        "unknown",
    )
    assert case.judge().verdict == "ok"
    assert "GRANT X ON *.* TO y;" in case.check("table_definitions")["hint"]


@pytest.mark.parametrize(
    ("kind", "number", "status"),
    [
        ("tinyint", 102, None),
        ("tinyint", 103, "warn"),
        ("tinyint", 127, "fail"),
        ("int(11)", 1_700_000_000, None),
        ("int", 1_720_000_000, "warn"),
        ("int unsigned", 1_720_000_000, None),
        ("int(10) unsigned", 4_294_967_296, "fail"),
        ("bigint(20)", 4_294_967_296, None),
        ("bigint unsigned", 2**64, "fail"),
        ("mediumint", 2**23, "fail"),
        ("smallint unsigned", 2**15, None),
        ("double", 2**52, None),
    ],
)
def test_automatic_numbers(case, kind, number, status):
    case.replica["tables"][1].update(counter=kind, next=number)
    assert case.troubles() == ({"auto_increment": status} if status else {})


STORED = {"kind": "trigger", "schema": "app", "name": "a", "definer": "x@%", "definer_exists": True, "state": None}


def test_definers(case):
    case.replica["objects"] = [STORED]
    assert case.troubles() == {}
    case.replica["objects"].append({**STORED, "kind": "routine", "name": "b", "definer_exists": False})
    assert case.troubles() == {"definers": "warn"}
    assert case.check("definers")["observed"] == ["routine app.b (x@%)"]


@pytest.mark.parametrize(
    ("state", "scheduler", "there", "here"),
    [
        ("ENABLED", "ON", "warn", None),
        ("ENABLED", "OFF", None, None),
        ("ENABLED", "DISABLED", None, None),
        ("DISABLED", "ON", None, None),
        ("SLAVESIDE_DISABLED", "ON", None, "warn"),
        ("REPLICA_SIDE_DISABLED", "ON", None, "warn"),
    ],
)
def test_events(case, state, scheduler, there, here):
    for side in (case.replica, case.primary):
        side["objects"] = [{**STORED, "kind": "event", "state": state, "origin": 1}]
        side["variables"]["event_scheduler"] = scheduler
    assert case.troubles() == ({"events": there} if there else {})
    assert case.as_primary() == ({"events": here} if here else {})


@pytest.mark.parametrize(
    ("name", "here", "there", "status"),
    [
        ("sql_mode", "STRICT_TRANS_TABLES,ANSI_QUOTES", "ANSI_QUOTES,strict_trans_tables", None),
        ("sql_mode", "", "ANSI_QUOTES", "warn"),
        ("lower_case_table_names", "0", "1", "warn"),
        ("character_set_server", "latin1", "utf8mb4", "warn"),
        ("collation_server", "utf8mb4_bin", "UTF8MB4_bin", None),
        ("collation_server", "utf8mb4_bin", "utf8mb4_general_ci", "warn"),
        ("max_allowed_packet", "1048576", "2097152", "warn"),
        ("explicit_defaults_for_timestamp", "ON", "1", None),
        ("explicit_defaults_for_timestamp", "ON", "OFF", "warn"),
    ],
)
def test_settings_that_have_to_agree(case, name, here, there, status):
    case.replica["variables"][name], case.primary["variables"][name] = here, there
    assert case.troubles() == ({"settings_alike": status} if status else {})
    if status:
        assert f"{name} is {here} here, {there} there" in case.check("settings_alike")["message"]


def test_time_zones_that_only_one_server_knows(case):
    case.primary["time_zone_tables"] = True
    assert case.troubles() == {"settings_alike": "warn"}
    assert "time zone tables is empty here, loaded there" in case.check("settings_alike")["message"]


def test_a_receiver_that_takes_less_than_clients_may_send(case):
    name = "slave_max_allowed_packet" if case.mariadb else "replica_max_allowed_packet"
    case.replica["variables"][name] = "1048576"
    assert case.troubles() == {"settings_alike": "warn"}


@pytest.mark.parametrize("side", ["replica", "primary"])
@pytest.mark.parametrize(("days", "status"), [(15, None), (13, "warn"), (-1, "fail")])
def test_certificates(case, side, days, status):
    getattr(case, side)["certificate_left"] = days * 86400.0
    assert case.troubles() == ({"certificate": status} if status else {})
    assert case.troubles(min_certificate_days=5) == ({"certificate": status} if days < 5 else {})


def test_servers_without_certificates_are_not_judged_by_them(case):
    case.replica["certificate_left"] = case.primary["certificate_left"] = None
    assert not [c for c in case.judge().checks if c["id"] == "certificate"]


def test_primary_unreachable(case):
    case.with_primary = False
    case.extra = {"primary_error": "The primary cannot be queried: it is off."}
    assert case.troubles() == {"primary_reachable": "fail"}


def test_semi_sync_source(case):
    names = ("master", "slave") if case.mariadb else ("source", "replica")
    case.primary["variables"][f"rpl_semi_sync_{names[0]}_enabled"] = "ON"
    case.primary["status"].update({f"rpl_semi_sync_{names[0]}_status": "OFF", f"rpl_semi_sync_{names[0]}_clients": "0"})
    assert case.as_primary() == {"semi_sync": "warn"}
    case.primary["status"].update({f"rpl_semi_sync_{names[0]}_status": "ON", f"rpl_semi_sync_{names[0]}_clients": "1"})
    assert case.as_primary() == {}
    case.replica["variables"][f"rpl_semi_sync_{names[1]}_enabled"] = "ON"
    case.replica["status"][f"rpl_semi_sync_{names[1]}_status"] = "OFF"
    assert case.troubles() == {"semi_sync": "warn"}


def semi_sync(case, source, replica, **status):
    """Both servers with these sides switched on, and this of their status, by MySQL's names."""
    names = {"source": "master", "replica": "slave"} if case.mariadb else {"source": "source", "replica": "replica"}
    for snapshot in (case.primary, case.replica):
        for side, state in (("source", source), ("replica", replica)):
            snapshot["variables"][f"rpl_semi_sync_{names[side]}_enabled"] = state
        for name, value in status.items():
            side, what = name.split("_", 1)
            snapshot["status"][f"rpl_semi_sync_{names[side]}_{what}"] = value


def test_semi_sync_required(case):
    assert case.as_primary(require_semi_sync=True) == {"semi_sync": "fail"}
    assert case.troubles(require_semi_sync=True) == {"semi_sync": "fail"}


def test_required_semi_sync_that_has_degraded_is_critical(case):
    semi_sync(case, "ON", "ON", source_status="OFF", source_clients="0", source_no_tx="7", replica_status="ON")
    assert case.as_primary(require_semi_sync=True) == {"semi_sync": "fail"}
    assert case.as_primary() == {"semi_sync": "warn"}
    assert case.troubles(require_semi_sync=True) == {}


def test_a_replica_that_does_not_acknowledge_is_critical_where_it_must(case):
    semi_sync(case, "ON", "ON", source_status="ON", source_clients="1", replica_status="OFF")
    assert case.troubles(require_semi_sync=True) == {"semi_sync": "fail"}
    assert case.troubles() == {"semi_sync": "warn"}


def test_writes_that_wait_for_too_few_replicas_are_told_before_it_degrades(case):
    name = "rpl_semi_sync_master_timeout" if case.mariadb else "rpl_semi_sync_source_timeout"
    semi_sync(case, "ON", "ON", source_status="ON", source_clients="0", replica_status="OFF")
    case.primary["variables"][name] = "4294967295"
    context = Context(build(case.primary, "db1"), {**DEFAULT_POLICY, "role": "primary", "require_semi_sync": True})
    found = next(check for check in rules.judge(context).checks if check["id"] == "semi_sync")
    assert (found["status"], found["message"]) == ("fail", "0 of 1 replicas are there to acknowledge commits.")
    assert "for up to 50 days" in found["hint"]


def test_more_replicas_than_one_may_have_to_acknowledge(mysql):
    semi_sync(mysql, "ON", "ON", source_status="ON", source_clients="1", replica_status="ON")
    mysql.primary["variables"]["rpl_semi_sync_source_wait_for_replica_count"] = "2"
    assert mysql.as_primary(require_semi_sync=True) == {"semi_sync": "fail"}
    mysql.primary["status"]["rpl_semi_sync_source_clients"] = "2"
    assert mysql.as_primary(require_semi_sync=True) == {}


@pytest.mark.parametrize(("source", "replica"), [("ON", "OFF"), ("OFF", "ON")])
def test_required_semi_sync_needs_the_side_that_a_switchover_would_use(case, source, replica):
    semi_sync(case, source, replica, source_status=source, source_clients="1", replica_status=replica)
    judge = case.as_primary if source == "ON" else case.troubles
    assert judge(require_semi_sync=True) == {"semi_sync": "warn"}
    assert judge() == {}


def test_probe(case):
    case.extra = {"probe": {"ok": True, "latency_ms": 3.0, "error": ""}}
    assert case.troubles() == {}
    case.extra = {"probe": {"ok": False, "latency_ms": None, "error": "it has not arrived"}}
    assert case.troubles() == {"probe": "fail"}


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"tables": 1, "rows": 2, "different": [], "complete": True}, None),
        ({"tables": 1, "rows": 2, "different": [{"table": "a.b", "range": "id = 1", "rows": 1}]}, "fail"),
        ({"error": "it stopped"}, "unknown"),
        ({"tables": 1, "different": [], "complete": False}, "unknown"),
        ({"tables": 1, "different": [], "complete": True, "inconclusive": [{}]}, "unknown"),
    ],
)
def test_compare(case, result, status):
    case.extra = {"compare": result}
    assert case.troubles() == ({"compare": status} if status else {})


@pytest.mark.parametrize("section", ["replica_status"])
def test_what_cannot_be_read_is_unknown_with_its_grant(case, section):
    del case.replica[section]
    case.replica["denied"][section] = {"errno": 1227, "error": "Access denied", "grant": "GRANT X ON *.* TO y;"}
    verdict = case.judge()
    assert verdict.verdict in {"unknown", "critical"}
    assert case.check("role")["status"] == "unknown"
    assert case.check("role")["hint"] == "Run on db2: GRANT X ON *.* TO y;"


def test_unreadable_optional_sections_do_not_alarm(case):
    for section in ("long_transactions", "objects"):
        del case.replica[section]
        case.replica["denied"][section] = {"errno": 1227, "error": "denied", "grant": "GRANT X;"}
    verdict = case.judge()
    assert (verdict.verdict, verdict.reasons) == ("ok", []), "what does not decide is no reason"
    assert set(verdict.not_judged) == {"long_transactions", "definers", "events"}
    assert rules.coverage(case.context(), verdict) == "partial"


def test_a_gtid_that_cannot_be_read_is_unknown(mysql):
    mysql.primary["purged"] = "rubbish"
    assert mysql.troubles() == {"purge_horizon": "unknown"}


MEMBER = {"MEMBER_HOST": "db", "MEMBER_PORT": 3306, "MEMBER_STATE": "ONLINE", "MEMBER_ROLE": "SECONDARY"}


def group(case, *states, role="PRIMARY"):
    own = case.primary["variables"]["server_uuid"]
    members = []
    for number, state in enumerate(states):
        members.append({**MEMBER, "MEMBER_ID": own if not number else f"{number}", "MEMBER_HOST": f"db{number}",
                        "MEMBER_STATE": state, "MEMBER_ROLE": role if not number else "SECONDARY"})  # fmt: skip
    case.primary["group_members"] = members
    case.primary["variables"]["group_replication_single_primary_mode"] = "ON"
    return case.as_primary(role="group")


def test_group(mysql):
    assert group(mysql, "ONLINE", "ONLINE", "ONLINE") == {}
    assert group(mysql, "ONLINE", "ONLINE", "UNREACHABLE") == {"group_quorum": "warn"}
    assert group(mysql, "ONLINE", "UNREACHABLE", "UNREACHABLE") == {"group_quorum": "fail"}
    assert group(mysql, "ONLINE", "ONLINE") == {"group_quorum": "warn"}
    assert group(mysql, "ERROR", "ONLINE", "ONLINE")["group_member"] == "fail"
    assert group(mysql, "ONLINE", "ONLINE", "ONLINE", role="SECONDARY")["group_quorum"] == "fail"


def in_group(case, role="PRIMARY"):
    """Let the replica be a member of a group of three, its channel beside that."""
    own = case.replica["variables"]["server_uuid"]
    case.replica["group_members"] = [
        {
            **MEMBER,
            "MEMBER_ID": own if not n else str(n),
            "MEMBER_HOST": f"db{n}",
            "MEMBER_ROLE": role if not n else other,
        }
        for n in range(3)
        for other in ["SECONDARY" if role == "PRIMARY" or n == 2 else "PRIMARY"]
    ]
    case.replica["variables"]["group_replication_single_primary_mode"] = "ON"
    if role == "PRIMARY":
        case.replica["variables"].update(read_only="OFF", super_read_only="OFF")


@pytest.mark.parametrize("role", ["group", "auto"])
def test_a_channel_into_a_group_is_judged_like_any_other(mysql, role):
    in_group(mysql)
    assert mysql.troubles(role=role) == {}
    mysql.set_status(Replica_IO_Running="No", Last_IO_Errno=1045, Last_IO_Error="Access denied")
    assert mysql.troubles(role=role) == {"io_thread": "fail"}
    mysql.set_status(Replica_IO_Running="No", Last_IO_Errno=0, Last_IO_Error="")
    assert mysql.troubles(role=role) == {"io_thread": "fail"}


def test_a_secondary_of_a_group_need_not_run_the_channel_of_its_primary(mysql):
    in_group(mysql, "SECONDARY")
    mysql.set_status(Replica_IO_Running="No", Replica_SQL_Running="No")
    assert mysql.troubles(role="group") == {}
    mysql.set_status(Last_IO_Errno=1045, Last_IO_Error="Access denied")
    assert set(mysql.troubles(role="group")) == {"io_thread", "sql_thread"}


def test_group_expected_but_absent(mysql):
    assert mysql.as_primary(role="group")["role"] == "fail"


def test_severity_overrides(case):
    case.set_status(Replica_SQL_Running="No")
    assert case.troubles(checks={"sql_thread": "warning"}) == {"sql_thread": "warn"}
    assert case.troubles(checks={"sql_thread": "info"}) == {}
    assert case.troubles(checks={"sql_thread": "skip"}) == {}
    case.set_status(Replica_SQL_Running="Yes", Source_SSL_Verify_Server_Cert="No")
    assert case.troubles(checks={"tls_verify": "critical"}) == {"tls_verify": "fail"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, []),
        ({"require_promotable": True}, [("promotable", "pass")]),
        ({"require_promotable": True, "checks": {"promotable": "skip"}}, []),
        ({"require_promotable": True, "role": "primary"}, []),
    ],
)
def test_a_promotion_is_judged_last_and_where_it_is_wanted(case, policy, expected):
    checks = [(check["id"], check["status"]) for check in case.judge(**policy).checks]
    assert [each for each in checks if each[0] == "promotable"] == expected
    assert checks[len(checks) - len(expected) :] == expected


def test_summary_names_the_worst_first_and_the_rest_by_id(case):
    case.replica["variables"].update(sync_binlog="0", binlog_expire_logs_seconds="60")
    case.replica["tables"][0]["keyed"] = False
    case.set_status(Replica_SQL_Running="No", SQL_Delay=5)
    verdict = case.judge()
    assert verdict.reasons[0] == "sql_thread"
    text = verdict.summary("db2")
    assert text.startswith("critical: db2: [sql_thread] The applier is stopped")
    assert "And 2 more:" in text


def test_every_rule_is_documented():
    root = TOP
    text = (root / "docs" / "replication-verdict.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert sections == set(rules.SEVERITIES) | set(SET_RULES) | {"connect"}


# --- what cannot be read --------------------------------------------------------------------------------------------

REFUSAL = {"errno": 1227, "error": "Access denied", "grant": "GRANT X ON *.* TO y;"}


def deny(server, *sections):
    """Let a server have refused these sections."""
    for section in sections:
        server.pop(section, None)
        server["denied"][section] = REFUSAL


def without_variables(server):
    """Let a server have said nothing but who it is."""
    kept = {name: server["variables"][name] for name in ("server_id", "server_uuid") if name in server["variables"]}
    deny(server, "variables")
    server["variables"] = kept


NEEDING_VARIABLES = {
    "read_only", "gtid_mode", "binlog", "retention", "durability", "parallel", "heartbeat_interval", "settings_alike",
}  # fmt: skip


def test_rules_without_the_variables_are_unknown_and_name_the_grant(case):
    without_variables(case.replica)
    expected = NEEDING_VARIABLES | (set() if case.mariadb else {"super_read_only"})
    assert case.troubles() == dict.fromkeys(expected, "unknown")
    assert case.judge().verdict == "unknown"
    assert {case.check(rule)["hint"] for rule in expected} == {"Run on db2: GRANT X ON *.* TO y;"}


def test_variables_that_the_server_does_not_show_are_unknown_too(mysql):
    without_variables(mysql.replica)
    mysql.replica["denied"].clear()
    assert mysql.troubles() == dict.fromkeys(("read_only", "super_read_only", "gtid_mode", "retention"), "unknown")
    assert mysql.check("gtid_mode")["message"] == "The server does not say whether GTIDs are on."


def test_a_primary_whose_variables_may_not_be_read_is_not_called_writable(case):
    without_variables(case.primary)
    assert case.as_primary()["writable"] == "unknown"


@pytest.mark.parametrize(
    ("side", "section", "rule"),
    [
        ("primary", "dump_threads", "tls_in_use"),
        ("primary", "replication_account", "repl_account"),
        ("replica", "replication_account", "repl_account_here"),
        ("replica", "blockers", "applier_blocked"),
    ],
)
def test_a_refused_section_makes_its_own_rule_unknown(case, side, section, rule):
    deny(getattr(case, side), section)
    assert case.troubles() == {rule: "unknown"}


def test_a_receiver_whose_status_may_not_be_read_is_unknown(mysql):
    deny(mysql.replica, "connection_status")
    assert mysql.troubles() == {"source_silent": "unknown", "apply_backlog": "unknown"}


def test_logs_that_may_not_be_listed_make_the_purge_horizon_unknown(mariadb):
    deny(mariadb.primary, "oldest_binlog")
    assert mariadb.troubles() == {"purge_horizon": "unknown"}


def test_what_only_a_mightier_account_could_read_is_no_alarm(case):
    deny(case.primary, "replication_account")
    deny(case.replica, "replication_account")
    verdict = case.judge()
    assert (verdict.verdict, rules.coverage(case.context(), verdict)) == ("ok", "partial")


def test_replicas_that_may_not_be_listed_are_not_called_absent(case):
    deny(case.primary, "replicas")
    assert case.as_primary(expected_replicas=["4711"])["replicas_attached"] == "unknown"


def test_a_channel_without_a_retry_interval_is_not_judged_by_it(case):
    del case.status["Connect_Retry"]
    assert case.troubles() == {}
    assert not [c for c in case.judge().checks if c["id"] == "retry_window"]


# --- figures at their borders ---------------------------------------------------------------------------------------


def test_a_server_id_of_zero_cannot_replicate(case):
    case.with_primary = False
    case.replica["variables"]["server_id"] = "0"
    assert case.troubles() == {"server_id_unique": "fail"}
    assert case.check("server_id_unique")["observed"] == 0


@pytest.mark.parametrize(("status", "expected"), [("ON", "pass"), ("OFF", "warn")])
def test_a_semi_synchronous_receiver_has_to_acknowledge(case, status, expected):
    name = "rpl_semi_sync_slave" if case.mariadb else "rpl_semi_sync_replica"
    case.replica["variables"][f"{name}_enabled"] = "ON"
    case.replica["status"][f"{name}_status"] = status
    assert case.check("semi_sync")["status"] == expected


def test_a_receiver_that_is_not_connected_need_not_acknowledge(case):
    name = "rpl_semi_sync_slave" if case.mariadb else "rpl_semi_sync_replica"
    case.replica["variables"][f"{name}_enabled"] = "ON"
    case.replica["status"][f"{name}_status"] = "OFF"
    case.set_status(Replica_IO_Running="No", Last_IO_Errno=2003)
    assert case.troubles() == {"io_thread": "fail"}


def test_a_replica_that_could_take_over_is_said_to(case):
    assert case.check("promotable", require_promotable=True)["status"] == "pass"


def test_clocks_that_are_not_known_are_not_compared(case):
    del case.primary["clock"]
    assert not [c for c in case.judge().checks if c["id"] == "clock"]


def test_a_purge_horizon_that_nobody_knows_is_not_judged(mariadb):
    del mariadb.primary["oldest_binlog"]
    assert not [c for c in mariadb.judge().checks if c["id"] == "purge_horizon"]
    assert rules.report(mariadb.context(), mariadb.judge())["gtid"]["unrecoverable"] is None
