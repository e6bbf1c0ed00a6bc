# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Five machines of which nothing is single, and each of them lost, while clients write and ask: they lose nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from balancers import at_the_address, held_by, holders
from client import INVENTORY_DIR
from figures import figure, within
from nodes import DATABASES, Command, Lab, answers, closed, open_node, wait_until_healthy
from numbered_rows import TABLE, Writes, never_two, other_node, rejoined, server_number, start
from waiting import wait

pytestmark = pytest.mark.usefixtures("nothing_to_change")
# Of new requests, when a node that serves them is lost.
INTERRUPTED = 1.0
# Beyond the command that replaces the primary.
BEYOND = 2.0
# A machine that thaws takes writes of whoever is on it until its fence has asked the others, and ended who waits.
THAWED = 5.0


def replaced(lab: Lab, inventory: Path, writes: Writes, old: str, broken: float) -> str:
    """Replace a primary that is gone; what its clients noticed."""
    new = other_node(old)
    number = server_number(lab, new)
    begun = time.time()
    # Of an account that has never gathered the facts of the old primary, and cannot now.
    run = lab.playbook("failover.yml", inventory=inventory, ANSIBLE_CACHE_PLUGIN="memory")
    ended = time.time()
    assert not closed(lab, new), run.output[-6000:]
    wait("rows again", lambda: [row for row in writes.rows(begun) if row.server == number])
    resumed = writes.resumed(begun, number)
    within(resumed - ended, BEYOND)
    return f"writes again {resumed - begun:.1f} s after the command was given, paused for {resumed - broken:.1f} s"


@pytest.mark.first
def test_a_primary_is_killed_and_comes_back(lab: Lab, inventory: Path, writes: Writes) -> None:
    old, begun = open_node(lab), time.time()
    lab.docker("kill", lab.container(old))
    broken = time.time()
    try:
        told = replaced(lab, inventory, writes, old, broken)
        writes.written(200)
    finally:
        start(lab, old)
    wait("its server to stay closed", lambda: answers(lab, old) and closed(lab, old))
    rejoined(lab, inventory, old)
    never_two(writes, begun)
    figure("primary killed, failover, semi-sync", f"{len(writes.rows())} rows acknowledged, 0 lost, {told}")


@pytest.mark.first
def test_a_primary_machine_freezes_and_thaws(lab: Lab, inventory: Path, writes: Writes) -> None:
    old, begun = open_node(lab), time.time()
    lab.docker("pause", lab.container(old))
    broken = time.time()
    try:
        told = replaced(lab, inventory, writes, old, broken)
        writes.written(200)
    finally:
        lab.docker("unpause", lab.container(old))
    wait("its server to be closed", lambda: answers(lab, old) and closed(lab, old))
    writes.written(200)
    rejoined(lab, inventory, old)
    assert writes.seen_open(begun)
    together = writes.seconds_together(begun)
    # Clients reach it by no endpoint: a row of the old server never follows one of the new.
    assert writes.changes_of_server(begun) == 1
    within(together, THAWED)
    closing = f"closed {together:.1f} s after it thawed, reached by no client"
    figure(
        "primary's machine frozen, failover, thawed",
        f"{len(writes.rows())} rows acknowledged, 0 lost, {told}; {closing}",
    )


def test_a_primary_server_freezes(lab: Lab, inventory: Path, writes: Writes) -> None:
    old, begun = open_node(lab), time.time()
    lab.sh(old, f"pkill -STOP -x {'mariadbd' if lab.mariadb else 'mysqld'}")
    broken = time.time()
    told = replaced(lab, inventory, writes, old, broken)
    writes.written(200)
    assert not answers(lab, old)
    rejoined(lab, inventory, old)
    never_two(writes, begun)
    figure("primary's server frozen, failover", f"{len(writes.rows())} rows acknowledged, 0 lost, {told}")


@pytest.mark.parametrize("task", ["Refuse the old primary in the database endpoints", "Let the server take writes"])
def test_an_old_primary_returns_in_the_middle(
    lab: Lab, inventory: Path, writes: Writes, tmp_path: Path, task: str
) -> None:
    old, begun = open_node(lab), time.time()
    new = other_node(old)
    lab.docker("kill", lab.container(old))
    command = Command(tmp_path / "failover", "failover.yml", inventory=inventory)
    try:
        command.reaches(task)
    finally:
        start(lab, old)
    run = command.ends()
    if closed(lab, new):
        assert run.code != 0
        again = lab.playbook("failover.yml", inventory=inventory)
        told = " ".join(again.output.split())
        assert not closed(lab, new) or "run site.yml" in told or "rejoin.yml -e mysql_rejoin" in told, told[-6000:]
    if closed(lab, new):
        assert lab.playbook("rejoin.yml", "-e", f"mysql_rejoin={lab.container(old)}", inventory=inventory).code
        assert lab.playbook("site.yml", inventory=inventory).code == 0
    else:
        rejoined(lab, inventory, old)
    writes.written(100)
    never_two(writes, begun, int(open_node(lab) == new))
    figure(f"old primary returns at {task!r}", f"{len(writes.rows())} rows acknowledged, 0 lost")


