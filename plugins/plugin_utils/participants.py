# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the hosts that take part in a run, that a limit leaves out, and that do not answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inventory_contract import Stack

# Groups whose addresses the configuration of a member of a group has.
ADDRESSES_IN = {
    "haproxy": ("haproxy", "web", "mysql", "monitoring"),
    "web": ("haproxy", "mysql", "monitoring"),
    "mysql": ("mysql",),
    "monitoring": ("haproxy", "web", "mysql", "monitoring"),
}


def why(stack: Stack, host: str) -> str:
    """Why a host that takes part did not answer."""
    if stack.survey(host) and not stack.survey(host).get("unreachable"):
        return "when its facts were gathered, a moment before the survey"
    return " ".join(str(stack.survey(host).get("msg") or "no answer").split()).rstrip(".")


def silent(stack: Stack) -> dict[str, str]:
    """Hosts that take part and did not answer, with the reason."""
    return {host: why(stack, host) for host in stack.hosts if not stack.answered(host)}


def without(stack: Stack, hosts: Iterable[str]) -> Stack:
    """The stack as far as it takes part in a run without these hosts."""
    return replace(stack, away={*stack.away, *hosts})


def answer_problems(stack: Stack) -> Iterable[str]:
    """Every host that takes part could be reached."""
    for host, reason in silent(stack).items():
        yield (
            f"{host}: did not answer ({reason}): start it, correct its ansible_host, leave it out by "
            f"--limit '!{host}', or remove it from the inventory."
        )


def address_problems(stack: Stack) -> Iterable[str]:
    """Hosts that take no part have an address where the configuration of others needs it."""
    for host in stack.everybody("all"):
        if host in stack.hosts or stack.address(host):
            continue
        groups = [group for group in ADDRESSES_IN if host in stack.everybody(group)]
        needing = [
            each
            for each in stack.hosts
            if any(each in stack.members(group) and set(ADDRESSES_IN[group]) & set(groups) for group in ADDRESSES_IN)
        ]
        if needing:
            yield (
                f"--limit leaves out {host}, whose address is not known, and the configuration of "
                f"{', '.join(needing)} needs it: set webstack_address for {host}, or start it."
            )


def balancer_problems(stack: Stack, lost: dict[str, str]) -> Iterable[str]:
    """A web node that is to be changed can be taken out of a balancer; lost are hosts that did not answer."""
    balancers, nodes = stack.everybody("haproxy"), stack.members("web")
    if nodes and balancers and not set(balancers) - set(lost):
        reasons = "; ".join(f"{host}: {lost[host]}" for host in balancers)
        yield (
            f"{', '.join(nodes)}: no balancer answers ({reasons}), and a web node is changed while the balancers send "
            "it nothing: start one of them, or leave the web nodes out by --limit '!web'."
        )
