# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of PHP behind nginx: what follows them in the path, who asks, and events."""

from __future__ import annotations

import time

import pytest
from conftest import Traffic
from exact_client import Place
from waiting import wait

SCRIPT = """<?php header("Content-Type: application/json");
$wanted = ["SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "QUERY_STRING", "HTTPS", "REMOTE_ADDR"];
$found = array_intersect_key($_SERVER, array_flip($wanted));
foreach ($_SERVER as $name => $value) { if (str_starts_with($name, "HTTP_")) { $found[$name] = $value; } }
echo json_encode($found + ["script" => basename(__FILE__)]);
"""
# A buffer of its own is PHP's affair.
EVENTS = """<?php header("Content-Type: text/event-stream"); while (ob_get_level()) { ob_end_flush(); }
for ($i = 0; $i < 3; $i++) { if ($i) { sleep(1); } echo "data: $i\n\n"; flush(); }
"""


@pytest.fixture(scope="module")
def php(traffic: Traffic) -> Place:
    """A site of PHP, asked at its node."""
    node = traffic["php"]
    scripts = {"index.php": SCRIPT, "wiki.php": SCRIPT, "events.php": EVENTS, "photo.txt": "<?php echo 'ran';"}
    node.write([{"dest": f"/srv/app/releases/one/public/{name}", "content": text} for name, text in scripts.items()])
    node.sh("id -u app || useradd --system app")
    node.begin("php-fpm8.4 --nodaemonize --fpm-config /etc/php/8.4/fpm/app.conf")
    # On a node systemd listens for it.
    wait("its socket", lambda: "app.sock" in node.sh("ls /run"))
    node.sh("chown www-data /run/app.sock")
    place = Place(node.address, 8080, "php", traffic.authority.path)
    wait("PHP-FPM", lambda: place.ask("/index.php").status == 200)
    return place


@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/index.php", "index.php", ""),
        ("/index.php/path", "index.php", "/path"),
        ("/index.php/a/b.php/c?d=e", "index.php", "/a/b.php/c"),
        ("/wiki.php/Main%20Page", "wiki.php", "/Main Page"),
        ("/wiki.php/", "wiki.php", "/"),
        ("/none/at/all", "index.php", ""),
        # As before: the front controller has a path that only looks like a script of its own.
        ("/none.php/x", "index.php", ""),
    ],
)
def test_what_follows_a_script_is_its_path_info(php, path, script, info):
    found = php.ask(path).json
    assert (found["script"], found.get("PATH_INFO", ""), found["REQUEST_URI"]) == (script, info, path)
    assert found["SCRIPT_NAME"] == "/" + script


@pytest.mark.parametrize("path", ["/photo.txt/x.php", "/none.php", "/photo.txt/.php", "/index.php/../photo.txt"])
def test_nothing_but_a_script_runs(php, path):
    answer = php.ask(path)
    assert answer.body != b"ran"
    assert (answer.status, answer.body) in ((404, answer.body), (200, b"<?php echo 'ran';"))


def test_a_client_names_neither_itself_nor_the_site(php):
    forged = ["Proxy", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix",
              "X-Real-IP", "X-Original-URL", "X-Forwarded-Port", "X_Forwarded_For"]  # fmt: skip
    found = php.ask("/index.php", headers=[(name, "forged.example") for name in forged]).json
    assert "forged" not in str(found)
    assert found["HTTP_X_FORWARDED_FOR"] == found["HTTP_X_REAL_IP"] == found["REMOTE_ADDR"]
    assert (found["HTTP_X_FORWARDED_PROTO"], found["HTTPS"], found["HTTP_X_FORWARDED_PORT"]) == ("http", "", "443")
    assert not {"HTTP_PROXY", "HTTP_FORWARDED", "HTTP_X_FORWARDED_PREFIX"} & set(found)


@pytest.mark.parametrize("path", ["/events.php", "/events.php/with/more"])
def test_events_come_when_they_are_sent(php, path):
    begun = time.monotonic()
    with php.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: php\r\nAccept: text/event-stream\r\n\r\n".encode())
        seen = b""
        while b"data: 0" not in seen:
            seen += connection.recv(65536)
        assert time.monotonic() - begun < 1
        while b"data: 2" not in seen:
            seen += connection.recv(65536)
        assert 2 <= time.monotonic() - begun < 3


def test_a_large_header_of_an_answer_arrives(traffic: Traffic, php):
    script = """<?php header("X-Filling: " . str_repeat("x", 12000));"""
    traffic["php"].write([{"dest": "/srv/app/releases/one/public/large.php", "content": script}])
    assert len(php.ask("/large.php").headers["X-Filling"]) == 12000
