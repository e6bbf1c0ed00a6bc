"""Real database servers in containers, for the integration tests.

Everything is named ``repltest-*``, lives in a network of its own and keeps its data in memory.
The server's socket directory is bind-mounted, so socket authentication works from the test process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import ER

# Another number for a second run at the same time, and for each process of one run.
LAB = int(os.environ.get("REPLTEST_LAB", "77")) + 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
NAME = "repltest" if LAB == 77 else f"repltest{LAB}"
NETWORK, SUBNET = f"{NAME}-net", f"172.31.{LAB}.0/24"
# Of this account alone, which could not write into what another one made.
DATA = Path(os.environ.get("REPLTEST_DATA", f"/dev/shm/{NAME}-{os.getuid()}"))
ROOT = Path(os.environ.get("REPLTEST_DIR", f"/tmp/{NAME}-{os.getuid()}"))
IMAGES = {"mysql97": "repltest-mysql97", "mariadb118": "repltest-mariadb118", "mariadb1011": "repltest-mariadb1011"}
REPL_USER, REPL_PASSWORD = "repl", "Repl-pass-1"
MONITOR_USER, MONITOR_PASSWORD = "verify", "Verify-pass-1"

_COMMON = [
    "--server-id={server_id}",
    "--report-host={ip}",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--skip-name-resolve",
    "--socket=/run/mysqld/mysqld.sock",
    "--pid-file=/run/mysqld/mysqld.pid",
    "--bind-address=0.0.0.0",
    "--max-connections=60",
    "--innodb-buffer-pool-size=64M",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--relay-log=relay",
    "--ssl-ca=/tls/ca.pem",
    "--ssl-cert=/tls/server.pem",
    "--ssl-key=/tls/server.key",
]
_MYSQL = [
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--log-replica-updates=ON",
    "--mysqlx=OFF",
    "--relay-log-recovery=ON",
    "--replica-net-timeout=10",
    "--skip-replica-start=ON",
]
_MARIADB = [
    "--log-slave-updates=ON",
    "--gtid-strict-mode=ON",
    "--slave-net-timeout=10",
    "--binlog-row-image=FULL",
    "--slave-parallel-threads=4",
    "--binlog-expire-logs-seconds=2592000",
    "--skip-slave-start",
]


def run(*command: str, check: bool = True, **kwargs) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def run_as_root(engine: str, *command: str) -> str:
    """A command on this machine, by a container of the engine's image where this account is an ordinary one."""
    if os.getuid():
        powers = ["--pid=host", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"]
        powers += ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
        command = ("docker", "run", "--rm", *powers, IMAGES[engine], "nsenter", f"-t{os.getpid()}", "-m", *command)
    return run(*command)


def prepare() -> None:
    """Network and certificates; safe to call again."""
    if NETWORK not in run("docker", "network", "ls", "--format", "{{.Name}}").split():
        run("docker", "network", "create", "--subnet", SUBNET, NETWORK)
    tls = ROOT / "tls"
    if (tls / "server.pem").exists():
        return
    tls.mkdir(parents=True, exist_ok=True)
    san = ",".join(f"IP:172.31.{LAB}.{n}" for n in range(10, 60))
    script = f"""
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=repltest-ca -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=repltest -keyout server.key -out server.csr
        printf 'subjectAltName={san}\\nbasicConstraints=CA:FALSE\\n' > ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out server.pem
        chmod 644 *.key
    """
    run("sh", "-ec", script, cwd=tls)


@dataclass
class Server:
    engine: str
    number: int
    options: list[str] = field(default_factory=list)
    server_id: int | None = None
    volumes: list[str] = field(default_factory=list)

    @property
    def mariadb(self) -> bool:
        return self.engine.startswith("mariadb")

    @property
    def name(self) -> str:
        return f"{NAME}-{self.engine}-{self.number}"

    @property
    def ip(self) -> str:
        return f"172.31.{LAB}.{self.number}"

    @property
    def run_dir(self) -> Path:
        return ROOT / self.name

    @property
    def data_dir(self) -> Path:
        return DATA / self.name

    @property
    def socket(self) -> str:
        return str(self.run_dir / "mysqld.sock")

    def start(self) -> Server:
        """Create the container with an empty data directory and wait until it answers."""
        self.remove()
        self.run_dir.mkdir(parents=True)
        self.run_dir.chmod(0o777)
        options = [o.format(server_id=self.server_id or self.number, ip=self.ip) for o in _COMMON]
        options += (_MARIADB if self.mariadb else _MYSQL) + self.options
        # In memory, and under the same path inside and outside, so that free space can be read from here.
        data = self.data_dir
        data.mkdir(parents=True)
        volume = ["-v", f"{data}:{data}"]
        for extra in self.volumes:
            volume += ["-v", extra]
        daemon = f"{'mariadbd' if self.mariadb else 'mysqld'} --no-defaults --user=mysql --datadir={data}"
        if self.mariadb:
            init = f"mariadb-install-db --no-defaults --user=mysql --datadir={data} --skip-test-db >/dev/null"
        else:
            # These cannot be changed any more once there are data.
            fixed = " ".join(o for o in self.options if o.startswith("--lower-case-table-names"))
            init = f"mysqld --no-defaults --user=mysql --datadir={data} {fixed} --initialize-insecure 2>/dev/null"
        log = "/run/mysqld/error.log"
        script = (
            f"{self.own_accounts()}chown mysql:mysql {data} /run/mysqld; [ -d {data}/mysql ] || {init}; "
            f"exec {daemon} {' '.join(options)} >{log} 2>&1"
        )
        run(
            "docker", "run", "-d", "--name", self.name, "--network", NETWORK, "--ip", self.ip,
            "--cap-add", "SYS_NICE", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined", *volume,
            "-v", f"{self.run_dir}:/run/mysqld", "-v", f"{ROOT / 'tls'}:/tls:ro",
            IMAGES[self.engine], "sh", "-c", script,
        )  # fmt: skip
        self.wait_ready()
        return self

    @staticmethod
    def own_accounts() -> str:
        """Commands by which an ordinary account is root to the server's socket, and owns what the server writes."""
        if not (me := os.getuid()):
            return ""
        return f"sed -i -e '1i root:x:{me}:0::/root:/bin/sh' -e 's/^mysql:x:[0-9]*:/mysql:x:{me}:/' /etc/passwd; "

    def wait_ready(self, timeout: float = 90) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.connect():
                    return
            except pymysql.err.MySQLError as error:
                if time.monotonic() > deadline:
                    log = self.run_dir / "error.log"
                    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                    raise RuntimeError(f"{self.name} does not answer: {error}\n{tail}") from error
                time.sleep(0.2)

    def remove(self) -> None:
        run("docker", "rm", "-f", "-v", self.name, check=False)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def pause(self) -> None:
        """Freeze the server process; its connections stay open."""
        run("docker", "pause", self.name)

    def unpause(self) -> None:
        run("docker", "unpause", self.name, check=False)

    def stop(self) -> None:
        run("docker", "kill", self.name, check=False)

    def restart(self) -> None:
        run("docker", "start", self.name)
        self.wait_ready()

    def cut(self, off: bool = True) -> None:
        """Take the network interface down, so that packets vanish without a reset."""
        self.exec("ip", "link", "set", "eth0", "down" if off else "up")
        if not off:
            run("docker", "exec", self.name, "ip", "route", "replace", "default", "via", f"172.31.{LAB}.1", check=False)

    def exec(self, *command: str) -> str:
        return run("docker", "exec", self.name, *command)

    def connect(self, **kwargs) -> pymysql.connections.Connection:
        # Over a socket; to read all authorities of the system takes longer than anything that is tested.
        return pymysql.connect(
            unix_socket=self.socket, user="root", autocommit=True, connect_timeout=5, read_timeout=60,
            ssl_disabled=True, **kwargs
        )  # fmt: skip

    def sql(self, *statements: str) -> list[dict]:
        """Run statements in one session; the rows of the last one."""
        with self.connect(cursorclass=pymysql.cursors.DictCursor) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def has(self, number: int) -> bool:
        """Whether app.t has the row of this number; a new replica may not have the table yet."""
        try:
            return bool(self.sql(f"SELECT 1 FROM app.t WHERE id = {number}"))
        except pymysql.err.MySQLError as error:
            if error.args[0] in (ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE):
                return False
            raise

    def channel(self) -> dict[str, Any]:
        """The status of the channel in today's words; empty if there is none."""
        rows = self.sql("SHOW SLAVE STATUS" if self.mariadb else "SHOW REPLICA STATUS")
        row = rows[0] if rows else {}
        return {name.replace("Slave", "Replica").replace("Master", "Source"): value for name, value in row.items()}

    def value(self, statement: str):
        return next(iter(self.sql(statement)[0].values()))

    def accounts(self) -> None:
        """The replication and monitoring accounts, outside the binary log so that each server has its own."""
        auth = "IDENTIFIED VIA mysql_native_password USING PASSWORD('{}')" if self.mariadb else "IDENTIFIED BY '{}'"
        grants = (
            "SLAVE MONITOR, BINLOG MONITOR, REPLICATION MASTER ADMIN, REFERENCES"
            if self.mariadb
            else "REPLICATION CLIENT, REPLICATION SLAVE, REFERENCES"
        )
        statements = [
            "SET SESSION sql_log_bin=0",
            f"CREATE USER {REPL_USER}@'%' {auth.format(REPL_PASSWORD)}",
            f"GRANT REPLICATION SLAVE ON *.* TO {REPL_USER}@'%'",
            f"CREATE USER {MONITOR_USER}@'%' {auth.format(MONITOR_PASSWORD)}",
            f"GRANT {grants} ON *.* TO {MONITOR_USER}@'%'",
            f"GRANT SELECT ON performance_schema.* TO {MONITOR_USER}@'%'",
            f"GRANT SELECT ON mysql.* TO {MONITOR_USER}@'%'",
        ]
        self.sql(*statements)

    def follow(self, source: Server, start: bool = True, **changes: object) -> None:
        """Point this server at source with the project's own defaults."""
        if self.mariadb:
            settings: dict[str, object] = {
                "MASTER_HOST": source.ip, "MASTER_PORT": 3306, "MASTER_USER": REPL_USER,
                "MASTER_PASSWORD": REPL_PASSWORD, "MASTER_USE_GTID": "\0slave_pos", "MASTER_SSL": 1,
                "MASTER_SSL_CA": "/tls/ca.pem", "MASTER_SSL_VERIFY_SERVER_CERT": 1, "MASTER_CONNECT_RETRY": 5,
                "MASTER_HEARTBEAT_PERIOD": 2,
            }  # fmt: skip
            words = ("CHANGE MASTER TO", "START SLAVE")
        else:
            settings = {
                "SOURCE_HOST": source.ip, "SOURCE_PORT": 3306, "SOURCE_USER": REPL_USER,
                "SOURCE_PASSWORD": REPL_PASSWORD, "SOURCE_AUTO_POSITION": 1, "SOURCE_SSL": 1,
                "SOURCE_SSL_CA": "/tls/ca.pem", "SOURCE_SSL_VERIFY_SERVER_CERT": 1, "SOURCE_CONNECT_RETRY": 5,
                "SOURCE_RETRY_COUNT": 86400, "SOURCE_HEARTBEAT_PERIOD": 2,
            }  # fmt: skip
            words = ("CHANGE REPLICATION SOURCE TO", "START REPLICA")
        settings.update(changes)
        body = ", ".join(f"{k}={_literal(v)}" for k, v in settings.items())
        self.sql(f"{words[0]} {body}", *([words[1]] if start else []))


def _literal(value: object) -> str:
    if isinstance(value, str):
        return value[1:] if value.startswith("\0") else "'" + value.replace("'", "''") + "'"
    return str(value)
