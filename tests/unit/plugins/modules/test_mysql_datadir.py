# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory of a new server is made as it is asked for, and one with data is left alone."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_datadir

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
PROGRAM = """#!/bin/sh
echo "$0 $*" >> {log}
for word; do case $word in --init-file=*) cat "${{word#*=}}" > {top}/accounts ;; esac; done
[ -e {top}/fail ] && {{ echo '[ERROR] no space left' >&2; exit 1; }}
for word; do case $word in --datadir=*) touch "${{word#*=}}/{file}"; mkdir -p "${{word#*=}}/mysql" ;; esac; done
"""


class Node:
    """A node with the engine's programs, and the module on it."""

    def __init__(self, top: Path, run_module: Any) -> None:
        self.top, self._run = top, run_module
        self.data, self.note = top / "srv" / "mysql", top / "note"

    def make(self, engine: str = "mysql", check: bool = False, **options: Any) -> dict[str, Any]:
        """What the module answers."""
        given = {
            "path": self.data,
            "engine": engine,
            "service": f"{engine}.service",
            "note": self.note,
            "owner": ACCOUNT,
        }
        return self._run(mysql_datadir, check=check, **{**given, **options})

    @property
    def called(self) -> list[str]:
        """Programs that were called since the last time that somebody asked."""
        log = self.top / "log"
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.removeprefix(f"{self.top}/bin/") for line in found]


@pytest.fixture
def node(tmp_path, run_module, monkeypatch) -> Node:
    (tmp_path / "bin").mkdir()
    (tmp_path / "files").mkdir()
    programs = {"mysqld": "mysql.ibd", "mariadb-install-db": "aria_log_control", "systemctl": ""}
    for name, file in programs.items():
        text = PROGRAM.format(log=tmp_path / "log", top=tmp_path, file=file)
        (tmp_path / "bin" / name).write_text(text if file else f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/log\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(mysql_datadir, "INIT_FILES", tmp_path / "files")
    return Node(tmp_path, run_module)


def test_a_new_mysql_is_made_where_and_as_it_is_asked_for(node):
    settings = {"lower_case_table_names": 1, "innodb_page_size": "16k"}
    answer = node.make(settings=settings)
    assert (answer["changed"], answer["reason"]) == (True, "there is no server in it")
    stop, make = node.called
    assert stop == "systemctl stop mysql.service"
    assert make.startswith(
        f"mysqld --no-defaults --initialize-insecure --user={ACCOUNT} --datadir={node.data} --init-file="
    )
    assert make.endswith(" --lower-case-table-names=1 --innodb-page-size=16k")
    assert "ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket" in (node.top / "accounts").read_text()
    assert (node.data.stat().st_mode & 0o777, list((node.top / "files").iterdir())) == (0o700, [])
    again = node.make(settings=settings)
    assert (again["changed"], again["reason"], node.called) == (False, "a server was made in it", [])


def test_a_new_mariadb_is_made_on_a_disk_of_its_own(node):
    (node.data / "lost+found").mkdir(parents=True)
    assert node.make("mariadb")["changed"] is True
    assert "mariadb-install-db --no-defaults" in node.called[1]
    assert (node.data / "lost+found").is_dir()
    assert node.make("mariadb")["changed"] is False


def test_check_mode_makes_nothing_and_tells_the_same(node):
    assert node.make(check=True)["changed"] is True
    assert (node.called, node.data.exists(), node.note.exists()) == ([], False, False)


def test_what_the_package_made_is_made_anew_where_settings_count(node):
    node.data.mkdir(parents=True)
    (node.data / "mysql.ibd").write_text("old")
    assert node.make()["changed"] is False
    assert node.make(settings={"lower_case_table_names": 1})["reason"] == "it was made with other settings"
    assert (node.data / "mysql.ibd").read_text() == ""


@pytest.mark.parametrize(("value", "changed"), [("0", True), ("1", False)])
def test_a_running_server_tells_what_it_was_made_of(node, value, changed):
    node.data.mkdir(parents=True)
    (node.data / "mysql.ibd").touch()
    running = {"datadir": f"{node.data}/", "lower_case_table_names": value}
    assert node.make(settings={"lower_case_table_names": 1}, running=running)["changed"] is changed


def test_one_that_runs_elsewhere_says_nothing_of_this_directory(node):
    running = {"datadir": "/var/lib/mysql/", "lower_case_table_names": "0"}
    assert node.make(running=running)["changed"] is True


def test_data_are_never_removed(node):
    (node.data / "shop").mkdir(parents=True)
    (node.data / "mysql.ibd").write_text("data")
    node.note.write_text(json.dumps({"path": str(node.data), "made": False, "settings": {}}))
    answer = node.make(settings={"lower_case_table_names": 1})
    assert (answer["changed"], answer["reason"], node.called) == (False, "it holds data (shop)", [])
    assert (node.data / "mysql.ibd").read_text() == "data"


def test_an_interrupted_run_begins_again(node):
    (node.top / "fail").touch()
    answer = node.make()
    assert (answer["failed"], "mysqld failed (exit status 1): [ERROR] no space left" in answer["msg"]) == (True, True)
    (node.data / "mysql.ibd").write_text("half of it")
    (node.top / "fail").unlink()
    assert node.make()["reason"] == "an earlier run was interrupted"
    assert (node.data / "mysql.ibd").read_text() == ""


def test_a_disk_that_is_not_mounted_is_no_new_server(node):
    assert node.make()["changed"] and node.called
    for entry in mysql_datadir.content(node.data):
        entry.rename(node.top / entry.name)
    answer = node.make()
    assert (answer["failed"], node.called) == (True, [])
    assert "mount its disk again" in answer["msg"]


def test_a_directory_of_somebody_else_is_left_alone(node):
    node.data.mkdir(parents=True)
    (node.data / "index.html").touch()
    answer = node.make()
    assert "is no data directory of mysql and not empty (index.html)" in answer["msg"]
    assert (node.data / "index.html").exists()