def test_rows_that_only_the_old_primary_has_are_saved(lab: Lab, inventory: Path, writes: Writes) -> None:
    old, begun = open_node(lab), time.time()
    new = other_node(old)
    lab.sql(new, f"STOP {'SLAVE' if lab.mariadb else 'REPLICA'} IO_THREAD")
    # Whoever writes now waits for a replica, and is never told that the row is kept. It is in the binary log.
    waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT%numbers%' AND time >= 1"
    wait("rows to wait for a replica", lambda: int(lab.sql(old, waits)) > 0, 8)
    lab.docker("kill", lab.container(old))
    try:
        replaced(lab, inventory, writes, old, time.time())
    finally:
        start(lab, old)
    wait("the server of the old primary", lambda: answers(lab, old))
    own = numbers(lab, old) - numbers(lab, new)
    assert own
    before = saved(lab, old)
    named = ("-e", f"mysql_rejoin={lab.container(old)}")
    stopped = lab.playbook("rejoin.yml", *named, inventory=inventory)
    assert stopped.code != 0
    assert f"has transactions that {lab.container(new)} lacks" in " ".join(stopped.output.split())
    [file] = saved(lab, old) - before
    text = file.read_text()
    assert [number for number in own if number not in text] == []
    rebuilt = lab.playbook(
        "rejoin.yml", *named, "-e", f"mysql_replica_rebuild={lab.container(old)}", inventory=inventory
    )
    assert rebuilt.code == 0, rebuilt.output[-6000:]
    assert not own & numbers(lab, old)
    never_two(writes, begun)
    told = f"{len(writes.rows())} rows acknowledged, 0 lost, {len(own)} of its own saved"
    figure("old primary with rows of its own rejoined", told)


def numbers(lab: Lab, node: str) -> set[str]:
    """Of the rows that a server has."""
    return set(lab.sql(node, f"SELECT n FROM {TABLE}").split())


def saved(lab: Lab, node: str) -> set[Path]:
    """Files with transactions that only this server had."""
    return set((INVENTORY_DIR / ".webstack" / "transactions").glob(f"{lab.container(node)}*"))


def test_every_machine_is_killed_once(lab: Lab, inventory: Path, writes: Writes) -> None:
    begun = time.time()
    primary = open_node(lab)
    held_by(lab, "lb1")
    for node in ("lb1", "web1", "web2", other_node(primary)):
        with at_the_address(lab) as client:
            client.answered(200)
            lab.docker("kill", lab.container(node))
            client.answered(500)
        start(lab, node)
        wait_until_healthy(lab)
        wait("one holder", lambda: len(holders(lab)) == 1)
        failed = f"{len(client.failures)} of {client.total} requests failed"
        name = "replica" if node in DATABASES else node
        figure(f"{name} killed", f"interrupted for {client.interruption:.2f} s, {failed}")
        within(client.interruption, INTERRUPTED, client.failures)
    with at_the_address(lab) as client:
        client.answered(200)
        lab.docker("kill", lab.container(primary))
        broken = time.time()
        told = replaced(lab, inventory, writes, primary, broken)
        client.answered(300)
    start(lab, primary)
    rejoined(lab, inventory, primary)
    never_two(writes, begun)
    figure("primary killed, requests at 100 a second", f"interrupted for {client.interruption:.2f} s, {told}")


@pytest.mark.first
def test_all_five_are_switched_off_and_on(lab: Lab, inventory: Path, writes: Writes) -> None:
    begun = time.time()
    lab.docker("kill", *map(lab.container, lab.names))
    lab.docker("start", *map(lab.container, lab.names))
    off = time.time()
    wait_until_healthy(lab)
    wait("rows again", lambda: writes.rows(off), 120)
    never_two(writes, begun, 0)
    figure(
        "all five switched off and on",
        f"{len(writes.rows())} rows acknowledged, 0 lost, writes again after {writes.rows(off)[0].at - off:.1f} s",
    )
