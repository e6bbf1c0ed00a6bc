# SPDX-License-Identifier: GPL-3.0-or-later
"""The two nodes of the scenario, a client that writes all the time, and the deployment of the replica again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import testinfra
from testinfra.host import Host
from testinfra.modules.ansible import AnsibleException
from testinfra.utils.ansible_runner import AnsibleRunner
from waiting import wait

SCENARIO = Path(__file__).parents[2] / "molecule" / "seeding"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
SECRETS = Path(INVENTORY).parent / ".webstack" / "secrets"
ENGINE = os.environ["WEBSTACK_LAB_ENGINE"]
MARIADB = ENGINE == "mariadb"
MEGABYTES = int(os.environ["WEBSTACK_SEEDING_MEGABYTES"])
SERVICE = f"{ENGINE}.service"
DATA = "/var/lib/mysql"
# What the server has executed, and all that makes it forget that.
EXECUTED = "@@GLOBAL.gtid_binlog_pos" if MARIADB else "@@GLOBAL.gtid_executed"
APPLIED = "@@GLOBAL.gtid_slave_pos" if MARIADB else "@@GLOBAL.gtid_executed"
FORGET = "RESET MASTER; SET GLOBAL gtid_slave_pos = ''" if MARIADB else "RESET BINARY LOGS AND GTIDS"
UNFENCED = "SET GLOBAL read_only = OFF" if MARIADB else "SET GLOBAL super_read_only = OFF"
FENCED = "SET GLOBAL read_only = ON" if MARIADB else "SET GLOBAL super_read_only = ON"
# Seconds that one commit may take while the data are copied.
LONGEST_COMMIT = 1.0
RUN_TIMEOUT = 600


def member(group: str) -> Host:
    """The one host of a group."""
    names = AnsibleRunner(INVENTORY).get_hosts(group)
    return testinfra.get_host(f"ansible://{names[0]}", ansible_inventory=INVENTORY)


@pytest.fixture(scope="session")
def primary() -> Host:
    """The primary."""
    return member("mysql_primary")


@pytest.fixture(scope="session")
def replica() -> Host:
    """The replica."""
    return member("mysql_replica")


def sql(host: Host, statement: str) -> str:
    """Answer of the local server, one row a line."""
    return host.check_output(f"{ENGINE} --batch --skip-column-names --execute %s", statement)


def channel(host: Host) -> dict[str, str]:
    """The replica's channel, in today's words; empty if it has none."""
    told = host.check_output(f"{ENGINE} --vertical --execute 'SHOW REPLICA STATUS'")
    pairs = (line.split(":", 1) for line in told.splitlines() if ":" in line)
    return {
        name.strip().replace("Slave_", "Replica_").replace("Master_", "Source_"): value.strip() for name, value in pairs
    }


# --- the data -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def filled(primary: Host) -> None:
    """As many megabytes on the primary as are asked for. They are not logged: a replica gets them by a copy alone."""
    ten = " UNION ALL ".join(f"SELECT {n}" for n in range(10))
    create = [
        "SET SESSION sql_log_bin = 0",
        "DROP TABLE IF EXISTS guestbook.written, guestbook.bulk, guestbook.crash_safe",
        "CREATE TABLE guestbook.written (id INT PRIMARY KEY, body CHAR(200)) ENGINE=InnoDB",
        "CREATE TABLE guestbook.bulk (id INT AUTO_INCREMENT PRIMARY KEY, changed INT NOT NULL DEFAULT 0, "
        "body VARCHAR(1024) NOT NULL) ENGINE=InnoDB",
    ]
    if MARIADB:
        # The other engines are copied by other steps.
        create += [
            "CREATE TABLE guestbook.crash_safe (id INT PRIMARY KEY) ENGINE=Aria",
            "INSERT INTO guestbook.crash_safe VALUES (1), (2), (3)",
            "CREATE OR REPLACE EVENT guestbook.tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM guestbook.bulk WHERE id < 0",
        ]
    sql(primary, "; ".join(create))
    four = (
        "SET SESSION sql_log_bin = 0; INSERT INTO guestbook.bulk (body) SELECT REPEAT(SHA2(RAND(), 512), 8) "
        f"FROM (SELECT 0 FROM ({ten}) a, ({ten}) b, ({ten}) c, ({ten}) d LIMIT 4096) r;"
    )
    primary.check_output("for times in $(seq %s); do echo %s; done | %s", str(MEGABYTES // 4), four, ENGINE)


class Writer:
    """A client of the primary that inserts and changes rows all the time, and knows its longest commit."""

    def __init__(self, address: str) -> None:
        self._context = ssl.create_default_context(cafile=str(Path(INVENTORY).parent / ".webstack" / "pki" / "ca.pem"))
        self._address = address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._error: Exception | None = None
        self.longest = 0.0
        self.commits = 0

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(
            host=self._address, user="app", password=(SECRETS / "app").read_text().strip(), database="guestbook",
            ssl=self._context, read_timeout=60, autocommit=False,
        )  # fmt: skip

    def _write(self) -> None:
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT COALESCE(MAX(id), 0) FROM written")
                last = cursor.fetchone()[0]
                cursor.execute("SELECT MAX(id) FROM bulk")
                rows = cursor.fetchone()[0]
                # A pause between two commits leaves the others a part of the disk, as clients do.
                while not self._ended.wait(0.005):
                    last += 1
                    begun = time.monotonic()
                    cursor.execute("INSERT INTO written VALUES (%s, REPEAT('w', 200))", (last,))
                    cursor.execute("UPDATE bulk SET changed = %s WHERE id = %s", (last, last * 7919 % rows + 1))
                    connection.commit()
                    self.longest = max(self.longest, time.monotonic() - begun)
                    self.commits += 1
        except Exception as error:  # noqa: BLE001 - it is raised where the writer is ended
            self._error = error

    def __enter__(self) -> Writer:
        self._thread.start()
        wait("the first commits", lambda: self.commits > 10 or not self._thread.is_alive())
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error:
            raise self._error


@pytest.fixture
def writing(primary: Host, filled: None) -> Callable[[], contextlib.AbstractContextManager[Writer]]:
    """Have a client write, and see afterwards that it never had to wait."""
    address = primary.check_output("hostname -I").split()[0]

    @contextlib.contextmanager
    def write() -> Iterator[Writer]:
        with Writer(address) as writer:
            yield writer
        print(f"{ENGINE}, {MEGABYTES} MB: {writer.commits} commits, the longest {writer.longest:.3f} s")
        assert writer.commits > 100
        assert writer.longest < LONGEST_COMMIT

    return write


def empty(host: Host) -> None:
    """Make a server what the package leaves."""
    host.check_output("systemctl stop %s", SERVICE)
    host.check_output("rm -rf %s && cp --archive %s.empty %s", DATA, DATA, DATA)
    host.check_output("systemctl start %s", SERVICE)


def slow_down(host: Host) -> None:
    """Have a copy take 12 s or more, whatever the disk, so that it can be met half way, and by a run that follows."""
    if not MARIADB:
        sql(host, f"SET GLOBAL clone_max_data_bandwidth = {max(MEGABYTES // 12, 1)}")


def half_way(host: Host, then: str = "true") -> None:
    """Wait until a part of the data has arrived, but not all, and run a command there at once."""
    if MARIADB:
        arrived = f'test -n "$(find {DATA}.seed/guestbook/bulk.ibd -size +{MEGABYTES * 256}k 2>/dev/null)"'
    else:
        progress = (
            "SELECT 1 FROM performance_schema.clone_progress "
            f"WHERE stage = 'FILE COPY' AND state = 'In Progress' AND data > {MEGABYTES * 256 * 1024}"
        )
        arrived = f'test -n "$(mysql --skip-column-names --execute="{progress}")"'
    host.check_output("timeout 120 sh -c %s", f"until {arrived}; do sleep 0.01; done; {then}")


# --- the deployment -------------------------------------------------------------------------------------------------


class Deployment:
    """One run of the deployment of the replica."""

    def __init__(self, **variables: Any) -> None:
        self._process = subprocess.Popen(
            [
                *("ansible-playbook", "-i", str(Path(INVENTORY).parent)),
                *("-e", json.dumps(variables), str(SCENARIO / "replica.yml")),
            ],
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def wait(self) -> Deployment:
        """Let it end."""
        self.output = self._process.communicate(timeout=RUN_TIMEOUT)[0]
        return self

    def kill(self) -> None:
        """End it, with the processes that it started on this host, as a machine does that loses its power."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        family = [self._process.pid]
        for member_ in family:
            family += [pid for pid, parent in parents.items() if parent == member_]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self._process.returncode != 0

    @property
    def told(self) -> str:
        """What it said, on one line."""
        return " ".join(self.output.split())

    @property
    def copied(self) -> bool:
        """Whether it sent the data of the primary to the replica."""
        tasks = self.output.split("TASK [")
        return any(
            re.match(r".*(Copy|Send) the data of the primary\]", task) and "\nchanged:" in task for task in tasks
        )

    @property
    def copy_seconds(self) -> float:
        """Seconds that the tasks took which copy the data and put them to use."""
        named = r"(?:Copy|Start receiving|Send|Start the server with) the data of the primary -+ ([0-9.]+)s"
        return sum(float(seconds) for seconds in re.findall(named, self.output))


@pytest.fixture
def deploy() -> Callable[..., Deployment]:
    """Run the replica's part of the deployment again."""
    return lambda **variables: Deployment(**variables).wait()


@pytest.fixture
def verdict(primary: Host, replica: Host) -> Callable[..., dict[str, Any]]:
    """The collection's verdict on the replica, as one who knows the primary, too."""
    options = {
        "login_unix_socket": "/run/mysqld/mysqld.sock",
        "role": "replica",
        "primary_host": primary.check_output("hostname -I").split()[0],
        "primary_user": "comparison",
        "primary_password": (SECRETS / "verification").read_text().strip(),
        "primary_ca_cert": "/etc/ssl/webstack/ca.pem",
        "fail_on": "never",
    }

    def judge(**more: Any) -> dict[str, Any]:
        try:
            return replica.ansible(
                "pentad.webstack.mysql_replication_verify", json.dumps({**options, **more}), check=False
            )
        except AnsibleException as error:
            return error.result

    return judge
