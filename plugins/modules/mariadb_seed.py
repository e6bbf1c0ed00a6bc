#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seed an empty MariaDB server with the data of another one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mariadb_seed
short_description: Seed an empty MariaDB server with the data of another one
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Copies all data of a running source with C(mariadb-backup), without stopping the source, and leaves the local server
    at the position in the source's binary log that the copy was taken at.
  - The copy goes straight from the source to the replica, through C(socat) and C(mbstream). Both ends show the
    certificates of their servers, which have to name the addresses of the two hosts.
  - Does nothing where the local server already replicates, or holds a state from which replication can catch up.
  - Refuses to overwrite a server that has data of its own, unless O(overwrite=true).
  - The old data directory is replaced in one step, and removed when the server runs on the new one. A copy that was
    interrupted is finished, or begun again, by the next run.
options:
  step:
    description:
      - V(receive), on the replica, decides whether to copy, and begins to listen for the copy.
      - V(send), on the source, sends it; needed where V(receive) returned RV(action=seed).
      - >-
        V(finish), on the replica, makes it the data of the server; needed where V(receive) returned RV(action=seed) or
        RV(action=finish).
    type: str
    choices: [receive, send, finish]
    required: true
  address:
    description: Address of the replica, on which it listens for the copy. Needed unless O(step=finish).
    type: str
  port:
    description: Port on which the replica listens for the copy, for as long as it takes.
    type: int
    default: 4444
  source_host:
    description: Address of the source. Needed for O(step=receive).
    type: str
  source_port:
    description: Port of the source's server.
    type: int
    default: 3306
  source_user:
    description: Account on the source, with C(BINLOG MONITOR). Needed for O(step=receive).
    type: str
  source_password:
    description: Password of O(source_user).
    type: str
  source_ssl_ca:
    description: Authority that the certificate of the source's server is verified against.
    type: path
  overwrite:
    description: Copy even though the local server has data, which are lost.
    type: bool
    default: false
  service:
    description: Unit of the local server.
    type: str
    default: mariadb.service
  timeout:
    description: Seconds within which the copy has to be complete.
    type: int
    default: 3600
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports, for O(step=receive), whether data would be copied. The other steps do nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Begin to receive the data of the source, if this server needs them
  pentad.webstack.mariadb_seed:
    step: receive
    login_unix_socket: /run/mysqld/mysqld.sock
    address: 192.0.2.32
    source_host: 192.0.2.31
    source_user: replication
    source_password: "{{ webstack_replication_password }}"
    source_ssl_ca: /etc/ssl/webstack/ca.pem
  register: seed

- name: Send them
  pentad.webstack.mariadb_seed:
    step: send
    login_unix_socket: /run/mysqld/mysqld.sock
    address: 192.0.2.32
  delegate_to: db1
  when: seed.action == 'seed'

- name: Run the server on them
  pentad.webstack.mariadb_seed:
    step: finish
    login_unix_socket: /run/mysqld/mysqld.sock
  when: seed.action in ['seed', 'finish']
"""

RETURN = r"""
action:
  description: >-
    What remains to be done: V(seed), to send and to finish; V(finish), only to finish a copy that was interrupted after
    its data were complete; V(none).
  returned: for O(step=receive)
  type: str
  sample: seed
reason:
  description: Why data are copied, or are not.
  returned: for O(step=receive)
  type: str
  sample: the server is empty
position:
  description: GTID position on the source that the copy was taken at.
  returned: for O(step=finish)
  type: str
  sample: 0-1-1042
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import re
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.addresses import bracketed, host_port
from ..module_utils.mysql import events
from ..module_utils.mysql.connection import (
    SYSTEM_SCHEMAS,
    Connection,
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    client_options,
    user_schemas,
)
from ..module_utils.mysql.gtid import MariadbGtid
from ..module_utils.pipeline import pipeline
from ..module_utils.replication.history import History
from ..module_utils.replication.seeding import SeedError, needs_copy

