#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_switchover
short_description: Make another database server the primary, without losing a transaction
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Runs on the primary. Checks that the new primary is healthy and could take over, closes the primary, waits until the
    new one has applied everything, opens the new one, and points the others and the old primary at it.
  - One process does all of it, so clients cannot write for a fraction of a second only. It does not end when the
    connection to the control node is lost.
  - If something fails before the new primary is told to take writes, everything is put back. Afterwards nothing is, and
    what is left to do is told in RV(problems).
  - Two servers never take writes at the same time. Whoever restarts this with the old primary closed and the new one
    not open, opens the one that has everything; M(pentad.webstack.mysql_replication_info) tells which one that is.
  - MySQL is closed by C(super_read_only), MariaDB by C(read_only) and a global read lock.
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Checks everything and returns the steps in order.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Refuses on a server that is not the primary.
    support: none
options:
  name:
    description: What messages call the server that this runs on.
    type: str
    required: true
  new_primary:
    description: The server that takes over, a direct replica of this one.
    type: dict
    required: true
    suboptions: &node
      name: {description: What messages call it., type: str, required: true}
      host: {description: Address at which all the others reach it., type: str, required: true, aliases: [address]}
      port: {description: TCP port., type: int, default: 3306}
  replicas:
    description:
      - Other servers that follow this one and are to follow the new primary. One that does not answer, or follows
        another server, is left as it is.
    type: list
    elements: dict
    default: []
    suboptions: *node
  peer_user:
    description: Account of the new primary and the other replicas.
    type: str
    required: true
  peer_password:
    description: Password of O(peer_user).
    type: str
    required: true
  peer_ca_cert:
    description: File with the authority that signed the certificates of the others. When given, they are verified.
    type: path
  replication_password:
    description: Password of the replication account, for the channel of this server to the new primary.
    type: str
    required: true
  max_lag:
    description: Seconds within which the new primary has to arrive where this one is. Writes are held back as long.
    type: float
    default: 0.5
  catch_up_timeout:
    description: Seconds to wait for the new primary to come within O(max_lag).
    type: float
    default: 30
  transaction_timeout:
    description: Seconds that transactions get to end which have been open for more than a second. Then they are ended.
    type: float
    default: 10
  lock_timeout:
    description:
      - Seconds for running statements to end while this server is closed. New writes wait as long.
      - When it is over, this server goes on as before.
    type: int
    default: 2
  apply_timeout:
    description: Seconds for the new primary to apply the rest after this server was closed.
    type: float
    default: 10
  keep_users:
    description: Users whose sessions on this server are not ended, such as that of a health check.
    type: list
    elements: str
    default: []
seealso:
  - module: pentad.webstack.mysql_replication_verify
  - module: pentad.webstack.mysql_replication_info
"""

EXAMPLES = r"""
- name: Make db2 the primary
  pentad.webstack.mysql_switchover:
    login_unix_socket: /run/mysqld/mysqld.sock
    name: db1
    new_primary: {name: db2, host: 192.0.2.32}
    replicas:
      - {name: db3, host: 192.0.2.33}
    peer_user: switchover
    peer_password: "{{ vault_switchover_password }}"
    peer_ca_cert: /etc/mysql/tls/ca.pem
    replication_password: "{{ vault_replication_password }}"
"""

RETURN = r"""
outcome:
  description: >-
    V(switched), V(undone) (everything was put back), V(refused) (nothing was begun), or V(unknown) (the connection was
    lost while the new primary was opened, and it does not answer; this server stays closed). V(planned) in check mode.
  returned: always
  type: str
  sample: switched
steps:
  description: The steps that were taken, with seconds since the first and how long each took. In check mode the plan.
  returned: always
  type: list
  elements: dict
  sample: [{name: close, server: db1, at: 0.412, seconds: 0.004}]
position:
  description: The position at which the old primary was closed.
  returned: always
  type: str
  sample: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77
seconds_without_writer:
  description: How long no server took writes.
  returned: always
  type: float
  sample: 0.093
