# SPDX-License-Identifier: GPL-3.0-or-later
"""A site is right when every node answers, the balancer gives each its share, and what is written can be read."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import site_probe
from issued import Authority

NODES = ["web1", "web2"]
# Status, body and the node that answers.
Said = tuple[int, Any, str]


class Site:
    """A balancer and its web nodes on the loopback interface; what they answer may be changed."""

    def __init__(self, run_module: Any, folder: Path) -> None:
        self._run = run_module
        self.folder = folder
        self.authority = Authority(folder, "internal")
        self.contexts: dict[str, ssl.SSLContext] = {}
        self.maintenance = False
        self.redirect = (301, "https://www.example.com/")
        self.requests: list[tuple[str, str, str]] = []
        self.turns: Iterator[str] = cycle(NODES)
        self.ready: dict[str, Callable[[], Said]] = dict.fromkeys(NODES, lambda: (200, "ok", ""))
        self.pages: Callable[[], Said] = lambda: (200, "home", next(self.turns))
        self.tokens: dict[str, str] = {}
        self.reads: Callable[[], Said] = lambda: (200, self.read(), "web1")
        self.writes: Callable[[], Said] = lambda: (200, {"node": "web1", "database": "db1"}, "web1")
        self.servers = {name: self._serve(name) for name in ("plain", "balancer", *NODES)}
        self.ports = {name: server.server_port for name, server in self.servers.items()}

    def read(self, role: str = "replica") -> dict[str, Any]:
        """What the read-only path shows."""
        return {"tokens": self.tokens, "role": role, "database": "db2"}

    def answer(self, name: str, method: str, path: str, host: str, body: bytes) -> Said:
        """What one of the servers says."""
        self.requests.append((name, f"{method} {path}", host))
        if name == "plain":
            return self.redirect[0], "", self.redirect[1]
        if name != "balancer":
            return self.ready[name]()
        if path == "/readyz":
            return 200, "ready", "web1"
        if path == "/":
            return self.pages()
        if method == "GET":
            return self.reads()
        said = self.writes()
        if said[0] == 200:
            self.tokens["web1"] = json.loads(body)["token"]
        return said

    def _serve(self, name: str) -> ThreadingHTTPServer:
        site = self

        class Handler(BaseHTTPRequestHandler):
            """One of the servers."""

            def do_GET(self) -> None:
                """Answer as the site says."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said, node = site.answer(name, self.command, self.path, self.headers["Host"], body)
                text = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Location" if name == "plain" else "X-Served-By", node)
                self.send_header("Content-Length", str(len(text)))
                if site.maintenance and name == "balancer":
                    self.send_header("X-Maintenance", "on")
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET

            def log_message(self, *_said: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if name != "plain":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            names = ["www.example.com", "example.com"] if name == "balancer" else [name]
            context.load_cert_chain(*self.authority.issue(*names))
            self.contexts[name] = context
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def stop(self, *names: str) -> None:
        """Let servers refuse connections."""
        for name in names:
            self.servers[name].shutdown()
            self.servers[name].server_close()
            del self.servers[name]

    def probe(self, check: bool = False, **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """What the module finds, by host and check."""
        nodes = [{"name": name, "address": "127.0.0.1", "port": self.ports[name]} for name in NODES]
        given = {"address": "127.0.0.1", "port": self.ports["balancer"], "http_port": self.ports["plain"],
                 "domain": "www.example.com", "nodes": nodes, "ca_path": str(self.authority.path),
                 "sites": [{"names": ["www.example.com", "example.com"], "source": "files"}],
                 "ready_path": "/readyz", "canary_path": "/canary", "timeout": 1}  # fmt: skip
        answer = self._run(site_probe, check=check, **{**given, **options})
        assert answer["changed"] is False
        assert all(bool(one["remedy"]) is not one["ok"] for one in answer["findings"])
        return {(one["host"], one["check"]): one for one in answer["findings"]}


@pytest.fixture
def site(run_module, clock, tmp_path) -> Iterator[Site]:
    """A site that is right."""
    found = Site(run_module, tmp_path)
    yield found
    found.stop(*list(found.servers))


def wrong(findings: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], str]:
    """What is not right."""
    return {place: one["fact"] for place, one in findings.items() if not one["ok"]}


def test_a_right_site_is_right_in_every_point(site, clock):
    found = site.probe()
    assert list(found) == [
        ("web1", "ready"), ("web2", "ready"), ("site", "balancer"), ("web1", "balanced"), ("web2", "balanced"),
        ("site", "redirect"), ("www.example.com", "certificate"), ("example.com", "certificate"),
        ("site", "write"), ("site", "read"),
    ]  # fmt: skip
    assert wrong(found) == {}
    assert found["site", "balancer"]["fact"] == "8 of 8 requests answered"
    assert found["site", "write"]["fact"] == "web1 wrote a canary on db1"
    assert found["site", "read"]["fact"] == "db2 showed it after 0 ms"
    assert clock.naps == []


def test_the_site_is_asked_by_its_name_on_new_connections(site):
    site.probe()
    assert {host for _name, _what, host in site.requests} == {"www.example.com"}
    assert [what for name, what, _host in site.requests if name == "web1"] == ["GET /readyz"]
    assert [what for name, what, _host in site.requests if name == "balancer"] == [
        *["GET /"] * 8, "GET /readyz", "POST /canary", "GET /canary",
    ]  # fmt: skip


def test_nothing_is_written_in_check_mode_or_without_a_canary(site):
    for found in (site.probe(check=True), site.probe(canary_path="")):
        assert ("site", "write") not in found
    assert not [what for _name, what, _host in site.requests if what.startswith("POST")]


def test_a_node_that_is_not_ready_says_why(site):
    site.ready["web2"] = lambda: (503, "no  writable\nprimary " + "x" * 300, "web2")
    fact = wrong(site.probe())["web2", "ready"]
    assert fact.startswith("/readyz answers 503: no writable primary xxx")
    assert len(fact) < 250


def test_a_node_that_is_down_is_named_with_its_reason(site):
    site.stop("web1")
    assert "no answer: [Errno 111] Connection refused" in wrong(site.probe())["web1", "ready"]


def test_a_balancer_that_is_down_is_no_crash(site):
    site.stop("balancer")
    found = wrong(site.probe())
    assert found["site", "balancer"].startswith("0 of 8 requests answered; no answer: ")
    assert found["web1", "balanced"] == "answered 0 of 0 requests through the balancer"
    assert found["site", "write"].startswith("writing a canary gives no answer: ")
    assert ("site", "read") not in found, "what was not written is not read"


@pytest.mark.parametrize(("status", "answered"), [(302, 8), (404, 8), (500, 0), (503, 0)])
def test_whatever_is_at_the_root_is_an_answer_but_an_error_is_none(site, status, answered):
    nodes = cycle(["web1", "web2"])
    site.pages = lambda: (status, "", next(nodes))
    assert site.probe()["site", "balancer"]["fact"].startswith(f"{answered} of 8 requests answered")


def test_what_the_balancer_says_itself_is_no_answer(site):
    site.pages = lambda: (301, "", "")
    assert wrong(site.probe())["site", "balancer"].startswith("0 of 8 requests answered; 301:")


def test_everybody_is_asked_as_clients_ask(site):
    site.probe(host="www.example.com:8443")
    assert {host for name, _request, host in site.requests if name != "plain"} == {"www.example.com:8443"}


def test_requests_that_fail_now_and_then_are_counted(site):
    answers = cycle([(200, "home", "web1"), (200, "home", "web2"), (502, "bad gateway", "")])
    site.pages = lambda: next(answers)
    assert wrong(site.probe()) == {("site", "balancer"): "6 of 8 requests answered; 502: bad gateway"}


@pytest.mark.parametrize(
    ("turns", "share", "expected"),
    [
        (["web1"], "even", {("web2", "balanced"): "answered 0 of 8 requests through the balancer"}),
        (["web1"] * 7 + ["web2"], "even", {("web2", "balanced"): "answered 1 of 8 requests through the balancer"}),
        (["web1"] * 6 + ["web2"] * 2, "even", {}),
        (["web1"] * 7 + ["web2"], "some", {}),
        (["web1"], "some", {("web2", "balanced"): "answered 0 of 8 requests through the balancer"}),
        (["web1"], "any", {}),
    ],
)
def test_every_node_has_to_get_its_share_of_the_requests(site, turns, share, expected):
    site.turns = cycle(turns)
    assert wrong(site.probe(share=share)) == expected


@pytest.mark.parametrize("share", ["even", "some"])
def test_a_node_that_begins_slowly_is_waited_for(site, clock, share):
    site.turns = chain(["web1"] * 20, cycle(["web1", "web2"]))
    assert wrong(site.probe(share=share)) == {}
    assert len(clock.naps) == 2


def test_what_was_started_just_now_is_given_time_to_answer(site, clock):
    boots = chain([(503, "booting", "web2")] * 3, cycle([(200, "ok", "web2")]))
    site.ready["web2"] = lambda: next(boots)
    pages = chain([(503, "no server", "")], cycle([(200, "home", "web1"), (200, "home", "web2")]))
    site.pages = lambda: next(pages)
    assert wrong(site.probe(ready_timeout=5)) == {}
    assert len(clock.naps) == 4


def test_what_was_started_just_now_and_does_not_answer_in_time_says_why(site, clock):
    site.ready["web2"] = lambda: (503, "booting", "web2")
    assert wrong(site.probe(ready_timeout=5)) == {("web2", "ready"): "/readyz answers 503: booting"}
    assert sum(clock.naps) == pytest.approx(5, abs=1)


def test_the_only_node_has_to_answer_however_requests_are_spread(site):
    node = {"name": "web1", "address": "127.0.0.1", "port": site.ports["web1"]}
    site.turns = cycle(["stranger"])
    assert wrong(site.probe(share="any", nodes=[node])) == {
        ("web1", "balanced"): "answered 0 of 4 requests through the balancer"
    }


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ((500, "read-only", "web1"), "writing a canary answers 500: read-only"),
        ((404, {"error": "no"}, "web1"), 'writing a canary answers 404: {"error": "no"}'),
    ],
)
def test_a_canary_that_cannot_be_written_is_not_read(site, said, fact):
    site.writes = lambda: said
    found = site.probe()
    assert (wrong(found), ("site", "read") in found) == ({("site", "write"): fact}, False)


