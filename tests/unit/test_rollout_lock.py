# SPDX-License-Identifier: GPL-3.0-or-later
"""One rollout at a time, and none that is held up by a dead one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from ansible_collections.pentad.webstack.plugins.action import rollout_lock as action
from ansible_collections.pentad.webstack.plugins.modules import rollout_lock

ALICE = {"user": "alice", "host": "ops1", "process": 11, "since": "100"}
BOB = {"user": "bob", "host": "ops2", "process": 22, "since": "200"}


@pytest.fixture
def lock(run_module, tmp_path):
    def run(holder=None, check: bool = False, **arguments):
        path = tmp_path / "run" / "rollout.json"
        return run_module(rollout_lock, check=check, path=str(path), holder=holder or ALICE, **arguments)

    run.path = tmp_path / "run" / "rollout.json"
    return run


def test_the_second_one_is_told_who_is_at_work(lock):
    assert lock(ALICE)["changed"] is False
    refused = lock(BOB)
    assert refused["held_by"] == ALICE
    assert refused["msg"].startswith("another rollout is under way, by alice on ops1 (process 11): wait for its end.")


def test_the_holder_renews_and_gives_back(lock):
    lock(ALICE, lease=5)
    lock(ALICE, lease=500)
    assert json.loads(lock.path.read_text())["until"] > time.time() + 400
    assert "msg" not in lock(ALICE, state="released")
    assert "msg" not in lock(BOB)


def test_nobody_gives_back_what_another_one_holds(lock):
    lock(ALICE)
    lock(BOB, state="released")
    assert lock(BOB)["held_by"] == ALICE


def test_a_lock_that_was_not_renewed_belongs_to_nobody(lock):
    lock(ALICE, lease=0)
    assert "msg" not in lock(BOB)


def test_a_lock_of_a_dead_playbook_is_taken_over(lock):
    lock(ALICE)
    assert lock(BOB, ended={**ALICE, "process": 12})["held_by"] == ALICE
    assert "msg" not in lock(BOB, ended=ALICE)


def test_check_mode_asks_and_takes_nothing(lock):
    assert "msg" not in lock(BOB, check=True)
    assert not lock.path.exists()
    lock(ALICE)
    assert lock(BOB, check=True)["held_by"] == ALICE
    lock(ALICE, check=True, state="released")
    assert lock(BOB)["held_by"] == ALICE


def test_a_file_that_was_cut_off_is_no_lock(lock):
    lock(ALICE)
    lock.path.write_text('{"holder": {"us')
    assert "msg" not in lock(BOB)


def test_a_place_that_cannot_be_written_is_named(lock, tmp_path):
    (tmp_path / "run").write_text("a file")
    assert lock(ALICE)["msg"].startswith(f"path: {lock.path}: ")


def test_a_process_is_known_by_its_beginning():
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = action.this_playbook()
    holder = {**mine, "process": sleeper.pid, "since": action.began(sleeper.pid)}
    assert action.has_ended(holder, mine) is False
    assert action.has_ended({**holder, "since": "1"}, mine) is True, "the number was given to another process"
    sleeper.communicate(b"\n")
    assert action.has_ended(holder, mine) is True
    assert action.has_ended({**holder, "host": "elsewhere"}, mine) is False
    assert (mine["process"], mine["since"]) == (os.getppid(), action.began(os.getppid()))
