from __future__ import annotations

import sys

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_verify as module
from scripted_mysql import LOST, REFUSED, Data, Network, Pair, error


def complaints(**options):
    checked = ArgumentSpecValidator(module._spec()).validate(options)
    assert not checked.error_messages, checked.error_messages
    return module.complaints(checked.validated_parameters)


def test_nothing_to_complain_about():
    assert complaints() == []
    assert complaints(primary_host="db1", probe=True, heartbeat_table="a.b", compare=["a"], wait_for="caught_up") == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"checks": {"io_thread": "loud"}}, "severity is one of"),
        ({"checks": {"io_thraed": "skip"}}, "there is no rule io_thraed"),
        ({"probe": True}, "probe needs heartbeat_table"),
        ({"probe": True, "heartbeat_table": "a.b"}, "probe needs heartbeat_table"),
        ({"heartbeat_table": "nodot"}, "schema.table"),
        ({"compare": ["a"]}, "compare needs"),
        ({"wait_for": "caught_up"}, "needs a target"),
        ({"wait_for": "caught_up", "wait_target": "rubbish"}, "neither a MySQL GTID set nor"),
        ({"primary_gtid": "x"}, "neither a MySQL GTID set nor"),
        ({"role": "primary", "primary_host": "db1"}, "a primary follows nobody"),
        ({"max_lag": -1, "warn_lag": -2}, "max_lag must not be negative"),
        ({"poll_interval": 0}, "poll_interval must be greater than 0"),
        ({"read_timeout": 0}, "read_timeout must be greater than 0"),
        ({"warn_lag": 40}, "warn_lag (40) must not be greater"),
        ({"expected_primary": "db1"}, "expected_primary needs servers"),
        ({"servers": [{"host": "a"}], "expected_primary": "b"}, "is not in servers"),
        ({"servers": [{"host": "a"}, {"host": "a"}]}, "listed twice"),
        ({"servers": [{"host": "a"}], "wait_for": "healthy"}, "servers does not go with wait_for"),
    ],
)
def test_options_that_make_no_sense(options, word):
    assert word in "; ".join(complaints(**options))


def test_all_complaints_at_once():
    assert len(complaints(max_lag=-1, warn_lag=0, poll_interval=0, heartbeat_table="x")) >= 4


def test_primary_inherits_what_is_not_given_for_it():
    params = (
        ArgumentSpecValidator(module._spec())
        .validate(
            {"login_user": "u", "login_password": "p", "ca_cert": "/c", "primary_host": "db1", "primary_password": ""}
        )
        .validated_parameters
    )
    local = module.ConnectionOptions.from_params(params)
    found = module.primary_options(params, local)
    assert (found.host, found.user, found.password, found.ca_cert, found.unix_socket) == ("db1", "u", "", "/c", None)
    assert module.primary_options({**params, "primary_host": None}, local) is None


# --- run against scripted servers -----------------------------------------------------------------------------------


class Verified:
    """A recorded pair, and the module that judges the replica."""

    def __init__(self, pair, run_module):
        self.pair, self.clock, self.mariadb = pair, pair.clock, pair.mariadb
        self.replica, self.primary = pair.replica, pair.primary
        self._run = run_module

    def verify(self, check=False, **options):
        """What the module answers about the replica, compared with its primary; no server is written to."""
        given = {"login_user": "root", "login_unix_socket": Pair.REPLICA, "primary_host": "db1", "role": "replica"}
        given = {name: value for name, value in {**given, **options}.items() if value is not None}
        answer = self._run(module, check=check, **given)
        assert not self.replica.told_to("INSERT", "UPDATE", "DELETE", "CREATE", "SET GLOBAL", "START", "STOP", "CHANGE")
        return answer

    def alone(self, **options):
        """The same without a primary."""
        return self.verify(primary_host=None, **options)

    def set(self, **columns):
        """Change the channel's row, by the names of MySQL."""
        for name, value in columns.items():
            ours = name.replace("Replica_", "Slave_").replace("Source", "Master") if self.mariadb else name
            assert ours in self.replica.status
            self.replica.status[ours] = value

    def ahead(self, count):
        """Let the primary have so many transactions more than the replica."""
        if self.mariadb:
            self.primary.rows.update(position=f"0-20-{4 + count}", executed=f"0-20-{4 + count}")
        else:
            uuid = self.primary.rows["variables"]["server_uuid"]
            self.primary.rows["executed"] = f"{uuid}:1-{4 + count}"

    def apply(self):
        """Let the replica have what its primary has."""
        names = ("position", "executed", "slave_pos", "binlog_pos") if self.mariadb else ("executed",)
        source = "position" if self.mariadb else "executed"
        self.replica.rows.update(dict.fromkeys(names, self.primary.rows[source]))

    @property
    def position(self):
        """Where the primary is."""
        return self.primary.rows["position" if self.mariadb else "executed"]

    def arrives(self, *answers):
        """What waiting for a position answers, one after the other; each wait of no success takes its time."""

        def wait(answer):
            def run(_statement, arguments):
                if answer != 0:
                    self.clock.sleep(arguments[1])
                return [{"arrived": answer}]

            return run

        self.replica.on("GTID_WAIT(" if self.mariadb else "WAIT_FOR_EXECUTED_GTID_SET(", *map(wait, answers))


