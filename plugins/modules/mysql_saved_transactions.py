#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_saved_transactions
short_description: Save the transactions of a database server that another one lacks, in a form that can be read
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Reads the binary logs of this node, which needs no running server, and writes the transactions that are not in
    O(known) to a text file, with statements as they were and changed rows as pseudo-SQL with their values before and
    after.
  - The name of the file follows from the transactions, so that they are saved once.
attributes:
  check_mode:
    description: Lists the transactions and writes no file.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: What is saved is not saved again.
    support: full
options:
  known:
    description: History of the other server, as M(pentad.webstack.mysql_replication_info) returns it.
    type: dict
    required: true
  identity:
    description: The C(server_uuid) of this server, or on MariaDB its C(server_id), as in its own transactions.
    type: str
    required: true
  path:
    description: Directory for the file. It is created if it is not there.
    type: path
    required: true
  prefix:
    description: Beginning of the file's name.
    type: str
    default: transactions
  index:
    description: Index file of the binary logs; by default that of the server's option files.
    type: path
"""

EXAMPLES = r"""
- name: Save what only the old primary has
  pentad.webstack.mysql_saved_transactions:
    known:
      mariadb: false
      identity: 4e11fa47-71ca-11e1-9e33-c80aa9429562
      executed: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77
    identity: 3e11fa47-71ca-11e1-9e33-c80aa9429562
    path: /var/lib/webstack/transactions
    prefix: db1
"""

RETURN = r"""
count:
  description: How many transactions there are.
  returned: success
  type: int
  sample: 2
transactions:
  description: Their GTIDs, the first 1000 of them.
  returned: success
  type: list
  elements: str
  sample: ["3e11fa47-71ca-11e1-9e33-c80aa9429562:78", "3e11fa47-71ca-11e1-9e33-c80aa9429562:79"]
file:
  description: The file with them; empty if there are none.
  returned: success
  type: str
  sample: /var/lib/webstack/transactions/db1-0f3a9c1b.sql
purged:
  description: Transactions that are not in O(known) and not in the binary logs any more; empty for none.
  returned: success
  type: str
  sample: ""
torn:
  description: Why the last binary log could not be read to its end; empty if it could.
  returned: success
  type: str
  sample: ""
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.gtid import GtidError
from ..module_utils.pipeline import output_of
from ..module_utils.replication.history import History

DATADIR = "/var/lib/mysql"
LISTED = 1000
# Changed rows as comments that can be read, and not as they are encoded.
READABLE = ["--base64-output=DECODE-ROWS", "--verbose"]
OF_MYSQL = re.compile(r"SET @@SESSION\.GTID_NEXT= '([^']+)'")
OF_MARIADB = re.compile(r"#\d{6} .*\tGTID (\d+-\d+-\d+)\b")
NO_TRANSACTION = "AUTOMATIC"


class Unreadable(Exception):
    """The binary logs cannot be read; the text is one sentence with the remedy."""


class Engine:
    """The programs and the notation of the engine of a history."""

    def __init__(self, known: History, identity: str) -> None:
        self.known, self.identity = known, identity
        names = ("mariadb-binlog", "mysqlbinlog") if known.mariadb else ("mysqlbinlog",)
        found = next((path for name in names if (path := shutil.which(name))), None)
        if not found:
            raise Unreadable(f"{names[0]} is not installed: install the client programs of the server.")
        self.program = found

    def lacks(self, transactions: str) -> str:
        """What of these transactions the other server lacks."""
        return self.known.lacks(History(self.known.mariadb, self.identity, transactions))

    def before(self, log: Path) -> str:
        """All transactions that were written before a binary log was begun, as the log itself says."""
        with output_of([self.program, *READABLE, str(log)], subprocess.DEVNULL) as running:
            try:
                return self.first_entry(running.stdout or [])
            finally:
                # The rest of a log may be long.
                running.kill()

    def first_entry(self, lines: Iterable[str]) -> str:
        """The set at the beginning of a log, which may go on over several lines."""
        begin, pattern = ("\tGtid list [", OF_MARIADB) if self.known.mariadb else ("\tPrevious-GTIDs", OF_MYSQL)
        found = ""
        for line in lines:
            if begin in line:
                found = line.partition(begin)[2].strip() or "\n"
            elif found and line.startswith("# ") and not line.startswith("# at "):
                found += line[2:].strip()
            elif found or pattern.match(line):
                break
        return "" if "[empty]" in found else found.strip().rstrip("]")

    def text(self, log: Path, write: Callable[[str], Any]) -> str:
        """Write the transactions of a log that the other server lacks; returns an error of the program."""
        excluded = [] if self.known.mariadb else [f"--exclude-gtids={self.known.executed}"]
        with tempfile.TemporaryFile("w+") as errors:
            with output_of([self.program, *READABLE, *excluded, str(log)], errors) as running:
                for line in self.lacking(running.stdout or []):
                    write(line)
            errors.seek(0)
            return (errors.read().strip() or "it ended early") if running.returncode else ""

    def lacking(self, lines: Iterable[str]) -> Iterator[str]:
        """Lines of the transactions that the other server lacks; MySQL's program leaves out the others."""
        if not self.known.mariadb:
            yield from lines
            return
        wanted, held = False, ""
        for line in lines:
            if line.startswith("# at "):
                # It belongs to what comes next.
                held = line
                continue
            if match := OF_MARIADB.match(line):
                wanted = bool(self.lacks(match[1]))
            if wanted:
                yield held
                yield line
            held = ""

    def named(self, lines: Iterable[str]) -> Iterator[str]:
        """The GTIDs in a text."""
        pattern = OF_MARIADB if self.known.mariadb else OF_MYSQL
        for line in lines:
            match = pattern.match(line)
            if match and match[1] != NO_TRANSACTION:
                yield match[1]


