# SPDX-License-Identifier: GPL-3.0-or-later
"""When a MariaDB server is seeded, and how its old data make way for the copy."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mariadb_seed as seed
from scripted_mysql import REFUSED, Clock, Network, Server

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
    seed.check_transfer({"socat": 0, "mariadb-backup": 0}, "192.0.2.32:4444", "", "completed OK!")


def test_the_program_that_failed_first_is_blamed():
    with pytest.raises(seed.SeedError, match=r"copy failed.*status 1\): Access denied"):
        seed.check_transfer({"socat": 0, "mariadb-backup": 1}, "192.0.2.32:4444", "", "Access denied")
    with pytest.raises(seed.SeedError, match=r"transfer to 192.0.2.32:4444 failed.*Connection refused"):
        seed.check_transfer(
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
    seed.write_marker(found.stage, "0-1-5", tmp_path.stat())
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
    seed.write_marker(place.stage, "0-1-5", tmp_path.stat())
    assert place.position is None
    assert not place.swapping


def test_a_copy_that_was_given_up_has_no_position(tmp_path):
    place = seed.Place(tmp_path / "mysql", False)
    place.data.mkdir()
    seed.write_marker(place.data, None, tmp_path.stat())
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


@pytest.mark.parametrize("name", ["plain", "größe", "two words", "back\\slash", "tab\there"])
def test_a_mount_point_is_known_whatever_characters_it_has(tmp_path, monkeypatch, name):
    written = f"/srv/{name}".replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    (tmp_path / "mountinfo").write_text(f"36 35 98:0 / {written} rw,noatime shared:1 - ext4 /dev/sdb rw\n", "utf-8")
    monkeypatch.setattr(seed, "MOUNTS", tmp_path / "mountinfo")
    assert seed.is_mount_point(Path(f"/srv/{name}"))
    assert not seed.is_mount_point(Path("/srv/other"))


# --- the steps, on a scripted server --------------------------------------------------------------------------------


class Machine:
    """The replica's host: a scripted server with a data directory, the programs it runs, and the module's steps."""

    def __init__(self, folder: Path, network: Network, clock: Clock, run_module: Any) -> None:
        self.clock, self._run = clock, run_module
        self.commands: list[str] = []
        self.programs: dict[str, list[Any]] = {}
        self.place = seed.Place(folder / "mysql", False)
        self.place.data.mkdir()
        (self.place.data / "ibdata1").write_text("old")
        self.local = network.add("/s.sock", Server("11.8.6-MariaDB"))
        self.source = network.add("192.0.2.31:3306", Server("11.8.6-MariaDB"))
        self.local.on("SELECT @@GLOBAL.datadir", [{"d": f"{self.place.data}/"}])
        self.local.on("AS innodb_data_home_dir", [{"innodb_data_home_dir": None, "log_bin": f"{self.place.data}/bin"}])
        self.local.on("SHOW ALL REPLICAS STATUS", [])
        self.local.on("AS ssl_cert", [FILES])
        self.local.on("WHERE ENGINE = 'MEMORY'", [])
        self.local.on("SET GLOBAL gtid_slave_pos", [])
        self.local.on("information_schema.EVENTS", [{"s": "shop", "n": "tidy", "definer": "ann@%"}])
        self.local.on("sql_log_bin = OFF", [])
        self.local.on("ALTER DEFINER", [])
        self.is_at("")
        self.schemas()
        self.knows(self.local, OWN_ID)
        self.knows(self.source, 1)
        self.source.on("SHOW BINARY LOGS", [{"Log_name": "binlog.000007"}])
        self.source.on("BINLOG_GTID_POS('binlog.000007', 4)", [{"p": "0-1-2"}])

    @staticmethod
    def knows(server: Server, number: int, version: str = "11.8.6-MariaDB") -> None:
        """Who a server is, and where."""
        row = {"id": number, "version": version, "state": "0-1-9", "position": "0-1-9"}
        server.on("SELECT @@GLOBAL.server_id AS id", [row])

    def is_at(self, position: str) -> None:
        """What the local server has executed."""
        self.local.on("gtid_slave_pos AS applied", [{"applied": position, "logged": None}])

    def schemas(self, *names: str) -> None:
        """Databases of the local server."""
        self.local.on("information_schema.schemata", [{"name": n} for n in ("mysql", "sys", "#mysql50#lost", *names)])

    def run_command(self, argv: list[str], **_how: Any) -> tuple[int, str, str]:
        """In place of the module's own: what the program was scripted to do, else nothing with success."""
        line = " ".join(map(str, argv))
        self.commands.append(line)
        for part, outcomes in self.programs.items():
            if part in line:
                now = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
                return now() or (0, "", "") if callable(now) else now
        return 0, "", ""

    def ran(self, program: str) -> list[str]:
        """The commands that began like this."""
        return [line for line in self.commands if line.startswith(program)]

    def step(self, name: str, check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers, in which no password is shown."""
        given = {"login_user": "root", "login_unix_socket": "/s.sock"}
        if name == "receive":
            given |= {"address": "192.0.2.32", "source_host": "192.0.2.31", "source_user": "repl"}
            given |= {"source_password": "s3cret"}
        answer = self._run(seed, check=check, step=name, **{**given, **options})
        assert "s3cret" not in str(answer) + str(self.commands)
        return answer

    def arrived(self, position: str = "binlog.000001\t4\t0-1-5\n", checkpoints: bool = True) -> None:
        """Let a copy be complete in its directory."""
        self.place.stage.mkdir(mode=0o700)
        (self.place.stage / "ibdata1").write_text("new")
        (self.place.stage / "app").mkdir()
        if checkpoints:
            (self.place.stage / "mariadb_backup_checkpoints").write_text("to_lsn = 1")
        if position:
            (self.place.stage / "mariadb_backup_binlog_info").write_text(position)
        self.programs["systemctl show"] = [(0, "active\n", ""), (0, "inactive\n", "")]


@pytest.fixture
def machine(tmp_path, network, clock, run_module, monkeypatch) -> Machine:
    """A replica's host, which this test has for itself."""
    found = Machine(tmp_path, network, clock, run_module)
    monkeypatch.setattr(seed, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(seed.AnsibleModule, "run_command", lambda _module, argv, **how: found.run_command(argv, **how))
    return found


# --- receive


def test_an_empty_server_listens_for_a_copy(machine, monkeypatch):
    given: list[Any] = []
    monkeypatch.setattr(seed.os, "chown", lambda *what: given.append(what))
    answer = machine.step("receive", timeout=77)
    assert (answer["changed"], answer["action"], answer["reason"]) == (True, "seed", "the server is empty")
    owner, stage = machine.place.data.stat(), machine.place.stage
    assert (given, stage.stat().st_mode & 0o777) == ([(stage, owner.st_uid, owner.st_gid)], 0o700)
    assert machine.commands[:2] == [
        "systemctl stop mariadb-seed.service",
        "systemctl reset-failed mariadb-seed.service",
    ]
    (listening,) = machine.ran("systemd-run")
    for part in (f"--uid={owner.st_uid}", f"--working-directory={machine.place.stage}", "RuntimeMaxSec=77",
                 "OPENSSL-LISTEN:4444", "commonname=192.0.2.31", "EXEC:mbstream -x"):  # fmt: skip
        assert part in listening


def test_check_mode_tells_the_same_and_prepares_nothing(machine):
    answer = machine.step("receive", check=True)
    assert (answer["changed"], answer["action"]) == (True, "seed")
    assert (machine.commands, machine.place.stage.exists(), seed.LOCK.exists()) == ([], False, False)


def test_what_an_earlier_run_left_is_removed_first(machine):
    machine.place.stage.mkdir()
    (machine.place.stage / "half").write_text("")
    machine.place.replaced.mkdir()
    machine.step("receive")
    assert (list(machine.place.stage.iterdir()), machine.place.replaced.exists()) == ([], False)


def test_a_copy_that_was_not_put_to_use_and_is_too_old_is_given_up(machine):
    seed.write_marker(machine.place.data, "0-1-1", machine.place.data.stat())
    answer = machine.step("receive")
    assert (answer["action"], "no longer has the logs" in answer["reason"]) == ("seed", True)
    assert (machine.place.marker.exists(), machine.place.position) == (True, None)


def test_a_copy_that_was_not_put_to_use_is_finished(machine):
    seed.write_marker(machine.place.data, "0-1-5", machine.place.data.stat())
    assert machine.step("receive")["action"] == "finish"
    assert machine.commands == []


def test_a_server_that_replicates_needs_no_source(machine):
    machine.local.on("SHOW ALL REPLICAS STATUS", [{"Connection_name": ""}])
    assert machine.step("receive")["action"] == "none"
    assert machine.source.opened == []
    assert machine.step("receive", overwrite=True)["action"] == "seed"


@pytest.mark.parametrize(
    ("logs", "position", "action"),
    [
        ([{"Log_name": "binlog.000007"}], "0-1-5", "none"),
        ([], "0-1-1", "none"),
        ([{"Log_name": "binlog.000007"}], "0-1-1", "seed"),
    ],
)
def test_a_server_that_can_catch_up_is_left_to(machine, logs, position, action):
    machine.is_at(position)
    machine.source.on("SHOW BINARY LOGS", logs)
    assert machine.step("receive")["action"] == action


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.schemas("shop"), "holds data (shop)"),
        (lambda m: m.knows(m.source, OWN_ID), "192.0.2.31:3306 has the server_id 2 of this very server"),
        (lambda m: m.knows(m.source, 1, "10.11.19-MariaDB"), "runs MariaDB 10.11 and this server 11.8"),
        (lambda m: setattr(m.source, "refusal", REFUSED), "192.0.2.31:3306 cannot be reached"),
        (lambda m: m.local.on("AS ssl_cert", [{**FILES, "ssl_key": None}]), "the server has no ssl_key"),
        (
            lambda m: m.local.on("AS innodb_data_home_dir", [{"log_bin": "/var/log/binlog"}]),
            "keeps a part of its data outside",
        ),
        (
            lambda m: m.programs.update({"systemd-run": [(1, "", "no such unit\n\n")]}),
            "Listening for the copy failed (systemd-run, exit status 1): no such unit",
        ),
        (
            lambda m: m.programs.update({"systemd-run": [(1, "", "")]}),
            "Listening for the copy failed (systemd-run, exit status 1): it said nothing.",
        ),
    ],
    ids=["data", "same id", "other series", "no source", "no key", "data elsewhere", "no unit", "silent"],
)
def test_what_stands_in_the_way_of_a_copy_is_said(machine, change, said):
    change(machine)
    answer = machine.step("receive")
    assert (answer["failed"], said in answer["msg"]) == (True, True), answer["msg"]


