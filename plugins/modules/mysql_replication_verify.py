#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_replication_verify
short_description: Judge whether MySQL or MariaDB replication is right, why not, and what to do
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Judges one server, a replica together with its primary, or a whole set of servers, and returns a verdict with its
    reasons. Each rule gives what was observed, what was expected, a sentence and a remedy.
  - Judges what status rows alone do not show, among others a silent source, a retry budget that is too short or used
    up, binary logs purged before the replica fetched them, errant transactions, TLS really in use, and read-only mode
    that a restart would lose.
  - The task fails when the verdict is as bad as O(fail_on) says. Everything is returned then, too.
  - Never writes, except one heartbeat row on the primary with O(probe=true).
extends_documentation_fragment: pentad.webstack.mysql
attributes:
  check_mode:
    description: Can run in check mode, without changing the server.
    support: full
    details: Does the same as without, except that O(probe) is left out.
  diff_mode:
    description: Returns what has changed, when in diff mode.
    support: none
  idempotent:
    description: Running it again changes nothing.
    support: full
options:
  role:
    description: Role the server is meant to have. V(auto) takes it as it is and judges it as such.
    type: str
    choices: [auto, replica, primary, group]
    default: auto
  channel:
    description: Replication channel (MySQL) or connection (MariaDB) to judge, which must exist. V(*) judges all, an
      empty string the unnamed one.
    type: str
    default: "*"
    aliases: [connection_name]
  primary_host:
    description: Address of the primary for a second connection, which the comparing rules need.
    type: str
  primary_port:
    description: TCP port of the primary.
    type: int
    default: 3306
  primary_unix_socket:
    description: Path of the primary's Unix socket, where it runs on the same host.
    type: str
  primary_user:
    description: Account on the primary. The value of O(login_user) when not given.
    type: str
  primary_password:
    description: Password of O(primary_user). The value of O(login_password) when not given.
    type: str
  primary_ca_cert:
    description: Certificate authority of the primary. The value of O(ca_cert) when not given.
    type: path
  primary_client_cert:
    description: Client certificate for the primary. The value of O(client_cert) when not given.
    type: path
  primary_client_key:
    description: Private key of O(primary_client_cert). The value of O(client_key) when not given.
    type: path
  primary_gtid:
    description:
      - Position of the primary (C(gtid_executed), or C(gtid_current_pos) on MariaDB), registered from its own run,
        where there is no connection to it.
    type: str
  servers:
    description:
      - Judge a set of servers at once. The other connection options give the defaults of each entry.
      - Each replica is compared with the server it follows, and exactly one server of the set must accept writes.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the server in the result. Its address when not given.
        type: str
      host:
        description: Address of the server.
        type: str
      port:
        description: TCP port of the server.
        type: int
        default: 3306
      unix_socket:
        description: Path of its Unix socket, instead of an address.
        type: str
      user:
        description: Account on this server. The value of O(login_user) when not given.
        type: str
      password:
        description: Password on this server. The value of O(login_password) when not given.
        type: str
  expected_primary:
    description: With O(servers), name of the server that must be the primary.
    type: str
  expected_source_host:
    description: Address that the channel must follow.
    type: str
  expected_source_port:
    description: Port that the channel must follow.
    type: int
  expected_source_uuid:
    description: C(server_uuid) of the source (MySQL).
    type: str
  expected_source_server_id:
    description: C(server_id) of the source.
    type: int
  expected_replicas:
    description: For a primary, what must be attached to it, each as C(server_uuid), C(server_id) or C(report_host).
    type: list
    elements: str
  max_lag:
    description: Lag in seconds above which a replica is critical.
    type: float
    default: 30
  warn_lag:
    description: Lag in seconds above which a replica is worth a warning.
    type: float
    default: 10
  max_lag_transactions:
    description:
      - Number of transactions above which there is a warning when so many of the primary's are missing, or wait to be
        applied. Ten times as many are critical. Neither counts while O(expected_delay) holds them back on purpose.
    type: int
    default: 10000
  heartbeat_table:
    description:
      - Table as C(schema.table) with the columns C(ts) (varchar(26)) and C(server_id), as of pt-heartbeat and
        mysqld_exporter. Lag is measured by it when given, and O(probe) writes to it.
    type: str
  max_source_silence:
    description: Seconds without a message from the source after which it is taken for frozen. By default 2.5
      heartbeat periods and 2 s.
    type: float
  source_silence_wait:
    description:
      - MariaDB does not show the time of the last message, so the module watches the receiver for a sign of life for
        up to this many seconds. By default a little longer than O(max_source_silence), and not at all where the
        replica has received all that a primary that answers has.
    type: float
  min_retry_window:
    description: Seconds the receiver must keep trying to reach a lost source.
    type: int
    default: 3600
  min_binlog_retention:
    description: Seconds binary logs must be kept.
    type: int
    default: 86400
  max_transaction_age:
    description: Seconds after which an open transaction is worth a warning.
    type: int
    default: 60
  min_free_disk_percent:
    description:
      - Free space in percent below which there is a warning, and a failure below half of it.
      - Judged only over O(login_unix_socket), where the module runs on the server's own host.
    type: float
    default: 10
  min_group_members:
    description: Number of members a replication group must have.
    type: int
    default: 3
  inspect_tables:
    description:
      - Whether tables, triggers, routines, events and views are checked, for the rules V(primary_keys), V(engines),
        V(table_definitions), V(auto_increment), V(definers) and V(events).
      - It is one statement for all tables of a server. Switch it off where many thousands of them make that too slow.
    type: bool
    default: true
  max_auto_increment_percent:
    description: Part of the numbers of an automatic column in percent from which on there is a warning, and a failure
      once half of the rest is used, too.
    type: float
    default: 80
  min_certificate_days:
    description: Days that the certificates of the servers must last.
    type: float
    default: 14
  allow_errant:
    description: Whether transactions that the primary does not have are accepted.
    type: bool
    default: false
  ignore_errant_uuids:
    description: Server UUIDs whose transactions are never errant (MySQL).
    type: list
    elements: str
    default: []
  allow_filters:
    description: Whether replication filters are accepted.
    type: bool
    default: false
  allow_multi_source:
    description: Whether more than one channel is accepted.
    type: bool
    default: false
  expected_delay:
    description: Delay in seconds that the channel is meant to have. It is not counted as lag.
    type: int
    default: 0
  require_read_only:
    description: Whether a replica must be read-only.
    type: bool
    default: true
  require_super_read_only:
    description: Whether a MySQL replica must refuse writes of administrators as well.
    type: bool
    default: true
  require_boot_read_only:
    description: Whether a replica must come up read-only after a restart.
    type: bool
    default: true
  boot_read_only:
    description: What the server's option file says. When not given, the module reads it as far as it can.
    type: bool
  require_gtid:
    description: Whether GTIDs must be on.
    type: bool
    default: true
  require_auto_position:
    description: Whether the channel must find its position by GTID.
    type: bool
    default: true
  require_tls:
    description: Whether replication must be encrypted.
    type: bool
    default: true
  require_tls_verify:
    description: Whether an unverified certificate of the source is worth a warning.
    type: bool
    default: false
  require_semi_sync:
    description: Whether semi-synchronous replication must be active. Only a silent degradation is reported when not
      given.
    type: bool
  require_durable:
    description: Whether each commit must reach the disk.
    type: bool
    default: true
  require_promotable:
    description: Whether the replica must be able to take over as primary.
    type: bool
    default: false
  probe:
    description: Write a row to O(heartbeat_table) on the primary and time it until it is visible here.
    type: bool
    default: false
  compare:
    description:
      - Schemas whose data is compared with the primary, table by table, in ranges of the primary key.
      - A range that differs is read again until it agrees or keeps differing after the replica has passed the
        primary's position.
    type: list
    elements: str
  compare_timeout:
    description: Seconds the comparison may take.
    type: int
    default: 300
  compare_chunk_rows:
    description: Rows per range of the comparison.
    type: int
    default: 20000
  wait_for:
    description:
      - V(healthy) waits until no check is as bad as O(fail_on) says, V(caught_up) until the position in
        O(wait_target) is applied.
      - Gives up at once when something is wrong that waiting cannot help.
    type: str
    choices: [none, healthy, caught_up]
    default: none
  wait_target:
    description: V(primary_now) for the primary's position at the start of the wait, or a GTID set or position.
    type: str
    default: primary_now
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 60
  poll_interval:
    description: Seconds between two readings while waiting.
    type: float
    default: 0.5
  fail_on:
    description:
      - Verdict from which on the task fails. A critical rule that could not be judged (V(unknown)) fails like
        V(critical).
      - V(never) only reports.
    type: str
    choices: [critical, warning, never]
    default: critical
  checks:
    description: Severity of single rules by their id, one of V(critical), V(warning), V(info) and V(skip).
    type: dict
    default: {}
  return_raw:
    description: Return the rows that were read, under RV(raw).
    type: bool
    default: false