def index_file(mariadb: bool) -> Path:
    """The index of the binary logs by the option files of the server."""
    program = shutil.which("my_print_defaults") or shutil.which("mariadb-print-defaults")
    if not program:
        raise Unreadable("my_print_defaults is not installed: name the index of the binary logs (index).")
    groups = ["--mysqld"] if mariadb else ["mysqld", "server"]
    done = subprocess.run([program, *groups], capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    options = {}
    for line in done.stdout.splitlines():
        name, _equals, value = line.strip().lstrip("-").partition("=")
        options[name.replace("-", "_")] = value
    folder = Path(options.get("datadir") or DATADIR)
    # Without a name the server makes one of the host's.
    base = folder / (options.get("log_bin") or (f"{socket.gethostname()}-bin" if mariadb else "binlog"))
    return folder / options["log_bin_index"] if options.get("log_bin_index") else base.parent / f"{base.stem}.index"


def logs_of(index: Path) -> list[Path]:
    """The binary logs, the oldest first."""
    try:
        lines = index.read_text().split("\n")
    except OSError as error:
        raise Unreadable(f"{index} cannot be read ({error.strerror}): name the index of the binary logs.") from error
    found = [index.parent / line.strip() for line in lines if line.strip()]
    if not found:
        raise Unreadable(f"{index} names no binary log, so nothing can be read.")
    return found


def needed(engine: Engine, logs: list[Path]) -> tuple[list[Path], str]:
    """Logs that may have something that the other server lacks, and what was written before the first of them."""
    found: list[Path] = []
    for log in reversed(logs):
        found.insert(0, log)
        earlier = engine.lacks(engine.before(log))
        if not earlier:
            return found, ""
    return found, earlier


def save(engine: Engine, logs: list[Path], folder: Path, prefix: str, check_mode: bool) -> dict[str, Any]:
    """Write the file, and tell what is in it."""
    chosen, purged = needed(engine, logs)
    digest, names, torn = hashlib.sha256(), [], ""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as body:
        for log in chosen:
            torn = engine.text(log, body.write)
            if torn and log != chosen[-1]:
                raise Unreadable(f"{log} cannot be read: {torn}")
        body.seek(0)
        for name in engine.named(body):
            digest.update(f"{name}\n".encode())
            names.append(name)
        path = folder / f"{prefix}-{digest.hexdigest()[:12]}.sql"
        fresh = bool(names) and not path.exists()
        if fresh and not check_mode:
            body.seek(0)
            write(path, [f"-- {len(names)} transactions\n", *(f"-- {name}\n" for name in names), "\n"], body)
    return {
        "changed": fresh,
        "count": len(names),
        "transactions": names[:LISTED],
        "file": str(path) if names else "",
        "purged": purged,
        "torn": torn,
    }


def write(path: Path, *parts: Iterable[str]) -> None:
    """Write a file that root alone may read, as it has data; nobody sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    with partial.open("w", encoding="utf-8") as file:
        for lines in parts:
            file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "known": {"type": "dict", "required": True},
            "identity": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "prefix": {"type": "str", "default": "transactions"},
            "index": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    known = History.from_dict(params["known"])
    try:
        engine = Engine(known, params["identity"])
        logs = logs_of(Path(params["index"]) if params["index"] else index_file(known.mariadb))
        result = save(engine, logs, Path(params["path"]), params["prefix"], module.check_mode)
    except (Unreadable, GtidError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"path: {error.filename or params['path']} cannot be written ({error.strerror}).")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