def test_a_server_of_another_series_may_still_catch_up(machine):
    machine.knows(machine.source, 1, "10.11.19-MariaDB")
    machine.is_at("0-1-5")
    assert machine.step("receive")["action"] == "none"


@pytest.mark.parametrize("given_back", [True, False])
def test_two_runs_never_touch_the_data_at_once(machine, given_back):
    holder = seed.LOCK.open("w")
    fcntl.flock(holder, fcntl.LOCK_EX)
    if given_back:
        machine.clock.meanwhile += [lambda: None, holder.close]
    answer = machine.step("receive")
    if given_back:
        assert (answer["action"], machine.clock.naps) == ("seed", [0.2, 0.2])
    else:
        assert (answer["failed"], sum(machine.clock.naps)) == (True, pytest.approx(120, abs=0.5))
        assert "Another run has been working on the data" in answer["msg"]
        assert machine.local.opened == []
    holder.close()


# --- send


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """Programs in place of C(mariadb-backup) and C(socat), which write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, rest in (("mariadb-backup", "echo content"), ("socat", f"cat > {folder}/sent")):
        program(folder / name, rest)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def program(path: Path, rest: str) -> None:
    """A program that writes down its arguments and does the rest."""
    path.write_text(f'#!/bin/sh\necho "$@" > "$0.called"\n{rest}\n')
    path.chmod(0o755)


def test_tables_in_memory_are_no_part_of_a_copy(machine, tools):
    machine.local.on("WHERE ENGINE = 'MEMORY'", [{"name": "shop.sessions"}])
    answer = machine.step("send", address="192.0.2.32")
    assert (answer["failed"], (tools / "sent").exists()) == (True, False)
    assert "has tables in memory (shop.sessions), which a copy would leave empty" in answer["msg"]


def test_the_copy_goes_from_the_server_straight_to_the_replica(machine, tools):
    assert machine.step("send", address="192.0.2.32")["changed"] is True
    assert (tools / "sent").read_text() == "content\n"
    called = (tools / "mariadb-backup.called").read_text()
    assert "--backup --stream=mbstream" in called
    assert "--log-copy-interval=50 " in called
    assert called.startswith("--defaults-extra-file=")
    assert called.endswith("--socket=/s.sock\n")
    assert "OPENSSL:192.0.2.32:4444" in (tools / "socat.called").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mariadb-backup", "The copy failed (mariadb-backup, exit status 3): it broke"),
        ("socat", "The transfer to 192.0.2.32:4444 failed (socat, exit status 3): it broke"),
    ],
)
def test_the_program_that_broke_is_told(machine, tools, name, said):
    program(tools / name, "cat > /dev/null; echo it broke >&2; exit 3")
    answer = machine.step("send", address="192.0.2.32")
    assert (answer["failed"], said in answer["msg"]) == (True, True), answer["msg"]


def test_a_program_that_is_not_installed_is_told(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = machine.step("send", address="192.0.2.32")
    assert (answer["failed"], "mariadb-backup" in answer["msg"]) == (True, True)


@pytest.mark.parametrize("step", ["send", "finish"])
def test_in_check_mode_the_other_steps_do_nothing(machine, step):
    assert machine.step(step, check=True, address="192.0.2.32")["changed"] is True
    assert (machine.local.opened, machine.commands) == ([], [])


# --- finish


def test_a_complete_copy_is_put_to_use(machine):
    machine.arrived()
    (machine.place.data / "debian-11.8.flag").write_text("")
    mode = machine.place.data.stat().st_mode
    answer = machine.step("finish", service="maria.service")
    assert (answer["changed"], answer["position"]) == (True, "0-1-5")
    assert {path.name for path in machine.place.data.iterdir()} == {
        "ibdata1", "app", "mariadb_backup_checkpoints", "mariadb_backup_binlog_info", "debian-11.8.flag",
    }  # fmt: skip
    assert (machine.place.data / "ibdata1").read_text() == "new"
    assert machine.place.data.stat().st_mode == mode
    assert not machine.place.stage.exists()
    assert not machine.place.replaced.exists()
    # Events run on the primary alone, also if the next step is the last one that is done.
    [waits] = machine.local.told_to("ALTER DEFINER")
    assert waits == "ALTER DEFINER = `ann`@`%` EVENT `shop`.`tidy` DISABLE ON SLAVE"
    assert machine.local.told_to("SET GLOBAL") == ["SET GLOBAL gtid_slave_pos = '0-1-5'"]
    assert machine.clock.naps == [0.2], "until the receiver has ended"
    assert machine.ran("systemctl st") == ["systemctl stop maria.service", "systemctl start maria.service"]
    (prepared,) = machine.ran("runuser")
    assert prepared.endswith(f"-- mariadb-backup --prepare --target-dir={machine.place.stage}")


def test_the_disk_has_all_of_the_copy_before_the_server_stops_for_it(machine, monkeypatch):
    machine.arrived()

    def fsync(number: int) -> None:
        machine.commands.append(f"fsync {Path(f'/proc/self/fd/{number}').readlink()}")

    monkeypatch.setattr(seed.os, "fsync", fsync)
    machine.step("finish")
    stage = machine.place.stage
    before = machine.commands[: machine.commands.index("systemctl stop mariadb.service")]
    assert {f"fsync {path}" for path in (stage, stage / "ibdata1", stage / "app", stage / seed.MARKER)} <= {*before}


def test_a_copy_in_place_only_needs_its_position(machine):
    seed.write_marker(machine.place.data, "0-1-5", machine.place.data.stat())
    assert machine.step("finish")["position"] == "0-1-5"
    assert (machine.commands, machine.place.marker.exists()) == ([], False)
    assert machine.local.told_to("SET GLOBAL") == ["SET GLOBAL gtid_slave_pos = '0-1-5'"]


def test_moving_that_was_interrupted_goes_on(machine, monkeypatch):
    monkeypatch.setattr(seed, "is_mount_point", lambda _path: True)
    place = seed.Place(machine.place.data, True)
    place.stage.mkdir()
    place.replaced.mkdir()
    (place.data / "ibdata1").rename(place.replaced / "ibdata1")
    (place.stage / "ibdata1").write_text("new")
    seed.write_marker(place.stage, "0-1-5", place.data.stat())
    assert machine.step("finish")["position"] == "0-1-5"
    assert {path.name: path.read_text() for path in place.data.iterdir()} == {"ibdata1": "new"}
    assert not machine.ran("runuser"), "it was prepared already"


def test_a_server_that_refuses_the_copy_runs_on_its_old_data_again(machine):
    machine.arrived()
    machine.programs["systemctl start"] = [(1, "", "Job failed"), (0, "", "")]
    machine.programs["journalctl"] = [(0, "InnoDB: unsupported redo log\n", "")]
    answer = machine.step("finish")
    assert answer["failed"] is True
    assert answer["msg"] == (
        "Starting the server on the copy failed (systemctl, exit status 1): Job failed "
        "InnoDB: unsupported redo log The server runs on its old data again."
    )
    assert (machine.place.data / "ibdata1").read_text() == "old"
    assert machine.place.position is None
    assert not machine.local.told_to("SET GLOBAL")


@pytest.mark.parametrize(
    ("states", "checkpoints"), [([(0, "failed\n", "")], True), ([(0, "inactive\n", "")], False)]
)  # fmt: skip
def test_a_copy_that_did_not_arrive_completely_is_not_used(machine, states, checkpoints):
    machine.arrived(checkpoints=checkpoints)
    machine.programs["systemctl show"] = states
    machine.programs["journalctl"] = [(0, "certificate verify failed\n", "")]
    answer = machine.step("finish")
    assert answer["msg"] == "The copy did not arrive completely: certificate verify failed"
    assert (machine.place.data / "ibdata1").read_text() == "old"


def test_a_copy_that_takes_too_long_is_not_waited_for(machine):
    machine.arrived()
    machine.programs["systemctl show"] = [(0, "active\n", "")]
    answer = machine.step("finish", timeout=5)
    assert (answer["failed"], sum(machine.clock.naps)) == (True, pytest.approx(5, abs=0.3))
    assert "raise mysql_replica_seed_timeout" in answer["msg"]


def test_a_source_without_binary_log_cannot_be_followed(machine):
    machine.arrived(position="")
    answer = machine.step("finish")
    assert "The source writes no binary log" in answer["msg"]
    assert not machine.ran("systemctl stop")


def test_a_copy_that_cannot_be_prepared_is_not_used(machine):
    machine.arrived()
    machine.programs["runuser"] = [(1, "one\ntwo\n", "")]
    answer = machine.step("finish")
    assert answer["msg"] == "Preparing the copy failed (runuser, exit status 1): one | two"
    assert (machine.place.data / "ibdata1").read_text() == "old"


@pytest.mark.parametrize("step", ["receive", "send"])
def test_the_steps_say_what_they_need(run_module, step):
    assert "address" in run_module(seed, step=step)["msg"]
