# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages and the JSON interface."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, jsonify, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

from . import canary, db, tracing
from .config import Settings
from .entries import MESSAGE_MAX, NAME_MAX, Entry, Invalid, draft
from .health import readiness
from .positions import valid_position
from .store import Guestbook, OutcomeUnknown, Reading, Unavailable, Written

STATIC = Path(__file__).resolve().parent.parent / "static"
BODY_BYTES = 64 * 1024
ON_PAGE = 30
API_DEFAULT = 20
API_MAX = 100
RETRY_SECONDS = 5

AFTER_COOKIE = "guestbook_read_after"
WROTE_COOKIE = "guestbook_wrote"
COOKIE_SECONDS = 60
WROTE = re.compile(r"[\w.-]{1,64}/[\w.-]{1,64}", re.ASCII)

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not no-referrer: with that, browsers send "Origin: null" with the page's own form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def create_app(environ: Mapping[str, str], connect: db.Connect = db.open_connection) -> Flask:
    """Build the application from the environment; `connect` opens database connections."""
    settings = Settings.from_environment(environ)
    app = Flask(__name__, static_folder=str(STATIC), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.extensions["settings"] = settings
    app.extensions["connect"] = connect
    primary = db.Endpoint(settings.primary, connect)
    replica = db.Endpoint(settings.replica, connect) if settings.replica else None
    app.extensions["guestbook"] = Guestbook(primary, replica, settings.node)
    app.extensions["canary"] = (primary, replica or primary)
    stylesheet = hashlib.sha256((STATIC / "guestbook.css").read_bytes()).hexdigest()[:12]
    app.jinja_env.globals.update(
        node=settings.node, release=settings.release, stylesheet=stylesheet, name_max=NAME_MAX, message_max=MESSAGE_MAX
    )
    app.add_url_rule("/", view_func=page)
    app.add_url_rule("/entries", view_func=post_form, methods=["POST"])
    app.add_url_rule("/api/entries", view_func=list_entries)
    app.add_url_rule("/api/entries", view_func=post_json, methods=["POST"])
    app.add_url_rule("/canary", view_func=read_canary)
    app.add_url_rule("/canary", view_func=write_canary, methods=["POST"])
    app.add_url_rule("/livez", view_func=livez)
    app.add_url_rule("/readyz", view_func=readyz)
    app.before_request(_trace)
    app.before_request(_small_only)
    app.before_request(_same_origin_only)
    app.after_request(_add_headers)
    app.after_request(_log)
    app.register_error_handler(Invalid, _invalid)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(HTTPException, _http_error)
    # Exactly one proxy in front: the web server on the same node.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    return app


def page() -> Response:
    """The guestbook."""
    wrote = request.cookies.get(WROTE_COOKIE, "")
    saved = wrote.split("/") if WROTE.fullmatch(wrote) else None
    response = _page(_read(ON_PAGE), saved=saved)
    if wrote:
        response.delete_cookie(WROTE_COOKIE, path="/", httponly=True, samesite="Lax")
    return response


def post_form() -> Response:
    """Write what the form holds and show the page again."""
    written = _guestbook().add(draft(request.form))
    response = redirect("/", 303)
    _set_cookie(response, WROTE_COOKIE, f"{_settings().node}/{written.database or 'unknown'}")
    return _remember(response, written)


def list_entries() -> Response:
    """The newest entries as JSON."""
    limit = request.args.get("limit", str(API_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,3}", limit, re.ASCII) or not 1 <= int(limit) <= API_MAX:
        abort(400, f"limit must be a whole number from 1 to {API_MAX}.")
    reading = _read(int(limit))
    return jsonify(
        node=_settings().node,
        database=reading.database,
        role=reading.role,
        entries=[_entry_json(entry) for entry in reading.entries],
    )


def post_json() -> Response:
    """Write an entry given as JSON."""
    # Flask takes application/json only, which no page of another site can send without asking first.
    values = request.get_json()
    if not isinstance(values, dict):
        abort(400, "Send a JSON object with name and message.")
    written = _guestbook().add(draft(values))
    response = jsonify(id=written.id, node=_settings().node, database=written.database, position=written.position)
    response.status_code = 201
    return _remember(response, written)


def read_canary() -> Response:
    """What the read-only path has of every node's canary."""
    seen = canary.read(current_app.extensions["canary"][1])
    return jsonify(node=_settings().node, database=seen.database, role=seen.role, tokens=seen.tokens)


def write_canary() -> Response:
    """Write this node's canary: a JSON object with a token."""
    values = request.get_json()
    token = values.get("token") if isinstance(values, dict) else None
    if not isinstance(token, str) or not canary.TOKEN.fullmatch(token):
        abort(400, "Send a JSON object with a token of 1 to 64 letters, digits and hyphens.")
    database = canary.write(current_app.extensions["canary"][0], _settings().node, token)
    return jsonify(node=_settings().node, database=database)


def livez() -> Response:
    """Whether this process answers; the database has no part in it."""
    return jsonify(status="ok", node=_settings().node, release=_settings().release)


def readyz() -> Response:
    """Whether both ways to the database work."""
    ready, paths = readiness(_settings(), current_app.extensions["connect"])
    response = jsonify(
        status="ready" if ready else "not ready", node=_settings().node, release=_settings().release, **paths
    )
    response.status_code = 200 if ready else 503
    return response


def _settings() -> Settings:
    return current_app.extensions["settings"]


def _guestbook() -> Guestbook:
    return current_app.extensions["guestbook"]


def _read(limit: int) -> Reading:
    after = valid_position(request.headers.get("X-Read-After")) or valid_position(request.cookies.get(AFTER_COOKIE))
    return _guestbook().newest(limit, after)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, "name": entry.name, "message": entry.message, "created_at": entry.iso}


def _page(reading: Reading | None, status: int = 200, **details: Any) -> Response:
    values = {field: request.form.get(field, "") for field in ("name", "message")}
    return Response(
        render_template("guestbook.html", reading=reading, values=values, **details), status, mimetype="text/html"
    )


def _remember(response: Response, written: Written) -> Response:
    _set_cookie(response, AFTER_COOKIE, written.position)
    return response


def _set_cookie(response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=COOKIE_SECONDS, path="/", secure=request.is_secure, httponly=True, samesite="Lax"
    )


def _trace() -> None:
    tracing.begin(request.headers.get(tracing.HEADER))


def _log(response: Response) -> Response:
    """Note what may have changed something or went wrong; the web server has a line of every request."""
    if request.method not in {"GET", "HEAD"} or response.status_code >= 500:
        log.info("%s %s %d", request.method, request.path, response.status_code)
    return response


def _small_only() -> None:
    # Werkzeug before 2.3 minds MAX_CONTENT_LENGTH in forms only.
    if (request.content_length or 0) > BODY_BYTES:
        abort(413)


def _same_origin_only() -> None:
    """Browsers name the origin of every POST; other clients name none and carry no one's credentials."""
    if request.method != "POST":
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        allowed = site in {"same-origin", "none"}
    else:
        allowed = origin is None or _origin(origin) == _origin(request.host_url)
    if not allowed:
        abort(403, "This was sent by another site. Please use the form on this one.")


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _wants_json() -> bool:
    return request.path.startswith("/api/") or request.path in {"/canary", "/livez", "/readyz"}


def _invalid(error: Invalid) -> Response:
    if _wants_json():
        response = jsonify(error="Some fields cannot be accepted.", fields=error.fields)
        response.status_code = 400
        return response
    try:
        reading = _read(ON_PAGE)
    except Unavailable:
        reading = None
    return _page(reading, 400, errors=error.fields)


def _unavailable(error: Unavailable) -> Response:
    if isinstance(error, OutcomeUnknown):
        problem = "The database went away while saving. Look for your message in the list before you send it again."
    elif request.method == "POST":
        problem = "The database cannot be reached, so your message was not saved. Please try again in a moment."
    else:
        problem = "The database cannot be reached at the moment. Please try again shortly."
    if _wants_json():
        response: Response = jsonify(error=problem)
        response.status_code = 503
    else:
        response = _page(None, 503, problem=problem)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    response = error.get_response()
    if _wants_json():
        response.data = jsonify(error=error.description).data
        response.content_type = "application/json"
    else:
        response.data = render_template("error.html", error=error)
        response.content_type = "text/html; charset=utf-8"
    return response