@pytest.fixture(params=["mysql97", "mariadb118"])
def pair(request, network, clock, run_module):
    """A pair of either engine."""
    return Verified(Pair(request.param, network, clock), run_module)


@pytest.fixture
def mysql(network, clock, run_module):
    """A pair of MySQL."""
    return Verified(Pair("mysql97", network, clock), run_module)


@pytest.fixture
def mariadb(network, clock, run_module):
    """A pair of MariaDB."""
    return Verified(Pair("mariadb118", network, clock), run_module)


def check(answer, identifier, server=None):
    """One check of an answer."""
    return next(c for c in answer["checks"] if c["id"] == identifier and server in {None, c.get("server")})


def test_a_healthy_pair_is_right_and_compared_in_full(pair):
    answer = pair.verify()
    assert (answer["verdict"], answer["coverage"], answer["reasons"]) == ("ok", "full", [])
    assert (answer["changed"], answer["promotion"]["promotable"]) == (False, True)
    assert answer["primary"]["reachable"] is True
    assert pair.clock.naps == [], "nothing had to be waited for"
    assert pair.replica.closed == len(pair.replica.opened)
    assert pair.primary.closed == len(pair.primary.opened)


def test_the_host_is_named_where_a_socket_would_tell_nobody(pair):
    assert f"replication of {pair.replica.rows['variables']['hostname']} is right" in pair.verify()["summary"]


def test_without_a_primary_the_verdict_is_partial(mysql):
    answer = mysql.alone()
    assert (answer["verdict"], answer["coverage"], answer["primary"]) == ("ok", "partial", None)


def test_the_rows_are_returned_where_they_are_asked_for(mysql):
    raw = mysql.verify(return_raw=True)["raw"]
    assert raw["local"]["replica_status"] == mysql.replica.rows["replica_status"]
    assert raw["primary"]["executed"] == mysql.primary.rows["executed"]
    assert mysql.alone(return_raw=True)["raw"]["primary"] is None


@pytest.mark.parametrize(
    ("change", "fail_on", "failed", "verdict"),
    [
        ("sql_thread", "critical", True, "critical"),
        ("sql_thread", "warning", True, "critical"),
        ("sql_thread", "never", False, "critical"),
        ("delay", "critical", False, "warning"),
        ("delay", "warning", True, "warning"),
    ],
)
def test_the_task_fails_from_the_verdict_on_that_is_told(pair, change, fail_on, failed, verdict):
    pair.set(**({"Replica_SQL_Running": "No"} if change == "sql_thread" else {"SQL_Delay": 5}))
    answer = pair.verify(fail_on=fail_on)
    assert (bool(answer.get("failed")), answer["verdict"], answer["reasons"]) == (failed, verdict, [change])
    assert not failed or answer["msg"] == answer["summary"]


