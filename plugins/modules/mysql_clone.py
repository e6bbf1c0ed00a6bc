#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seed an empty MySQL server with the data of another one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_clone
short_description: Seed an empty MySQL server with the data of another one
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Copies all data of a running donor with MySQL's clone plugin, without stopping the donor, and waits until the local
    server has restarted with them.
  - Does nothing where the local server already replicates, or holds a state from which replication can catch up.
  - Refuses to overwrite a server that has data of its own, unless O(overwrite=true).
  - If a run is interrupted while its copy goes on, the next run waits for that copy. If the copy itself is interrupted,
    the server is left empty and follows nobody, and the next run copies again.
  - The plugin takes no address of IPv6. Such a donor has the name C(donor.clone.internal) in C(/etc/hosts) for the time
    of the copy.
  - Both servers need the clone plugin; the donor's account needs C(BACKUP_ADMIN). The local server has to be supervised
    (systemd) so that it comes back after the copy.
options:
  donor_host:
    description: Address of the donor.
    type: str
    required: true
  donor_port:
    description: Port of the donor.
    type: int
    default: 3306
  donor_user:
    description: Account on the donor.
    type: str
    required: true
  donor_password:
    description: Password of O(donor_user).
    type: str
    required: true
  donor_ca_cert:
    description: Authority that the donor's certificate is verified against.
    type: path
  not_cloned:
    description: >-
      Tables of the donor that a copy would leave empty, as RV(pentad.webstack.mysql_clone_donor_info#module:not_cloned)
      names them. With any, nothing is copied.
    type: list
    elements: str
    default: []
    version_added: 0.1.0
  overwrite:
    description: Copy even though the local server has data, which are lost.
    type: bool
    default: false
  timeout:
    description: Seconds within which the copy has to be complete.
    type: int
    default: 3600
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports whether data would be copied.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Seed the replica
  pentad.webstack.mysql_clone:
    login_unix_socket: /run/mysqld/mysqld.sock
    donor_host: 192.0.2.31
    donor_user: replication
    donor_password: "{{ webstack_replication_password }}"
    donor_ca_cert: /etc/ssl/webstack/ca.pem
"""

RETURN = r"""
reason:
  description: Why data were copied, or were not.
  returned: success
  type: str
  sample: the server is empty
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import (
    Connection,
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    connect_to_starting,
    user_schemas,
)
from ..module_utils.replication.history import History
from ..module_utils.replication.seeding import SeedError, needs_copy

# At the end of the copy the server restarts: the connection is lost, or it reports that no supervisor restarts it.
RESTARTING = {2006, 2013, 3707}
NO_SUCH_TABLE = 1146
HOSTS = Path("/etc/hosts")
DONOR = "donor.clone.internal"


def can_catch_up(local: Connection, donor: Connection) -> bool:
    """Whether the local state is a part of the donor's, and the donor still has the logs of the rest."""
    executed = local.value("SELECT @@GLOBAL.gtid_executed")
    if not executed:
        return False
    donor_executed = donor.value("SELECT @@GLOBAL.gtid_executed")
    donor_purged = donor.value("SELECT @@GLOBAL.gtid_purged")
    return bool(
        local.value(
            "SELECT GTID_SUBSET(%s, %s) AND GTID_SUBSET(%s, %s)", [executed, donor_executed, donor_purged, executed]
        )
    )


def have_common(local: Connection, donor: Connection) -> bool:
    """Whether any transaction is on both."""
    here, there = (History(False, "", each.value("SELECT @@GLOBAL.gtid_executed")) for each in (local, donor))
    return there.shares(here)


def clone_status(connection: Connection) -> dict[str, Any]:
    """State of the last copy, or of the one under way; empty where there was none."""
    try:
        return connection.one(
            "SELECT state AS state, pid AS pid, error_no AS error_no, error_message AS error_message "
            "FROM performance_schema.clone_status"
        )
    except DatabaseError as error:
        # The table comes with the plugin.
        if error.errno != NO_SUCH_TABLE:
            raise
        return {}


def under_way(status: dict[str, Any]) -> bool:
    """Whether a session copies; after a crash the state is still In Progress, but without a session."""
    return status.get("state") == "In Progress" and bool(int(status.get("pid") or 0))


def broken(status: dict[str, Any]) -> bool:
    """Whether the last copy ended without being complete."""
    interrupted = status.get("state") == "In Progress" and not under_way(status) and int(status.get("error_no") or 0)
    return status.get("state") == "Failed" or bool(interrupted)


def copy(options: ConnectionOptions, params: dict[str, Any]) -> None:
    """Run CLONE INSTANCE; returns when the server begins to restart."""
    with Connection(options) as local:
        if local.rows("SHOW REPLICA STATUS"):
            # The copy begins by dropping the data: interrupted, a channel would replicate into what is left.
            with local.longer(params["timeout"]):
                local.rows("STOP REPLICA")
            local.rows("RESET REPLICA ALL")
        local.rows("SET GLOBAL clone_valid_donor_list = %s", [f"{params['donor_host']}:{params['donor_port']}"])
        if params["donor_ca_cert"]:
            local.rows("SET GLOBAL clone_ssl_ca = %s", [params["donor_ca_cert"]])
        local.rows("SET GLOBAL super_read_only = OFF")
        try:
            with local.longer(params["timeout"]):
                local.rows(
                    "CLONE INSTANCE FROM %s@%s:%s IDENTIFIED BY %s REQUIRE SSL",
                    [params["donor_user"], params["donor_host"], params["donor_port"], params["donor_password"]],
                )
        except DatabaseError as error:
            if error.errno not in RESTARTING:
                local.rows("SET GLOBAL super_read_only = ON")
                raise


@contextlib.contextmanager
def named(module: AnsibleModule, host: str) -> Iterator[str]:
    """The donor as the clone plugin takes it: by a name where its address is one of IPv6."""
    if ":" not in host:
        yield host
        return
    name_donor(module, host)
    try:
        yield DONOR
    finally:
        name_donor(module, "")


def name_donor(module: AnsibleModule, address: str) -> None:
    """Give the donor its name, replacing one that a killed run has left; without an address, remove it."""
    try:
        lines = HOSTS.read_text().splitlines() if HOSTS.exists() else []
        wanted = [line for line in lines if DONOR not in line.split()] + ([f"{address} {DONOR}"] if address else [])
        if wanted == lines:
            return
        descriptor, fresh = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{line}\n" for line in wanted)
        # In a container it can be written, and not replaced.
        module.atomic_move(fresh, str(HOSTS), unsafe_writes=True)
    except OSError as error:
        raise DatabaseError(
            f"{HOSTS} cannot be changed ({error}), and MySQL copies from a donor with an address of IPv6 by a name "
            "only: make it writable, or set mysql_replica_source_address to a name of the donor."
        ) from error


def wait_until_idle(options: ConnectionOptions, timeout: float) -> None:
    """Wait for a copy that an interrupted run left under way, and for the restart that ends it."""
    with connect_to_starting(options) as local:
        if not under_way(clone_status(local)):
            return
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            with Connection(replace(options, connect_timeout=2)) as local:
                if not under_way(clone_status(local)):
                    return
        except DatabaseError:
            # The server restarts.
            continue
    raise DatabaseError(
        f"{options.where}: a copy that an earlier run began is still under way after {timeout} s: check "
        "performance_schema.clone_progress, or raise mysql_replica_seed_timeout."
    )


def wait_for_restart(options: ConnectionOptions, timeout: float) -> None:
    """Wait until the server is back and reports that the copy is complete."""
    deadline = time.monotonic() + timeout
    last = "the server does not answer"
    while time.monotonic() < deadline:
        try:
            with Connection(replace(options, connect_timeout=2)) as local:
                status = clone_status(local)
        except DatabaseError as error:
            last = str(error)
        else:
            if status.get("state") == "Completed":
                return
            last = f"the copy is {status.get('state')}: {status}"
            if broken(status):
                break
        time.sleep(0.2)
    raise DatabaseError(
        f"{options.where}: the copy did not complete: {last}. Read the server's error log; the next run begins again."
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Decide and, outside check mode, copy."""
    params = module.params
    options = ConnectionOptions.from_params(params)
    donor_options = ConnectionOptions(
        user=params["donor_user"],
        password=params["donor_password"],
        host=params["donor_host"],
        port=params["donor_port"],
        ca_cert=params["donor_ca_cert"],
        check_hostname=False,
        connect_timeout=params["connect_timeout"],
    )
    wait_until_idle(options, params["timeout"])
    if ":" in params["donor_host"] and not module.check_mode:
        name_donor(module, "")
    with Connection(options) as local:
        channels = len(local.rows("SHOW REPLICA STATUS"))
        schemas = user_schemas(local)
        catch_up, related = False, True
        if params["overwrite"] or not channels:
            # The donor has to answer before data is dropped.
            with Connection(donor_options) as donor:
                catch_up = not params["overwrite"] and can_catch_up(local, donor)
                related = params["overwrite"] or catch_up or have_common(local, donor)
    needed, reason = needs_copy(channels, schemas, catch_up, params["overwrite"], related)
    if needed and params["not_cloned"]:
        raise DatabaseError(
            f"{params['donor_host']} has tables that are not in InnoDB ({', '.join(params['not_cloned'])}), which a "
            "copy would leave empty: convert each there with ALTER TABLE ... ENGINE=InnoDB, or load a dump into this "
            "server yourself."
        )
    if needed and not module.check_mode:
        with named(module, params["donor_host"]) as host:
            copy(options, {**params, "donor_host": host})
        wait_for_restart(options, params["timeout"])
    return {"changed": needed, "reason": reason}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "donor_host": {"type": "str", "required": True},
            "donor_port": {"type": "int", "default": 3306},
            "donor_user": {"type": "str", "required": True},
            "donor_password": {"type": "str", "required": True, "no_log": True},
            "donor_ca_cert": {"type": "path"},
            "not_cloned": {"type": "list", "elements": "str", "default": []},
            "overwrite": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (DatabaseError, SeedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