def test_a_canary_that_arrives_later_is_waited_for(site, clock):
    answers = iter([(200, {"tokens": {}, "role": "replica"}, "web1"), (200, site.read("primary"), "web1")])
    site.reads = lambda: next(answers, (200, site.read(), "web1"))
    assert site.probe()["site", "read"]["fact"] == "db2 showed it after 200 ms"
    assert clock.naps == [0.1, 0.1]


def test_a_canary_that_somebody_else_replaces_is_written_again(site, clock):
    def written() -> int:
        return [what for _name, what, _host in site.requests].count("POST /canary")

    def read() -> Said:
        shown = site.read()
        return 200, shown if written() > 1 else {**shown, "tokens": {"web1": "of another run"}}, "web1"

    site.reads = read
    assert site.probe(timeout=3)["site", "read"]["fact"] == "db2 showed it after 1000 ms"
    assert written() == 2


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (lambda site: (200, site.read("primary"), ""), "primary db2, canary arrived"),
        (lambda _site: (200, {"tokens": {"web1": "old"}, "role": "replica", "database": "db2"}, ""),
         "replica db2, canary missing"),
        (lambda _site: (503, "no replica", ""), "503: no replica"),
        (lambda _site: (200, "<html>", ""), "None None, canary missing"),
        (lambda _site: (200, ["no object"], ""), "None None, canary missing"),
        (lambda _site: (200, {"tokens": None, "role": "replica"}, ""), "replica None, canary missing"),
        (lambda _site: (200, {"tokens": ["web1"], "role": "replica"}, ""), "replica None, canary missing"),
    ],
)  # fmt: skip
def test_a_canary_that_no_replica_shows_is_told_with_what_was_seen_last(site, clock, said, last):
    site.reads = lambda: said(site)
    found = wrong(site.probe())
    assert found == {("site", "read"): f"the canary was not read back from a replica within 1 s (last: {last})"}
    assert sum(clock.naps) == pytest.approx(1)


