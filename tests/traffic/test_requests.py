# SPDX-License-Identifier: GPL-3.0-or-later
"""What a balancer lets through: which names, which paths, and none of the headers that only a proxy may set."""

from __future__ import annotations

import json

import pytest
from conftest import DOMAIN, OTHER, WEB, Traffic
from exact_client import Place
from waiting import wait

BALANCERS = {"lb1": ":8443", "lb2": ""}
each_balancer = pytest.mark.parametrize(("name", "port"), BALANCERS.items())
TOKEN = "/.well-known/acme-challenge/"


@pytest.fixture
def plain(traffic: Traffic):
    """Plain HTTP on each balancer."""
    return {name: Place(traffic[name].address, 80, DOMAIN) for name in BALANCERS}


@pytest.fixture
def site(traffic: Traffic):
    """The site on each balancer."""
    return {name: Place(traffic[name].address, 443, DOMAIN, traffic.authority.path) for name in BALANCERS}


@pytest.fixture(scope="module")
def challenges(traffic: Traffic):
    """An ACME client on the balancer that knows one token."""
    node = traffic["lb1"]
    node.sh(f"mkdir -p /tmp/acme{TOKEN} && printf answer >/tmp/acme{TOKEN}tok-EN_1")
    node.begin(f"python3 -m http.server 8402 --bind {node.address} --directory /tmp/acme")
    # It looks its own name up before it listens.
    wait("the ACME client to listen", lambda: ":8402 " in node.sh("ss --no-header --tcp --listening --numeric"))
    return node


@each_balancer
def test_the_site_answers_under_its_name(site, name, port):
    answer = site[name].ask("/x?y=z")
    assert (answer.status, answer.json["path"], answer.headers["X-Served-By"] in WEB) == (200, "/x?y=z", True)


UNKNOWN = [
    "evil.example", "evil.example:443", f"{DOMAIN}.evil.example", f"evil.{DOMAIN}", f"{DOMAIN}@evil.example", "",
    f"{DOMAIN} evil.example", f"{DOMAIN}:evil", "192.0.2.81", "[::1]", "127.0.0.1", "localhost", "_", f"{DOMAIN}..",
]  # fmt: skip


@each_balancer
@pytest.mark.parametrize("host", UNKNOWN)
@pytest.mark.parametrize("path", ["/", "/livez", TOKEN + "tok-EN_1"])
def test_an_unknown_host_is_misdirected(site, plain, name, port, host, path):
    for place in (site[name], plain[name]):
        answer = place.ask(path, host=host)
        assert answer.status in ((400, 421) if host in UNKNOWN[4:8] else (421,))
        assert "Location" not in answer.headers


KNOWN = [
    DOMAIN, DOMAIN.upper(), f"{DOMAIN}.", f"{DOMAIN}:443", f"{DOMAIN}.:8443", f"{DOMAIN}:", "192.0.2.80",
    "192.0.2.80:8443", "INTERN.example:1", "[2001:db8::80]", "[2001:DB8::80]:8443",
]  # fmt: skip


@each_balancer
@pytest.mark.parametrize("host", KNOWN)
def test_a_known_host_is_told_to_the_application_as_clients_write_it(site, plain, name, port, host):
    answer = site[name].ask(host=host)
    assert answer.status == 200
    canonical = (
        host.lower().rpartition("]")[0] + "]" if host.startswith("[") else host.lower().split(":")[0].rstrip(".")
    )
    # The web nodes are told the port that clients see.
    assert answer.told["host"] == answer.told["x-forwarded-host"] == [canonical + ":8443"]
    led = plain[name].ask("/a?b", host=host)
    assert (led.status, led.headers["Location"]) == (301, f"https://{canonical}{port}/a?b")


