# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof waits for scrape targets that can become up, and for no others."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from places import TOP
from stubbed_modules import Stage

ROLE = TOP / "roles" / "proof"


@pytest.mark.parametrize(("silent", "asked"), [("db2", 1), ("", 3)])
def test_nobody_waits_for_a_target_on_a_node_that_does_not_answer(tmp_path, silent, asked):
    requests: list[str] = []
    found = [{"health": "up", "labels": {"instance": "db1"}}, {"health": "down", "labels": {"instance": "db2"}}]

    class Prometheus(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            body = json.dumps({"data": {"activeTargets": found}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "roles": [{"role": "pentad.webstack.topology", "rolespec_validate": False}],
        "tasks": [{"import_tasks": str(ROLE / "tasks" / "monitoring.yml"), "when": "inventory_hostname == 'db1'"}],
    }
    stage = Stage(tmp_path, ())
    hosts = {
        host: {"ansible_connection": "local", "__webstack_survey": {"unreachable": host == silent}}
        for host in ("db1", "db2")
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = {"webstack_address": "127.0.0.1", "webstack_prometheus_port": server.server_port, "proof_timeout": 2}
        stage.inventory = {"all": {"hosts": hosts, "vars": place}}
        assert stage.run_plays([play]), stage.output
        server.shutdown()
    assert len(requests) == asked
