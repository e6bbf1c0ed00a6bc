"""Who is the primary, by what real servers tell of themselves, after what people do to them."""

from __future__ import annotations

import lab
import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    user_schemas,
)
from ansible_collections.pentad.webstack.plugins.modules import mysql_replication_info as info
from ansible_collections.pentad.webstack.plugins.plugin_utils.primary import Refused, choose, member
from conftest import both, channel_options, configure_channel, local, troubles
from waiting import wait


def asked(**servers):
    """What the servers say, as the playbooks have it."""
    found = []
    for name, server in servers.items():
        with Connection(ConnectionOptions.from_params({**local(server), "config_file": ""})) as connection:
            said = {
                **info.server_result(info.gather(connection)),
                "schemas": user_schemas(connection),
                "primary_marker": False,
            }
        found.append(member(name, said, address=server.ip))
    return found


def connected(pair, former):
    """Whether the replica receives from another server than the former one, and has recorded that."""
    link = asked(db2=pair.replica)[0].links[0]
    return link.receiver == "on" and link.source_id not in {"", former}


def fence(pair, server):
    server.sql(f"SET GLOBAL {'' if pair.mariadb else 'super_'}read_only=ON")


def promote(pair, server):
    stop = ("STOP ALL SLAVES", "RESET SLAVE ALL") if pair.mariadb else ("STOP REPLICA", "RESET REPLICA ALL")
    server.sql(*stop, "SET GLOBAL read_only=OFF")


def forget(server):
    """Keep no binary log but a new one."""
    server.sql("FLUSH BINARY LOGS")
    server.sql(f"PURGE BINARY LOGS TO '{server.sql('SHOW BINARY LOGS')[-1]['Log_name']}'")


@pytest.fixture(autouse=True)
def fences_are_put_back(pair):
    """A server of MariaDB keeps what it was told until it is started again."""
    yield
    if pair.mariadb:
        pair.primary.sql("SET GLOBAL read_only=OFF")
        pair.replica.sql("SET GLOBAL read_only=ON")


def test_a_healthy_pair(pair):
    assert choose(asked(db1=pair.primary, db2=pair.replica), ["db2"]).primary == "db1"


def test_third_follows_the_promoted_one_though_the_old_one_is_back(pair):
    third = pair.more()
    third.follow(pair.primary)
    fence(pair, third)
    pair.settle()
    position = pair.primary.value("SELECT COUNT(*) FROM app.t")

    def copied() -> bool:
        return third.has(1) and third.value("SELECT COUNT(*) FROM app.t") == position

    wait("the third to have all", copied)
    fence(pair, pair.primary)
    promote(pair, pair.replica)
    pair.replica.sql("INSERT INTO app.t VALUES (800, 'new primary')")
    found = choose(asked(db1=pair.primary, db2=pair.replica, db3=third), ["db1"])
    assert (found.primary, dict(found.objections)) == ("db2", {})
    for former in (third, pair.primary):
        configure_channel(former, **channel_options(pair, source_host=pair.replica.ip, demote=True))
        wait("the row of the new primary", lambda: former.has(800))  # noqa: B023 - done in its round
    assert choose(asked(db1=pair.primary, db2=pair.replica, db3=third), ["db1"]).primary == "db2"


def test_roles_that_change_twice_go_on_where_they_stopped(pair):
    """Of MariaDB, a former primary that once was a replica has an old gtid_slave_pos."""
    old, new = pair.primary, pair.replica
    pair.settle()
    for number in range(3):
        fence(pair, old)
        promote(pair, new)
        # What went before cannot be had again, so a channel that begins elsewhere finds nothing.
        forget(new)
        new.sql(f"INSERT INTO app.t VALUES ({810 + number}, 'round {number}')")
        configure_channel(old, **channel_options(pair, source_host=new.ip, demote=True))
        wait("the row of this round", lambda: old.has(810 + number))  # noqa: B023 - done in its round
        names = {id(pair.primary): "db1", id(pair.replica): "db2"}
        assert choose(asked(db1=pair.primary, db2=pair.replica), ["db1"]).primary == names[id(new)]
        old, new = new, old
    assert new.value("SELECT COUNT(*) FROM app.t WHERE id BETWEEN 810 AND 812") == 3


def test_a_channel_left_over_on_a_writer_opens_nobody(pair):
    pair.settle()
    fence(pair, pair.primary)
    pair.stop_replica()
    pair.replica.sql("SET GLOBAL read_only=OFF")
    with pytest.raises(Refused, match="db2 takes writes and has a channel to"):
        choose(asked(db1=pair.primary, db2=pair.replica), ["db1"])


def test_an_empty_server_at_the_address_that_is_followed_is_refused(pair):
    pair.settle()
    identity = asked(db2=pair.replica)[0].links[0].source_id
    pair.primary.remove()
    pair.primary.start()
    fence(pair, pair.primary)
    with pytest.raises(Refused, match=r"db2 has the data \(app\): keep db2 as it is"):
        choose(asked(db1=pair.primary, db2=pair.replica), ["db1"])
    # With the accounts, the replica can connect to it.
    pair.primary.sql("SET GLOBAL read_only=OFF")
    pair.primary.accounts()
    pair.primary.sql("CREATE DATABASE app")
    fence(pair, pair.primary)
    if pair.mariadb:
        wait("MariaDB to refuse the source", lambda: pair.replica.channel()["Last_IO_Errno"] == 1236)
    else:
        wait("MySQL to take the new server for its source", lambda: connected(pair, identity))
    with pytest.raises(Refused, match=r"db2 has the data \(app\): keep db2 as it is"):
        choose(asked(db1=pair.primary, db2=pair.replica), ["db1"])
    result = both(pair, fail_on="never")
    assert "errant" in troubles(result)
    hints = [each["hint"] for each in result["checks"] if each["status"] != "pass"]
    assert any("Do not rebuild this server before it is known" in hint for hint in hints)
    assert not [hint for hint in hints if "rebuild it" in hint or "rebuild this replica, with" in hint], hints


def test_writes_on_a_replica_leave_the_primary_the_primary(pair):
    pair.settle()
    pair.local_write("INSERT INTO app.t VALUES (820, 'local')")
    fence(pair, pair.primary)
    assert choose(asked(db1=pair.primary, db2=pair.replica), ["db1"]).primary == "db1"
    assert pair.replica.channel()["Source_User"] == lab.REPL_USER