notes:
  - MySQL accounts need C(REPLICATION CLIENT) and C(SELECT ON performance_schema.*), MariaDB accounts C(SLAVE
    MONITOR, BINLOG MONITOR).
    C(PROCESS), C(SELECT ON mysql.*), C(REFERENCES ON *.*) (definitions of tables, and no data) and C(SELECT, TRIGGER,
    EVENT ON *.*) open further rules. A rule without its privilege is V(unknown) and names the grant.
seealso:
  - module: pentad.webstack.mysql_replication_channel
"""

EXAMPLES = r"""
- name: This replica is right, and equal in its GTIDs to the primary
  pentad.webstack.mysql_replication_verify:
    login_user: root
    login_unix_socket: /run/mysqld/mysqld.sock
    role: replica
    primary_host: db1.example.com
    primary_user: verify
    primary_password: "{{ vault_verify_password }}"
    primary_ca_cert: /etc/ssl/certs/stack-ca.pem

- name: Wait until everything that the primary has now is applied here
  pentad.webstack.mysql_replication_verify:
    login_user: root
    login_unix_socket: /run/mysqld/mysqld.sock
    primary_gtid: "{{ position_of_the_primary }}"
    wait_for: caught_up
    wait_timeout: 120

- name: Who is primary, and who follows whom
  pentad.webstack.mysql_replication_verify:
    login_user: verify
    login_password: "{{ vault_verify_password }}"
    servers:
      - {name: db1, host: 192.0.2.21}
      - {name: db2, host: 192.0.2.22}
    fail_on: never
  register: topology

