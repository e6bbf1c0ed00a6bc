# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node runs and holds is read from /proc and from the data directory."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.modules import host_survey
from issued import Authority

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = "00000000:00000000 00:00000000 00000000"
TCP = (
    f"   0: 0100007F:0CEA 00000000:0000 0A {REST}   107        0 1001 1 0000000000000000 100 0 0 10 0\n"
    f"   1: 00000000:0016 00000000:0000 0A {REST}     0        0 1002 1 0000000000000000 100 0 0 10 0\n"
    f"   2: 0B0200C0:1F90 15020CC0:D431 01 {REST}    33        0 1003 1 0000000000000000 20 4 30 10 -1\n"
)
TCP6 = (
    f"   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A {REST} 0 0 2001 1\n"
    f"   1: B80D0120000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A {REST} 0 0 2002 1\n"
    f"   2: 0000000000000000FFFF00000100007F:0CEB 00000000000000000000000000000000:0000 0A {REST} 0 0 2003 1\n"
)


def test_what_an_earlier_deployment_left_is_told(run_module, tmp_path):
    digests, authority = tmp_path / "passwords", tmp_path / "ca.pem"
    digests.write_text("webstack_app_password 6b86\nwebstack_replication_password 5fec\ncut\n")
    certificate = Authority(tmp_path, "ours").path.read_text()
    # What stands around the certificate is no part of it.
    authority.write_text(f"# ours\n{certificate.strip()}")
    paths = {"ca_path": authority, "passwords_path": digests}
    found = run_module(host_survey, gather_subset=["deployed"], **paths)["deployed"]
    assert found["passwords"] == {"webstack_app_password": "6b86", "webstack_replication_password": "5fec"}
    der = ssl.PEM_cert_to_DER_cert(certificate)
    assert found["authority"] == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_no_earlier_deployment(run_module, tmp_path, text):
    (tmp_path / "ca.pem").write_text(text)
    paths = {"ca_path": tmp_path / "ca.pem", "passwords_path": tmp_path / "absent"}
    found = run_module(host_survey, gather_subset=["deployed"], **paths)["deployed"]
    assert found == {"authority": "", "passwords": {}}


def test_listening_sockets_are_read_and_connections_are_not():
    assert host_survey.sockets(HEADER + TCP) == {"1001": ("127.0.0.1", 3306), "1002": ("0.0.0.0", 22)}


def test_addresses_of_ipv6_are_read_and_mapped_ones_are_those_of_ipv4():
    assert host_survey.sockets(HEADER + TCP6) == {
        "2001": ("::", 80),
        "2002": ("2001:db8::1", 8080),
        "2003": ("127.0.0.1", 3307),
    }


