# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two balancers and one address: whatever happens to the one that holds it, the other one has it within a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from balancers import BALANCERS, Cable, Holders, at_the_address, held_by, holders, virtual_address
from client import Client, Writer
from figures import figure, within
from nodes import Lab, booted, nothing_is_lost, open_node, wait_until_healthy
from waiting import wait

LONGEST = 1.0
# One gives the address up as the other one takes it; samples of two nodes are not of the same moment.
SAMPLES = 0.2


@pytest.fixture
def on_lb1(lab: Lab) -> Iterator[None]:
    """A test starts with the address on lb1, and ends with a healthy lab in which one balancer has it."""
    wait_until_healthy(lab)
    held_by(lab, "lb1")
    yield
    wait_until_healthy(lab)
    assert len(holders(lab)) == 1


def told(client: Client) -> str:
    """What a client has seen."""
    failed = len(client.failures)
    return f"interrupted for {client.interruption:.2f} s, {failed} of {client.total} requests failed"


def moves(lab: Lab, drill: str, node: str, breaks: Callable[[], object], alone: bool = True) -> None:
    """Break the holder while clients ask and somebody watches who has the address; note what was measured."""
    [other] = set(BALANCERS) - {node}
    assert holders(lab) == [node]
    with Holders(lab) as seen, at_the_address(lab) as client:
        client.answered(200)
        breaks()
        wait(f"{other} to hold the address", lambda: other in holders(lab), 20)
        client.answered(500)
    figure(drill, told(client))
    within(client.interruption, LONGEST, client.failures)
    # Nobody reaches one that was cut off.
    assert not alone or seen.twice <= SAMPLES, seen.seen


def returns(lab: Lab, drill: str, mends: Callable[[], object]) -> None:
    """Mend it while clients ask; nobody notices, and the address stays where it is."""
    with Holders(lab) as seen, at_the_address(lab) as client:
        client.answered(100)
        begun = time.monotonic()
        mends()
        wait("one holder", lambda: len(holders(lab)) == 1, 20)
        wait_until_healthy(lab)
        client.answered(300)
    figure(drill, told(client))
    assert client.failures == []
    # One that was cut off has it too, until it hears of the other one again.
    assert {had for when, had in seen.seen if when > begun and len(had) == 1} == {frozenset({"web1"})}, seen.seen


@dataclass(frozen=True)
class Fault:
    """Something that happens to lb1, what undoes it, and what both are called."""

    breaks: Callable[[Lab], object]
    mends: Callable[[Lab], object]
    broken: str
    mended: str
    alone: bool = True


FIRST = pytest.mark.first
FAULTS = {
    "killed": Fault(
        lambda lab: lab.docker("kill", lab.container("lb1")),
        lambda lab: lab.docker("start", lab.container("lb1")),
        "the node of a balancer killed",
        "and started again",
    ),
    "frozen": Fault(
        lambda lab: lab.sh("lb1", "pkill -STOP -x haproxy"),
        lambda lab: lab.sh("lb1", "pkill -CONT -x haproxy"),
        "HAProxy of a balancer frozen",
        "and thawed",
    ),
    "stopped": Fault(
        lambda lab: lab.sh("lb1", "systemctl stop haproxy"),
        lambda lab: lab.sh("lb1", "systemctl start haproxy"),
        "HAProxy of a balancer stopped",
        "and started",
    ),
    "cut": Fault(
        lambda lab: Cable(lab, "lb1").cut(),
        lambda lab: Cable(lab, "lb1").mend(),
        "the network of a balancer cut",
        "and connected again",
        alone=False,
    ),
}


@pytest.mark.usefixtures("inventory", "on_lb1")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name, marks=FIRST if name in {"killed", "frozen"} else ())
        for name, fault in FAULTS.items()
    ],
)
def test_a_balancer_fails_and_comes_back(lab: Lab, fault: Fault) -> None:
    mended = False

    def mend() -> None:
        nonlocal mended
        fault.mends(lab)
        mended = True

    try:
        moves(lab, fault.broken, "lb1", lambda: fault.breaks(lab), fault.alone)
        returns(lab, fault.mended, mend)
    finally:
        if not mended:
            fault.mends(lab)


@pytest.mark.usefixtures("on_lb1")
def test_a_balancer_without_keepalived_is_no_holder_for_long(lab: Lab) -> None:
    moves(lab, "keepalived of a balancer killed", "lb1", lambda: lab.sh("lb1", "pkill -KILL -x keepalived"))


@pytest.mark.usefixtures("on_lb1")
def test_a_node_that_balances_and_serves_is_killed(lab: Lab) -> None:
    held_by(lab, "web1")
    try:
        moves(lab, "a node that balances and serves killed", "web1", lambda: lab.docker("kill", lab.container("web1")))
    finally:
        lab.docker("start", lab.container("web1"))


@pytest.mark.usefixtures("nothing_to_change")
def test_balancers_are_rebooted_one_after_the_other(lab: Lab, inventory: Path) -> None:
    wait_until_healthy(lab)
    before, primary = booted(lab), open_node(lab)
    writer = Writer("all nodes", url=f"https://{virtual_address(lab)}:443")
    with writer, Holders(lab) as seen, at_the_address(lab) as client:
        client.answered(200)
        run = lab.playbook("reboot.yml", inventory=inventory)
        client.answered(200)
    assert run.code == 0, run.output[-3000:]
    refused, pause = len(writer.refused), writer.longest_pause
    wrote = f"{len(writer.acknowledged)} entries acknowledged, {refused} refused, longest pause {pause:.2f} s"
    figure("all five nodes rebooted, both balancers and the primary among them", f"{told(client)}, {wrote}")
    after = booted(lab)
    assert {node for node in Lab.names if after[node] != before[node]} == set(Lab.names)
    assert "was left alone, because" not in " ".join(run.output.split())
    assert open_node(lab) != primary
    nothing_is_lost(lab, writer)
    within(client.interruption, LONGEST, client.failures)
    assert seen.twice <= 2 * SAMPLES