- name: Report only, with a milder view of lag
  pentad.webstack.mysql_replication_verify:
    login_unix_socket: /run/mysqld/mysqld.sock
    fail_on: never
    checks:
      lag_seconds: warning
      primary_keys: skip
"""

RETURN = r"""
verdict:
  description: V(ok), V(warning), V(critical), or V(unknown) when a critical rule could not be judged and none failed.
  returned: always
  type: str
  sample: ok
coverage:
  description: V(full) when every rule could be judged and a replica was compared with its primary, else V(partial).
  returned: always
  type: str
  sample: full
reasons:
  description: Ids of the rules that the verdict rests on, the worst first. Empty when it is V(ok).
  returned: always
  type: list
  elements: str
  sample: [sql_thread, errant]
not_judged:
  description: Ids of the rules that could not be judged, usually for lack of a privilege. Their checks name the grant.
  returned: always
  type: list
  elements: str
  sample: []
summary:
  description: The verdict in one paragraph.
  returned: always
  type: str
  sample: "critical: db2: [sql_thread] The applier has stopped at table shop.orders: duplicate entry '7' for key
    PRIMARY (error 1062)"
checks:
  description: What each rule found. Rules that do not apply are left out.
  returned: always
  type: list
  elements: dict
  contains:
    id: {description: Stable name of the rule., type: str, returned: always, sample: io_thread}
    channel: {description: Channel it was judged for., type: str, returned: for rules on channels, sample: ""}
    status: {description: "V(pass), V(info), V(warn), V(fail) or V(unknown).", type: str, returned: always, sample:
      pass}
    severity: {description: "V(critical), V(warning) or V(info).", type: str, returned: always, sample: critical}
    observed: {description: What was observed., type: raw, returned: always, sample: "on"}
    expected: {description: What it should be., type: raw, returned: always, sample: "on"}
    message: {description: One sentence., type: str, returned: always, sample: The receiver is connected.}
    hint: {description: What to do about it., type: str, returned: always, sample: ""}
    can_heal: {description: Whether waiting can help., type: bool, returned: always, sample: true}
engine:
  description: Flavor, version and identity of the server.
  returned: when the server answered
  type: dict
  sample: {flavor: mysql, version: 9.7.0, version_tuple: [9, 7, 0], server_id: 2, server_uuid:
    3e11fa47-71ca-11e1-9e33-c80aa9429562}
role:
  description: Role as observed and as expected, and the read-only flags.
  returned: always
  type: dict
  sample: {observed: replica, expected: replica, read_only: true, super_read_only: true, offline_mode: false,
    boot_read_only: true}
