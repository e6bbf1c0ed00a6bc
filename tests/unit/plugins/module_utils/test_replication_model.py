# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of either engine become the same model."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.replication.model import as_float, as_int, build
from scripted_mysql import recorded


def test_a_setting_is_found_by_its_common_name_and_by_its_own():
    server = build(recorded("mariadb118")["replica"])
    assert server.setting("log_replica_updates") == "ON", "which MariaDB calls log_slave_updates"
    assert server.setting("sync_binlog") == "1"
    assert server.setting("preserve_commit_order") is None, "which MariaDB has not"


@pytest.mark.parametrize(("value", "number"), [("7", 7), (7, 7), ("", None), (None, None), ("x", None), ([], None)])
def test_what_is_no_number_is_none(value, number):
    assert (as_int(value), as_float(value)) == (number, number)


@pytest.mark.parametrize("engine", ["mysql97", "mariadb118"])
def test_the_same_replica_has_the_same_channel_on_either_engine(engine):
    rows = recorded(engine)
    server = build(rows["replica"])
    (channel,) = server.channels
    assert (server.role, server.read_only, server.boot_read_only, channel.running) == ("replica", True, True, True)
    assert (channel.source_user, channel.tls, channel.tls_verified, channel.auto_position) == ("repl", True, True, True)
    assert (channel.retry_interval, channel.heartbeat_interval, channel.delay, channel.filters) == (5, 2.0, 0, [])
    assert channel.source_server_id == int(rows["primary"]["variables"]["server_id"])
    primary = build(rows["primary"])
    assert (primary.role, primary.writable, primary.channels) == ("primary", True, [])
