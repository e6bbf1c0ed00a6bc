#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_primary_sightings
short_description: Gather whether a database server is seen alive from this node
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Connects to the port of the server and waits for its greeting, which a server that is frozen does not send, and asks
    its health endpoint for the role.
  - With O(login_unix_socket), on a node with a database server of its own, also gathers whether the receiver of that
    server gets anything from the other one.
  - Gives no verdict. One node cannot tell a dead server from a cut network, so ask several of them.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
options:
  address:
    description: Address of the server.
    type: str
    required: true
  port:
    description: Port of the server.
    type: int
    default: 3306
  health_port:
    description: Port of its health endpoint.
    type: int
    default: 3380
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 5
seealso:
  - module: pentad.webstack.mysql_replication_info
"""

EXAMPLES = r"""
- name: Gather whether the primary is seen from this node
  pentad.webstack.mysql_primary_sightings:
    address: 192.0.2.31
  register: sighting
"""

RETURN = r"""
alive:
  description: Whether anything here shows that the server lives.
  returned: always
  type: bool
  sample: true
seen:
  description: What shows that it lives, and what does not, in words.
  returned: always
  type: list
  elements: str
  sample: ["its port sends a greeting", "its health endpoint says primary"]
unseen:
  description: What of it does not answer, in words.
  returned: always
  type: list
  elements: str
  sample: []
refused:
  description: >-
    Whether its port refuses connections. Its machine does so where the server is down, and a firewall does so as well.
  returned: always
  type: bool
  sample: false
writable:
  description: Whether it takes writes, by its health endpoint; null where that does not say.
  returned: always
  type: bool
  sample: true
"""

import http.client
import json
import socket
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.addresses import canonical
from ..module_utils.mysql.connection import Connection, ConnectionOptions, DatabaseError, argument_spec
from ..module_utils.replication.context import DEFAULT_POLICY
from ..module_utils.replication.facts import Collector, watch_receiver
from ..module_utils.replication.measures import silence_limit
from ..module_utils.replication.model import ON, Channel, Snapshot, build

# The answer of the endpoint where it cannot ask its server.
UNREACHABLE = "unreachable"
REFUSES = "refuses connections"


def greets(address: str, port: int, timeout: float) -> str:
    """Why the server sends no greeting; empty if it does."""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.settimeout(timeout)
            if connection.recv(5):
                return ""
            return "closes connections at once"
    except socket.timeout:
        return f"sends no greeting within {timeout} s"
    except ConnectionRefusedError:
        return REFUSES
    except OSError as error:
        return f"is closed ({error.strerror or error})"


def health(address: str, port: int, timeout: float) -> dict[str, Any]:
    """What the health endpoint says; only an error where it says nothing."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", "/status")
        found = json.loads(connection.getresponse().read())
        return found if isinstance(found, dict) else {"error": "its answer is no object"}
    except socket.timeout:
        return {"error": f"no answer within {timeout} s"}
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"error": str(error)}
    finally:
        connection.close()


def watched(connection: Connection, address: str) -> Channel | None:
    """The channel of the local server from this address, with how long it has been silent; None without one."""
    collector = Collector(connection)
    snapshot = collector.essentials()
    channel = channel_from(snapshot, address)
    # MySQL tells the time of the last message, and MariaDB has to be watched for one.
    if channel and channel.io_state == ON and channel.since_last_message is None:
        snapshot["quiet_for"] = watch_receiver(collector, silence_limit(DEFAULT_POLICY, channel))
        channel = channel_from(snapshot, address)
    return channel


def channel_from(snapshot: Snapshot, address: str) -> Channel | None:
    """The channel from a source at this address."""
    channels = build(snapshot).channels
    return next((each for each in channels if canonical(each.source_host) == canonical(address)), None)


def receives(channel: Channel) -> tuple[bool, str]:
    """Whether the receiver gets anything, and what it does in words."""
    if channel.io_state != ON:
        return False, f"the receiver here is {channel.io_state} {channel.io_error}".rstrip()
    silence, limit = channel.since_last_message, silence_limit(DEFAULT_POLICY, channel)
    if silence is None or silence >= limit:
        return False, f"the receiver here is connected and has got nothing for {silence or limit:.0f} s"
    return True, f"the receiver here got something {silence:.1f} s ago"


def ask_receiver(params: dict[str, Any], patient: bool) -> tuple[bool, str]:
    """What the receiver of the local server shows; no words where it does not follow this address."""
    try:
        with Connection(ConnectionOptions.from_params(params)) as connection:
            channel = watched(connection, params["address"])
            if channel and patient and receives(channel)[0]:
                # What it got may be the last that a server sent which has died since.
                time.sleep(silence_limit(DEFAULT_POLICY, channel))
                channel = watched(connection, params["address"])
    except DatabaseError as error:
        return False, f"the server here cannot be asked ({error})"
    return receives(channel) if channel else (False, "")


def gather(params: dict[str, Any]) -> dict[str, Any]:
    """Everything that shows whether the server lives."""
    address, timeout = params["address"], params["timeout"]
    seen: list[str] = []
    unseen: list[str] = []
    silent = greets(address, params["port"], timeout)
    (unseen if silent else seen).append(f"its port {params['port']} {silent or 'sends a greeting'}")
    told = health(address, params["health_port"], timeout)
    role = told.get("role")
    lives = bool(role) and role != UNREACHABLE
    if lives:
        seen.append(f"its health endpoint says {role}{', takes writes' if told.get('writable') else ''}")
    else:
        unseen.append(f"its health endpoint says {role or 'nothing'} ({told.get('error') or 'no reason given'})")
    if params["login_unix_socket"]:
        receiving, words = ask_receiver(params, patient=not seen)
        if words:
            (seen if receiving else unseen).append(words)
    writable = bool(told.get("writable")) if lives else None
    return {
        "alive": bool(seen), "seen": seen, "unseen": unseen, "refused": silent == REFUSES, "writable": writable,
    }  # fmt: skip


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "default": 3306},
            "health_port": {"type": "int", "default": 3380},
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **gather(module.params))


if __name__ == "__main__":
    main()
