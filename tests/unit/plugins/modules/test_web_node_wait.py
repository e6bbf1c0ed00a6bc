# SPDX-License-Identifier: GPL-3.0-or-later
"""A web node is waited for over TLS, for as long as was said and no longer."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.modules import web_node_wait
from issued import Authority


class Node:
    """A node whose paths answer 503 so many times, then 200; -1 is for ever."""

    def __init__(self, folder) -> None:
        self.bad = {"/livez": 0, "/readyz": 0}
        self.asked: Counter[str] = Counter()
        self.hosts: set[tuple[str | None, str | None]] = set()
        self.authority = Authority(folder, "internal")
        node = self

        class Handler(BaseHTTPRequestHandler):
            """The node."""

            def do_GET(self) -> None:
                """Answer."""
                node.hosts.add((self.headers["Host"], self.headers["X-Forwarded-Proto"]))
                node.asked[self.path] += 1
                left = node.bad[self.path]
                node.bad[self.path] = left - 1 if left > 0 else left
                self.send_response(503 if left else 200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"tired")

            def log_message(self, *_said: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("web1"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def wait(run_module, node, monkeypatch):
    monkeypatch.setattr(web_node_wait, "PAUSE", 0.01)

    def run(check: bool = False, **arguments):
        given = {
            "name": "web1",
            "address": "127.0.0.1",
            "port": node.server.server_address[1],
            "host": "www.example.com",
            "paths": ["/livez", "/readyz"],
            "ca_path": str(node.authority.path),
            "timeout": 10,
        }
        return run_module(web_node_wait, check=check, **{**given, **arguments})

    return run


def test_a_node_that_answers_is_not_waited_for(wait, node):
    assert wait()["waited"] < 5
    assert (node.asked, node.hosts) == ({"/livez": 1, "/readyz": 1}, {("www.example.com", "https")})


def test_every_path_has_to_answer_in_the_same_pass(wait, node):
    node.bad["/readyz"] = 3
    assert "msg" not in wait()
    assert node.asked == {"/livez": 4, "/readyz": 4}


def test_the_last_answer_is_told_when_the_time_is_over(wait, node):
    node.bad["/livez"] = -1
    begun = time.monotonic()
    said = wait(timeout=1)["msg"]
    assert said.startswith("web1 is not healthy after 1 s, /livez answers 503: tired: check the journal")
    assert time.monotonic() - begun < 5


def test_a_node_with_another_name_or_of_another_authority_is_none(wait, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    assert "certificate is not valid for 'web2'" in wait(name="web2", timeout=0)["msg"]
    assert "unable to get local issuer certificate" in wait(ca_path=str(other.path), timeout=0)["msg"]


def test_check_mode_waits_for_nothing(wait, node):
    assert wait(check=True)["changed"] is False
    assert not node.asked


def test_an_authority_that_is_not_there_is_named(wait, tmp_path):
    said = wait(ca_path=str(tmp_path / "none.pem"))["msg"]
    assert said.startswith(f"ca_path: {tmp_path / 'none.pem'}: ") and said.endswith("run site.yml, which writes it.")