def test_what_may_not_be_read_is_unknown_names_its_grant_and_fails(pair):
    pair.replica.deny("REPLICAS STATUS" if pair.mariadb else "SHOW REPLICA STATUS")
    answer = pair.verify(role="auto", primary_host=None)
    assert (answer["failed"], answer["verdict"], answer["coverage"]) == (True, "unknown", "partial")
    grant = "SLAVE MONITOR" if pair.mariadb else "REPLICATION CLIENT"
    assert f"GRANT {grant} ON *.* TO 'verify'@'192.0.2.%';" in answer["summary"]


# --- servers that cannot be queried -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "errno", "word"),
    [
        (REFUSED, 2003, "cannot be reached"),
        (error(1045, "Access denied"), 1045, "refused the login of 'root'"),
        (error(2013, "Lost connection (timed out)"), 2013, "did not answer within 10 s"),
        (error(1040, "Too many connections"), 1040, "no free connection left"),
    ],
)
def test_a_server_that_cannot_be_asked_is_a_verdict(mysql, refusal, errno, word):
    mysql.replica.refusal = refusal
    answer = mysql.verify()
    assert (answer["failed"], answer["verdict"], answer["reasons"]) == (True, "critical", ["connect"])
    assert word in answer["msg"]
    assert (check(answer, "connect")["observed"], bool(check(answer, "connect")["hint"])) == (errno, True)
    assert answer["promotion"] == {"promotable": False, "blockers": ["connect"], "warnings": []}
    assert mysql.verify(fail_on="never")["verdict"] == "critical"


def test_a_missing_driver_is_named_with_its_package(mysql, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    assert "python3-pymysql" in mysql.verify()["msg"]


def test_a_server_that_is_lost_between_two_answers_is_a_verdict(mysql):
    mysql.replica.on("gtid_executed AS executed", LOST)
    assert mysql.verify()["reasons"] == ["connect"]
    assert mysql.replica.closed == len(mysql.replica.opened)


def test_a_primary_that_cannot_be_asked_is_said_so_and_the_rest_is_judged(pair):
    pair.primary.refusal = REFUSED
    answer = pair.verify(source_silence_wait=0)
    assert (answer["failed"], answer["primary"]["reachable"]) == (True, False)
    assert check(answer, "primary_reachable")["message"].startswith("The primary cannot be queried: db1:3306 cannot be")
    assert check(answer, "sql_thread")["status"] == "pass"


def test_an_account_table_is_not_read_where_its_rule_is_skipped(mysql):
    answer = mysql.verify(checks={"repl_account": "skip", "repl_account_here": "skip"})
    assert answer["verdict"] == "ok"
    for server in (mysql.replica, mysql.primary):
        assert not [statement for statement in server.told if "mysql.user" in statement]


# --- errant transactions --------------------------------------------------------------------------------------------


def test_a_transaction_that_the_primary_commits_later_is_not_errant(mysql):
    uuid = mysql.primary.rows["variables"]["server_uuid"]
    mysql.replica.rows["executed"] = f"{uuid}:1-5"
    mysql.clock.meanwhile.append(lambda: mysql.primary.rows.update(executed=f"{uuid}:1-5"))
    answer = mysql.verify()
    assert (answer["verdict"], answer["gtid"]["errant"], mysql.clock.naps) == ("ok", "", [0.35])


def test_a_transaction_that_the_primary_never_has_is_errant(mysql):
    mysql.replica.rows["executed"] += ",99999999-71ca-11e1-9e33-c80aa9429562:1"
    answer = mysql.verify()
    assert (answer["reasons"], answer["gtid"]["errant_count"]) == (["errant"], 1)
    assert mysql.clock.naps == [0.35] * 6


def test_errant_transactions_of_another_engine_are_not_looked_for(mysql, network):
    network.add("db1:3306", Pair("mariadb118", Network(), mysql.clock).primary)
    answer = mysql.verify()
    assert check(answer, "version_order")["message"].startswith("A mysql server follows a mariadb server")
    assert check(answer, "errant")["status"] == "unknown"
    assert (answer["gtid"]["missing"], answer["gtid"]["errant"]) == (None, None)


@pytest.mark.parametrize("side", ["replica", "primary"])
def test_a_position_that_cannot_be_read_is_unknown(pair, side):
    getattr(pair, side).rows["executed"] = "rubbish"
    answer = pair.verify()
    assert check(answer, "errant")["status"] == "unknown"
    assert answer["gtid"]["errant"] is None


# --- silence --------------------------------------------------------------------------------------------------------


def test_a_position_level_with_the_primary_is_a_sign_of_life_by_itself(mariadb):
    answer = mariadb.verify()
    assert (check(answer, "source_silent")["observed"], mariadb.clock.naps) == (0, [])


def test_without_a_primary_the_receiver_is_watched_for_two_heartbeats(mariadb):
    answer = mariadb.alone()
    assert answer["reasons"] == ["source_silent"]
    assert sum(mariadb.clock.naps) == pytest.approx(7.3, abs=0.25)


def test_a_heartbeat_meanwhile_ends_the_watch(mariadb):
    mariadb.clock.meanwhile.append(lambda: mariadb.replica.status.update(Slave_received_heartbeats=1))
    assert mariadb.alone()["verdict"] == "ok"
    assert mariadb.clock.naps == [0.25]


def test_the_watch_is_as_long_as_told_and_left_out_where_skipped(mariadb):
    mariadb.alone(source_silence_wait=1)
    assert sum(mariadb.clock.naps) == 1
    assert mariadb.alone(checks={"source_silent": "skip"})["verdict"] == "ok"
    assert sum(mariadb.clock.naps) == 1


def test_a_replica_behind_its_primary_is_watched(mariadb):
    mariadb.primary.rows["binlog_pos"] = "0-20-9"
    mariadb.clock.meanwhile.append(lambda: mariadb.replica.status.update(Slave_received_heartbeats=1))
    assert mariadb.verify()["verdict"] == "ok"
    assert mariadb.clock.naps == [0.25]


# --- heartbeat table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "channels", "end"),
    [(True, True, "WHERE server_id = 10"), (False, True, "WHERE server_id = 10"), (False, False, "ORDER BY ts DESC")],
)
def test_the_heartbeat_of_the_source_is_the_lag(mysql, primary, channels, end):
    if not channels:
        mysql.replica.rows["replica_status"] = []
    mysql.replica.on("`ops`.`beat`", [{"server_id": 10, "age": 3.5}])
    verify = mysql.verify if primary else mysql.alone
    answer = verify(heartbeat_table="ops.beat", role="auto")
    assert end in next(statement for statement in mysql.replica.told if "`ops`.`beat`" in statement)
    assert not channels or answer["channels"][0]["lag"]["seconds"] == 3.5