channels:
  description: Source, receiver, applier, GTIDs and lag (seconds) of each channel.
  returned: always
  type: list
  elements: dict
  sample:
    - name: ""
      source: {host: 192.0.2.21, port: 3306, user: repl}
      io: {state: "on", errno: 0, since_last_message_s: 0.4, retry_window_s: 432000}
      applier: {state: "on", workers: 4, errno: 0, delay: 0, filters: []}
      lag: {seconds: 0.0, source: commit_timestamp}
primary:
  description: Reachability, position and dump threads of the primary.
  returned: when a primary was given
  type: dict
  sample: {reachable: true, gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77"}
gtid:
  description: Position here, and what is missing, errant or lost compared with the primary (texts and numbers of
    transactions).
  returned: when the server answered
  type: dict
  sample: {missing: "", missing_count: 0, errant: "", errant_count: 0, unrecoverable: ""}
semi_sync:
  description: State of semi-synchronous replication (timeout in ms).
  returned: when the server answered
  type: dict
  sample: {plugin: none}
promotion:
  description: Whether this replica could take over, and which rules prevent it.
  returned: always
  type: dict
  sample: {promotable: true, blockers: [], warnings: []}
probe:
  description: Whether a written row arrived, and after how many milliseconds.
  returned: when O(probe=true)
  type: dict
  sample: {ok: true, latency_ms: 3.1}
compare:
  description: Tables and rows compared, and the ranges that differ.
  returned: when O(compare) is given
  type: dict
  sample: {tables: 12, rows: 48211, complete: true, different: [], elapsed_s: 1.9}
wait:
  description: Whether the wait succeeded, how long it took (seconds), the number of readings, the target, and what
    was missing last.
  returned: when O(wait_for) is not V(none)
  type: dict
  sample: {reached: true, elapsed_s: 0.61, attempts: 2, last: ""}
topology:
  description: With O(servers), who is primary and who follows whom.
  returned: when O(servers) is given
  type: dict
  sample: {primary: db1, writable: [db1], replicas: {db1: [db2]}, unreachable: []}
servers:
  description: With O(servers), the result of each server by its name.
  returned: when O(servers) is given
  type: dict
  sample: {}
raw:
  description: The rows that were read.
  returned: when O(return_raw=true)
  type: dict
  sample: {}
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import ConnectionOptions, DatabaseError, argument_spec
from ..module_utils.mysql.gtid import GtidError, parse
from ..module_utils.replication.context import policy_from
from ..module_utils.replication.fleet import SET_RULES, Fleet
from ..module_utils.replication.verdict import FAILING, SEVERITIES, report, unreachable
from ..module_utils.replication.verifier import Verifier


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = argument_spec()
    flag_on = {"type": "bool", "default": True}
    flag_off = {"type": "bool", "default": False}
    spec.update(
        role={"type": "str", "choices": ["auto", "replica", "primary", "group"], "default": "auto"},
        channel={"type": "str", "default": "*", "aliases": ["connection_name"]},
        primary_host={"type": "str"},
        primary_port={"type": "int", "default": 3306},
        primary_unix_socket={"type": "str"},
        primary_user={"type": "str"},
        primary_password={"type": "str", "no_log": True},
        primary_ca_cert={"type": "path"},
        primary_client_cert={"type": "path"},
        primary_client_key={"type": "path", "no_log": False},
        primary_gtid={"type": "str"},
        servers={
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str"},
                "host": {"type": "str"},
                "port": {"type": "int", "default": 3306},
                "unix_socket": {"type": "str"},
                "user": {"type": "str"},
                "password": {"type": "str", "no_log": True},
            },
            "required_one_of": [("host", "unix_socket")],
        },
        expected_primary={"type": "str"},
        expected_source_host={"type": "str"},
        expected_source_port={"type": "int"},
        expected_source_uuid={"type": "str"},
        expected_source_server_id={"type": "int"},
        expected_replicas={"type": "list", "elements": "str"},
        max_lag={"type": "float", "default": 30},
        warn_lag={"type": "float", "default": 10},
        max_lag_transactions={"type": "int", "default": 10000},
        heartbeat_table={"type": "str"},
        max_source_silence={"type": "float"},
        source_silence_wait={"type": "float"},
        min_retry_window={"type": "int", "default": 3600},
        min_binlog_retention={"type": "int", "default": 86400},
        max_transaction_age={"type": "int", "default": 60},
        min_free_disk_percent={"type": "float", "default": 10},
        min_group_members={"type": "int", "default": 3},
        inspect_tables=flag_on,
        max_auto_increment_percent={"type": "float", "default": 80},
        min_certificate_days={"type": "float", "default": 14},
        allow_errant=flag_off,
        ignore_errant_uuids={"type": "list", "elements": "str", "default": []},
        allow_filters=flag_off,
        allow_multi_source=flag_off,
        expected_delay={"type": "int", "default": 0},
        require_read_only=flag_on,
        require_super_read_only=flag_on,
        require_boot_read_only=flag_on,
        boot_read_only={"type": "bool"},
        require_gtid=flag_on,
        require_auto_position=flag_on,
        require_tls=flag_on,
        require_tls_verify=flag_off,
        require_semi_sync={"type": "bool"},
        require_durable=flag_on,
        require_promotable=flag_off,
        probe=flag_off,
        compare={"type": "list", "elements": "str"},
        compare_timeout={"type": "int", "default": 300},
        compare_chunk_rows={"type": "int", "default": 20000},
        wait_for={"type": "str", "choices": ["none", "healthy", "caught_up"], "default": "none"},
        wait_target={"type": "str", "default": "primary_now"},
        wait_timeout={"type": "int", "default": 60},
        poll_interval={"type": "float", "default": 0.5},
        fail_on={"type": "str", "choices": ["critical", "warning", "never"], "default": "critical"},
        checks={"type": "dict", "default": {}},
        return_raw=flag_off,
    )
    return spec


