#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses addresses and VRRP router ids on the networks of a node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: virtual_address_probe
short_description: Who uses addresses and VRRP router ids on the networks of a node
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Connects to each address, and asks the kernel whether anybody on the network has it, with what hardware address.
  - Listens for the announcements of virtual routers (VRRP of any version, multicast) meanwhile.
  - Only reads; needs root for the announcements.
options:
  addresses:
    description: Addresses that nobody should have.
    type: list
    elements: str
    required: true
  interfaces:
    description: Interfaces to listen on.
    type: list
    elements: str
    default: []
  ports:
    description: Ports to connect to.
    type: list
    elements: int
    default: [80, 443]
  seconds:
    description: How long to listen.
    type: int
    default: 3
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Find out whether an address is free
  pentad.webstack.virtual_address_probe:
    addresses: [192.0.2.10]
    interfaces: [eth0]
  register: probe
"""

RETURN = r"""
used:
  description: How each address that somebody has was noticed.
  returned: success
  type: dict
  sample: {"192.0.2.10": "is that of the interface 02:42:ac:1e:51:0a"}
routers:
  description: Virtual routers heard, by C(interface), C(virtual_router_id), and C(source) of the announcement.
  returned: success
  type: list
  elements: dict
  sample: [{"interface": "eth0", "virtual_router_id": 10, "source": "192.0.2.1"}]
"""

import select
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

VRRP = 112
GROUPS = {socket.AF_INET: "224.0.0.18", socket.AF_INET6: "ff02::12"}
CONNECT_TIMEOUT = 2
# Only advertisements; VRRP has no other type.
ADVERTISEMENT = 1


def answers(address: str, port: int) -> str:
    """How an address answers on a port; empty if it does not."""
    try:
        with socket.create_connection((address, port), CONNECT_TIMEOUT):
            return f"answers on port {port}"
    except ConnectionRefusedError:
        return f"refuses connections to port {port}"
    except OSError:
        return ""


def hardware_address(neighbours: str) -> str:
    """Hardware address in what C(ip neighbour) prints; empty if nobody answered."""
    words = neighbours.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words and "FAILED" not in words else ""


def who_has(module: AnsibleModule, address: str) -> str:
    """How it is noticed that somebody has an address; empty if nobody has it."""
    found = next(filter(None, (answers(address, port) for port in module.params["ports"])), "")
    if found:
        return found
    known = hardware_address(module.run_command(["ip", "neighbour", "show", "to", address])[1])
    return f"is that of the interface {known}" if known else ""


def virtual_router_id(packet: bytes) -> int | None:
    """Router id of an advertisement, given without the header of IP; None if it is none."""
    if len(packet) < 8 or packet[0] & 0xF != ADVERTISEMENT:
        return None
    return packet[1]


def payload(packet: bytes, family: int) -> bytes:
    """A packet without the header of IP, which raw sockets of IPv4 hand over too."""
    return packet[(packet[0] & 0xF) * 4 :] if family == socket.AF_INET and packet else packet


def listener(interface: str, family: int) -> socket.socket:
    """A socket that receives the announcements on an interface."""
    found = socket.socket(family, socket.SOCK_RAW, VRRP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    index = socket.if_nametoindex(interface)
    group = socket.inet_pton(family, GROUPS[family])
    if family == socket.AF_INET:
        # The group, no address of the interface, and its index.
        found.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + struct.pack("=4si", bytes(4), index))
    else:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=i", index))
    return found


def listeners(interfaces: list[str]) -> dict[socket.socket, tuple[str, int]]:
    """Sockets with their interface and protocol; a protocol that an interface has not is left out."""
    found = {}
    for interface in interfaces:
        for family in GROUPS:
            try:
                found[listener(interface, family)] = (interface, family)
            except OSError:
                if family == socket.AF_INET6:
                    continue
                raise
    return found


def heard(interfaces: list[str], seconds: float) -> list[dict[str, Any]]:
    """Virtual routers that announce themselves within so many seconds."""
    sockets = listeners(interfaces)
    routers: dict[tuple[str, int, str], None] = {}
    deadline = time.monotonic() + seconds
    while sockets and (rest := deadline - time.monotonic()) > 0:
        for ready in select.select(list(sockets), [], [], rest)[0]:
            interface, family = sockets[ready]
            packet, source = ready.recvfrom(2048)
            number = virtual_router_id(payload(packet, family))
            if number is not None:
                routers[interface, number, source[0].partition("%")[0]] = None
    for each in sockets:
        each.close()
    return [{"interface": one, "virtual_router_id": number, "source": source} for one, number, source in routers]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "interfaces": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "int", "default": [80, 443]},
            "seconds": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    addresses = module.params["addresses"]
    with ThreadPoolExecutor(len(addresses) + 1) as pool:
        routers = pool.submit(heard, module.params["interfaces"], module.params["seconds"])
        used = dict(zip(addresses, pool.map(lambda each: who_has(module, each), addresses), strict=True))
    try:
        found = routers.result()
    except OSError as error:
        module.fail_json(
            msg=f"cannot listen for virtual routers on {', '.join(module.params['interfaces'])}: {error.strerror}"
        )
    module.exit_json(changed=False, used={each: how for each, how in used.items() if how}, routers=found)


if __name__ == "__main__":
    main()