def test_a_replica_without_a_name_has_shown_the_canary_all_the_same(site):
    site.reads = lambda: (200, {"tokens": site.tokens, "role": "replica"}, "web1")
    assert site.probe()["site", "read"]["fact"] == "None showed it after 0 ms"


def test_what_is_no_web_server_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        answer = site_probe.request(site_probe.Place("127.0.0.1", port, "www.example.com"), "/", 5)
        thread.join(5)
    assert (answer.status, answer.json, answer.served_by) == (0, {}, "")
    assert answer.summary.startswith("no answer: ")


def test_plain_http_has_to_lead_to_https(site):
    for answer in ((200, ""), (302, "https://www.example.com/"), (301, "http://www.example.com/")):
        site.redirect = answer
        assert wrong(site.probe()) == {("site", "redirect"): f"plain HTTP answers {answer[0]}: "}


def test_a_certificate_is_told_with_its_end_and_its_issuer(site):
    site.contexts["balancer"].load_cert_chain(*site.authority.issue("www.example.com", days=100))
    found = site.probe()["www.example.com", "certificate"]
    assert re.fullmatch(r"is valid until \d{4}-\d\d-\d\d, 100 days, issued by internal", found["fact"])


@pytest.mark.parametrize(
    ("days", "fact"),
    [(13, r"is valid until \S+, 13 days, issued by internal"), (-2, r"has expired on \S+, issued by internal")],
)
def test_a_certificate_that_ends_soon_is_wrong_and_has_a_remedy(site, days, fact):
    site.contexts["balancer"].load_cert_chain(*site.authority.issue("www.example.com", "example.com", days=days))
    for source, remedy in (("authority", "Run site.yml"), ("files", "Put a renewed one"), ("acme", "the ACME client")):
        found = site.probe(sites=[{"names": ["example.com"], "source": source}])["example.com", "certificate"]
        assert found["ok"] is False
        assert re.fullmatch(fact, found["fact"])
        assert remedy in found["remedy"]