def primary_options(params: dict[str, Any], local: ConnectionOptions) -> ConnectionOptions | None:
    """The second connection; what is not given for it is as for the first."""
    if not (params["primary_host"] or params["primary_unix_socket"]):
        return None
    given = params["primary_password"]
    return replace(
        local,
        host=params["primary_host"] or "localhost",
        port=params["primary_port"],
        unix_socket=params["primary_unix_socket"],
        user=params["primary_user"] or local.user,
        password=local.password if given is None else given,
        ca_cert=params["primary_ca_cert"] or local.ca_cert,
        client_cert=params["primary_client_cert"] or local.client_cert,
        client_key=params["primary_client_key"] or local.client_key,
    )


def complaints(params: dict[str, Any]) -> list[str]:
    """Option values and combinations that make no sense, all at once."""
    found = []
    wrong = {k: v for k, v in params["checks"].items() if v not in {"critical", "warning", "info", "skip"}}
    if wrong:
        found.append(f"checks: the severity is one of critical, warning, info and skip, not {wrong}")
    names = sorted(set(params["checks"]) - set(SEVERITIES) - set(SET_RULES) - {"connect"})
    if names:
        found.append(f"checks: there is no rule {', '.join(names)}; the rules are {', '.join(sorted(SEVERITIES))}")
    has_primary = bool(params["primary_host"] or params["primary_unix_socket"])
    if params["probe"] and not (params["heartbeat_table"] and has_primary):
        found.append("probe needs heartbeat_table (schema.table) and a connection to the primary (primary_host)")
    if params["compare"] and not has_primary:
        found.append("compare needs a connection to the primary (primary_host)")
    if params["servers"]:
        found += _bad_set(params)
    elif params["expected_primary"]:
        found.append("expected_primary needs servers")
    if params["heartbeat_table"] and params["heartbeat_table"].count(".") != 1:
        found.append(f"heartbeat_table: {params['heartbeat_table']!r} is not of the form schema.table")
    needs_target = params["wait_for"] == "caught_up" and params["wait_target"] == "primary_now"
    if needs_target and not (has_primary or params["primary_gtid"]):
        found.append("wait_for=caught_up needs a target: primary_host, primary_gtid or wait_target")
    if params["role"] == "primary" and (has_primary or params["wait_for"] == "caught_up"):
        found.append("role=primary does not go with primary_host or wait_for=caught_up: a primary follows nobody")
    for name in (
        "max_lag",
        "warn_lag",
        "max_lag_transactions",
        "wait_timeout",
        "min_retry_window",
        "min_free_disk_percent",
        "min_certificate_days",
    ):
        if params[name] < 0:
            found.append(f"{name} must not be negative")
    for name in ("poll_interval", "connect_timeout", "read_timeout"):
        if params[name] <= 0:
            found.append(f"{name} must be greater than 0")
    if not 0 < params["max_auto_increment_percent"] <= 100:
        found.append("max_auto_increment_percent must be between 0 and 100")
    if params["warn_lag"] > params["max_lag"]:
        found.append(f"warn_lag ({params['warn_lag']:g}) must not be greater than max_lag ({params['max_lag']:g})")
    return found + _bad_gtids(params)