ended_transactions:
  description: Sessions that were ended because their transaction stayed open.
  returned: always
  type: list
  elements: dict
  sample: [{id: 12, user: guestbook, host: "192.0.2.21:40112", seconds: 64, statement: ""}]
ended_sessions:
  description: Sessions that were ended after the old primary was closed.
  returned: always
  type: list
  elements: dict
  sample: []
scheduler_stopped:
  description: Whether the scheduler of events ran on the old primary, a MariaDB, and was stopped.
  returned: always
  type: bool
  sample: false
problems:
  description: What is left to do after the change, or could not be put back.
  returned: always
  type: list
  elements: str
  sample: []
"""

import signal
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import ConnectionOptions, argument_spec
from ..module_utils.replication.promotion import PromotionError
from ..module_utils.replication.switchover import Limits, Node, Refused, Switchover


def _spec() -> dict[str, Any]:
    node = {
        "name": {"type": "str", "required": True},
        "host": {"type": "str", "required": True, "aliases": ["address"]},
        "port": {"type": "int", "default": 3306},
    }
    spec: dict[str, Any] = argument_spec()
    spec.update(
        name={"type": "str", "required": True},
        new_primary={"type": "dict", "required": True, "options": dict(node)},
        replicas={"type": "list", "elements": "dict", "default": [], "options": dict(node)},
        peer_user={"type": "str", "required": True},
        peer_password={"type": "str", "required": True, "no_log": True},
        peer_ca_cert={"type": "path"},
        replication_password={"type": "str", "required": True, "no_log": True},
        max_lag={"type": "float", "default": 0.5},
        catch_up_timeout={"type": "float", "default": 30},
        transaction_timeout={"type": "float", "default": 10},
        lock_timeout={"type": "int", "default": 2},
        apply_timeout={"type": "float", "default": 10},
        keep_users={"type": "list", "elements": "str", "default": []},
    )
    return spec


def switchover(params: dict[str, Any]) -> Switchover:
    """The switchover that these options describe."""

    def peer(given: dict[str, Any]) -> Node:
        options = ConnectionOptions(
            user=params["peer_user"],
            password=params["peer_password"],
            host=given["host"],
            port=given["port"],
            ca_cert=params["peer_ca_cert"],
            connect_timeout=params["connect_timeout"],
            read_timeout=params["read_timeout"],
            name=given["name"],
        )
        return Node(given["name"], given["host"], given["port"], options)

    options = replace(ConnectionOptions.from_params(params), name=params["name"])
    names = ("max_lag", "catch_up_timeout", "transaction_timeout", "lock_timeout", "apply_timeout")
    return Switchover(
        old=Node(params["name"], options.host, options.port, options),
        new=peer(params["new_primary"]),
        others=[peer(each) for each in params["replicas"]],
        replication_password=params["replication_password"],
        limits=Limits(**{name: params[name] for name in names}),
        keep_users=params["keep_users"],
    )


def complaints(params: dict[str, Any]) -> list[str]:
    """Everything wrong with the input, at once."""
    names = [params["name"], params["new_primary"]["name"], *(each["name"] for each in params["replicas"])]
    found = [f"{name} is named twice" for name in sorted({each for each in names if names.count(each) > 1})]
    least = {"max_lag": 0.01, "lock_timeout": 1, "catch_up_timeout": 0, "transaction_timeout": 0, "apply_timeout": 1}
    return found + [
        f"{name} = {params[name]:g} is too little: use {low:g} or more"
        for name, low in least.items()
        if params[name] < low
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_spec(), supports_check_mode=True)
    found = complaints(module.params)
    if found:
        module.fail_json(msg="; ".join(found) + ".")
    # A lost control node must not end this in the middle; every wait is bounded.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    change = switchover(module.params)
    try:
        change.run(module.check_mode)
    except (Refused, PromotionError) as error:
        module.fail_json(msg=str(error), **change.result())
    result = change.result()
    if module.check_mode:
        result.update(outcome="planned", steps=change.plan())
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
