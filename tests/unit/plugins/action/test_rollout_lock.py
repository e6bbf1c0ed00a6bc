# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, however long its steps take, and none that is held up by a dead one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.action import rollout_lock as action
from ansible_collections.pentad.webstack.plugins.modules import rollout_lock
from places import TOP
from waiting import wait

ALICE = {"user": "alice", "host": "ops1", "system": "a", "process": 11, "since": "100"}
BOB = {"user": "bob", "host": "ops2", "system": "b", "process": 22, "since": "200"}


@pytest.fixture
def lock(run_module, tmp_path):
    def run(holder=None, check: bool = False, **arguments):
        arguments.setdefault("path", str(tmp_path / "run" / "rollout.json"))
        return run_module(rollout_lock, check=check, holder=holder or ALICE, **arguments)

    run.path = tmp_path / "run" / "rollout.json"
    return run


def test_the_second_one_is_told_who_is_at_work(lock):
    assert lock(ALICE)["changed"] is False
    refused = lock(BOB)
    assert refused["held_by"] == ALICE
    assert refused["msg"].startswith("another run is under way, by alice on ops1 (process 11): wait for its end.")
    assert refused["msg"].endswith(f"or when {lock.path} is removed from this node.")


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


def test_check_mode_takes_nothing_and_warns_of_who_is_at_work(lock, monkeypatch):
    warned = []
    monkeypatch.setattr(rollout_lock.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    lock(BOB, check=True)
    assert (lock.path.exists(), warned) == (False, [])
    lock(ALICE)
    told = lock(BOB, check=True)
    assert (told.get("failed"), told["mine"]) == (None, False)
    assert "what it shows may be changing meanwhile: another run is under way, by alice" in warned[0]
    lock(ALICE, check=True, state="released")
    assert lock(BOB)["held_by"] == ALICE


def test_what_is_kept_has_its_own_lease(lock):
    lock(ALICE, until_end=True, lease=60)
    lock(ALICE, lease=900)
    assert json.loads(lock.path.read_text())["until"] < time.time() + 100
    lock(ALICE, until_end=True, lease=0)
    lock(ALICE, lease=900)
    assert json.loads(lock.path.read_text())["until"] > time.time() + 800, "nobody keeps it any more"


def test_renewing_takes_no_lock_of_others_and_none_that_was_released(lock):
    assert lock(ALICE, state="renewed")["mine"] is True, "the node was rebooted"
    assert lock(BOB, state="renewed")["mine"] is False
    assert lock(BOB)["held_by"] == ALICE
    lock(ALICE, state="released")
    assert lock(ALICE, state="renewed")["mine"] is False
    assert lock(BOB)["mine"] is True


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
    assert action.has_ended({**holder, "system": "of the same name"}, mine) is False
    assert (mine["process"], mine["since"]) == (os.getppid(), action.began(os.getppid()))


def test_a_playbook_that_ended_and_that_nobody_noticed_has_ended():
    with subprocess.Popen(["true"]) as ended:
        wait("its end", lambda: action.began(ended.pid) == "", 10)
        assert Path(f"/proc/{ended.pid}").exists(), "its parent has not asked for it yet"


# --- kept by a real playbook ----------------------------------------------------------------------------------------

LEASE = 4
CORES = [path for path in (TOP / ".venv/bin", TOP / ".cache/oldest-core/bin") if (path / "ansible-playbook").exists()]
PLAYBOOK = """
- hosts: node
  gather_facts: false
  tasks:
    - pentad.webstack.rollout_lock: {{path: {path}, lease: {lease}, until_end: true}}
    - ansible.builtin.shell: touch {path}.step; while [ ! -e {path}.go ]; do sleep 0.1; done; {step}
    - pentad.webstack.rollout_lock: {{path: {path}, state: released}}
    - ansible.builtin.shell: touch {path}.given; while [ ! -e {path}.end ]; do sleep 0.1; done
"""


class Run:
    """A playbook that holds a lock while it waits in the middle of a step."""

    def __init__(self, top: Path, binaries: Path, step: str = "true") -> None:
        self.path = top / "rollout.json"
        (top / "play.yml").write_text(PLAYBOOK.format(path=self.path, lease=LEASE, step=step))
        (top / "hosts").write_text(
            f"node ansible_connection=local ansible_python_interpreter={sys.executable} ansible_remote_tmp={top}/tmp\n"
        )
        self.process = subprocess.Popen(
            [binaries / "ansible-playbook", "-i", top / "hosts", top / "play.yml"],
            cwd=TOP,
            # Not the programs of another version of Ansible.
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": str(top / "local"), "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # What runs in the background of a shell without job control is deaf to it, and what it starts as well.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def until(self) -> float:
        """Until when the lock is held; 0 if it is not."""
        text = self.path.read_text() if self.path.exists() else ""
        return json.loads(text)["until"] if text else 0.0

    def seen(self, what: str) -> None:
        """Wait for a file that a step makes."""
        wait(f"the step {what}", lambda: Path(f"{self.path}.{what}").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0]

    def go(self, what: str = "go") -> None:
        """Let a step go on."""
        Path(f"{self.path}.{what}").touch()


@pytest.fixture(params=CORES, ids=lambda path: path.parent.name)
def begin(request, tmp_path) -> Iterator[Callable[..., Run]]:
    """Start playbooks, which are gone after the test."""
    runs = []

    def start(step: str = "true") -> Run:
        runs.append(Run(tmp_path, request.param, step))
        runs[-1].seen("step")
        return runs[-1]

    yield start
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        # A task has a process group of its own, which waits for these.
        run.go()
        run.go("end")
        run.process.communicate(timeout=30)
        wait("the tasks to end", lambda run=run: not working(run.path))


def working(path: Path) -> list[str]:
    """Shells that still wait for a file of a run."""
    found = subprocess.run(["pgrep", "--full", f"while .*{path}"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_a_lock_is_renewed_during_a_long_step_and_ends_with_the_run(begin, lock):
    run = begin()
    first = run.until()
    wait("the lock to be renewed", lambda: run.until() > first + LEASE)
    assert lock(BOB, path=str(run.path))["failed"] is True
    run.go()
    run.seen("given")
    assert run.until() == 0
    time.sleep(1.5 * LEASE / 4 + action.POLL)
    assert run.until() == 0, "what was given back is not renewed"
    run.go("end")
    told = run.process.communicate(timeout=60)[0]
    assert run.process.returncode == 0, told


@pytest.mark.parametrize("how", ["killed", "failed", "interrupted"])
def test_a_run_that_does_not_come_to_its_end_holds_nobody_up(begin, how):
    run = begin("exit 3")
    assert run.until() > time.time()
    if how == "failed":
        run.go()
    else:
        os.killpg(run.process.pid, signal.SIGKILL if how == "killed" else signal.SIGINT)
    # That nothing of the run is left to hold its output open is seen by the end of this.
    told = run.process.communicate(timeout=30)[0]
    assert run.process.returncode != 0, told
    wait("the lock to be released", lambda: run.until() == 0, 10 * action.POLL)