def test_a_certificate_is_wrong_for_a_name_that_it_is_not_valid_for(site):
    found = wrong(site.probe(sites=[{"names": ["shop.example.com"], "source": "files"}]))
    assert "shop.example.com" in found["shop.example.com", "certificate"]
    assert found["shop.example.com", "certificate"].startswith("no certificate that can be trusted: ")


def test_nobody_is_believed_whom_no_known_authority_vouches_for(site):
    stranger = Authority(site.folder, "stranger")
    for name, names in (("balancer", ["www.example.com", "example.com"]), ("web1", ["web1"])):
        site.contexts[name].load_cert_chain(*stranger.issue(*names))
    found = wrong(site.probe())
    assert "no answer: " in found["web1", "ready"]
    assert found["site", "balancer"].startswith("0 of 8 requests answered; no answer: ")
    assert found["www.example.com", "certificate"].startswith("no certificate that can be trusted: ")
    assert wrong(site.probe(authorities=stranger.path.read_text())) == {}


def test_a_node_has_to_be_the_one_that_it_is_taken_for(site):
    site.contexts["web1"].load_cert_chain(*site.authority.issue("web2"))
    assert list(wrong(site.probe())) == [("web1", "ready")]


def test_without_the_authority_on_the_node_nothing_is_probed(site):
    answer = site._run(site_probe, address="x", port=1, http_port=1, domain="x", nodes=[], ready_path="/",
                       ca_path="/nowhere/ca.pem")  # fmt: skip
    assert answer["msg"] == "/nowhere/ca.pem is not there: run site.yml, which places the authority."


def test_maintenance_is_told_because_clients_see_something_else(site):
    assert ("site", "maintenance") not in site.probe()
    site.maintenance = True
    found = site.probe()["site", "maintenance"]
    assert (found["ok"], found["fact"]) == (
        True,
        "is on: everybody but haproxy_maintenance_allow is answered with 503",
    )


def test_every_virtual_address_has_to_answer(site):
    found = site.probe(virtual_addresses=["127.0.0.1", "127.0.0.9"])
    assert found["127.0.0.1", "site"]["fact"] == "/readyz answers 200: ready"
    assert list(wrong(found)) == [("127.0.0.9", "site")]
