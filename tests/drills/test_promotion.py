# SPDX-License-Identifier: GPL-3.0-or-later
"""Another primary, made by hand as docs/failover.md says, under a writer; no playbook undoes it or breaks it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from client import Writer
from figures import figure
from nodes import Lab, Run
from waiting import wait

pytestmark = pytest.mark.usefixtures("lab_is_right")
NODES = ("db1", "db2")
MARKER = "/etc/mysql/webstack-primary"
TABLE = "guestbook.entries"
# By the name of the writer.
DRILLS = {
    "promotion": "another primary by hand, then every playbook",
    "return": "a former primary is back and joins",
    "reinstalled": "a primary without its data, and the other one in its place",
}


@dataclass
class Databases:
    """The two database servers, by the statements of their engine."""

    lab: Lab
    mariadb: bool

    @property
    def service(self) -> str:
        return "mariadb" if self.mariadb else "mysql"

    @property
    def client(self) -> str:
        return "mariadb" if self.mariadb else "mysql"

    def sql(self, node: str, statement: str) -> str:
        return self.lab.sh(node, f'{self.client} --batch --skip-column-names --execute="{statement}"')

    def writable(self, node: str) -> bool:
        return self.sql(node, f"SELECT @@GLOBAL.{'' if self.mariadb else 'super_'}read_only") == "0"

    def follows(self, node: str) -> str:
        """Address of the source; empty if there is none."""
        word = "SLAVE" if self.mariadb else "REPLICA"
        found = self.lab.sh(node, f"{self.client} --vertical --execute='SHOW {word} STATUS'")
        name = "Master_Host:" if self.mariadb else "Source_Host:"
        return next((line.split()[-1] for line in found.splitlines() if line.split()[:1] == [name]), "")

    def marked(self, node: str) -> bool:
        return self.lab.host(node).file(MARKER).exists

    def primary(self) -> str:
        """The one that takes writes."""
        found = [node for node in NODES if self.writable(node)]
        assert len(found) == 1, f"{found} take writes"
        return found[0]

    def other(self, node: str) -> str:
        return next(each for each in NODES if each != node)

    def fence(self, node: str) -> None:
        self.sql(node, f"SET GLOBAL {'' if self.mariadb else 'super_'}read_only = ON")

    def caught_up(self, replica: str, primary: str) -> None:
        """Wait until the replica has all that the primary has."""
        if self.mariadb:
            position = self.sql(primary, "SELECT @@GLOBAL.gtid_binlog_pos")
            assert self.sql(replica, f"SELECT MASTER_GTID_WAIT('{position}', 60)") == "0"
        else:
            position = self.sql(primary, "SELECT @@GLOBAL.gtid_executed").replace("\\n", "")
            assert self.sql(replica, f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', 60)") == "0"

    def open(self, node: str) -> None:
        """Have a replica follow nobody and take writes."""
        if self.mariadb:
            self.sql(node, "STOP ALL SLAVES; RESET SLAVE ALL; SET GLOBAL read_only = OFF")
        else:
            self.sql(
                node, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF"
            )
        self.lab.sh(node, f"touch {MARKER}")

    def follow(self, node: str, source: str, password: str) -> None:
        """Have the former primary follow the new one, with the settings that the collection uses."""
        head = "CHANGE MASTER TO" if self.mariadb else "CHANGE REPLICATION SOURCE TO"
        word, start = ("MASTER", "START SLAVE") if self.mariadb else ("SOURCE", "START REPLICA")
        settings = {
            "HOST": f"'{self.lab.address(source)}'",
            "PORT": "3306",
            "USER": "'replication'",
            "PASSWORD": f"'{password}'",
            "SSL": "1",
            "SSL_CA": f"'{self.lab_authority(node)}'",
            "SSL_VERIFY_SERVER_CERT": "1",
            "CONNECT_RETRY": "5",
            "HEARTBEAT_PERIOD": "2",
            **({"USE_GTID": "slave_pos", "DEMOTE_TO_SLAVE": "1"} if self.mariadb
               else {"RETRY_COUNT": "86400", "AUTO_POSITION": "1"}),
        }  # fmt: skip
        clauses = ", ".join(f"{word}_{name} = {value}" for name, value in settings.items())
        self.lab.sh(node, f"rm -f {MARKER}")
        self.sql(node, f"{head} {clauses}; {start}")

    def lab_authority(self, node: str) -> str:
        return self.sql(node, "SELECT @@GLOBAL.ssl_ca")

    def rows(self, node: str, name: str) -> set[str]:
        """Messages that a writer has left here."""
        return set(self.sql(node, f"SELECT message FROM {TABLE} WHERE name = '{name}'").splitlines())

    def erase(self, node: str) -> None:
        """As if the machine had been installed again: the server with no data, and nothing known of any role."""
        make = (
            "mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket"
            if self.mariadb
            else "mysqld --initialize-insecure --user=mysql"
        )
        # The package's own start script asks for an account that is gone as well.
        self.lab.sh(
            node,
            # The directory as well: one of the frozen node's image could not change places with another one.
            f"systemctl stop {self.service} && rm -r /var/lib/mysql && install -d -o mysql -g mysql /var/lib/mysql "
            f"&& {make} >/dev/null 2>&1 "
            f"&& rm -f {MARKER} && systemctl start {self.service}",
        )
        wait("the empty server to answer", lambda: "guestbook" not in self.sql(node, "SHOW DATABASES"), 60)


@pytest.fixture(scope="module")
def databases(lab: Lab) -> Databases:
    return Databases(lab, lab.host("db1").run("command -v mariadbd").rc == 0)


def succeeded(run: Run) -> Run:
    assert run.code == 0, run.output[-4000:]
    return run


def unchanged(lab: Lab) -> None:
    """The full run is green and changes nothing."""
    run = succeeded(lab.playbook("site.yml"))
    assert set(run.changed.values()) == {0}, f"{run.changed} {run.output[-6000:]}"


def roles(databases: Databases, primary: str) -> None:
    """Who has which role, and who is known to have it."""
    replica = databases.other(primary)
    assert databases.primary() == primary
    assert databases.follows(replica) == databases.lab.address(primary)
    assert databases.follows(primary) == ""
    assert (databases.marked(primary), databases.marked(replica)) == (True, False)


def nothing_lost(databases: Databases, writer: Writer) -> None:
    """Every acknowledged entry is on both servers."""
    primary = databases.primary()
    databases.caught_up(databases.other(primary), primary)
    for node in NODES:
        missing = set(writer.acknowledged) - databases.rows(node, writer.name)
        assert not missing, f"{node} lacks {len(missing)} of {len(writer.acknowledged)}: {sorted(missing)[:5]}"
    figure(
        DRILLS[writer.name],
        f"{len(writer.acknowledged)} entries acknowledged, 0 lost, {len(writer.refused)} refused, "
        f"longest pause {writer.longest_pause:.2f} s",
    )


def test_promotion_by_hand_is_left_as_it_is_by_every_playbook(
    lab: Lab, databases: Databases, secrets: dict[str, str]
) -> None:
    old = databases.primary()
    new = databases.other(old)
    with Writer("promotion") as writer:
        writer.written(40)
        databases.fence(old)
        databases.caught_up(new, old)
        databases.open(new)
        databases.follow(old, new, secrets["replication"])
        writer.written(40)
        in_switch = len(writer.refused)
        succeeded(lab.playbook("verify.yml"))
        unchanged(lab)
        roles(databases, new)
        succeeded(lab.playbook("deploy.yml"))
        succeeded(lab.playbook("reboot.yml", "-e", "upkeep_switchover=false"))
        succeeded(lab.playbook("verify.yml"))
        roles(databases, new)
        unchanged(lab)
        writer.written(40)
    assert writer.refused[in_switch:] == []
    nothing_lost(databases, writer)


def test_former_primary_that_comes_back_joins_where_it_stopped(lab: Lab, databases: Databases) -> None:
    old = databases.primary()
    new = databases.other(old)
    with Writer("return") as writer:
        writer.written(40)
        databases.fence(old)
        databases.caught_up(new, old)
        lab.docker("stop", "--time", "20", lab.container(old))
        databases.open(new)
        writer.written(40)
        lab.docker("start", lab.container(old))
        wait(f"{old} to see that it is no primary", lambda: "takes writes" in resumed(lab, old), 90)
        assert not databases.writable(old)
        run = succeeded(lab.playbook("site.yml"))
        # Only what makes it follow, and the marker of a role that it no longer has.
        assert run.changed[lab.container(old)] == 2, run.output[-6000:]
        assert sum(run.changed.values()) == 2, run.changed
        roles(databases, new)
        unchanged(lab)
        writer.written(40)
    nothing_lost(databases, writer)


def resumed(lab: Lab, node: str) -> str:
    """What was said when the server was started last."""
    run = lab.host(node).run("journalctl --boot --unit mysql-resume --output=cat --no-pager")
    return run.stdout


def test_primary_that_restarts_during_a_promotion_is_not_opened(lab: Lab, databases: Databases) -> None:
    primary = databases.primary()
    replica = databases.other(primary)
    word = "SLAVE" if databases.mariadb else "REPLICA"
    databases.sql(replica, f"STOP {word} IO_THREAD")
    try:
        lab.sh(primary, f"systemctl restart {databases.service}")
        wait("mysql-resume to look", lambda: lab.host(primary).service("mysql-resume").is_running, 20)
        # Long enough for it to be opened, were it confirmed.
        lab.sh(primary, "sleep 3")
        assert not databases.writable(primary)
    finally:
        databases.sql(replica, f"START {word} IO_THREAD")
    wait(f"{primary} to take writes", lambda: databases.writable(primary), 60)
    roles(databases, primary)


def test_primary_without_data_is_refused_until_the_other_one_is_primary(lab: Lab, databases: Databases) -> None:
    old = databases.primary()
    new = databases.other(old)
    with Writer("reinstalled") as writer:
        writer.written(40)
    databases.caught_up(new, old)
    before = databases.rows(new, "reinstalled")
    databases.erase(old)
    for playbook in ("site.yml", "verify.yml"):
        run = lab.playbook(playbook)
        said = " ".join(run.output.split())
        assert run.code != 0
        assert f"{lab.container(new)} has the data (guestbook): keep {lab.container(new)} as it is" in said, said[
            -4000:
        ]
        assert "rebuild" not in said
        assert not any(run.changed.values()), run.changed
        assert not databases.writable(old)
    databases.open(new)
    succeeded(lab.playbook("site.yml"))
    roles(databases, new)
    unchanged(lab)
    assert databases.rows(old, "reinstalled") == databases.rows(new, "reinstalled") == before
    nothing_lost(databases, writer)