# --- waiting --------------------------------------------------------------------------------------------------------


def test_waiting_ends_as_soon_as_the_replica_is_healthy(pair):
    pair.set(Replica_IO_Running="Connecting", Last_IO_Errno=2003, Last_IO_Error="attempt 1/86400")
    pair.clock.meanwhile += [lambda: None, lambda: pair.set(Replica_IO_Running="Yes", Last_IO_Errno=0)]
    answer = pair.verify(wait_for="healthy")
    assert (answer["verdict"], answer["wait"]["reached"], answer["wait"]["attempts"]) == ("ok", True, 3)
    assert pair.clock.naps == [0.5, 0.5]


def test_waiting_ends_when_the_time_is_over(pair):
    pair.set(Replica_IO_Running="Connecting", Last_IO_Errno=2003, Last_IO_Error="attempt 1/86400")
    answer = pair.verify(wait_for="healthy", wait_timeout=2, poll_interval=0.8)
    assert (answer["failed"], answer["wait"]["reached"]) == (True, False)
    assert answer["msg"].startswith("Gave up waiting after 2.0 s (io_thread). critical: ")
    assert pair.clock.naps == pytest.approx([0.8, 0.8, 0.4])


def test_what_waiting_cannot_heal_is_not_waited_for(pair):
    pair.set(Replica_SQL_Running="No")
    answer = pair.verify(wait_for="healthy")
    assert answer["wait"]["last"] == "waiting cannot help: sql_thread"
    assert pair.clock.naps == []
    assert pair.verify(wait_for="healthy", fail_on="never").get("failed") is None


