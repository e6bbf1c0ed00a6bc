# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages and the JSON interface, seen by a client."""

from __future__ import annotations

import pytest

FORM = {"name": "Ada", "message": "Hello"}


def set_cookies(response):
    return {line.partition("=")[0]: line for line in response.headers.getlist("Set-Cookie")}


def test_empty_page(client):
    response = client.get("/")
    assert response.status_code == 200
    for text in ("web1", "db2", "replica", "r42", "Nobody has signed yet"):
        assert text in response.text


def test_form_post_leads_back_to_the_page(client):
    response = client.post("/entries", data={"name": " Ada ", "message": "Grüße 🎉\r\nzwei"})
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    page = client.get("/").text
    assert "Ada" in page
    assert "Grüße 🎉\nzwei" in page
    assert '<time datetime="2026-01-02T03:04:05.678Z">' in page
    assert "Written to" in page
    assert "<strong>db1</strong> wrote it down" in page
    assert "Written to" not in client.get("/").text


def test_the_writer_sees_the_entry_while_the_replica_lags(client, app, cluster):
    cluster.lag = True
    client.post("/entries", data=FORM)
    page = client.get("/").text
    assert "Hello" in page
    assert "The replica did not have your message yet" in page
    position = {"X-Read-After": cluster.position}
    others = app.test_client()
    assert "Hello" not in others.get("/").text
    assert others.get("/api/entries").json["entries"] == []
    assert others.get("/api/entries", headers=position).json["database"] == "db1"


@pytest.mark.parametrize("value", ["'; DROP TABLE entries", "0-1", "x" * 3000])
def test_a_made_up_position_is_ignored(client, cluster, value):
    cluster.lag = True
    client.set_cookie("guestbook_read_after", value)
    response = client.get("/api/entries", headers={"X-Read-After": value})
    assert (response.status_code, response.json["database"]) == (200, "db2")


def test_output_is_escaped(client):
    attack = "</textarea><script>alert(1)</script>\"'<img src=x onerror=alert(1)>"
    client.post("/entries", data={"name": attack[:80], "message": attack})
    pages = [client.get("/").text, client.post("/entries", data={"name": "", "message": attack}).text]
    pages.append(client.post("/entries", data={"name": '" autofocus onfocus="x', "message": ""}).text)
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
        assert 'onfocus="' not in page


def test_wrong_input_is_explained_beside_the_field_and_kept(client):
    response = client.post("/entries", data={"name": "x" * 81, "message": "keep <me>"})
    assert response.status_code == 400
    assert 'id="name-error"' in response.text
    assert 'aria-describedby="name-error name-hint" aria-invalid="true"' in response.text
    assert 'id="message-error"' not in response.text
    assert "keep &lt;me&gt;</textarea>" in response.text
    assert "x" * 81 in response.text


def test_wrong_input_is_explained_even_without_a_database(client, cluster):
    cluster.down = {3306, 3307}
    response = client.post("/entries", data={"name": "", "message": "keep me"})
    assert response.status_code == 400
    assert "keep me" in response.text
    assert "unreachable" in response.text


def test_large_bodies_are_refused(client):
    assert client.post("/entries", data={"name": "Ada", "message": "x" * 65536}).status_code == 413
    response = client.post("/api/entries", json={"name": "Ada", "message": "x" * 65536})
    assert response.status_code == 413
    assert response.is_json


def test_strict_headers_on_every_answer(client):
    for path in ("/", "/absent", "/livez", "/api/entries", "/static/guestbook.css"):
        response = client.get(path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (response.headers.get("Cache-Control") == "no-store") == (not path.startswith("/static"))


def test_the_page_needs_nothing_the_policy_forbids(client):
    client.post("/entries", data=FORM)
    page = client.get("/").text
    for forbidden in ("<script", "<style", " style=", "http://", "https://", " onclick"):
        assert forbidden not in page


def test_unknown_path_and_method(client):
    response = client.get("/absent<script>")
    assert response.status_code == 404
    assert "Back to the guestbook" in response.text
    response = client.get("/entries")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert client.get("/api/absent").json["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://localhost:80"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://localhost"}, 403),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "https://www.foobar.com", "Host": "www.foobar.com", "X-Forwarded-Proto": "https"}, 303),
        ({"Origin": "https://www.foobar.com", "X-Forwarded-Host": "www.foobar.com", "X-Forwarded-Proto": "https"}, 303),
    ],
)
def test_forms_of_other_sites_are_refused(client, cluster, headers, status):
    assert client.post("/entries", data=FORM, headers=headers).status_code == status
    assert len(cluster.rows) == (status == 303)


