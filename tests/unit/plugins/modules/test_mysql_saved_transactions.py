# SPDX-License-Identifier: GPL-3.0-or-later
"""What only an old primary has is saved from its binary logs, as text, without a running server."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_saved_transactions

UUID = "1fea28fd-eb5f-11f1-8231-0242ac110002"
# Prints what stands in the file, without the transactions that are excluded, as mysqlbinlog does.
PROGRAM = """#!/usr/bin/env python3
import re, sys
options, path = sys.argv[1:-1], sys.argv[-1]
assert options[:2] == ["--base64-output=DECODE-ROWS", "--verbose"]
excluded = int((re.search(r":1-(\\d+)", " ".join(options)) or [0, 0])[1])
for block in open(path).read().split("~\\n"):
    number = re.search(r"GTID_NEXT= '[^:]*:(\\d+)'", block)
    if not (number and int(number[1]) <= excluded):
        sys.stdout.write(block)
if "torn" in path:
    sys.exit("ERROR: Could not read entry at offset 900: Error in log format or read error.")
"""


class Node:
    """A node with binary logs; the transactions of each follow on those of the one before."""

    def __init__(self, top: Path, mariadb: bool, run_module: Any) -> None:
        self.top, self.mariadb, self._run = top, mariadb, run_module
        self.index = top / "binlog.index"
        self.folder = top / "saved"
        self.last = 0
        self.index.touch()

    def log(self, name: str, count: int) -> None:
        """One more log, with so many transactions."""
        kind = f"Gtid list [1-9-4,\n# 0-7-{self.last}]" if self.mariadb else f"Previous-GTIDs\n# {UUID}:1-{self.last}"
        head = f"# at 127\n#261128 19:13:26 server id 7  end_log_pos 299 CRC32 0x2f74fb00 \t{kind}\n"
        if not self.last:
            head = head.replace("[1-9-4,\n# 0-7-0]", "[]").replace(f"{UUID}:1-0", "[empty]")
        blocks = [head]
        for number in range(self.last + 1, self.last + count + 1):
            gtid = f"0-7-{number} trans thread_id=6" if self.mariadb else "last_committed=1"
            line = "" if self.mariadb else f"SET @@SESSION.GTID_NEXT= '{UUID}:{number}'/*!*/;\n"
            blocks.append(
                f"# at {number}00\n#261128 19:13:26 server id 7  end_log_pos 9 CRC32 0x9314b9a4 \tGTID {gtid}\n{line}"
                f"# at {number}50\n### INSERT INTO `a`.`t`\n### SET\n###   @1={number}\n"
            )
        end = "" if self.mariadb else "SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;\n"
        blocks.append(f"{end}DELIMITER ;\n# End of log file\n")
        self.last += count
        (self.top / name).write_text("~\n".join(blocks))
        self.index.write_text(f"{self.index.read_text()}./{name}\n")

    def save(self, known: int, check: bool = False, **more: Any) -> dict[str, Any]:
        """What the module answers where the other server has so many."""
        executed = f"0-7-{known},1-9-4" if self.mariadb else f"{UUID}:1-{known}"
        history = {"mariadb": self.mariadb, "identity": "8", "executed": executed, "position": executed}
        given = {"known": history, "identity": "7" if self.mariadb else UUID, "path": str(self.folder)}
        given.update(prefix="db1", index=str(self.index))
        return self._run(mysql_saved_transactions, check=check, **{**given, **more})

    def gtid(self, number: int) -> str:
        return f"0-7-{number}" if self.mariadb else f"{UUID}:{number}"


@pytest.fixture(params=[False, True], ids=["mysql", "mariadb"])
def node(request, tmp_path, run_module, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / ("mariadb-binlog" if request.param else "mysqlbinlog")
    program.write_text(PROGRAM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Node(tmp_path, request.param, run_module)


def test_what_the_other_server_lacks_is_listed_and_saved_with_its_rows(node):
    node.log("binlog.000001", 3)
    node.log("binlog.000002", 3)
    done = node.save(known=4)
    assert (done["changed"], done["count"], done["purged"], done["torn"]) == (True, 2, "", "")
    assert done["transactions"] == [node.gtid(5), node.gtid(6)]
    text = Path(done["file"]).read_text()
    assert text.startswith(f"-- 2 transactions\n-- {node.gtid(5)}\n-- {node.gtid(6)}\n\n")
    assert [line for line in text.splitlines() if "@1=" in line] == ["###   @1=5", "###   @1=6"]
    # Rows may be secret.
    assert stat.S_IMODE(Path(done["file"]).stat().st_mode) == 0o600
    assert Path(done["file"]).name.startswith("db1-")


def test_the_same_transactions_are_saved_once(node):
    node.log("binlog.000001", 3)
    first = node.save(known=1)
    assert node.save(known=1) == {**first, "changed": False}
    node.log("binlog.000002", 1)
    assert node.save(known=1)["file"] != first["file"]


def test_nothing_is_saved_where_nothing_is_lacking(node):
    node.log("binlog.000001", 3)
    done = node.save(known=3)
    assert (done["changed"], done["count"], done["file"]) == (False, 0, "")
    assert not node.folder.exists()


def test_logs_are_read_back_to_the_first_that_matters(node):
    """A server that has been up for long has many of them."""
    node.log("binlog.000001", 3)
    node.log("binlog.000002", 3)
    node.log("binlog.000003", 3)
    (node.top / "binlog.000001").unlink()
    assert node.save(known=5)["count"] == 4


def test_what_is_no_longer_in_the_logs_is_told(node):
    node.log("binlog.000001", 3)
    node.log("binlog.000002", 3)
    node.index.write_text("./binlog.000002\n")
    done = node.save(known=1)
    assert done["transactions"] == [node.gtid(number) for number in (4, 5, 6)]
    assert done["purged"] == ("0-7-3" if node.mariadb else f"{UUID}:2-3")


def test_check_mode_lists_them_and_writes_nothing(node):
    node.log("binlog.000001", 3)
    done = node.save(known=1, check=True)
    assert (done["changed"], done["count"], node.folder.exists()) == (True, 2, False)


def test_the_torn_end_of_the_last_log_is_told_and_does_not_keep_the_rest(node):
    node.log("binlog.000001", 3)
    node.log("binlog.torn", 1)
    done = node.save(known=3)
    assert (done["count"], done["torn"].partition(":")[0]) == (1, "ERROR")
    node.log("binlog.000003", 1)
    assert "binlog.torn cannot be read: ERROR: Could not read entry" in node.save(known=3)["msg"]


def test_logs_that_are_not_there_are_refused(node):
    assert "binlog.index names no binary log" in node.save(known=1)["msg"]
    assert "nothing.index cannot be read" in node.save(known=1, index="/nothing.index")["msg"]


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ("--datadir=/srv/mysql\n--log-bin=binlog\n", "/srv/mysql/binlog.index"),
        ("--log_bin=/logs/bin.log\n", "/logs/bin.index"),
        ("--log_bin=old\n--log_bin=new\n", "/var/lib/mysql/new.index"),
        ("--log_bin_index=/logs/all.index\n", "/logs/all.index"),
    ],
)
def test_the_option_files_say_where_the_logs_are(node, options, index):
    program = node.top / "bin" / "my_print_defaults"
    program.write_text(f"#!/bin/sh\ncat <<END\n{options}END\n")
    program.chmod(0o755)
    assert f"{index} cannot be read" in node.save(known=1, index=None)["msg"]