def test_a_server_that_is_starting_is_waited_for(mysql):
    mysql.replica.refusal = REFUSED
    mysql.clock.meanwhile.append(lambda: setattr(mysql.replica, "refusal", None))
    answer = mysql.verify(wait_for="healthy")
    assert (answer["verdict"], answer["wait"]["attempts"]) == ("ok", 2)


def test_after_a_lost_session_a_new_one_is_opened(mysql):
    position = [{"executed": mysql.replica.rows["executed"], "purged": ""}]
    mysql.replica.on("gtid_executed AS executed", LOST, position)
    answer = mysql.verify(wait_for="healthy")
    assert (answer["verdict"], answer["wait"]["attempts"], len(mysql.replica.opened)) == ("ok", 2, 2)


def test_after_a_lost_session_with_the_primary_a_new_one_is_opened(mysql):
    position = [{"executed": mysql.primary.rows["executed"], "purged": ""}]
    mysql.primary.on("gtid_executed AS executed", LOST, position)
    answer = mysql.verify(wait_for="healthy")
    assert (answer["verdict"], answer["wait"]["attempts"], len(mysql.primary.opened)) == ("ok", 2, 2)


@pytest.mark.parametrize("errno", [1045, 1698])
def test_a_login_that_is_refused_is_not_tried_again(mysql, errno):
    mysql.replica.refusal = error(errno, "Access denied")
    answer = mysql.verify(wait_for="healthy")
    assert (answer["wait"]["attempts"], answer["reasons"], mysql.clock.naps) == (1, ["connect"], [])
    assert f"({errno}: Access denied)" in answer["wait"]["last"]


def test_a_replica_that_has_everything_has_caught_up_at_once(pair):
    answer = pair.verify(wait_for="caught_up")
    assert answer["wait"] == {
        "reached": True, "attempts": 1, "target": pair.position, "last": "", "elapsed_s": 0.0,
    }  # fmt: skip


def test_the_server_itself_says_when_it_has_caught_up(pair):
    pair.ahead(10)
    target = pair.position
    pair.arrives(-1 if pair.mariadb else 1, 0)
    answer = pair.verify(wait_for="caught_up", fail_on="never", poll_interval=2)
    assert (answer["wait"]["reached"], answer["wait"]["target"], answer["wait"]["attempts"]) == (True, target, 2)
    assert sum(pair.clock.naps) == 2


def test_a_target_stays_where_it_was_when_the_wait_began(pair):
    pair.ahead(10)
    pair.arrives(-1 if pair.mariadb else 1)

    def both():
        pair.apply()
        pair.ahead(20)

    pair.clock.meanwhile.append(both)
    answer = pair.verify(wait_for="caught_up", fail_on="never")
    assert (answer["wait"]["reached"], answer["wait"]["attempts"]) == (True, 2)
    assert answer["gtid"]["missing_count"] == 10


def test_what_is_missing_last_is_told_when_the_time_is_over(pair):
    pair.ahead(10)
    pair.arrives(-1 if pair.mariadb else 1)
    answer = pair.verify(wait_for="caught_up", wait_timeout=3, poll_interval=1)
    assert (answer["failed"], answer["wait"]["attempts"]) == (True, 3)
    assert answer["wait"]["last"] == "missing: " + (
        "{0: 10}" if pair.mariadb else f"{pair.primary.rows['variables']['server_uuid']}:5-14"
    )


def test_a_stopped_applier_cannot_catch_up(pair):
    pair.ahead(10)
    pair.set(Replica_SQL_Running="No")
    answer = pair.verify(wait_for="caught_up", poll_interval=2)
    assert answer["wait"]["last"] == "waiting cannot help: sql_thread"
    assert pair.clock.naps == [2]


def test_what_does_not_stop_it_from_catching_up_is_no_reason_to_give_up(pair):
    pair.ahead(10)
    pair.set(SQL_Delay=5)
    pair.arrives(0)
    assert pair.verify(wait_for="caught_up", checks={"delay": "critical"}, fail_on="never")["wait"]["reached"] is True


