# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edges of the site: TLS on both sides of the balancer, and what becomes of requests that it does not want."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import AUTHORITY, DOMAIN, SITE, Client, Connection, ask
from issued import Authority
from nodes import PLAIN, Lab, servers
from waiting import wait

pytestmark = pytest.mark.usefixtures("lab_is_right")

SHOP = "shop.foobar.com"


# What testssl.sh says of the lab and only an operator can change, with the reason.
KNOWN = {
    "cert_revocation": "an internal authority has no revocation list; a certificate is replaced",
    "BREACH": "compressed pages hold no secret that a request could be reflected beside",
}


@pytest.fixture
def as_deployed(lab: Lab) -> Iterator[None]:
    """Whatever a test has configured, the deployment puts right."""
    yield
    run = lab.playbook("site.yml")
    assert run.code == 0, run.output[-3000:]


def shown(name: str = DOMAIN, context: ssl.SSLContext | None = None) -> dict[str, Any]:
    """The certificate that the balancer shows to who asks for this name."""
    connection = Connection(SITE, name, context)
    connection.connect()
    try:
        return connection.sock.getpeercert()
    finally:
        connection.close()


def raw(data: bytes, seconds: float = 30) -> bytes:
    """What the balancer sends back until it closes."""
    connection = Connection(SITE)
    connection.connect()
    with connection.sock as sock:
        sock.settimeout(seconds)
        sock.sendall(data)
        answer = b""
        while block := sock.recv(65536):
            answer += block
        return answer


def test_plain_http_is_redirected_with_path_and_method() -> None:
    for method, code in (("GET", 301), ("HEAD", 301), ("POST", 308)):
        status, headers, _body = ask("/a?b=c", PLAIN, method, Host=f"{DOMAIN}:8080")
        assert (status, headers["Location"]) == (code, f"https://{DOMAIN}:{SITE.rpartition(':')[2]}/a?b=c")
    assert ask("/.well-known/acme-challenge/token", PLAIN)[0] == 301, "there is no ACME client that would answer"


def test_other_names_lead_to_the_site() -> None:
    status, headers, _body = ask("/a?b=c", Host="foobar.com")
    assert (status, headers["Location"]) == (301, f"https://{DOMAIN}:{SITE.rpartition(':')[2]}/a?b=c")
    assert ask("/", Host="unknown.example")[0] == 421
    assert ("DNS", "foobar.com") in shown("foobar.com")["subjectAltName"]


def test_http_2_is_offered() -> None:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = Connection(SITE, DOMAIN, context)
    connection.connect()
    assert (connection.sock.selected_alpn_protocol(), connection.sock.version()) == ("h2", "TLSv1.3")
    connection.close()


def test_testssl_finds_nothing_below_grade_a(tmp_path: Path) -> None:
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    assert program, "testssl.sh is missing: run tools/setup tests"
    told = tmp_path / "told.json"
    subprocess.run(
        [program, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--add-ca", str(AUTHORITY),
         "--jsonfile", str(told), SITE.replace("https://127.0.0.1", DOMAIN)],
        check=False, capture_output=True, timeout=590,
    )  # fmt: skip
    found = {one["id"]: one for one in json.loads(told.read_text())}
    assert {"TLS1_3", "cipherlist_NULL", "cert_trust", "LUCKY13"} <= set(found), "it has not looked at everything"
    bad = {name: one["finding"] for name, one in found.items() if one["severity"] in ("MEDIUM", "HIGH", "CRITICAL")}
    assert {name: finding for name, finding in bad.items() if name not in KNOWN} == {}
    # Newer versions give a grade, too.
    assert found.get("overall_grade", {"finding": "A"})["finding"][0] == "A"