def test_an_empty_table_has_no_sockets():
    assert host_survey.sockets(HEADER) == {}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Two processes that share a socket, of which the newer one closes descriptors while it is looked at."""
    for pid, name, inodes in ((200, "haproxy", ["1001", "1004"]), (90, "systemd", ["1001"])):
        descriptors = tmp_path / str(pid) / "fd"
        descriptors.mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        # A descriptor that cannot be read, as one that was closed since, is to be met before and after the others.
        (descriptors / "0").write_text("")
        for number, inode in enumerate(inodes, 1):
            (descriptors / str(number)).symlink_to(f"socket:[{inode}]")
        (descriptors / "8").symlink_to("/dev/null")
        (descriptors / "9").write_text("")
    (tmp_path / "300").mkdir()
    (tmp_path / "net").mkdir()
    return tmp_path


def test_the_oldest_process_with_the_socket_is_its_owner(proc):
    assert host_survey.owners({"1001", "1004", "1005"}, proc) == {"1001": "systemd", "1004": "haproxy"}


def test_a_descriptor_that_was_closed_does_not_hide_the_others(proc):
    assert host_survey.socket_inodes(proc / "200" / "fd") == {"1001", "1004"}


def test_a_process_that_has_ended_has_no_sockets(proc):
    assert host_survey.socket_inodes(proc / "300" / "fd") == set()


def test_listeners_are_sorted_by_port_with_their_processes(proc, monkeypatch):
    monkeypatch.setattr(host_survey, "PROC", proc)
    (proc / "net" / "tcp").write_text(HEADER + TCP)
    (proc / "net" / "tcp6").write_text(HEADER + TCP6)
    found = host_survey.listeners(None)
    assert [each["port"] for each in found] == [22, 80, 3306, 3307, 8080]
    assert {"address": "127.0.0.1", "port": 3306, "process": "systemd"} in found
    assert {"address": "::", "port": 80, "process": ""} in found


def test_a_node_without_ipv6_is_looked_at_all_the_same(proc, monkeypatch):
    monkeypatch.setattr(host_survey, "PROC", proc)
    (proc / "net" / "tcp").write_text(HEADER + TCP)
    assert [each["port"] for each in host_survey.listeners(None)] == [22, 3306]


def test_a_real_socket_is_found_with_this_process(run_module, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = run_module(host_survey, datadir=tmp_path)
    name = Path("/proc/self/comm").read_text().strip()
    assert found["changed"] is False
    assert {"address": "127.0.0.1", "port": port, "process": name} in found["listeners"]


@pytest.mark.parametrize(
    ("files", "engine"),
    [
        ([], ""),
        (["ibdata1", "aria_log_control"], "mariadb"),
        (["ibdata1", "mysql.ibd"], "mysql"),
        (["ibdata1"], "unknown"),
        (["notes.txt"], ""),
    ],
)
def test_the_engine_is_known_by_its_files(tmp_path, files, engine):
    for file in files:
        (tmp_path / file).touch()
    assert host_survey.engine_of(tmp_path) == engine


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Install a server program that says its version, and no other."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setattr(host_survey.shutil, "which", lambda name, path=None: str(directory / name)
                        if (directory / name).exists() else None)  # fmt: skip

    def install(name: str, says: str) -> None:
        (directory / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (directory / name).chmod(0o755)

    return install


def test_data_and_program_are_told(run_module, program, tmp_path):
    data = tmp_path / "data"
    for schema in ("mysql", "sys", "performance_schema", "shop", "guestbook", "#innodb_temp", "lost+found"):
        (data / schema).mkdir(parents=True)
    (data / "mysql.ibd").touch()
    (data / "auto.cnf").write_text("[auto]\nserver-uuid=c0ffee00-0000-11f0-8000-000000000001\n")
    program("mysqld", "/usr/sbin/mysqld  Ver 9.7.4 for Linux on x86_64 ((Debian))")
    assert run_module(host_survey, datadir=data)["database"] == {
        "datadir": str(data),
        "engine": "mysql",
        "schemas": ["guestbook", "shop"],
        "server_uuid": "c0ffee00-0000-11f0-8000-000000000001",
        "version": "9.7.4",
        "packaged_datadir": "/var/lib/mysql",
        "elsewhere": {},
        "server": {},
    }


def test_mariadb_says_its_version(run_module, program, tmp_path):
    program("mariadbd", "mariadbd  Ver 11.8.3-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on x86_64")
    program("mysqld", "not asked")
    assert run_module(host_survey, datadir=tmp_path)["database"]["version"] == "11.8.3"


def test_a_bare_node_holds_nothing(run_module, program, tmp_path):
    assert run_module(host_survey, datadir=tmp_path / "absent")["database"] == {
        "datadir": str(tmp_path / "absent"),
        "engine": "",
        "schemas": [],
        "server_uuid": "",
        "version": "",
        "packaged_datadir": "/var/lib/mysql",
        "elsewhere": {},
        "server": {},
    }


SAID = """#time_zones\t1
datadir\t{datadir}/
gtid_mode\tOFF
validate_password.check_user_name\tON
Ssl_server_not_after\tNov 25 01:28:08 2036 GMT
Ssl_server_not_before\tNov  8 01:28:08 2026 GMT
#table\tshop.log (MyISAM)
"""


@pytest.fixture
def asked(program, monkeypatch, tmp_path):
    """A server that answers on a socket, and the client program that asks it."""
    monkeypatch.setattr(host_survey, "DATADIR", tmp_path / "default")
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(tmp_path / "s.sock"))

    def answer(out: str, err: str = "") -> None:
        script = f'cat > {tmp_path}/asked\necho "$@" > {tmp_path}/words\n'
        script += f"for w; do case $w in --defaults-extra-file=*) cat ${{w#*=}} > {tmp_path}/options;; esac; done\n"
        script += f"printf '%s' '{err}' >&2\nprintf '%s' '{out}'\n"
        program("mysql", "")
        (tmp_path / "bin" / "mysql").write_text(f"#!/bin/sh\n{script}")

    yield answer
    place.close()


def test_a_running_server_is_asked_by_its_own_client(run_module, asked, tmp_path):
    (tmp_path / "data" / "shop").mkdir(parents=True)
    asked(SAID.format(datadir=tmp_path / "data"))
    found = run_module(host_survey, mysql_socket=tmp_path / "s.sock", gather_subset=["database"])["database"]
    assert (found["datadir"], found["schemas"], found["elsewhere"]) == (str(tmp_path / "data"), ["shop"], {})
    assert found["server"]["valid"] == ["Nov  8 01:28:08 2026 GMT", "Nov 25 01:28:08 2036 GMT"]
    assert found["server"]["variables"] == {
        "datadir": f"{tmp_path}/data/",
        "gtid_mode": "OFF",
        "validate_password.check_user_name": "ON",
    }
    assert (found["server"]["time_zones"], found["server"]["not_cloned"]) == (True, ["shop.log (MyISAM)"])
    words = (tmp_path / "words").read_text()
    assert f"--socket={tmp_path}/s.sock --batch" in words
    assert "defaults" not in words, "root's own option file is read"


def test_data_in_another_place_than_the_wanted_one_are_told(run_module, asked, tmp_path):
    for schema in ("shop", "mysql"):
        (tmp_path / "data" / schema).mkdir(parents=True)
    (tmp_path / "default" / "old").mkdir(parents=True)
    asked(SAID.format(datadir=tmp_path / "data"))
    found = run_module(host_survey, mysql_socket=tmp_path / "s.sock", datadir=tmp_path / "new")["database"]
    assert (found["datadir"], found["schemas"]) == (str(tmp_path / "new"), [])
    assert found["elsewhere"] == {str(tmp_path / "data"): ["shop"], str(tmp_path / "default"): ["old"]}


def test_a_password_is_in_a_file_for_the_client_and_nowhere_else(run_module, asked, tmp_path):
    asked(SAID.format(datadir=tmp_path))
    answer = run_module(host_survey, mysql_socket=tmp_path / "s.sock", mysql_user="root", mysql_password='a"b\\c')
    assert (tmp_path / "options").read_text() == '[client]\nuser="root"\npassword="a\\"b\\\\c"\n'
    assert 'a"b' not in (tmp_path / "words").read_text()
    assert not answer["invocation"]["module_args"]["mysql_password"]


def test_a_short_password_is_not_blotted_out_of_what_the_node_has(run_module, asked, tmp_path):
    asked(SAID.format(datadir=tmp_path))
    given = {"mysql_user": "root", "mysql_password": "data"}
    answer = run_module(host_survey, mysql_socket=tmp_path / "s.sock", gather_subset=["database"], **given)
    assert "datadir" in answer["database"]["server"]["variables"]


def test_a_server_that_refuses_its_administrator_is_told(run_module, asked, tmp_path):
    asked("", "ERROR 1045 (28000): Access denied for user root@localhost (using password: NO)")
    found = run_module(host_survey, mysql_socket=tmp_path / "s.sock", gather_subset=["database"])["database"]
    assert found["server"] == {"refused": "Access denied for user root@localhost (using password: NO) (1045)"}


def test_a_server_that_does_not_answer_says_nothing(run_module, asked, tmp_path):
    asked("", "ERROR 2002 (HY000): Can not connect to local MySQL server through socket (111)")
    found = run_module(host_survey, mysql_socket=tmp_path / "s.sock", gather_subset=["database"])["database"]
    assert found["server"] == {}


STATUS = """Package: haproxy
Status: install ok installed
Version: 3.0