@pytest.mark.parametrize("option", ["primary_gtid", "wait_target"])
def test_a_position_may_be_given_instead_of_a_primary(pair, option):
    pair.ahead(0)
    answer = pair.alone(wait_for="caught_up", source_silence_wait=0, fail_on="never", **{option: pair.position})
    assert (answer["wait"]["reached"], answer["wait"]["target"]) == (True, pair.position)


def test_a_position_of_the_other_engine_is_refused_in_words(pair):
    other = "c9ed6f25-e551-11f1-849a-0242ac1f4d0a:1-4" if pair.mariadb else "0-20-4"
    answer = pair.alone(wait_for="caught_up", wait_target=other, wait_timeout=1, source_silence_wait=0)
    assert (answer["failed"], answer["wait"]["reached"]) == (True, False)
    assert answer["wait"]["last"].startswith("wait_target: ")


def test_a_registered_position_of_the_other_engine_is_unknown(pair):
    other = "c9ed6f25-e551-11f1-849a-0242ac1f4d0a:1-4" if pair.mariadb else "0-20-4"
    answer = pair.alone(primary_gtid=other, source_silence_wait=0, fail_on="never")
    assert check(answer, "lag_gtid")["status"] == "unknown"
    assert answer["gtid"]["missing"] is None


def test_without_the_primary_there_is_no_position_to_wait_for(mysql):
    mysql.primary.refusal = REFUSED
    answer = mysql.verify(wait_for="caught_up", wait_timeout=1)
    assert "The primary cannot be queried" in answer["wait"]["last"]
    assert answer["wait"]["target"] is None


# --- probe ----------------------------------------------------------------------------------------------------------


def probing(pair, *seen, written=()):
    """Script the heartbeat table: what writing it says, and what the replica sees of it, one after the other."""
    pair.replica.on("FROM `ops`.`beat`", [])
    pair.replica.on("SELECT ts FROM `ops`.`beat`", *seen)
    pair.primary.on("INSERT INTO `ops`.`beat`", *(written or ([],)))
    pair.primary.on("@@GLOBAL.server_id AS id", [{"id": 10}])


ARRIVED = [{"ts": "9999-01-01T00:00:00.000000"}]


def test_a_row_is_written_on_the_primary_and_timed_until_it_arrives(pair):
    probing(pair, [], [], [{"ts": "2000-01-01T00:00:00.000000"}], ARRIVED)
    answer = pair.verify(probe=True, heartbeat_table="ops.beat")
    assert (answer["probe"]["ok"], answer["probe"]["error"]) == (True, "")
    assert answer["probe"]["latency_ms"] == pytest.approx(sum(pair.clock.naps) * 1000, abs=0.1)
    assert len(pair.clock.naps) == 2
    assert check(answer, "probe")["status"] == "pass"
    (written,) = pair.primary.told_to("INSERT")
    assert written.endswith("ON DUPLICATE KEY UPDATE ts = " + written.split("'")[1].join("''"))


def test_a_row_of_the_future_is_not_taken_for_the_one_of_the_probe(pair):
    probing(pair, ARRIVED)
    answer = pair.verify(probe=True, heartbeat_table="ops.beat")
    assert answer["reasons"] == ["probe"]
    assert answer["probe"]["error"].endswith("s ago has not arrived here.")


def test_a_row_that_does_not_arrive_fails_after_the_greatest_lag(pair):
    probing(pair, [])
    answer = pair.verify(probe=True, heartbeat_table="ops.beat", max_lag=20)
    assert (answer["failed"], answer["reasons"]) == (True, ["probe"])
    assert "20." in answer["probe"]["error"]
    assert answer["probe"]["error"].endswith("s ago has not arrived here.")


@pytest.mark.parametrize("errno", [1146, 1049])
def test_a_table_that_is_still_on_its_way_is_waited_for(pair, errno):
    probing(pair, error(errno, "does not exist"), ARRIVED)
    assert pair.verify(probe=True, heartbeat_table="ops.beat")["probe"]["ok"] is True


