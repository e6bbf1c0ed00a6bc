# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab with a second balancer: the same nodes, of which two hold a virtual address in turn."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from client import DOMAIN, INVENTORY_DIR, Background, Client
from nodes import Lab
from waiting import wait

BALANCERS = ("lb1", "web1")
# Of a node, which has the programs for the network of the host.
IMAGE = "webstack-lab:debian13"


def two_balancers(lab: Lab, inventory: Path) -> None:
    """Make the inventory of the lab with web1 as a second balancer and an address for both, and commits that wait."""
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(INVENTORY_DIR / "group_vars", inventory / "group_vars")
    for path in INVENTORY_DIR.iterdir():
        if path.is_file():
            (inventory / path.name).symlink_to(path.resolve())
    (inventory / "balancers.yml").write_text(
        yaml.safe_dump({"haproxy": {"hosts": {lab.container(node): None for node in BALANCERS}}})
    )
    more = {
        "webstack_virtual_addresses": [{"addresses": [virtual_address(lab)]}],
        "webstack_state_dir": str(INVENTORY_DIR / ".webstack"),
        "webstack_semi_sync": True,
    }
    (inventory / "group_vars" / "all" / "virtual.yml").write_text(yaml.safe_dump(more))


def virtual_address(lab: Lab) -> str:
    """The address that the balancers of the lab hold in turn."""
    return f"{lab.inspect_address('lb1').rpartition('.')[0]}.10"


def holders(lab: Lab) -> list[str]:
    """The balancers that have the address now; one that is down has none."""
    address = virtual_address(lab)
    command = f"ip -oneline address show to {address}"
    return [node for node in BALANCERS if lab.host(node).run(command).stdout.strip()]


def held_by(lab: Lab, node: str) -> None:
    """Have a balancer hold the address, which the other one gives it without a failure."""
    if holders(lab) != [node]:
        [other] = set(BALANCERS) - {node}
        lab.sh(other, "systemctl restart keepalived.service")
        wait(f"{node} to hold the address", lambda: holders(lab) == [node])


def at_the_address(lab: Lab, rate: int = 100) -> Client:
    """A client on the network of the nodes that asks by the virtual address.

    A request to a balancer that freezes waits for ever; so there are as many workers as requests in two seconds.
    """
    return Client(url=f"https://{virtual_address(lab)}:443", name=DOMAIN, rate=rate, workers=2 * rate)


@dataclass
class Holders(Background):
    """Looks twenty times a second at who has the address; used as a context."""

    lab: Lab
    # Times, and the balancers that had it then.
    seen: list[tuple[float, frozenset[str]]] = field(default_factory=list)

    def _works(self) -> list[Callable[[], None]]:
        self._now: set[str] = set()
        return [lambda node=node: self._watch(node) for node in BALANCERS]

    def _watch(self, node: str) -> None:
        """Take down what one balancer has, also after it was down."""
        address = virtual_address(self.lab)
        looking = f"while ip -oneline address show to {address}; do echo; sleep 0.05; done"
        while not self._stop.is_set():
            with subprocess.Popen(
                ["docker", "exec", self.lab.container(node), "sh", "-c", looking],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            ) as watcher:  # fmt: skip
                held = False
                for line in watcher.stdout or ():
                    if self._stop.is_set():
                        break
                    held = held or bool(line.strip())
                    if not line.strip():
                        self._note(node, held)
                        held = False
                watcher.kill()
            self._note(node, False)
            self._stop.wait(0.2)

    def _note(self, node: str, held: bool) -> None:
        with self._lock:
            (self._now.add if held else self._now.discard)(node)
            self.seen.append((time.monotonic(), frozenset(self._now)))

    @property
    def twice(self) -> float:
        """Seconds during which both had it."""
        pairs = zip(self.seen, self.seen[1:], strict=False)
        return sum(later - earlier for (earlier, had), (later, _next) in pairs if len(had) > 1)


def output(*words: str) -> str:
    """Output of a Docker command."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def on_the_host(*words: str) -> str:
    """Output of a command for the network of the machine that runs the containers."""
    return output("run", "--rm", "--cap-add=NET_ADMIN", "--network=host", f"--entrypoint={words[0]}", IMAGE, *words[1:])


class Cable:
    """What connects a node with the others, as the machine that runs the containers sees it."""

    def __init__(self, lab: Lab, node: str) -> None:
        index = lab.sh(node, "cat /sys/class/net/eth0/iflink")
        shown = on_the_host("ip", "-oneline", "link", "show").splitlines()
        [self.name] = [line.split()[1].partition("@")[0] for line in shown if line.startswith(f"{index}: ")]
        networks = "{{range .NetworkSettings.Networks}}{{.NetworkID}}{{end}}"
        self.bridge = f"br-{output('inspect', f'--format={networks}', lab.container(node))[:12]}"

    def cut(self) -> None:
        """Cut it behind the next switch, so that the node itself does not see it."""
        on_the_host("ip", "link", "set", self.name, "nomaster")

    def mend(self) -> None:
        """Connect the node again."""
        on_the_host("ip", "link", "set", self.name, "master", self.bridge)


if __name__ == "__main__":
    two_balancers(Lab(), Path(sys.argv[1]))
