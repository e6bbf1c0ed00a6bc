# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployed lab is like when nothing is wrong. Changes nothing but guestbook entries."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
from urllib.parse import quote

import pytest
import yaml
from client import INVENTORY_DIR, TOP, ask
from nodes import STATISTICS, Lab
from waiting import wait

EXPORTERS = yaml.safe_load((TOP / "roles/topology/vars/main.yml").read_text())["__webstack_exporters"].values()
GROUPS = {
    "lb1": ["all", "haproxy", "monitoring"],
    "web1": ["all", "web"],
    "web2": ["all", "web"],
    "db1": ["all", "mysql"],
    "db2": ["all", "mysql"],
}
SERVICES = {
    "haproxy": ["haproxy"],
    "monitoring": ["prometheus", "prometheus-alertmanager"],
    "web": ["haproxy", "nginx", "guestbook"],
    "mysql": ["mysql"],
}


def units(group: str) -> list[str]:
    """Services and exporters of a group."""
    exporters = [each["unit"].removesuffix(".service") for each in EXPORTERS if each["group"] == group]
    return SERVICES.get(group, []) + exporters


UNITS = {node: [unit for group in groups for unit in units(group)] for node, groups in GROUPS.items()}


@pytest.mark.parametrize(("node", "unit"), [(node, unit) for node, units in UNITS.items() for unit in units])
def test_service_runs_and_comes_back(lab: Lab, node: str, unit: str) -> None:
    service = lab.host(node).service(unit)
    assert service.is_running
    assert service.is_enabled


@pytest.mark.parametrize("node", Lab.names)
def test_no_unit_failed(lab: Lab, node: str) -> None:
    assert lab.sh(node, "systemctl --failed --plain --no-legend") == ""


def test_both_web_nodes_answer_in_turn(lab: Lab) -> None:
    def strictly() -> bool:
        served = [ask("/")[1]["X-Served-By"] for _attempt in range(6)]
        return served[::2] == [served[0]] * 3 and served[1::2] == [served[1]] * 3 and len(set(served)) == 2

    # A node that has just come back is given its share little by little.
    wait("web1 and web2 to answer in turn", strictly, 20)


def test_entry_is_written_on_the_primary_and_read_from_the_replica(lab: Lab) -> None:
    status, _headers, body = ask(
        "/api/entries", method="POST", body='{"name": "Ada", "message": "hello"}', Content_Type="application/json"
    )
    assert status == 201, body
    written = json.loads(body)
    assert written["database"] == lab.container("db1")
    read = json.loads(ask("/api/entries", X_Read_After=written["position"])[2])
    assert (read["database"], read["role"]) == (lab.container("db2"), "replica")
    assert written["id"] in [entry["id"] for entry in read["entries"]]


def test_what_is_no_static_file_is_the_applications(lab: Lab) -> None:
    status, headers, body = ask("/static/none.css")
    assert status == 404
    assert "Back to the guestbook" in body
    assert headers["X-Served-By"]
    assert "max-age" not in headers.get("Cache-Control", "")


def test_nginx_serves_static_files_itself(lab: Lab) -> None:
    lab.sh("web1", "systemctl stop guestbook.socket guestbook.service")
    try:
        address = lab.address("web1")
        status, headers, body = ask("/static/guestbook.css", f"https://{address}:8080")
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=3600")
        assert "{" in body
        assert ask("/", f"https://{address}:8080")[0] == 502
    finally:
        lab.sh("web1", "systemctl start guestbook.socket guestbook.service")
    wait("web1 to answer", lambda: ask("/livez", f"https://{lab.address('web1')}:8080")[0] == 200)


def test_compresses_text() -> None:
    assert ask("/static/guestbook.css", Accept_Encoding="gzip")[1]["Content-Encoding"] == "gzip"
    assert ask("/static/guestbook.css")[1]["Content-Encoding"] is None


def test_client_cannot_choose_its_address(lab: Lab) -> None:
    ask("/?spoof", X_Forwarded_For="192.0.2.99")
    logged = "".join(lab.sh(node, "grep -h spoof /var/log/nginx/access.log || true") for node in ("web1", "web2"))
    assert logged
    assert "192.0.2.99" not in logged
    assert "upstream=" in logged


def test_statistics_and_metrics_are_for_the_administrator_alone(lab: Lab) -> None:
    assert ask("/", STATISTICS)[0] == 200
    assert "haproxy_server_status" in ask("/metrics", STATISTICS)[2]
    ask_inside = f"import http.client; c = http.client.HTTPConnection('{lab.address('lb1')}', 8404)"
    script = f"{ask_inside}; c.request('GET', '/'); print(c.getresponse().status)"
    assert lab.sh("db1", f'python3 -c "{script}"') == "403"


@pytest.mark.parametrize(("node", "role"), [("db1", "primary"), ("db2", "replica")])
def test_a_database_node_gives_the_verdict_on_itself(lab: Lab, node: str, role: str) -> None:
    assert lab.sh(node, "mysql-verdict").splitlines()[0].startswith("OK  mysql 9.")
    assert lab.sh(node, "mysql-verdict").splitlines()[0].endswith(f"  {role}")
    told = json.loads(lab.sh(node, "mysql-verdict --format json"))
    assert (told["verdict"], told["role"]["observed"]) == ("ok", role)
    assert bool(told["primary"]) is (role == "replica")
    series = quote(f'mysql_replication_verdict{{instance="{lab.container(node)}",verdict="ok"}} == 1')
    url = f"http://{lab.address('lb1')}:9090"
    wait(
        "Prometheus to have it",
        lambda: json.loads(ask(f"/api/v1/query?query={series}", url)[2])["data"]["result"],
        60,
    )