RECEIVER = "mariadb-seed.service"
MOUNTS = Path("/proc/self/mountinfo")
LOCK = Path("/run/mariadb-seed.lock")
# Left in the new data directory until the position is set: with it, the copy is not finished.
MARKER = "webstack_seed.json"
# The tool gave its files new names in MariaDB 11.
BINLOG_INFO = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")
CHECKPOINTS = ("mariadb_backup_checkpoints", "xtrabackup_checkpoints")
# Files beside the data in which the distribution's package notes their version.
VERSION_FILES = ("debian-*.flag", "mariadb_upgrade_info", "mysql_upgrade_info")
# Seconds that the receiver waits for the source, and that a step waits for one of an earlier run.
PATIENCE = 120
# Milliseconds between two readings of the source's redo log. At the end commits are blocked until the next one, by
# default for up to a second.
LOG_COPY_INTERVAL = 50
AT_FDCWD = -100
RENAME_EXCHANGE = 2


@dataclass(frozen=True)
class Place:
    """Directories of the data, of the incoming copy and of the replaced data until their removal.

    All three are in one file system. A data directory that is a mount point cannot be renamed: its content is moved.
    """

    data: Path
    mounted: bool

    @property
    def stage(self) -> Path:
        """Directory of the incoming copy."""
        return self.data / ".seed" if self.mounted else self.data.with_name(self.data.name + ".seed")

    @property
    def replaced(self) -> Path:
        """Directory of the replaced data."""
        return self.data / ".replaced" if self.mounted else self.data.with_name(self.data.name + ".replaced")

    @property
    def marker(self) -> Path:
        """File that says that the data are a fresh copy whose position is not set yet."""
        return self.data / MARKER

    @property
    def swapping(self) -> bool:
        """Whether moving the content was interrupted."""
        return self.mounted and self.stage.is_dir() and self.replaced.is_dir()

    @property
    def position(self) -> str | None:
        """Position of an unfinished copy; None where there is none, or it was given up."""
        return (read_marker(self.stage) if self.swapping else None) or read_marker(self.data)


def read_marker(folder: Path) -> str | None:
    """The position in the marker of a directory; None without a marker."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))["position"]
    except FileNotFoundError:
        return None


def write_marker(folder: Path, position: str | None, owner: os.stat_result) -> None:
    """Mark a directory as a copy that was taken at a position, or as one that was given up."""
    path = folder / MARKER
    path.write_text(json.dumps({"position": position}), encoding="utf-8")
    os.chown(path, owner.st_uid, owner.st_gid)


# --- what is decided ------------------------------------------------------------------------------------------------


def can_catch_up(local: str, state: str, position: str, purged: str, own_id: int) -> bool:
    """Whether the local transactions are a part of the source's, and the source still has the logs of the rest.

    C(state) and C(position) are the source's binary log state and current position, C(purged) the state at the start of
    its oldest binary log.
    """
    have = MariadbGtid.parse(local)
    if not have or have.foreign_to(MariadbGtid.parse(state), MariadbGtid.parse(position), own_id):
        return False
    return not have.behind(MariadbGtid.parse(purged))


def decide(
    unfinished: bool, channels: int, schemas: list[str], catch_up: bool, overwrite: bool, related: bool = True
) -> tuple[str, str]:
    """What to do, and why; raises SeedError where a copy would destroy data that was not given up."""
    if unfinished:
        if catch_up:
            return "finish", "an earlier copy is complete but not in use"
        return "seed", "an earlier copy is not in use, and the source no longer has the logs since then"
    needed, reason = needs_copy(channels, schemas, catch_up, overwrite, related)
    return "seed" if needed else "none", reason


def series(version: str) -> str:
    """Release series of a server, within which a physical copy can be used."""
    match = re.match(r"\d+\.\d+", version)
    return match[0] if match else version


def strays(variables: Mapping[str, Any], data: Path) -> list[str]:
    """Variables by which the server keeps a part of its data outside the data directory."""
    found = []
    for name, value in variables.items():
        path = Path(os.path.normpath(data / str(value or "")))
        if path != data and data not in path.parents:
            found.append(f"{name}={value}")
    return found


def binlog_position(text: str) -> str:
    """GTID position in the tool's binlog info: file, offset and, once a transaction was logged, GTIDs."""
    fields = text.split()
    return "".join(fields[2:])