@each_balancer
def test_who_names_no_host_or_several_is_refused(site, plain, name, port):
    for place in (site[name], plain[name]):
        assert place.say(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status == 400
        assert place.say(b"GET / HTTP/1.0\r\n\r\n").status == 400
        both = f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        assert place.say(both.encode()).status == 400
        wanted = 200 if place.authority else 301
        assert place.say(f"GET / HTTP/1.0\r\nHost: {DOMAIN}\r\n\r\n".encode()).status == wanted


@each_balancer
def test_the_target_of_a_request_cannot_name_another_host(site, plain, name, port):
    for place in (site[name], plain[name]):
        for target, host in (("https://evil.example/", DOMAIN), (f"https://{DOMAIN}/", "evil.example"),
                             ("https://evil.example/", "evil.example")):  # fmt: skip
            answer = place.say(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert answer.status in (400, 421), (target, host)
    answer = site[name].say(f"GET https://{DOMAIN}/a HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
    assert (answer.status, answer.told["host"]) == (200, [DOMAIN + ":8443"])


@each_balancer
@pytest.mark.parametrize(
    "target", [".evil.example/", "@evil.example/", ":80@evil.example/", "evil.example", "*", "//evil.example/"]
)
def test_no_redirect_leads_to_another_host(site, plain, name, port, target):
    for place, host in ((plain[name], DOMAIN), (site[name], OTHER)):
        answer = place.say(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        location = answer.headers.get("Location")
        assert location is None or location.startswith(f"https://{DOMAIN}{port}/")
        assert answer.status in (301, 400)


ESCAPES = [
    "../../x", "%2e%2e/%2e%2e/x", "..%2f..%2fx", "/x", "x/y", "x/../../../y", "x%00", "x.", "", "%74oken", "x%2f",
    "x;y", "..",
]  # fmt: skip


@each_balancer
@pytest.mark.parametrize("token", ESCAPES)
def test_nothing_but_a_token_passes_plain_http(plain, challenges, name, port, token):
    answer = plain[name].ask(TOKEN + token)
    assert answer.status in (301, 400)
    assert "X-Served-By" not in answer.headers


@pytest.mark.parametrize(
    "path", ["//.well-known/acme-challenge/x", "/./.well-known/acme-challenge/x", "/.WELL-KNOWN/acme-challenge/x"]
)
def test_no_other_way_to_write_the_path_passes_either(plain, challenges, path):
    assert plain["lb1"].ask(path).status == 301


def test_a_token_goes_to_the_acme_client_alone_and_only_where_there_is_one(plain, challenges):
    answer = plain["lb1"].ask(TOKEN + "tok-EN_1", host=OTHER)
    assert (answer.status, answer.body) == (200, b"answer")
    assert plain["lb1"].ask(TOKEN + "tok-EN_1", "POST").status == 308
    assert plain["lb2"].ask(TOKEN + "tok-EN_1").status == 301
    assert plain["lb1"].ask(TOKEN + "unknown").status in (404, 503)


FORGED = [
    "Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Ssl",
    "X-Forwarded-Scheme", "X-Forwarded-Path", "X-Forwarded-Uri", "X-Forwarded-By", "X-Forwarded-User",
    "X-Forwarded-Email", "X-Forwarded-Client-Cert", "X-Forwarded", "X-Original-URL", "X-Original-URI",
    "X-Original-Host", "X-Original-Method", "X-Rewrite-URL", "X-Real-IP", "X-Client-IP", "Client-IP",
    "True-Client-IP", "X-Cluster-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "Proxy", "Front-End-Https",
    "X-Url-Scheme", "X-Scheme", "X-Host", "X-Sendfile-Type", "X-Accel-Mapping", "X-Remote-User", "Remote-User",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X_Forwarded_For", "X_Forwarded-Host",
    "X-Forwarded_Prefix", "X.Forwarded.For", "X_Real_IP", "X-Request-ID",
]  # fmt: skip


@each_balancer
def test_what_only_a_proxy_says_is_not_taken_from_a_client(site, name, port):
    variants = [spelt for each in FORGED for spelt in (each, each.lower(), each.upper())]
    # Not all at once: a request may have but so many.
    for begin in range(0, len(variants), 60):
        answer = site[name].ask(headers=[(each, "forged.example") for each in variants[begin : begin + 60]])
        assert answer.status == 200
        assert "forged" not in str(answer.told)
    told = answer.told
    assert told["x-forwarded-proto"] == ["https"]
    assert told["x-forwarded-port"] == ["8443"]
    (client,) = told["x-forwarded-for"]
    assert told["x-real-ip"] == [client]


def test_a_connection_cannot_have_the_balancers_headers_removed(site):
    answer = site["lb1"].ask(headers=[("Connection", "close, X-Forwarded-For, X-Forwarded-Proto, X-Request-ID")])
    assert {"x-forwarded-for", "x-forwarded-proto", "x-request-id"} <= set(answer.told)


def test_what_is_the_applications_own_passes(site):
    given = {"X-HTTP-Method-Override": "DELETE", "Authorization": "Bearer x", "X-Requested-With": "XMLHttpRequest"}
    told = site["lb1"].ask("/x", "POST", headers=list(given.items())).told
    assert {name: told[name.lower()] for name in given} == {name: [value] for name, value in given.items()}


@pytest.mark.parametrize("node", WEB)
def test_nginx_believes_nobody_but_the_balancers(traffic: Traffic, node):
    place = Place(traffic[node].address, 8080, node, traffic.authority.path)
    told = place.ask(headers=[(each, "forged.example") for each in FORGED if each != "X-Forwarded-Proto"]
                     + [("X-Forwarded-Proto", "https"), ("X-Request-ID", "0" * 36)]).told  # fmt: skip
    assert "forged" not in str(told)
    assert told["x-forwarded-proto"] == ["http"]
    assert told["x-request-id"] != ["0" * 36]


SMUGGLED = [
    "Content-Length: 6\r\nContent-Length: 5\r\n",
    "Content-Length: 6, 5\r\n",
    "Content-Length: +6\r\n",
    "Content-Length: 0x6\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "X\0: y\r\n",
]


@each_balancer
@pytest.mark.parametrize("header", SMUGGLED)
def test_a_body_of_two_lengths_is_refused(site, name, port, header):
    text = (
        f"POST /first HTTP/1.1\r\nHost: {DOMAIN}\r\n{header}\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n"
    )
    seen = site[name].everything(text.encode())
    assert seen.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 422 ")), seen[:200]
    assert seen.count(b"HTTP/1.1 ") == 1
    assert b"/second" not in seen


@each_balancer
def test_a_length_beside_chunks_is_no_second_request(site, name, port):
    inner = f"GET /second HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n"
    head = f"POST /first HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {5 + len(inner)}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    seen = site[name].everything((head + "0\r\n\r\n" + inner).encode())
    # The chunks count, as RFC 9112 has it, and the connection ends after them.
    assert seen.count(b"HTTP/1.1 ") == 1
    assert b"/second" not in seen


@each_balancer
@pytest.mark.parametrize("size", [8200, 12000])
def test_headers_of_the_size_that_is_let_through_arrive_both_ways(site, name, port, size):
    assert site[name].ask(headers=[("Cookie", "a" * size)]).told["cookie"] == ["a" * size]
    assert len(site[name].ask(f"/says?status=200&size={size}").headers["X-Filling"]) == size
    assert site[name].ask("/x?" + "a" * size).json["path"] == "/x?" + "a" * size


def test_h2c_is_not_offered_an_upgrade(site):
    upgrade = [
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("Connection", "Upgrade, HTTP2-Settings"),
    ]
    answer = site["lb1"].ask(headers=upgrade)
    assert answer.status == 200
    assert not {"upgrade", "http2-settings"} & set(answer.told)


HTTP2 = [
    ([(":authority", DOMAIN)], "200"),
    ([(":authority", DOMAIN.upper() + ".:8443")], "200"),
    ([("host", DOMAIN)], "200"),
    ([(":authority", "evil.example")], "421"),
    ([("host", "evil.example")], "421"),
    ([(":authority", "")], "421"),
    ([], "400"),
]


@each_balancer
@pytest.mark.parametrize(("named", "status"), HTTP2)
def test_http2_knows_the_host_by_its_authority(traffic: Traffic, name, port, named, status):
    found = traffic.http2(name, [named])
    assert found[":status"] == status
    if status == "200":
        assert [value for key, value in json.loads(found["body"])["headers"] if key == "Host"] == [DOMAIN + ":8443"]


@each_balancer
def test_an_authority_and_a_host_that_differ_do_not_reach_the_application(traffic: Traffic, name, port):
    for authority, host in ((DOMAIN, "evil.example"), ("evil.example", DOMAIN)):
        found = traffic.http2(name, [[(":authority", authority), ("host", host)]])
        assert found[":status"] in ("400", "421", "reset") or "evil" not in found["body"]


@each_balancer
def test_http2_passes_nothing_that_is_forged(traffic: Traffic, name, port):
    forged = [(each.lower(), "forged.example") for each in FORGED]
    found = traffic.http2(name, [[(":authority", DOMAIN), *forged]])
    assert found[":status"] == "200"
    assert "forged" not in found["body"]


def test_maintenance_is_passed_by_health_paths_as_they_are_written_alone(traffic: Traffic, site):
    node = traffic["lb2"]
    node.sh("echo on >/etc/haproxy/maintenance && kill -USR2 $(cat /run/haproxy.pid)")
    try:
        wait("maintenance", lambda: site["lb2"].ask("/x").status == 503)
        assert site["lb2"].ask("/livez").status == 200
        for path in (
            "/livez/../x",
            "/livez/",
            "//livez",
            "/livez%2f..%2fx",
            "/%6civez",
            "/livez;x",
            "/livez#/x",
            "/x?/livez",
            TOKEN + "x",
        ):
            assert site["lb2"].ask(path).status in (400, 503), path
        assert site["lb2"].say(f"GET https://{DOMAIN}/x HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode()).status == 503
    finally:
        node.sh("echo off >/etc/haproxy/maintenance && kill -USR2 $(cat /run/haproxy.pid)")
        wait("the site", lambda: site["lb2"].ask("/x").status == 200)