@pytest.mark.parametrize(
    ("errno", "hint"),
    [
        (1146, "Create it on the primary: CREATE TABLE ops.beat (ts varchar(26) NOT NULL"),
        (1142, "GRANT SELECT, INSERT, UPDATE ON ops.beat TO the account on the primary."),
        (1290, "--read-only option"),
    ],
)
def test_a_probe_that_cannot_be_written_says_what_to_do(pair, errno, hint):
    probing(pair, [], written=(error(errno, "running with the --read-only option"),))
    answer = pair.verify(probe=True, heartbeat_table="ops.beat")
    assert answer["failed"] is True
    assert answer["probe"]["error"].startswith("The probe failed: db1:3306: ")
    assert hint in answer["probe"]["error"]


def test_a_probe_that_cannot_be_read_here_fails(pair):
    probing(pair, error(1142, "SELECT command denied"))
    assert "SELECT command denied" in pair.verify(probe=True, heartbeat_table="ops.beat")["probe"]["error"]


def test_a_probe_without_a_primary_that_answers_fails(mysql):
    probing(mysql, [])
    mysql.primary.refusal = REFUSED
    assert "cannot be reached" in mysql.verify(probe=True, heartbeat_table="ops.beat")["probe"]["error"]


def test_check_mode_writes_nothing(pair):
    probing(pair, ARRIVED)
    answer = pair.verify(check=True, probe=True, heartbeat_table="ops.beat")
    assert ("probe" in answer, pair.primary.told_to("INSERT")) == (False, [])


# --- compare --------------------------------------------------------------------------------------------------------


def test_data_are_compared_and_a_difference_fails(pair):
    both = [Data(pair.primary), Data(pair.replica)]
    for data in both:
        data.run("CREATE TABLE shop.t (id INTEGER PRIMARY KEY)", "INSERT INTO shop.t VALUES (1), (2)")
    answer = pair.verify(compare=["shop"])
    assert (answer["verdict"], answer["compare"]["rows"]) == ("ok", 2)
    both[1].run("DELETE FROM shop.t WHERE id = 2")
    position = "gtid_current_pos" if pair.mariadb else "gtid_executed"
    pair.primary.on(f"@@GLOBAL.{position} AS p", [{"p": pair.position}])
    pair.arrives(0)
    answer = pair.verify(compare=["shop"])
    assert (answer["failed"], answer["reasons"]) == (True, ["compare"])
    assert "shop.t id = 2: 1 row(s) missing here" in answer["msg"]


def test_without_the_primary_nothing_is_compared(mysql):
    mysql.primary.refusal = REFUSED
    answer = mysql.verify(compare=["shop"])
    assert answer["compare"]["error"].startswith("Nothing was compared: db1:3306 cannot be reached")
    assert check(answer, "compare")["status"] == "unknown"


# --- sets -----------------------------------------------------------------------------------------------------------


class Set:
    """A recorded pair as a set of two servers."""

    def __init__(self, verified, network, run_module):
        self.mariadb, self.clock = verified.mariadb, verified.clock
        self.primary = verified.primary
        self.replica = network.add("db2:3306", verified.replica)
        self._run = run_module
        # A server that knows where it is called: the recorded addresses are not those of the test.
        verified.set(Source_Host="db1")
        if self.mariadb:
            self.replica.on("SHOW ALL REPLICAS STATUS", self._beating)

    def _beating(self, *_):
        self.replica.status["Slave_received_heartbeats"] += 1
        return self.replica.rows["replica_status"]

    def verify(self, *more, **options):
        """What the module answers about the set, and about further servers."""
        servers = [{"name": name, "host": name} for name in ("db1", "db2", *more)]
        return self._run(module, login_user="verify", servers=servers, **options)


@pytest.fixture
def both(pair, network, run_module):
    """A set of either engine."""
    return Set(pair, network, run_module)


def problems(answer):
    """What is not right, with the server it is said of."""
    return {(c.get("server"), c["id"], c["status"]) for c in answer["checks"] if c["status"] not in {"pass", "info"}}