def _bad_set(params: dict[str, Any]) -> list[str]:
    found = []
    names = [server_name(server) for server in params["servers"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        found.append(f"servers: {', '.join(twice)} is listed twice")
    if params["expected_primary"] and params["expected_primary"] not in names:
        found.append(f"expected_primary: {params['expected_primary']} is not in servers ({', '.join(names)})")
    single = [name for name in ("probe", "compare") if params[name]]
    if params["wait_for"] != "none":
        single.append("wait_for")
    if single:
        found.append(f"servers does not go with {', '.join(single)}, which are for one replica")
    return found


def server_name(server: dict[str, Any]) -> str:
    """The name of a server of a set: its own, else where it is."""
    return server["name"] or server["unix_socket"] or f"{server['host']}:{server['port']}"


def verify_set(params: dict[str, Any]) -> dict[str, Any]:
    """The result for a set of servers."""
    common = ConnectionOptions.from_params(params)
    members = {
        server_name(server): replace(
            common,
            host=server["host"] or "localhost",
            port=server["port"],
            unix_socket=server["unix_socket"],
            user=server["user"] or common.user,
            password=common.password if server["password"] is None else server["password"],
        )
        for server in params["servers"]
    }
    with Fleet(members, policy_from({**params, "role": "auto"}), params["max_transaction_age"]) as fleet:
        return fleet.report(params["expected_primary"])


def _bad_gtids(params: dict[str, Any]) -> list[str]:
    found = []
    for name in ("primary_gtid", "wait_target"):
        text = params[name]
        if not text or text == "primary_now":
            continue
        errors = []
        for flavor in ("mysql", "mariadb"):
            try:
                parse(text, flavor)
            except GtidError as error:
                errors.append(str(error))
        if len(errors) == 2:
            found.append(f"{name}: {text!r} is neither a MySQL GTID set nor a MariaDB position")
    return found


def verify(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result for one server."""
    local = ConnectionOptions.from_params(params)
    policy = policy_from(params)
    verifier = Verifier(
        local,
        policy,
        primary_options(params, local),
        params["primary_gtid"] or "",
        heartbeat_table=params["heartbeat_table"] or "",
        source_silence_wait=params["source_silence_wait"],
        max_transaction_age=params["max_transaction_age"],
    )
    extra: dict[str, Any] = {}
    with verifier:
        if params["wait_for"] != "none":
            extra["wait"] = verifier.wait(
                params["wait_for"],
                params["wait_target"],
                params["wait_timeout"],
                params["poll_interval"],
                params["fail_on"],
            )
        if params["probe"] and not check_mode:
            extra["probe"] = verifier.probe(params["max_lag"])
        if params["compare"]:
            extra["compare"] = verifier.compare(
                params["compare"], params["compare_timeout"], params["compare_chunk_rows"]
            )
        try:
            context, verdict = verifier.judge()
        except DatabaseError as error:
            return {**unreachable(verifier.name or local.where, error, policy), **extra}
        result = {**report(context, verdict), **extra}
        if params["return_raw"]:
            result["raw"] = {
                "local": context.local.snapshot,
                "primary": context.primary.snapshot if context.primary else None,
            }
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_spec(),
        supports_check_mode=True,
        mutually_exclusive=[
            ("primary_host", "primary_unix_socket", "primary_gtid", "servers"),
        ],
    )
    found = complaints(module.params)
    if found:
        module.fail_json(msg="; ".join(found) + ".")
    try:
        result = verify_set(module.params) if module.params["servers"] else verify(module.params, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    waited = result.get("wait")
    if waited and not waited["reached"] and module.params["fail_on"] != "never":
        message = f"Gave up waiting after {waited['elapsed_s']} s ({waited['last']}). "
        module.fail_json(msg=message + result["summary"], **result)
    if result["verdict"] in FAILING[module.params["fail_on"]]:
        module.fail_json(msg=result["summary"], **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
