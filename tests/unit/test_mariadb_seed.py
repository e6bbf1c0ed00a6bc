# SPDX-License-Identifier: GPL-3.0-or-later
"""When a MariaDB server is seeded, and how its old data make way for the copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mariadb_seed as seed

OWN_ID = 2
FILES = {"ssl_cert": "/etc/mysql/tls/server.pem", "ssl_key": "/etc/mysql/tls/server.key", "ssl_ca": "/etc/ca.pem"}


# --- what is decided ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "state", "position", "purged", "expected"),
    [
        pytest.param("", "0-1-9", "0-1-9", "", False, id="a server without a position is no earlier state"),
        pytest.param("0-1-5", "0-1-9", "0-1-9", "", True, id="earlier state, all logs are there"),
        pytest.param("0-1-9", "0-1-9", "0-1-9", "", True, id="same state"),
        pytest.param("0-1-5", "0-1-9", "0-1-9", "0-1-5", True, id="the oldest log begins right after it"),
        pytest.param("0-1-4", "0-1-9", "0-1-9", "0-1-5", False, id="logs in between are purged"),
        pytest.param("0-1-5", "0-1-9,1-1-3", "0-1-9", "1-1-2", False, id="purged logs of a domain it never saw"),
        pytest.param("0-1-9,0-2-10", "0-1-9", "0-1-9", "", False, id="it wrote something itself"),
        pytest.param("0-2-7", "0-1-9,0-2-7", "0-1-9", "", True, id="a former primary whose writes all arrived"),
        pytest.param("0-2-8", "0-1-9,0-2-7", "0-1-9", "", False, id="a former primary with a write that did not"),
        pytest.param(
            "0-3-5", "0-1-9", "0-1-9", "", True, id="the source was restored and knows 0-3-5 by position only"
        ),
        pytest.param("0-1-5,7-2-1", "0-1-9", "0-1-9", "", False, id="a domain that the source does not have"),
    ],
)
def test_can_catch_up(local, state, position, purged, expected):
    assert seed.can_catch_up(local, state, position, purged, OWN_ID) is expected


@pytest.mark.parametrize(
    ("unfinished", "channels", "schemas", "catch_up", "overwrite", "expected"),
    [
        pytest.param(False, 0, [], False, False, "seed", id="empty"),
        pytest.param(False, 0, [], True, False, "none", id="follows from the logs"),
        pytest.param(False, 1, ["app"], False, False, "none", id="already follows"),
        pytest.param(False, 0, ["app"], True, False, "none", id="comes back"),
        pytest.param(False, 1, ["app"], True, True, "seed", id="given up, although it follows"),
        pytest.param(False, 0, ["app"], False, True, "seed", id="given up"),
        pytest.param(True, 0, ["app"], True, False, "finish", id="copy in place, position not set"),
        pytest.param(True, 0, ["app"], False, False, "seed", id="copy in place, too old by now"),
        pytest.param(True, 0, ["app"], True, True, "finish", id="copy in place after data were given up"),
    ],
)
def test_decide(unfinished, channels, schemas, catch_up, overwrite, expected):
    action, reason = seed.decide(unfinished, channels, schemas, catch_up, overwrite)
    assert action == expected
    assert reason


def test_data_that_nobody_gave_up_are_refused_by_name():
    with pytest.raises(seed.SeedError, match=r"\(app, shop\).*mysql_replica_rebuild"):
        seed.decide(False, 0, ["app", "shop"], False, False)


@pytest.mark.parametrize(
    ("version", "expected"), [("11.8.6-MariaDB-0+deb13u1", "11.8"), ("10.11.19-MariaDB", "10.11"), ("odd", "odd")]
)
def test_series(version, expected):
    assert seed.series(version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("binlog.000001\t20789960\t0-1-25\n", "0-1-25"),
        ("binlog.000003\t512\t0-1-25,1-1-7\n", "0-1-25,1-1-7"),
        ("binlog.000003\t512\t0-1-25,\n1-1-7\n", "0-1-25,1-1-7"),
        ("binlog.000001\t328\t\n", ""),
    ],
)
def test_binlog_position(text, expected):
    assert seed.binlog_position(text) == expected


def test_data_outside_the_data_directory_are_named():
    inside = {"a": None, "b": "", "c": "./", "d": "/var/lib/mysql/", "e": "/var/lib/mysql/binlog", "f": "logs"}
    outside = {"log_bin": "/var/log/mysql/binlog", "innodb_undo_directory": "/var/lib/mysql2", "up": "../x"}
    assert seed.strays({**inside, **outside}, Path("/var/lib/mysql")) == [f"{k}={v}" for k, v in outside.items()]


# --- the transfer ---------------------------------------------------------------------------------------------------


def test_both_ends_want_a_certificate_that_names_the_other():
    params = {"address": "192.0.2.32", "source_host": "192.0.2.31", "port": 4444}
    listener, sender = seed.listener(params, FILES), seed.sender(params, FILES)
    assert listener.startswith("OPENSSL-LISTEN:4444,reuseaddr,bind=192.0.2.32,")
    assert sender.startswith("OPENSSL:192.0.2.32:4444,")
    for end, peer in ((listener, "192.0.2.31"), (sender, "192.0.2.32")):
        options = end.split(",")
        assert "verify=1" in options
        assert f"commonname={peer}" in options
        assert {"cert=/etc/mysql/tls/server.pem", "key=/etc/mysql/tls/server.key", "cafile=/etc/ca.pem"} <= {*options}


def test_addresses_of_the_sixth_version_are_bracketed():
    params = {"address": "2001:db8::32", "source_host": "2001:db8::31", "port": 4444}
    assert seed.listener(params, FILES).startswith("OPENSSL-LISTEN:4444,pf=ip6,reuseaddr,bind=[2001:db8::32],")
    assert seed.sender(params, FILES).startswith("OPENSSL:[2001:db8::32]:4444,")


def test_characters_that_socat_reads_are_escaped():
    assert seed.escaped("/etc/a,b:c!d") == r"/etc/a\,b\:c\!d"


def test_a_transfer_that_succeeded_is_not_judged():
    seed.judge_transfer({"socat": 0, "mariadb-backup": 0}, "192.0.2.32:4444", "", "completed OK!")


def test_the_program_that_failed_first_is_blamed():
    with pytest.raises(seed.SeedError, match=r"copy failed.*status 1\): Access denied"):
        seed.judge_transfer({"socat": 0, "mariadb-backup": 1}, "192.0.2.32:4444", "", "Access denied")
    with pytest.raises(seed.SeedError, match=r"transfer to 192.0.2.32:4444 failed.*Connection refused"):
        seed.judge_transfer(
            {"socat": 1, "mariadb-backup": 1}, "192.0.2.32:4444", "Connection refused", "write: Broken pipe"
        )


# --- the data directories -------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["directory", "mount point"])
def place(request, tmp_path):
    """A data directory with old data, and a complete copy."""
    found = seed.Place(tmp_path / "mysql", request.param)
    (found.data / "old_db").mkdir(parents=True)
    (found.data / "ibdata1").write_text("old")
    found.stage.mkdir()
    (found.stage / "new_db").mkdir()
    (found.stage / "ibdata1").write_text("new")
    seed.mark(found.stage, "0-1-5", tmp_path.stat())
    return found


def content(folder: Path, *left_out: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path not in left_out}


def assert_in_place(place: seed.Place) -> None:
    assert content(place.data, place.replaced) == {"new_db", "ibdata1", seed.MARKER}
    assert (place.data / "ibdata1").read_text() == "new"
    assert content(place.replaced) == {"old_db", "ibdata1"}
    assert not place.stage.exists()
    assert place.position == "0-1-5"


def test_the_copy_takes_the_place_of_the_data(place):
    seed.put_in_place(place)
    assert_in_place(place)


def test_the_old_data_come_back(place):
    seed.put_in_place(place)
    seed.put_back(place)
    assert content(place.data, place.stage) == {"old_db", "ibdata1"}
    assert (place.data / "ibdata1").read_text() == "old"
    assert content(place.stage) == {"new_db", "ibdata1", seed.MARKER}
    assert not place.replaced.exists()
    assert place.position is None


# An exchange of directories has no half; only moving the content of a mount point has.
@pytest.mark.parametrize("place", [True], ids=["mount point"], indirect=True)
@pytest.mark.parametrize("moves", range(6))
def test_moving_the_content_goes_on_where_it_was_interrupted(tmp_path, place, moves, monkeypatch):
    rename, done = Path.rename, []

    def interrupted(self, target):
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        if moves < 5:
            with pytest.raises(KeyboardInterrupt):
                seed.put_in_place(place)
            assert place.swapping
            assert place.position == "0-1-5"
        else:
            seed.put_in_place(place)
    if place.swapping:
        seed.put_in_place(place)
    assert_in_place(place)


def test_what_is_only_prepared_is_not_what_the_server_runs_on(tmp_path):
    place = seed.Place(tmp_path / "mysql", False)
    place.data.mkdir()
    place.stage.mkdir()
    seed.mark(place.stage, "0-1-5", tmp_path.stat())
    assert place.position is None
    assert not place.swapping


def test_a_copy_that_was_given_up_has_no_position(tmp_path):
    place = seed.Place(tmp_path / "mysql", False)
    place.data.mkdir()
    seed.mark(place.data, None, tmp_path.stat())
    assert place.marker.exists()
    assert place.position is None
    assert json.loads(place.marker.read_text()) == {"position": None}


def test_directories_lie_in_the_file_system_of_the_data():
    beside, within = seed.Place(Path("/var/lib/mysql"), False), seed.Place(Path("/var/lib/mysql"), True)
    assert (beside.stage, beside.replaced) == (Path("/var/lib/mysql.seed"), Path("/var/lib/mysql.replaced"))
    assert (within.stage, within.replaced) == (Path("/var/lib/mysql/.seed"), Path("/var/lib/mysql/.replaced"))


def test_a_failed_exchange_names_both_directories(tmp_path):
    with pytest.raises(seed.SeedError, match="cannot change places"):
        seed.exchange(tmp_path / "none", tmp_path / "nor this")


def test_the_root_is_a_mount_point_and_a_directory_is_none(tmp_path):
    assert seed.is_mount_point(Path("/"))
    assert not seed.is_mount_point(tmp_path)