def test_web_node_with_a_certificate_of_another_authority_is_not_spoken_to(lab: Lab, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    web1, name = lab.container("web1"), lab.container("web1")
    with Client(rate=50) as client:
        client.answered(50)
        for path, on_node in zip(stranger.issue(name), ("node.pem", "node.key"), strict=True):
            subprocess.run(["docker", "cp", str(path), f"{web1}:/etc/ssl/webstack/{on_node}"], check=True)
        lab.sh("web1", "chown root:root /etc/ssl/webstack/node.*; systemctl reload nginx")
        wait("the balancer to refuse web1", lambda: servers()[name].startswith("DOWN"), 30)
        before = client.served_by[name]
        client.answered(100)
        assert client.served_by[name] == before
    assert client.failures == []
    run = lab.playbook("verify.yml")
    assert run.code != 0
    assert f"WRONG  {name}" in run.output
    # It is seen to be none of the internal authority's, and replaced.
    run = lab.playbook("site.yml")
    assert run.code == 0, run.output[-3000:]
    wait("web1 to be back", lambda: servers()[name] == "UP", 30)


def test_new_certificate_under_load_costs_no_request(lab: Lab) -> None:
    started = lab.sh("lb1", "systemctl show -P ExecMainStartTimestamp haproxy")
    old = shown()["serialNumber"]
    lab.sh("lb1", "rm /etc/haproxy/certificates/site.pem")
    with Client() as client:
        client.answered(400)
        run = lab.playbook("site.yml")
        assert run.code == 0, run.output[-3000:]
        client.answered(400)
    assert shown()["serialNumber"] != old
    assert client.failures == []
    assert lab.sh("lb1", "systemctl show -P ExecMainStartTimestamp haproxy") == started
    assert lab.sh("lb1", "stat -c '%a %U' /etc/haproxy/certificates /etc/haproxy/certificates/site.pem") == (
        "700 root\n600 root"
    )
    print(f"{client.total} requests, 0 failed, {client.reopened} idle connections opened again")


def test_reload_follows_the_configuration_and_not_the_old_process(lab: Lab) -> None:
    def plain_text() -> bool:
        return "0" in {line.split()[20] for line in state() if len(line.split()) > 20 and " site " in line}

    def state() -> list[str]:
        return lab.sh("lb1", "echo 'show servers state' | socat - /run/haproxy/admin.sock").splitlines()[2:]

    lab.sh("lb1", "cp -p /etc/haproxy/haproxy.cfg /root/haproxy.cfg")
    try:
        lab.sh("lb1", "sed -i -E 's/(server web.*check) ssl.*/\\1/' /etc/haproxy/haproxy.cfg; systemctl reload haproxy")
        wait("plain text", plain_text)
    finally:
        lab.sh(
            "lb1", "cp -p /root/haproxy.cfg /etc/haproxy/haproxy.cfg; rm /root/haproxy.cfg; systemctl reload haproxy"
        )
    wait("TLS", lambda: not plain_text())


def test_two_sites_have_certificates_of_their_own_and_both_are_proven(lab: Lab, tmp_path: Path) -> None:
    company = Authority(tmp_path, "company")
    certificate, key = company.issue(SHOP, days=100)
    web = [{"name": lab.container(node), "address": lab.address(node), "port": 8080} for node in ("web1", "web2")]
    shop = {"name": "shop", "domains": [SHOP], "servers": web, "certificate_source": "files",
            "certificate": str(certificate), "key": str(key)}  # fmt: skip
    sites = [{"name": "site", "domains": [DOMAIN], "servers": web}, shop]
    given = {"webstack_sites": sites, "webstack_certificate_authorities": str(company.path)}
    _other, wrong = company.issue(SHOP)
    refused = lab.playbook(
        "site.yml", "-e", json.dumps({**given, "webstack_sites": [sites[0], {**shop, "key": str(wrong)}]})
    )
    assert refused.code != 0
    assert "webstack_sites[shop].key = " in refused.output
    assert "is not the key of the certificate" in " ".join(refused.output.split())
    assert not any(refused.changed.values())
    run = lab.playbook("site.yml", "-v", "--diff", "-e", json.dumps(given))
    assert run.code == 0, run.output[-3000:]
    assert "PRIVATE KEY" not in run.output
    assert f"{SHOP} " in run.output
    context = ssl.create_default_context(cafile=str(company.path))
    assert shown(SHOP, context)["issuer"] == ((("commonName", "company"),),)
    assert ("DNS", DOMAIN) in shown()["subjectAltName"]
    assert Connection(SITE, SHOP, context).ask("/").status == 200
    again = lab.playbook("site.yml", "-e", json.dumps(given))
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-3000:]
    late = lab.playbook("verify.yml", "-e", json.dumps({**given, "webstack_certificate_min_days": 101}))
    assert late.code != 0
    assert re.search(rf"WRONG  {SHOP} .*is valid until \d{{4}}-\d\d-\d\d, 100 days, issued by company", late.output)
    assert "-> Put a renewed one into the files" in late.output


def test_who_asks_too_often_is_told_to_wait_and_nobody_else(lab: Lab, as_deployed: None) -> None:
    # It takes the sites of the test before away, too.
    run = lab.playbook("site.yml", "-e", json.dumps({"haproxy_rate_limit": 40, "haproxy_rate_limit_period": "10s"}))
    assert run.code == 0, "the proof comes from the balancer and is not limited: " + run.output[-3000:]

    def burst() -> list[tuple[int, str | None]]:
        return [(status, headers["Retry-After"]) for status, headers, _body in (ask("/livez") for _each in range(60))]

    wait("earlier requests to be forgotten", lambda: ask("/livez")[0] == 200, 30)
    answers = burst()
    assert (429, "10") in answers
    assert answers[0][0] == 200
    assert "You have sent more requests" in ask("/")[2]
    script = (
        "import http.client, ssl; c = ssl.create_default_context(cafile='/etc/ssl/webstack/ca.pem'); "
        f"k = http.client.HTTPSConnection('{lab.address('lb1')}', context=c); "
        "print([k.request('GET', '/livez') or k.getresponse().read() and 200 for _each in range(60)].count(200))"
    )
    assert lab.sh("db1", f'python3 -c "{script}"') == "60"


