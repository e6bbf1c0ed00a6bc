"""A replication group of three members: membership, quorum and roles."""

from __future__ import annotations

import lab
import pytest
from conftest import ENGINES, check, local, troubles, verify, wait_for_troubles, wait_until_ok
from waiting import wait

pytestmark = pytest.mark.skipif("mysql97" not in ENGINES, reason="only MySQL has Group Replication")
NUMBERS = (13, 14, 15)


def member(number: int) -> lab.Server:
    seeds = ",".join(f"172.31.{lab.LAB}.{n}:33061" for n in NUMBERS)
    options = [
        "--plugin-load-add=group_replication.so",
        "--loose-group-replication-group-name=aaaaaaaa-71ca-11e1-9e33-c80aa9429562",
        f"--loose-group-replication-local-address=172.31.{lab.LAB}.{number}:33061",
        f"--loose-group-replication-group-seeds={seeds}",
        "--loose-group-replication-start-on-boot=OFF",
        f"--loose-group-replication-ip-allowlist={lab.SUBNET}",
        "--loose-group-replication-recovery-get-public-key=ON",
        "--loose-group-replication-member-expel-timeout=3600",
    ]
    return lab.Server("mysql97", number, options)


@pytest.fixture(scope="module")
def members():
    lab.prepare()
    servers = [member(n) for n in NUMBERS]
    try:
        for position, server in enumerate(servers):
            server.start().accounts()
            server.sql(
                "RESET BINARY LOGS AND GTIDS",
                f"CHANGE REPLICATION SOURCE TO SOURCE_USER='{lab.REPL_USER}', SOURCE_PASSWORD='{lab.REPL_PASSWORD}'"
                " FOR CHANNEL 'group_replication_recovery'",
                f"SET GLOBAL group_replication_bootstrap_group={'ON' if not position else 'OFF'}",
                "START GROUP_REPLICATION",
                "SET GLOBAL group_replication_bootstrap_group=OFF",
            )
        yield servers
    finally:
        for server in servers:
            server.unpause()
            server.remove()


@pytest.fixture
def outside(members):
    """A server outside of the group, which its primary follows."""
    server = lab.Server("mysql97", 16)
    first = members[0]
    try:
        server.start().accounts()
        server.sql("RESET BINARY LOGS AND GTIDS")
        first.sql(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{server.ip}', SOURCE_USER='{lab.REPL_USER}',"
            f" SOURCE_PASSWORD='{lab.REPL_PASSWORD}', SOURCE_AUTO_POSITION=1, SOURCE_SSL=1,"
            " SOURCE_SSL_CA='/tls/ca.pem', SOURCE_SSL_VERIFY_SERVER_CERT=1, SOURCE_CONNECT_RETRY=5,"
            " SOURCE_RETRY_COUNT=86400, SOURCE_HEARTBEAT_PERIOD=2 FOR CHANNEL 'outside'",
            "START REPLICA FOR CHANNEL 'outside'",
        )
        yield server
    finally:
        first.sql("STOP REPLICA FOR CHANNEL 'outside'", "RESET REPLICA ALL FOR CHANNEL 'outside'")
        server.remove()


def test_a_channel_from_outside_into_the_group(members, outside):
    first, second, third = members
    wait_until_ok(lambda: verify(role="group", **local(third)))
    wait_for_troubles({}, lambda: verify(role="group", **local(first)))
    assert check(verify(role="group", **local(first)), "io_thread")["status"] == "pass"
    first.sql(
        "STOP REPLICA IO_THREAD FOR CHANNEL 'outside'",
        "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='wrong' FOR CHANNEL 'outside'",
        "START REPLICA IO_THREAD FOR CHANNEL 'outside'",
    )
    for role in ("group", "auto"):
        wait_for_troubles({"io_thread": "fail"}, lambda role=role: verify(role=role, **local(first)))
    assert "refuses the password" in verify(role="group", **local(first))["summary"]
    assert troubles(verify(role="group", **local(second))) == {}


def test_group(members):
    first, second, third = members
    wait_until_ok(lambda: verify(role="group", **local(third)))
    assert verify(role="group", **local(first))["role"]["observed"] == "group_primary"
    assert verify(role="group", **local(second))["role"]["observed"] == "group_secondary"

    servers = [{"name": f"db{n}", "host": s.ip} for n, s in enumerate(members, 1)]
    login = {"login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD}
    result = verify(servers=servers, **login)
    assert (result["topology"]["primary"], result["topology"]["writable"]) == ("db1", ["db1"])
    assert result["verdict"] == "ok", result["summary"]

    third.sql("STOP GROUP_REPLICATION")
    wait_for_troubles({"group_quorum": "warn"}, lambda: verify(role="group", **local(first)))
    # With no other member known, a server that left is simply not in the group.
    left = troubles(verify(role="group", **local(third)))
    assert left["role"] == "fail"
    third.sql("START GROUP_REPLICATION")
    wait_until_ok(lambda: verify(role="group", **local(first)))

    second.pause()
    wait("a member to be missed", lambda: "group_quorum" in troubles(verify(role="group", **local(first))))
    assert troubles(verify(role="group", **local(first))) == {"group_quorum": "warn"}
    third.pause()
    wait(
        "the quorum to be lost", lambda: check(verify(role="group", **local(first)), "group_quorum")["status"] == "fail"
    )
    assert "lost its majority" in verify(role="group", **local(first))["summary"]