def escaped(value: Any) -> str:
    """A value as socat reads it back in an address, where some characters have a meaning."""
    return re.sub(r"([\\,:!\"'(\[{}\])])", r"\\\1", str(value))


def tls_options(files: Mapping[str, str], peer: str) -> str:
    """Options of a socat address that present the server's certificate and want one that names the peer."""
    named = {"cert": files["ssl_cert"], "key": files["ssl_key"], "cafile": files["ssl_ca"], "commonname": peer}
    return "verify=1,keepalive,keepidle=10,keepintvl=10,keepcnt=3," + ",".join(
        f"{name}={escaped(value)}" for name, value in named.items()
    )


def listener(params: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """The replica's end of the transfer."""
    family = ",pf=ip6" if ":" in params["address"] else ""
    place = f"OPENSSL-LISTEN:{params['port']}{family},reuseaddr,bind={bracketed(params['address'])}"
    return f"{place},accept-timeout={PATIENCE},{tls_options(files, params['source_host'])}"


def sender(params: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """The source's end of the transfer; the replica may need a moment until it listens."""
    place = f"OPENSSL:{host_port(params['address'], params['port'])}"
    return f"{place},retry=20,interval=0.5,{tls_options(files, params['address'])}"


# --- the local server -----------------------------------------------------------------------------------------------


def tls_files(connection: Connection) -> dict[str, str]:
    """Key, certificate and authority that the server uses; so do both ends of the transfer."""
    row = connection.one("SELECT @@GLOBAL.ssl_cert AS ssl_cert, @@GLOBAL.ssl_key AS ssl_key, @@GLOBAL.ssl_ca AS ssl_ca")
    missing = [name for name, value in row.items() if not value]
    if missing:
        raise SeedError(
            f"{connection.where}: the server has no {', '.join(missing)}, with which the copy is encrypted: "
            "set them in its configuration."
        )
    return {name: os.path.realpath(value) for name, value in row.items()}


def place_of(connection: Connection) -> Place:
    """Data directory of the server, which has to hold all of the data."""
    data = Path(os.path.realpath(connection.value("SELECT @@GLOBAL.datadir")))
    outside = strays(
        connection.one(
            "SELECT @@GLOBAL.innodb_data_home_dir AS innodb_data_home_dir, "
            "@@GLOBAL.innodb_log_group_home_dir AS innodb_log_group_home_dir, "
            "@@GLOBAL.innodb_undo_directory AS innodb_undo_directory, "
            "@@GLOBAL.log_bin_basename AS log_bin, @@GLOBAL.relay_log_basename AS relay_log"
        ),
        data,
    )
    if outside:
        raise SeedError(
            f"{connection.where}: the server keeps a part of its data outside {data} ({', '.join(outside)}), "
            "and only the data directory is replaced: copy the data by hand, or move that part into it."
        )
    return Place(data, is_mount_point(data))


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted there, a directory of the same file system included."""
    return os.fsencode(path) in mount_points(MOUNTS.read_bytes())


def mount_points(mounts: bytes) -> set[bytes]:
    """Paths where something is mounted; the kernel writes blanks and backslashes in them as octal numbers."""
    paths = [line.split()[4] for line in mounts.splitlines()]
    return {re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), path) for path in paths}


def local_transactions(connection: Connection) -> str:
    """All that the server has executed, from a source or by itself."""
    row = connection.one("SELECT @@GLOBAL.gtid_slave_pos AS applied, @@GLOBAL.gtid_binlog_state AS logged")
    return ",".join(part for part in row.values() if part)


# --- steps ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Let one run at a time touch the data; the step of an interrupted run is waited for."""
    deadline = time.monotonic() + PATIENCE
    with LOCK.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SeedError(
                        f"Another run has been working on the data of this server for {PATIENCE} s ({LOCK} is held): "
                        "wait until it has ended."
                    ) from None
                time.sleep(0.2)
        yield


def command(module: AnsibleModule, argv: list[str], doing: str) -> str:
    """Output of a program that has to succeed."""
    code, out, err = module.run_command(argv)
    if code:
        raise SeedError(f"{doing} failed ({argv[0]}, exit status {code}): {tail(err or out)}")
    return out


def tail(text: str) -> str:
    """The last lines of a program's output."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-8:]) or "it said nothing."


def journal(module: AnsibleModule, unit: str) -> str:
    """The last lines in the journal of a unit."""
    return tail(module.run_command(["journalctl", "--unit", unit, "--lines=8", "--output=cat", "--no-pager"])[1])


def raise_file_limit() -> None:
    """Allow as many open files as possible: the tool holds the file of every table open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def plan(connection: Connection, options: ConnectionOptions, overwrite: bool, place: Place) -> tuple[str, str]:
    """What remains to be done on this server, and why."""
    channels = len(connection.rows("SHOW ALL REPLICAS STATUS"))
    unfinished = not channels and (place.marker.exists() or place.swapping)
    if channels and not overwrite:
        return decide(False, channels, [], False, False)
    own = connection.one("SELECT @@GLOBAL.server_id AS id, @@version AS version")
    local = (place.position or "") if unfinished else local_transactions(connection)
    with Connection(options) as source:
        row = source.one(
            "SELECT @@GLOBAL.server_id AS id, @@version AS version, @@GLOBAL.gtid_binlog_state AS state, "
            "@@GLOBAL.gtid_current_pos AS position"
        )
        if row["id"] == own["id"]:
            raise SeedError(
                f"{source.where} has the server_id {own['id']} of this very server: correct mysql_replica_source, "
                "or mysql_server_id of one of the two."
            )
        logs = source.rows("SHOW BINARY LOGS")
        purged = source.value("SELECT BINLOG_GTID_POS(%s, 4)", [logs[0]["Log_name"]]) if logs else ""
    catch_up = can_catch_up(local, row["state"] or "", row["position"] or "", purged or "", int(own["id"]))
    related = History(True, "", row["state"] or "", row["position"] or "").shares(History(True, "", local))
    action, reason = decide(unfinished, channels, user_schemas(connection), catch_up, overwrite, related)
    if action == "seed" and series(own["version"]) != series(row["version"]):
        raise SeedError(
            f"{options.where} runs MariaDB {series(row['version'])} and this server {series(own['version'])}: a copy "
            "of the files works within one release series only. Install the same one, or load a dump."
        )
    return action, reason


def remove(*folders: Path) -> None:
    """Remove directories that may be there."""
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


def listen(module: AnsibleModule, place: Place, files: Mapping[str, str]) -> None:
    """Start a receiver that outlives this module, into an empty directory that belongs to the server's account."""
    params = module.params
    owner = place.data.stat()
    # Both fail where no receiver was left over, which is the usual case.
    module.run_command(["systemctl", "stop", RECEIVER])
    module.run_command(["systemctl", "reset-failed", RECEIVER])
    if place.marker.exists() or place.swapping:
        # The unfinished copy is given up; a marker without a position keeps it recognisable as that.
        write_marker(place.data, None, owner)
    remove(place.stage, place.replaced)
    place.stage.mkdir(mode=0o700)
    os.chown(place.stage, owner.st_uid, owner.st_gid)
    properties = {"Type": "exec", "RuntimeMaxSec": params["timeout"], "LimitNOFILE": "infinity"}
    command(
        module,
        [
            *("systemd-run", "--quiet", f"--unit={RECEIVER}", "--description=Receiver of a MariaDB copy"),
            *(f"--uid={owner.st_uid}", f"--gid={owner.st_gid}", f"--working-directory={place.stage}"),
            *(f"--property={name}={value}" for name, value in properties.items()),
            *("socat", "-u", listener(params, files), "EXEC:mbstream -x"),
        ],
        "Listening for the copy",
    )


def receive(module: AnsibleModule) -> dict[str, Any]:
    """Decide and, where data have to be copied, start the receiver."""
    params = module.params
    source = ConnectionOptions(
        user=params["source_user"],
        password=params["source_password"],
        host=params["source_host"],
        port=params["source_port"],
        ca_cert=params["source_ssl_ca"],
        connect_timeout=params["connect_timeout"],
    )
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            stack.enter_context(exclusive())
        local = stack.enter_context(Connection(ConnectionOptions.from_params(params)))
        place = place_of(local)
        action, reason = plan(local, source, params["overwrite"], place)
        if action == "seed" and not module.check_mode:
            listen(module, place, tls_files(local))
    return {"changed": action != "none", "action": action, "reason": reason}


def check_engines(connection: Connection) -> None:
    """Refuse a source with tables in memory, whose rows are in no file and so in no copy."""
    rows = connection.rows(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS name FROM information_schema.TABLES "
        "WHERE ENGINE = 'MEMORY' AND TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN (%s, %s, %s, %s) ORDER BY 1",
        SYSTEM_SCHEMAS,
    )
    if rows:
        raise SeedError(
            f"{connection.where}: has tables in memory ({', '.join(row['name'] for row in rows)}), which a copy would "
            "leave empty: convert each with ALTER TABLE ... ENGINE=InnoDB, or load a dump into the replica yourself."
        )


def send(module: AnsibleModule) -> dict[str, Any]:
    """Copy the data of the local server to the replica that listens for them."""
    params = module.params
    login = ConnectionOptions.from_params(params)
    with Connection(login) as local:
        files = tls_files(local)
        check_engines(local)
    raise_file_limit()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as private:
        backup, transfer = pipeline(
            [
                *("mariadb-backup", *client_options(login, Path(private))),
                *("--backup", "--stream=mbstream", f"--target-dir={scratch}"),
                f"--log-copy-interval={LOG_COPY_INTERVAL}",
                f"--socket={params['login_unix_socket']}",
            ],
            ["socat", "-u", "-", sender(params, files)],
        )
    codes = {"mariadb-backup": backup.code, "socat": transfer.code}
    check_transfer(codes, host_port(params["address"], params["port"]), transfer.stderr, backup.stderr)
    return {"changed": True}


def check_transfer(codes: Mapping[str, int], where: str, socat_error: str, backup_error: str) -> None:
    """Raise if a program of the sender failed, with the one that failed first; either makes the other fail."""
    if codes["mariadb-backup"] and "Broken pipe" not in backup_error and "errno: 32" not in backup_error:
        raise SeedError(
            f"The copy failed (mariadb-backup, exit status {codes['mariadb-backup']}): {tail(backup_error)}"
        )
    if any(codes.values()):
        raise SeedError(
            f"The transfer to {where} failed (socat, exit status {codes['socat']}): {tail(socat_error)} The port must "
            "be open from the source to the replica, and both certificates have to name their addresses."
        )


def first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the files that is there."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def wait_for_copy(module: AnsibleModule, place: Place) -> None:
    """Wait until the receiver has ended, and check that the copy is complete."""
    query = ["systemctl", "show", "--property=ActiveState", "--value", RECEIVER]
    limit = module.params["timeout"]
    deadline = time.monotonic() + limit
    while True:
        state = command(module, query, "Reading the state of the receiver").strip()
        if state not in ("active", "activating", "deactivating"):
            break
        if time.monotonic() > deadline:
            raise SeedError(f"The copy was not complete after {limit} s: raise mysql_replica_seed_timeout.")
        time.sleep(0.2)
    # The tool writes this file last.
    if state == "failed" or not first_of(place.stage, CHECKPOINTS):
        raise SeedError(f"The copy did not arrive completely: {journal(module, RECEIVER)}")


def flush(folder: Path) -> None:
    """Write a directory and all that is in it to the disk."""
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def prepare(module: AnsibleModule, place: Place) -> None:
    """Make the copy a consistent data directory that carries its position."""
    owner = place.data.stat()
    account = pwd.getpwuid(owner.st_uid).pw_name
    raise_file_limit()
    command(
        module,
        ["runuser", "-u", account, "--", "mariadb-backup", "--prepare", f"--target-dir={place.stage}"],
        "Preparing the copy",
    )
    info = first_of(place.stage, BINLOG_INFO)
    if info is None:
        raise SeedError("The source writes no binary log, so nothing can follow it: set log_bin there.")
    position = binlog_position(info.read_text(encoding="utf-8"))
    for pattern in VERSION_FILES:
        for path in place.data.glob(pattern):
            shutil.copy2(path, place.stage / path.name)
    write_marker(place.stage, position, owner)
    place.stage.chmod(owner.st_mode & 0o7777)
    flush(place.stage)


def exchange(one: Path, other: Path) -> None:
    """Let two directories change places, in one step: a crash leaves either the old state or the new one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE):
        reason = os.strerror(ctypes.get_errno())
        raise SeedError(f"{one} and {other} cannot change places ({reason}): both have to be in one file system.")


def move_content(source: Path, target: Path, keep: tuple[Path, ...] = ()) -> None:
    """Move what a directory holds, the marker first; can be repeated after an interruption."""
    for entry in sorted(source.iterdir(), key=lambda path: path.name != MARKER):
        if entry not in keep and entry.name != "lost+found":
            entry.rename(target / entry.name)


def put_in_place(place: Place) -> None:
    """Make the copy the data directory; the old one stays beside it."""
    if not place.mounted:
        exchange(place.data, place.stage)
        place.stage.rename(place.replaced)
        return
    place.replaced.mkdir(mode=0o700, exist_ok=True)
    if (place.stage / MARKER).exists():
        move_content(place.data, place.replaced, (place.stage, place.replaced))
    move_content(place.stage, place.data)
    place.stage.rmdir()


def put_back(place: Place) -> None:
    """Undo put_in_place."""
    if not place.mounted:
        exchange(place.data, place.replaced)
        place.replaced.rename(place.stage)
        return
    place.stage.mkdir(mode=0o700, exist_ok=True)
    move_content(place.data, place.stage, (place.stage, place.replaced))
    move_content(place.replaced, place.data)
    place.replaced.rmdir()


def replace_data(module: AnsibleModule, place: Place) -> None:
    """Run the server on the copy, or again on its old data if it does not start on it."""
    service = module.params["service"]
    command(module, ["systemctl", "stop", service], "Stopping the server")
    put_in_place(place)
    try:
        command(module, ["systemctl", "start", service], "Starting the server on the copy")
    except SeedError as error:
        said = journal(module, service)
        put_back(place)
        command(module, ["systemctl", "start", service], "Starting the server on its old data")
        raise SeedError(f"{error} {said} The server runs on its old data again.") from error


def finish(module: AnsibleModule) -> dict[str, Any]:
    """Run the server on a complete copy."""
    options = ConnectionOptions.from_params(module.params)
    with exclusive():
        with Connection(options) as local:
            place = place_of(local)
        if place.swapping or place.position is None:
            if not place.swapping:
                wait_for_copy(module, place)
                prepare(module, place)
            replace_data(module, place)
        position = place.position
        with Connection(options) as local:
            # The copy has them as they are on the primary, where they run.
            events.stop(local, dry=False)
            local.rows("SET GLOBAL gtid_slave_pos = %s", [position])
        remove(place.stage, place.replaced)
        place.marker.unlink()
    return {"changed": True, "position": position}


def main() -> None:
    """Run the module."""
    steps = {"receive": receive, "send": send, "finish": finish}
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "step": {"type": "str", "choices": list(steps), "required": True},
            "address": {"type": "str"},
            "port": {"type": "int", "default": 4444},
            "source_host": {"type": "str"},
            "source_port": {"type": "int", "default": 3306},
            "source_user": {"type": "str"},
            "source_password": {"type": "str", "no_log": True},
            "source_ssl_ca": {"type": "path"},
            "overwrite": {"type": "bool", "default": False},
            "service": {"type": "str", "default": "mariadb.service"},
            "timeout": {"type": "int", "default": 3600},
        },
        required_if=[
            ("step", "receive", ("address", "source_host", "source_user", "source_password")),
            ("step", "send", ("address", "login_unix_socket")),
        ],
        supports_check_mode=True,
    )
    step = module.params["step"]
    if module.check_mode and step != "receive":
        module.exit_json(changed=True)
    try:
        result = steps[step](module)
    except (DatabaseError, SeedError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
