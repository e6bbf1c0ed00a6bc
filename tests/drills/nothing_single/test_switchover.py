# SPDX-License-Identifier: GPL-3.0-or-later
"""Another primary by the playbook, there and back, under a client of the database endpoint that never stops writing."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from figures import MEASURES, figure, within
from nodes import CLIENT, Command, Lab, Run, closed, open_node
from numbered_rows import TABLE, Writes, never_two, other_node, start
from waiting import wait

pytestmark = pytest.mark.usefixtures("nothing_to_change")
ROUNDS = 10 if MEASURES else 1
LONGEST = 0.5


def switch_over(lab: Lab, inventory: Path, *words: str) -> Run:
    """Make the replica the primary."""
    named = f"mysql_new_primary={lab.container(other_node(open_node(lab)))}"
    return lab.playbook("switchover.yml", "-e", named, *words, inventory=inventory)


@contextmanager
def statement(lab: Lab, node: str, text: str) -> Iterator[None]:
    """A session of the administrator that takes its time; it is ended at last."""
    thread = threading.Thread(target=lambda: lab.host(node).run(f'{CLIENT} --execute="{text}"'))
    thread.start()
    found = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(%'"
    wait("the session to be there", lambda: lab.sql(node, found))
    try:
        yield
    finally:
        for number in lab.sql(node, found).split():
            lab.sql(node, f"KILL {number}")
        thread.join(30)


def test_a_transaction_that_stays_open_is_ended(lab: Lab, inventory: Path, writes: Writes) -> None:
    old = open_node(lab)
    with statement(lab, old, f"BEGIN; INSERT INTO {TABLE} VALUES (0); SELECT SLEEP(60); COMMIT"):
        run = switch_over(lab, inventory)
    assert run.code == 0, run.output[-4000:]
    writes.written(100)
    assert closed(lab, old)
    never_two(writes, 0)
    assert not lab.sql(other_node(old), f"SELECT n FROM {TABLE} WHERE n = 0")
    pause = writes.longest_pause()
    figure("switchover while a transaction stays open", f"ended after 10 s, 0 lost, longest pause {pause:.2f} s")
    within(pause, LONGEST)


def test_a_replica_that_lags_takes_nothing_over(lab: Lab, inventory: Path, writes: Writes) -> None:
    old = open_node(lab)
    held = f"LOCK TABLES {TABLE} READ; SELECT SLEEP(120)"
    with statement(lab, other_node(old), held):
        wait("a lag", lambda: len(writes.missing(other_node(old))) > 20 * 200, 60)
        run = switch_over(lab, inventory, "-e", "mysql_switchover_catch_up_timeout=2")
    assert run.code != 0
    told = f"{lab.container(other_node(old))} (is .* s behind|has not applied|cannot take over)"
    assert re.search(told, " ".join(run.output.split())), run.output[-4000:]
    assert not closed(lab, old)
    never_two(writes, 0, 0)
    pause = writes.longest_pause()
    figure("switchover to a replica that lags 20 s", f"refused, 0 lost, longest pause {pause:.2f} s")
    within(pause, LONGEST)


def test_a_new_primary_dies_in_the_middle(lab: Lab, inventory: Path, writes: Writes, tmp_path: Path) -> None:
    old = open_node(lab)
    new = other_node(old)
    begun = time.time()
    named = ("-e", f"mysql_new_primary={lab.container(new)}")
    command = Command(tmp_path / "switchover", "switchover.yml", *named, inventory=inventory)
    closes = f"while test $({CLIENT} -BNe 'SELECT @@GLOBAL.read_only') = 0; do :; done"
    lab.sh(old, f"timeout 60 sh -c {shlex.quote(closes)}")
    lab.docker("kill", lab.container(new))
    command.ends()
    start(lab, new)
    if not [node for node in (old, new) if not closed(lab, node)]:
        done = lab.playbook("site.yml", inventory=inventory)
        assert done.code == 0, done.output[-4000:]
    writes.written(200)
    state = "put back" if open_node(lab) == old else "done"
    never_two(writes, begun, int(state == "done"))
    repaired = lab.playbook("site.yml", inventory=inventory)
    assert repaired.code == 0, repaired.output[-4000:]
    figure(
        "the new primary dies in the middle of a switchover",
        f"{state}, 0 lost, writes paused for {writes.longest_pause(begun):.2f} s",
    )


@pytest.mark.first
def test_there_and_back(lab: Lab, inventory: Path, writes: Writes) -> None:
    paused = []
    for _round in range(2 * ROUNDS):
        old = open_node(lab)
        run = switch_over(lab, inventory)
        assert run.code == 0, run.output[-4000:]
        assert (closed(lab, old), closed(lab, other_node(old))) == (True, False)
        paused += re.findall(r"writes paused for ([0-9.]+) s", run.output)
    pause = writes.longest_pause()
    never_two(writes, 0, 2 * ROUNDS)
    figure(
        f"{2 * ROUNDS} switchovers there and back, 200 writes a second",
        f"{len(writes.rows())} rows acknowledged, 0 lost, longest pause {pause:.2f} s, "
        f"of it {max(map(float, paused)):.2f} s without a primary",
    )
    within(pause, LONGEST)
