# SPDX-License-Identifier: GPL-3.0-or-later
"""The acts by which the role of the primary moves end in time, and say what they did not do."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
)
from ansible_collections.pentad.webstack.plugins.module_utils.replication import promotion
from ansible_collections.pentad.webstack.plugins.module_utils.replication.channel import ChannelError
from ansible_collections.pentad.webstack.plugins.module_utils.replication.promotion import (
    Journal,
    OutcomeUnknown,
    PromotionError,
)
from scripted_mysql import LOST, Pair, error

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OPTIONS = ConnectionOptions(user="root", unix_socket=Pair.REPLICA)


@pytest.fixture(params=["mysql97", "mariadb118"])
def pair(request, network, clock) -> Pair:
    """A recorded replica and its primary."""
    found = Pair(request.param, network, clock)
    for server in (found.replica, found.primary):
        for words in ("SET GLOBAL", "STOP ", "START ", "RESET ", "CHANGE ", "FLUSH TABLES", "UNLOCK TABLES", "KILL "):
            server.on(words, [])
        server.on("SELECT CONNECTION_ID()", [{"id": 9}])
        server.on("SHOW PROCESSLIST", [])
    return found


def connect() -> Connection:
    return Connection(OPTIONS)


def process(number: int, user: str = "app", command: str = "Sleep", info: str | None = None) -> dict:
    return {"Id": number, "User": user, "Host": "192.0.2.5:1", "Command": command, "Time": 3, "Info": info}


# --- the journal ----------------------------------------------------------------------------------------------------


def test_each_step_is_told_before_it_begins_and_measured(clock):
    told = []
    journal = Journal(on_step=told.append)
    with journal.step("close", "db1"):
        assert told == ["close"]
        clock.sleep(2)
    with journal.step("open", "db2"):
        clock.sleep(1)
    assert [each.as_dict() for each in journal.steps] == [
        {"name": "close", "server": "db1", "at": 0.0, "seconds": 2.0},
        {"name": "open", "server": "db2", "at": 2.0, "seconds": 1.0},
    ]


def test_everything_is_put_back_though_one_thing_cannot_be():
    done = []

    def fail() -> None:
        raise DatabaseError("db2 cannot be reached.")

    journal = Journal()
    journal.undo_with("the old one takes writes", lambda: done.append("old"))
    journal.undo_with("the new one follows", fail)
    journal.undo_with("the scheduler runs", lambda: done.append("scheduler"))
    assert journal.undo() == ["the new one follows: db2 cannot be reached."]
    assert done == ["old", "scheduler"]
    assert journal.undo() == []


def test_nothing_is_put_back_past_the_point_of_no_return():
    done = []
    journal = Journal()
    journal.undo_with("the old one takes writes", lambda: done.append("old"))
    journal.keep()
    assert (journal.undo(), done) == ([], [])


# --- closing --------------------------------------------------------------------------------------------------------


def test_closing_holds_everybody_back(pair):
    promotion.close(connect(), 3)
    wanted = ["SET SESSION lock_wait_timeout = 3"]
    wanted += (
        ["SET GLOBAL read_only = ON", "FLUSH TABLES WITH READ LOCK"]
        if pair.mariadb
        else ["SET GLOBAL super_read_only = ON"]
    )
    assert pair.replica.told_to("SET", "FLUSH")[-len(wanted) :] == wanted


def test_a_server_that_cannot_be_closed_in_time_goes_on(pair):
    pair.replica.on("FLUSH TABLES" if pair.mariadb else "super_read_only = ON", error(promotion.LOCK_TIMEOUT))
    pair.replica.on("SHOW PROCESSLIST", [process(4, command="Query", info="UPDATE t"), process(5)])
    with pytest.raises(
        PromotionError, match=r"within 3 s, because of session 4 of app@192.0.2.5:1: UPDATE t: end that"
    ):
        promotion.close(connect(), 3)
    after = pair.replica.told_to("SET GLOBAL")
    assert after[1:] == (["SET GLOBAL read_only = OFF"] if pair.mariadb else [])


def test_a_server_beside_another_primary_stays_read_only(pair):
    pair.replica.on("FLUSH TABLES" if pair.mariadb else "super_read_only = ON", error(promotion.LOCK_TIMEOUT))
    pair.replica.on("SHOW PROCESSLIST", [])
    with pytest.raises(PromotionError, match="could not be closed within 3 s"):
        promotion.close(connect(), 3, goes_on=False)
    assert len(pair.replica.told_to("SET GLOBAL")) == 1


def test_tables_that_are_locked_are_named_as_the_reason(pair):
    pair.replica.on("SET GLOBAL", error(promotion.LOCK_TIMEOUT))
    pair.replica.on("SHOW PROCESSLIST", [process(5)])
    with pytest.raises(PromotionError, match="a session that has locked tables"):
        promotion.close(connect(), 3)


def test_another_error_is_told_as_it_is(pair):
    pair.replica.on("SET GLOBAL", error(1227, "Access denied"))
    with pytest.raises(DatabaseError, match="Access denied"):
        promotion.close(connect(), 3)


def test_reopening_lifts_the_lock_first(pair):
    promotion.reopen(connect())
    told = pair.replica.told_to("UNLOCK", "SET GLOBAL")
    assert told == (["UNLOCK TABLES"] if pair.mariadb else []) + ["SET GLOBAL read_only = OFF"]


# --- sessions -------------------------------------------------------------------------------------------------------


def test_sessions_are_those_of_clients(pair):
    pair.replica.on(
        "SHOW PROCESSLIST",
        [
            process(1, "system user", "Connect"),
            process(2, "event_scheduler", "Daemon"),
            process(3, "repl", "Binlog Dump GTID"),
            process(9, "root", "Query"),
            process(10, "mysql-health"),
            process(11),
        ],
    )
    assert [each.number for each in promotion.sessions(connect(), keep=["mysql-health"])] == [11]


def test_a_session_that_has_ended_by_itself_is_not_reported(pair):
    pair.replica.on("KILL 4", error(promotion.NO_SUCH_THREAD))
    wanted = [promotion.Session(number, "app", "h") for number in (4, 5)]
    assert [each.number for each in promotion.end(connect(), wanted)] == [5]


def transactions(*threads: int) -> list[dict]:
    return [{"thread": each, "age": 70, "modified": 1, "query": "UPDATE t"} for each in threads]


def test_transactions_are_given_time_and_then_ended(pair, clock):
    clients = [process(number) for number in (4, 5)]
    pair.replica.on("SHOW PROCESSLIST", clients)
    # Thread 1 is the applier, whose session is none of a client's.
    pair.replica.rows["long_transactions"] = transactions(1, 4, 5)
    clock.meanwhile = [lambda: pair.replica.rows.update(long_transactions=transactions(1, 5))]

    def killed(*_: object) -> list:
        pair.replica.rows.update(long_transactions=transactions(1))
        return []

    pair.replica.on("KILL 5", killed)
    ended = promotion.end_transactions(connect(), 1, patience=2)
    assert [each.as_dict() for each in ended] == [
        {"id": 5, "user": "app", "host": "192.0.2.5:1", "seconds": 70, "statement": "UPDATE t"}
    ]
    assert sum(clock.naps) == pytest.approx(2.2)


def test_old_transactions_that_always_come_anew_are_not_ended_for_ever(pair, clock):
    pair.replica.on("SHOW PROCESSLIST", [process(4)])
    pair.replica.rows["long_transactions"] = transactions(4)
    pair.replica.on("KILL 4", [])
    clock.meanwhile = [lambda: None] * 1000
    clock.meanwhile.append(lambda: pytest.fail("It goes on for ever."))
    assert len(promotion.end_transactions(connect(), 1, patience=2)) == promotion.END_ROUNDS
    assert sum(clock.naps) == pytest.approx(4)


def test_a_transaction_that_is_rolled_back_is_not_waited_for(pair):
    pair.replica.on("SHOW PROCESSLIST", [process(4, command="Killed")])
    pair.replica.rows["long_transactions"] = transactions(4)
    assert promotion.end_transactions(connect(), 1, patience=5) == []


# --- positions ------------------------------------------------------------------------------------------------------


def positions(pair, *found: str, owned: str = "") -> None:
    """What the server says of its position, time after time."""
    if pair.mariadb:
        pair.replica.on("gtid_current_pos AS position", *([{"position": each}] for each in found))
    else:
        pair.replica.on("gtid_executed AS position", *([{"owned": owned, "position": each}] for each in found))


def gtid(pair, number: int) -> str:
    return f"0-1-{number}" if pair.mariadb else f"{UUID}:1-{number}"


def test_a_position_counts_once_it_stands_still(pair):
    positions(pair, gtid(pair, 7), gtid(pair, 8), gtid(pair, 8))
    assert promotion.frozen_position(connect()) == gtid(pair, 8)


def test_a_position_that_moves_on_is_refused(pair):
    counter = iter(range(1, 1000))
    part = "gtid_current_pos AS position" if pair.mariadb else "gtid_executed AS position"
    pair.replica.on(part, lambda *_: [{"position": gtid(pair, next(counter)), "owned": ""}])
    with pytest.raises(PromotionError, match="its position still moves"):
        promotion.frozen_position(connect(), patience=1)


def test_what_is_about_to_be_committed_is_waited_for(network, clock):
    pair = Pair("mysql97", network, clock)
    said = [[{"owned": owned, "position": f"{UUID}:1-7"}] for owned in (f"{UUID}:8#12", f"{UUID}:8#12", "", "")]
    pair.replica.on("gtid_executed AS position", *said)
    assert promotion.frozen_position(connect()) == f"{UUID}:1-7"
    # It was read a fourth time, or a third one at least.
    assert len(pair.replica.told_to("SELECT @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS position")) >= 3


@pytest.mark.parametrize(
    ("wanted", "has", "mariadb", "missing"),
    [
        (f"{UUID}:1-9", f"{UUID}:1-7", False, f"{UUID}:8-9"),
        (f"{UUID}:1-9", f"{UUID}:1-12", False, ""),
        ("0-1-9", "0-1-7", True, "2 of domain 0"),
        ("0-1-9", "0-2-12", True, ""),
        ("", "0-2-12", True, ""),
    ],
)
def test_what_a_position_lacks_of_another(wanted, has, mariadb, missing):
    assert promotion.lacking(wanted, has, mariadb) == missing


def test_waiting_ends_when_the_position_is_reached(pair):
    pair.replica.on("WAIT", [{"arrived": "-1" if pair.mariadb else "1"}], [{"arrived": "0"}])
    promotion.wait_applied(connect(), gtid(pair, 9), 5)


def test_nothing_is_waited_for_without_a_position(pair):
    promotion.wait_applied(connect(), "", 5)
    assert not [each for each in pair.replica.told if "WAIT" in each]


def test_waiting_ends_at_once_with_a_stopped_applier(pair, clock):
    pair.replica.status["Slave_SQL_Running" if pair.mariadb else "Replica_SQL_Running"] = "No"
    pair.replica.status["Last_SQL_Errno"] = "1062"
    pair.replica.status["Last_SQL_Error"] = "Duplicate entry"
    with pytest.raises(PromotionError, match="does not apply any more .*1062: Duplicate entry"):
        promotion.wait_applied(connect(), gtid(pair, 9), 60)
    assert sum(clock.naps) <= promotion.WAIT_SLICE


def test_waiting_ends_in_time_and_says_what_is_missing(pair, clock):
    pair.replica.on("AS position", [{"position": gtid(pair, 7)}])
    with pytest.raises(PromotionError, match="has not applied .* within 3 s"):
        promotion.wait_applied(connect(), gtid(pair, 9), 3)
    assert sum(clock.naps) == pytest.approx(3)


# --- changing roles -------------------------------------------------------------------------------------------------


def test_a_channel_is_retired_with_its_settings_kept(pair):
    settings = promotion.retire_channel(connect(), "", 1)
    assert (settings["source_host"], settings["source_user"]) != ("", "")
    assert [each.split()[0] for each in pair.replica.told_to("STOP", "RESET")] == ["STOP", "STOP", "RESET"]


def test_a_channel_with_something_left_to_apply_is_not_retired(pair):
    if pair.mariadb:
        pair.replica.status["Gtid_IO_Pos"] = "0-1-999999"
    else:
        pair.replica.rows["connection_status"][0]["RECEIVED_TRANSACTION_SET"] = f"{UUID}:1-3"
    with pytest.raises(ChannelError, match="are not applied yet"):
        promotion.retire_channel(connect(), "", 1)
    assert not pair.replica.told_to("RESET")


def test_an_answer_that_was_lost_is_no_failure_to_open(pair):
    pair.replica.on("SET GLOBAL read_only = OFF", LOST)
    with pytest.raises(OutcomeUnknown, match="was told to take writes"):
        promotion.open_server(connect())


def test_a_refusal_to_open_is_certain(pair):
    pair.replica.on("SET GLOBAL read_only = OFF", error(1227, "Access denied"))
    with pytest.raises(DatabaseError, match="Access denied"):
        promotion.open_server(connect())


@pytest.mark.parametrize("closed", [True, False])
def test_the_outcome_is_found_out_once_the_session_is_gone(pair, closed):
    pair.replica.on("KILL 9", [], error(promotion.NO_SUCH_THREAD))
    pair.replica.on("UNIX_TIMESTAMP() AS now", [{"now": 5000}])
    pair.replica.on("'Uptime'", [{"Value": "1000"}])
    pair.replica.on("read_only AS closed", [{"closed": int(closed)}])
    assert promotion.was_opened(OPTIONS, 9, 4000, 10) is not closed
    assert len(pair.replica.told_to("KILL")) == 2


def test_a_server_that_was_started_again_ends_nobody_elses_session(pair):
    pair.replica.on("UNIX_TIMESTAMP() AS now", [{"now": 5000}])
    pair.replica.on("'Uptime'", [{"Value": "3"}])
    pair.replica.on("read_only AS closed", [{"closed": 1}])
    assert promotion.was_opened(OPTIONS, 9, 4000, 10) is False
    assert not pair.replica.told_to("KILL")


def test_the_outcome_stays_unknown_while_the_server_does_not_answer(pair, clock):
    pair.replica.refusal = LOST
    assert promotion.was_opened(OPTIONS, 9, 4000, 3) is None
    assert sum(clock.naps) == pytest.approx(3, abs=0.3)


def test_a_channel_keeps_what_is_not_changed(pair):
    promotion.follow(connect(), "", {"source_host": "192.0.2.77"})
    (changed,) = pair.replica.told_to("CHANGE")
    assert "_HOST = '192.0.2.77'" in changed
    assert ("_PORT" in changed, "_USER" in changed, "PASSWORD" in changed) == (False, False, False)


def test_a_new_channel_is_like_another_one(pair):
    status, pair.replica.rows["replica_status"] = pair.replica.rows["replica_status"], []
    template = {"source_port": 3307, "source_user": "repl", "auto_position": True, "heartbeat_period": 2.0}

    def made(*_: object) -> list:
        pair.replica.rows["replica_status"] = status
        return []

    pair.replica.on("CHANGE ", made)
    promotion.follow(connect(), "", {"source_host": "192.0.2.77"}, template=template, password="s3cret", demote=True)
    (changed,) = pair.replica.told_to("CHANGE")
    for part in ("_HOST = '192.0.2.77'", "_PORT = 3307", "_USER = 'repl'", "PASSWORD = 's3cret'"):
        assert part in changed
    assert ("DEMOTE_TO_SLAVE = 1" in changed) is pair.mariadb