Package: gone
Status: deinstall ok config-files

Package: held
Status: hold ok installed

Package: half
Status: install reinstreq half-installed
"""


def test_packages_are_those_that_are_installed(run_module, tmp_path, monkeypatch):
    (tmp_path / "status").write_text(STATUS)
    monkeypatch.setattr(host_survey, "DPKG", tmp_path / "status")
    assert run_module(host_survey, datadir=tmp_path)["packages"] == "haproxy held"
    monkeypatch.setattr(host_survey, "DPKG", tmp_path / "none")
    assert run_module(host_survey, datadir=tmp_path)["packages"] == ""


def test_links_are_read_where_they_are(run_module, tmp_path):
    (tmp_path / "current").symlink_to("/srv/app/releases/1")
    (tmp_path / "file").touch()
    paths = [str(tmp_path / name) for name in ("current", "file", "none")]
    assert run_module(host_survey, links=paths)["links"] == {paths[0]: "/srv/app/releases/1"}


def openssl(*words: str) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture
def issued(tmp_path):
    """A directory with an authority and a function that issues a certificate of it."""

    def issue(name: str, days: int = 90, address: str = "192.0.2.31") -> Path:
        key, request, cert = (str(tmp_path / f"{name}{end}") for end in (".key", ".csr", ".pem"))
        names = f"subjectAltName=DNS:db1,IP:{address}"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                "-out", request, "-subj", "/CN=db1", "-addext", names)  # fmt: skip
        openssl("x509", "-req", "-in", request, "-CA", str(tmp_path / "ca.pem"), "-CAkey", str(tmp_path / "ca.key"),
                "-days", str(days), "-copy_extensions", "copy", "-out", cert)  # fmt: skip
        return Path(cert)

    authority(tmp_path)
    return issue


def authority(directory: Path) -> None:
    """Make an authority, as its own name says."""
    openssl(
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "900",
        "-subj",
        f"/CN={directory.name}",
        "-keyout",
        str(directory / "ca.key"),
        "-out",
        str(directory / "ca.pem"),
    )


def dates(certificate: Path) -> list[str]:
    """From when and until when a certificate is valid, as openssl says it."""
    asked = ["openssl", "x509", "-noout", "-dates", "-in", certificate]
    return [line.split("=")[1] for line in subprocess.check_output(asked, text=True).splitlines()]


def test_a_certificate_is_described(run_module, issued, tmp_path):
    cert = issued("server")
    (tmp_path / "ca.key").unlink()
    found = run_module(host_survey, certificates=[tmp_path], authority=(tmp_path / "ca.pem").read_text())
    assert found["certificates"] == {
        str(cert): {
            "days_left": 90.0,
            "names": ["DNS:db1", "IP:192.0.2.31"],
            "key_matches": True,
            "trusted": True,
            "sha256": hashlib.sha256(cert.read_bytes()).hexdigest(),
            "valid": dates(cert),
        }
    }


def test_a_certificate_can_have_its_key_and_its_issuers_in_the_same_file(run_module, issued, tmp_path):
    cert = issued("server")
    key = cert.with_suffix(".key")
    whole = cert.with_name("site.pem")
    whole.write_text(key.read_text() + cert.read_text() + (tmp_path / "ca.pem").read_text())
    key.unlink()
    found = run_module(host_survey, certificates=[tmp_path], authority=(tmp_path / "ca.pem").read_text())
    described = found["certificates"][str(whole)]
    assert (described["key_matches"], described["trusted"], described["names"][0]) == (True, True, "DNS:db1")
    assert str(cert) not in found["certificates"], "its key is gone"


def test_a_certificate_is_not_trusted_by_another_authority(run_module, issued, tmp_path):
    cert = issued("server")
    authority(tmp_path)
    (tmp_path / "ca.key").unlink()
    for other in ((tmp_path / "ca.pem").read_text(), ""):
        found = run_module(host_survey, certificates=[tmp_path], authority=other)["certificates"]
        assert found[str(cert)]["trusted"] is False


def test_a_key_of_another_certificate_does_not_match(run_module, issued, tmp_path):
    cert, other = issued("server"), issued("other")
    other.with_suffix(".key").replace(cert.with_suffix(".key"))
    found = run_module(host_survey, certificates=[tmp_path])["certificates"]
    assert found[str(cert)]["key_matches"] is False


def test_an_address_of_ipv6_is_told_as_it_is_asked_for(run_module, issued, tmp_path):
    cert = issued("server", address="FD00:0::31")
    found = run_module(host_survey, certificates=[tmp_path])["certificates"]
    assert found[str(cert)]["names"] == ["DNS:db1", "IP:fd00::31"]


def test_addresses_are_those_of_both_protocols(run_module, monkeypatch, tmp_path):
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(host_survey, "PROC", tmp_path)
    assert run_module(host_survey, gather_subset=["addresses"])["addresses"] == []
    (tmp_path / "net" / "fib_trie").write_text(
        "Main:\n  +-- 192.0.2.0/24 2 0 2\n     |-- 192.0.2.0\n        /24 link UNICAST\n"
        "     |-- 192.0.2.21\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n"
    )
    (tmp_path / "net" / "if_inet6").write_text(
        "fd000000000000000000000000000021 04 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    found = run_module(host_survey, gather_subset=["addresses"])["addresses"]
    assert found == ["192.0.2.21", "::1", "fd00::21"]


def test_the_addresses_of_this_machine_are_found(run_module):
    assert "127.0.0.1" in run_module(host_survey, gather_subset=["addresses"])["addresses"]


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_what_is_no_certificate_is_as_good_as_ended(run_module, issued, tmp_path, content):
    cert = issued("server")
    cert.write_text(content)
    found = run_module(host_survey, certificates=[tmp_path])["certificates"][str(cert)]
    del found["sha256"]
    assert found == {"days_left": -1.0, "names": [], "key_matches": False, "trusted": False, "valid": ["", ""]}


def test_days_are_counted_from_now_and_below_zero():
    text = "notAfter=Nov 21 00:00:00 2026 GMT\n"
    assert host_survey.days_left(text, 1795219200.0) == 0.0
    assert host_survey.days_left(text, 1795219200.0 + 2 * 86400) == -2.0


def test_a_node_that_cannot_be_looked_at_says_what_is_needed(run_module, monkeypatch, tmp_path):
    monkeypatch.setattr(host_survey, "DPKG", tmp_path)
    answer = run_module(host_survey)
    assert answer["failed"] is True
    assert str(tmp_path) in answer["msg"]
    assert answer["msg"].endswith("Ansible has to become root on it (become: true).")


class Told:
    """What a running HAProxy was told: web1 is drained in one of its backends, web2 in maintenance."""

    def __init__(self, _path):
        pass

    def admin_states(self):
        return {("site", "web1"): host_survey.DRAINED, ("site", "web2"): host_survey.MAINTAINED, ("files", "web1"): 0}

    def addresses(self):
        return {("site", "web1"): "192.0.2.21", ("site", "web2"): "fd00::22"}


def test_servers_of_a_balancer_are_known_and_those_that_have_nothing_to_do(run_module, monkeypatch):
    monkeypatch.setattr(host_survey, "Runtime", Told)
    found = run_module(host_survey, gather_subset=["haproxy"])["haproxy"]
    assert found.pop("addresses") == {"site/web1": "192.0.2.21", "site/web2": "fd00::22"}
    assert found == {"servers": ["web1", "web2"], "drained": ["site/web1"], "maintained": ["site/web2"]}


def test_a_balancer_that_does_not_run_knows_nobody(run_module, monkeypatch, tmp_path):
    monkeypatch.setattr(host_survey, "SOCKET", str(tmp_path / "none.sock"))
    found = run_module(host_survey, gather_subset=["haproxy"])["haproxy"]
    assert found == {"servers": [], "addresses": {}, "drained": [], "maintained": []}