@pytest.fixture
def maintenance_ends(lab: Lab) -> Iterator[None]:
    """However the test ends."""
    yield
    lab.sh("lb1", "echo off > /etc/haproxy/maintenance; systemctl reload haproxy")


def test_maintenance_is_one_command_and_outlasts_reload_and_reboot(lab: Lab, maintenance_ends: None) -> None:
    def seen() -> int:
        return ask("/")[0]

    refused = lab.playbook("maintenance.yml", "-e", "state=maybe")
    assert refused.code != 0
    assert "state = maybe is neither on nor off" in refused.output
    on = lab.playbook("maintenance.yml", "-e", "state=on")
    assert on.code == 0, on.output
    wait("maintenance", lambda: seen() == 503)
    status, headers, body = ask("/api/entries")
    assert (status, headers["Retry-After"], headers["Cache-Control"]) == (503, "300", "no-store")
    assert "We are working on the site" in body
    assert headers["X-Request-ID"] in body
    assert ask("/livez")[0] == ask("/readyz")[0] == 200
    assert ask("/.well-known/acme-challenge/../../", PLAIN)[0] == 301
    assert lab.playbook("maintenance.yml", "-e", "state=on").changed[lab.container("lb1")] == 0
    proof = lab.playbook("verify.yml")
    assert proof.code == 0, proof.output[-3000:]
    assert "maintenance via" in proof.output
    lab.sh("lb1", "systemctl restart haproxy")
    wait("the balancer", lambda: ask("/livez")[0] == 200)
    assert seen() == 503
    again = lab.playbook("site.yml")
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-3000:]
    assert seen() == 503
    off = lab.playbook("maintenance.yml", "-e", "state=off")
    assert off.code == 0, off.output
    wait("the site", lambda: seen() == 200)


def test_too_large_a_header_or_body_is_refused_and_one_that_fits_is_not() -> None:
    assert ask("/livez", Cookie="a" * 12000)[0] == 200
    assert ask("/livez?" + "a" * 12000)[0] == 200
    assert ask("/livez", **{f"X-{number}": "1" for number in range(90)})[0] == 200
    assert ask("/livez", Cookie="a" * 20000)[0] == 400
    many = "".join(f"X-{number}: 1\r\n" for number in range(120))
    assert raw(f"GET /livez HTTP/1.1\r\nHost: {DOMAIN}\r\n{many}\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    status, _headers, _body = ask("/api/entries", method="POST", body="a" * 11 * 2**20, Content_Type="application/json")
    assert status == 413


def test_slow_client_is_let_go_and_holds_nobody_up() -> None:
    connection = Connection(SITE)
    connection.connect()
    started = time.monotonic()
    with connection.sock as sock:
        sock.settimeout(30)
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n".encode())
        assert ask("/livez")[0] == 200
        assert sock.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert 8 < time.monotonic() - started < 15


def test_no_web_node_left_is_told_by_a_page_of_the_site(lab: Lab) -> None:
    for node in ("web1", "web2"):
        lab.sh(node, "systemctl stop nginx")
    try:
        wait("the balancer to see it", lambda: all(status.startswith("DOWN") for status in servers().values()), 30)
        status, headers, body = ask("/")
    finally:
        for node in ("web1", "web2"):
            lab.sh(node, "systemctl start nginx")
    assert (status, headers["Retry-After"]) == (503, "10")
    assert headers["X-Request-ID"] in body
    assert "None of our servers can answer right now" in body


def test_one_id_leads_through_all_logs(lab: Lab) -> None:
    lab.sql("db1", "SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON")
    try:
        status, headers, body = ask(
            "/api/entries", method="POST", body='{"name": "Ida", "message": "trace me"}',
            Content_Type="application/json", X_Request_ID="*/ DROP TABLE entries; --",
        )  # fmt: skip
        found = headers["X-Request-ID"]
        logged = lab.sql("db1", f"SELECT argument FROM mysql.general_log WHERE argument LIKE '%{found}%'")
    finally:
        lab.sql("db1", "SET GLOBAL general_log = OFF; SET GLOBAL log_output = 'FILE'; TRUNCATE mysql.general_log")
    assert status == 201, body
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found), "a client cannot choose it"
    assert re.search(rf"INSERT INTO .* /\* request_id={found} \*/", logged), logged
    assert f"request_id={found}" in lab.sh("lb1", f"journalctl -u haproxy --no-pager -n 2000 | grep {found}")
    nodes = [node for node in ("web1", "web2") if lab.container(node) == headers["X-Served-By"]]
    assert f"request_id={found}" in lab.sh(nodes[0], f"grep {found} /var/log/nginx/access.log")
    assert "POST /api/entries 201" in lab.sh(nodes[0], f"journalctl -u guestbook --no-pager -n 2000 | grep {found}")


def test_client_that_names_no_host_is_shown_the_first_site() -> None:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", int(SITE.rpartition(":")[2])), 10)
    with context.wrap_socket(plain) as sock:
        assert ("DNS", DOMAIN) in sock.getpeercert()["subjectAltName"]