def test_cookies_are_small_and_closed(client, cluster):
    plain = set_cookies(client.post("/entries", data=FORM))
    for cookie in plain.values():
        assert {"HttpOnly", "SameSite=Lax", "Max-Age=60", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
    assert f"{cluster.uuid}:1-1;" in plain["guestbook_read_after"]
    secure = set_cookies(client.post("/entries", data=FORM, headers={"X-Forwarded-Proto": "https"}))
    assert all("; Secure" in cookie for cookie in secure.values())


@pytest.mark.parametrize("value", ["", "x", "a/b/c", "<b>/<i>", "web1/", "/db1", "a" * 65 + "/db1", "ä/db1"])
def test_a_made_up_notice_is_not_shown(client, value):
    client.set_cookie("guestbook_wrote", value)
    response = client.get("/")
    assert response.status_code == 200
    assert "Written to" not in response.text


def test_json_write_and_read(client, cluster):
    response = client.post("/api/entries", json=FORM)
    assert response.status_code == 201
    assert response.json == {"id": 1, "node": "web1", "database": "db1", "position": f"{cluster.uuid}:1-1"}
    assert "guestbook_read_after" in set_cookies(response)
    assert client.get("/api/entries").json == {
        "node": "web1",
        "database": "db2",
        "role": "replica",
        "entries": [{"id": 1, "name": "Ada", "message": "Hello", "created_at": "2026-01-02T03:04:05.678Z"}],
    }


def test_json_limit(client):
    for number in range(25):
        client.post("/api/entries", json={"name": "Ada", "message": str(number)})
    assert len(client.get("/api/entries").json["entries"]) == 20
    newest = client.get("/api/entries?limit=2").json["entries"]
    assert [entry["message"] for entry in newest] == ["24", "23"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", "", "٣", "99999999999"])
def test_json_limit_out_of_range(client, limit):
    response = client.get("/api/entries", query_string={"limit": limit})
    assert response.status_code == 400
    assert "1 to 100" in response.json["error"]


def test_json_wrong_input(client, cluster):
    assert set(client.post("/api/entries", json={"name": 1}).json["fields"]) == {"name", "message"}
    assert client.post("/api/entries", json=[]).status_code == 400
    assert client.post("/api/entries", data="{", content_type="application/json").status_code == 400
    assert client.post("/api/entries", data=b'"\xff"', content_type="application/json").status_code == 400
    assert client.post("/api/entries", data='{"name":"a"}', content_type="text/plain").status_code in {400, 415}
    half = b'{"name":"a","message":"\\ud800"}'
    assert client.post("/api/entries", data=half, content_type="application/json").status_code == 400
    assert cluster.rows == []


def test_livez_does_not_touch_the_database(client, cluster):
    cluster.down = {3306, 3307}
    response = client.get("/livez")
    assert (response.status_code, response.json) == (200, {"status": "ok", "node": "web1", "release": "r42"})
    assert cluster.statements == []


def test_readyz(client, cluster):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json["status"] == "ready"
    assert response.json["read_write"] == {"ok": True, "database": "db1", "role": "primary"}
    assert response.json["read_only"] == {"ok": True, "database": "db2", "role": "replica"}
    assert all(connection.closed for connection in cluster.connections)


@pytest.mark.parametrize(("port", "path"), [(3306, "read_write"), (3307, "read_only")])
def test_readyz_tells_which_path_fails(client, cluster, port, path):
    cluster.down = {port}
    response = client.get("/readyz")
    assert response.status_code == 503
    assert [name for name in ("read_write", "read_only") if not response.json[name]["ok"]] == [path]
    assert response.json[path]["error"] == "database error 2003"


def test_readyz_wants_the_migrations(client, cluster):
    cluster.migrated = set()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["read_write"]["error"] == "migrations missing: 1"


def test_readyz_wants_a_writable_database(cluster):
    from guestbook.web import create_app

    url = "mysql://app:secret@127.0.0.1:3307/guestbook"
    response = create_app({"DATABASE_URL": url}, cluster.connect).test_client().get("/readyz")
    assert response.status_code == 503
    assert response.json["read_write"]["error"] == "this server is read-only"
    assert response.json["read_only"]["ok"]


def test_without_a_database_the_page_is_friendly(client, cluster):
    cluster.down = {3306, 3307}
    response = client.get("/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "cannot be reached" in response.text
    assert "Traceback" not in response.text
    response = client.get("/api/entries")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "cannot be reached" in response.json["error"]


def test_without_a_database_the_text_is_kept(client, cluster):
    cluster.faults = {"INSERT": [1146]}
    response = client.post("/entries", data={"name": "Ada", "message": "keep me"})
    assert response.status_code == 503
    assert "was not saved" in response.text
    assert "keep me</textarea>" in response.text


def test_an_unknown_outcome_is_called_that(client, cluster):
    cluster.faults = {"COMMIT": [2013]}
    response = client.post("/entries", data=FORM)
    assert response.status_code == 503
    assert "Look for your message in the list before you send it again" in response.text


def test_a_defect_shows_no_traceback(client, cluster, monkeypatch):
    monkeypatch.setattr(cluster, "replica_rows", [("wrong",)])
    response = client.get("/")
    assert response.status_code == 500
    assert "Traceback" not in response.text
    assert "Back to the guestbook" in response.text


def test_static_files(client):
    assert client.get("/static/guestbook.css").mimetype == "text/css"
    assert client.get("/static/favicon.svg").mimetype == "image/svg+xml"