def test_a_healthy_set_is_right_and_its_tree_is_told(both):
    answer = both.verify(expected_primary="db1")
    assert (answer["verdict"], answer["coverage"], problems(answer)) == ("ok", "full", set())
    assert (answer["topology"]["primary"], answer["topology"]["follows"]) == ("db1", {"db2": ["db1"]})
    assert answer["servers"]["db1"]["role"]["expected"] == "primary"
    assert answer["servers"]["db2"]["role"]["expected"] == "replica"
    assert answer["summary"].startswith("ok: replication of the set of db1, db2 is right")
    for server in (both.primary, both.replica):
        assert server.closed == len(server.opened)
        assert not server.told_to("INSERT", "SET GLOBAL", "START", "STOP", "CHANGE")


def test_a_member_that_cannot_be_asked_does_not_hide_the_others(both):
    answer = both.verify("db3")
    assert (answer["failed"], answer["coverage"]) == (True, "partial")
    assert {(None, "single_writer", "warn"), ("db3", "connect", "fail")} <= problems(answer)
    assert answer["servers"]["db3"]["reasons"] == ["connect"]
    assert answer["servers"]["db2"]["verdict"] == "ok"
    assert answer["topology"]["unreachable"] == ["db3"]


def test_a_member_that_is_lost_while_it_is_read_counts_as_not_reached(both):
    both.primary.on("gtid_binlog_state AS state" if both.mariadb else "gtid_executed AS executed", LOST)
    answer = both.verify()
    assert answer["topology"]["unreachable"] == ["db1"]
    assert both.primary.closed == len(both.primary.opened)


def test_a_primary_lost_after_it_was_read_leaves_replicas_uncompared(both):
    columns = "gtid_binlog_state AS state" if both.mariadb else "gtid_executed AS executed"
    rows = both.primary.rows
    first = (
        [{"state": rows["executed"], "binlog": rows["binlog_pos"], "slave": "", "current": rows["position"]}]
        if both.mariadb
        else [{"executed": rows["executed"], "purged": ""}]
    )
    both.primary.on(columns, first, LOST)
    answer = both.verify()
    assert ("db2", "primary_reachable", "fail") in problems(answer)
    assert "db1 can no longer be queried" in answer["msg"]


def test_a_second_writer_is_found(both):
    both.replica.rows["variables"].update(read_only="OFF", super_read_only="OFF")
    answer = both.verify()
    assert {(None, "single_writer", "fail"), ("db2", "read_only", "fail")} <= problems(answer)
    assert answer["topology"]["writable"] == ["db1", "db2"]


def test_an_identity_that_two_members_share_is_said_once_of_the_set(both):
    name = "server_id" if both.mariadb else "server_uuid"
    both.replica.rows["variables"][name] = both.primary.rows["variables"][name]
    found = problems(both.verify())
    assert {problem for problem in found if problem[1] == "server_id_unique"} == {(None, "server_id_unique", "fail")}


def test_another_primary_than_expected_is_said_so(both):
    assert problems(both.verify(expected_primary="db2")) == {(None, "expected_primary", "fail")}


def test_a_frozen_source_is_found_by_watching_its_replica(mariadb, network, run_module):
    both = Set(mariadb, network, run_module)
    both.replica.on("SHOW ALL REPLICAS STATUS", lambda *_: both.replica.rows["replica_status"])
    assert problems(both.verify()) == {("db2", "source_silent", "fail")}


def test_members_have_sockets_or_addresses_and_accounts_of_their_own(mysql, network, run_module):
    network.add("db2:3307", mysql.replica)
    network.add("/run/db1.sock", mysql.primary)
    servers = [{"unix_socket": "/run/db1.sock", "user": "root", "password": ""}, {"host": "db2", "port": 3307}]
    answer = run_module(module, login_user="verify", login_password="p", servers=servers, fail_on="never")
    assert set(answer["servers"]) == {"/run/db1.sock", "db2:3307"}
    assert [(o["user"], o["password"]) for o in mysql.primary.opened] == [("root", b"")]
    assert [(o["user"], o["password"]) for o in mysql.replica.opened] == [("verify", b"p")]


def test_complaints_about_options_are_told_before_a_server_is_asked(mysql):
    answer = mysql.verify(poll_interval=0, max_lag=-1, warn_lag=-1)
    assert "poll_interval must be greater than 0" in answer["msg"]
    assert mysql.replica.opened == []
