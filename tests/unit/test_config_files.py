# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are written where they differ, each judged by its program first, and the old one stays where it is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import config_files


@pytest.fixture
def keep(run_module, tmp_path):
    """Keep files in a directory of the test, as the account that runs it."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}

    def run(*files: dict[str, Any], directories: tuple[dict[str, Any], ...] = (), check: bool = False):
        return run_module(
            config_files,
            check=check,
            files=[{**owner, **file, "dest": str(tmp_path / file["dest"])} for file in files],
            directories=[
                {**owner, **directory, "path": str(tmp_path / directory["path"])} for directory in directories
            ],
        )

    return run


def mode(path: Path) -> int:
    """Mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_made_and_then_left_alone(keep, tmp_path):
    files = {"dest": "etc/app/one.conf", "content": "1\n"}, {"dest": "two", "content": "zwei äöü\n", "mode": "0600"}
    directories = ({"path": "etc/app", "mode": "0750"},)
    made = keep(*files, directories=directories)
    assert (made["changed"], made["changed_files"]) == (
        True,
        [str(tmp_path / "etc/app/one.conf"), str(tmp_path / "two")],
    )
    assert (tmp_path / "two").read_text() == "zwei äöü\n"
    assert [mode(tmp_path / path) for path in ("etc/app", "etc/app/one.conf", "two")] == [0o750, 0o644, 0o600]
    again = keep(*files, directories=directories)
    assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])


def test_only_what_differs_is_told(keep, tmp_path):
    keep({"dest": "a", "content": "1"}, {"dest": "b", "content": "1"})
    changed = keep({"dest": "a", "content": "1"}, {"dest": "b", "content": "2"})
    assert changed["changed_files"] == [str(tmp_path / "b")]
    assert [(each["before"], each["after"]) for each in changed["diff"]] == [("1", "2")]


def test_a_mode_alone_is_a_change(keep, tmp_path):
    keep({"dest": "a", "content": "1", "mode": "0600"})
    changed = keep({"dest": "a", "content": "1", "mode": "0640"})
    assert (changed["changed_files"], mode(tmp_path / "a")) == ([str(tmp_path / "a")], 0o640)


@pytest.mark.parametrize("old", [None, "good\n"])
def test_what_its_program_refuses_is_not_written(keep, tmp_path, old):
    if old:
        keep({"dest": "a", "content": old})
    refused = keep({"dest": "a", "content": "bad\n", "validate": "grep good %s"})
    assert refused["failed"] is True
    assert f"{tmp_path / 'a'} is refused by 'grep good %s' and stays as it was" in refused["msg"]
    assert ((tmp_path / "a").read_text() if old else (tmp_path / "a").exists()) == (old or False)


def test_what_its_program_accepts_is_written(keep, tmp_path):
    assert keep({"dest": "a", "content": "good\n", "validate": "grep good %s"})["changed"] is True
    assert (tmp_path / "a").read_text() == "good\n"


def test_a_command_that_judges_nothing_is_refused(keep, tmp_path):
    refused = keep({"dest": "a", "content": "1", "validate": "true"})
    assert f"validate of {tmp_path / 'a'} has no %s" in refused["msg"]
    assert not (tmp_path / "a").exists()


def test_check_mode_writes_nothing_and_needs_no_program(keep, tmp_path):
    file = {"dest": "etc/a", "content": "1", "validate": "/nowhere/program %s"}
    told = keep(file, directories=({"path": "etc"},), check=True)
    assert (told["changed"], told["changed_files"]) == (True, [str(tmp_path / "etc/a")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("there", "message"),
    [("directory", "is a directory and a file is to be written there"), ("file", "not a directory")],
)
def test_what_is_in_the_way_is_named(keep, tmp_path, there, message):
    if there == "directory":
        (tmp_path / "a").mkdir()
        answer = keep({"dest": "a", "content": "1"})
    else:
        (tmp_path / "a").touch()
        answer = keep({"dest": "a/b", "content": "1"}, directories=({"path": "a"},))
    assert message in answer["msg"]


def test_a_missing_directory_is_named(keep, tmp_path):
    answer = keep({"dest": "etc/a", "content": "1"})
    assert (
        f"{tmp_path / 'etc/a'} cannot be written: its directory is not there; list it in directories." == answer["msg"]
    )