@pytest.mark.parametrize("node", ["web1", "web2"])
def test_database_endpoints_listen_on_loopback_alone(lab: Lab, node: str) -> None:
    listening = lab.sh(node, "ss -Htln")
    assert "127.0.0.1:3306" in listening
    assert "127.0.0.1:3307" in listening
    assert not re.search(r"(0\.0\.0\.0|\*|172\.[\d.]+):330[67]", listening)


def test_endpoints_lead_to_their_roles(lab: Lab, secrets: dict[str, str]) -> None:
    script = (
        "import pymysql, ssl, sys; "
        "c = ssl.create_default_context(cafile='/etc/ssl/webstack/ca.pem'); c.check_hostname = False; "
        "port, user, password = sys.argv[1:]; "
        "k = pymysql.connect(host='127.0.0.1', port=int(port), user=user, password=password, ssl=c).cursor(); "
        "k.execute('select @@hostname'); print(k.fetchone()[0])"
    )
    assert lab.sh("web1", f'python3 -c "{script}" 3306 app {secrets["app"]}') == lab.container("db1")
    assert lab.sh("web1", f'python3 -c "{script}" 3307 app_reader {secrets["app_reader"]}') == lab.container("db2")


def test_replica_refuses_writes_of_everybody(lab: Lab) -> None:
    done = lab.host("db2").run("mysql --execute='DELETE FROM guestbook.entries WHERE 1 = 0'")
    assert done.rc != 0
    assert "super-read-only" in done.stderr


def test_replication_is_encrypted_and_positioned_by_gtid(lab: Lab) -> None:
    connection = "SELECT CONNECTION_TYPE FROM performance_schema.threads WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%'"
    assert lab.sql("db1", connection) == "SSL/TLS"
    configured = (
        "SELECT AUTO_POSITION, SSL_VERIFY_SERVER_CERTIFICATE "
        "FROM performance_schema.replication_connection_configuration"
    )
    assert lab.sql("db2", configured).split() == ["1", "YES"]


def test_servers_have_identities_of_their_own(lab: Lab) -> None:
    identities = [lab.sql(node, "SELECT @@server_id, @@server_uuid").split() for node in ("db1", "db2")]
    assert identities[0][0] != identities[1][0]
    assert identities[0][1] != identities[1][1]


def test_accounts_have_no_more_than_they_need(lab: Lab) -> None:
    assert lab.sql("db1", "SELECT COUNT(*) FROM mysql.user WHERE User = ''") == "0"
    everything = (
        "SELECT GROUP_CONCAT(User ORDER BY User) FROM mysql.user WHERE Super_priv = 'Y' AND User NOT LIKE 'mysql.%'"
    )
    assert lab.sql("db1", everything) == "debian-sys-maint,root"
    assert lab.sql("db1", "SHOW GRANTS FOR app_reader").splitlines()[-1] == (
        "GRANT SELECT, EXECUTE, SHOW VIEW ON `guestbook`.* TO `app_reader`@`%`"
    )
    remote = "SELECT COUNT(*) FROM mysql.user WHERE Host = '%' AND ssl_type = ''"
    assert lab.sql("db1", remote) == "0"


def test_key_of_the_authority_is_on_no_node(lab: Lab) -> None:
    for node in lab.names:
        assert lab.sh(node, "find / -xdev -name ca.key -not -path '/proc/*'") == ""


@pytest.mark.parametrize("node", Lab.names)
def test_no_password_in_a_world_readable_file(lab: Lab, node: str, secrets: dict[str, str]) -> None:
    # A search that finds no planted password would find no other one either.
    planted = "/var/tmp/planted"
    patterns = " ".join(f"-e {shlex.quote(value)}" for value in secrets.values())
    lab.sh(node, f"printf %s {shlex.quote(secrets['app'])} >{planted} && chmod 644 {planted}")
    try:
        found = lab.host(node).run(
            "find / -ignore_readdir_race -xdev -type f -perm -o=r -size -4M -not -path '/proc/*' -not -path '/sys/*' "
            f"-print0 | xargs -0 grep -lF --binary-files=text {patterns} --"
        )
    finally:
        lab.sh(node, f"rm {planted}")
    # Files may go while they are searched.
    errors = [line for line in found.stderr.splitlines() if not line.endswith("No such file or directory")]
    assert (found.stdout.split(), errors) == ([planted], [])


def test_secrets_are_their_owners_alone(secrets: dict[str, str]) -> None:
    directory = INVENTORY_DIR / ".webstack" / "secrets"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_no_password_in_the_repository(secrets: dict[str, str]) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, tracked):
        path = TOP / os.fsdecode(name)
        content = path.read_bytes() if path.is_file() else b""
        assert not any(value.encode() in content for value in secrets.values()), path


@pytest.mark.parametrize("node", Lab.names)
def test_modes_of_system_directories_are_as_the_distribution_made_them(lab: Lab, node: str) -> None:
    assert lab.sh(node, "stat -c '%a %U' /etc /usr /var /srv") == "\n".join(["755 root"] * 4)


@pytest.mark.parametrize(
    ("node", "file"),
    [("web1", "/etc/guestbook.env"), ("db1", "/etc/mysql/tls/server.key"), ("db2", "/etc/mysql/tls/server.key")],
)
def test_secret_files_are_closed(lab: Lab, node: str, file: str) -> None:
    assert lab.host(node).file(file).mode & 0o007 == 0
