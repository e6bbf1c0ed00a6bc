# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a web node or a balancer over TLS, as whom and with whose name is up to the caller."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

SHORT = 200
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for.
NO_CHECK_TIME = 0x200000


class Answer:
    """An HTTP answer, or why there was none."""

    def __init__(self, status: int, body: str, served_by: str, location: str = "", maintenance: bool = False) -> None:
        self.status, self.body, self.served_by, self.location = status, body, served_by, location
        self.maintenance = maintenance

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def summary(self) -> str:
        """The answer in a few words."""
        return f"{self.status or 'no answer'}: {' '.join(self.body.split())[:SHORT]}"

    @property
    def told(self) -> str:
        """The answer as the end of a sentence of which the subject was asked."""
        return f"{'answers' if self.status else 'gives'} {self.summary}"


class Place:
    """Where to send requests, for which host, and the name to verify; plain HTTP without a context."""

    def __init__(
        self, address: str, port: int, host: str, name: str = "", context: ssl.SSLContext | None = None
    ) -> None:
        self.address, self.port, self.host = address, port, host
        self.name, self.context = name or host, context

    def connect(self, timeout: float) -> socket.socket:
        """A connection, its other end verified."""
        plain = socket.create_connection((self.address, self.port), timeout)
        if not self.context:
            return plain
        try:
            return self.context.wrap_socket(plain, server_hostname=self.name)
        except OSError:
            plain.close()
            raise


def request(place: Place, path: str, timeout: float, send: dict[str, Any] | None = None) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(place.address, place.port, timeout=timeout)
    headers = {"Host": place.host, "Content-Type": "application/json", "Connection": "close"}
    if place.context:
        # As the balancer does: an application may redirect requests without it.
        headers["X-Forwarded-Proto"] = "https"
    try:
        connection.sock = place.connect(timeout)
        connection.request(
            "GET" if send is None else "POST",
            path,
            body=None if send is None else json.dumps(send),
            headers=headers,
        )
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        received = answer.headers
        served_by, location = received.get("X-Served-By", ""), received.get("Location", "")
        return Answer(answer.status, body, served_by, location, received.get("X-Maintenance") == "on")
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, reason(error), "")
    finally:
        connection.close()


def reason(error: Exception) -> str:
    """Why there was no answer; of a certificate that is refused, what is wrong with it."""
    return getattr(error, "verify_message", "") or str(error) or type(error).__name__


def tls_context(ca_path: str, authorities: str = "", check_dates: bool = True) -> ssl.SSLContext:
    """A context that trusts these authorities besides those of the system; dates are checked unless turned off."""
    context = ssl.create_default_context()
    # From Python 3.13 on it would refuse old public authorities that browsers accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cafile=ca_path)
    if authorities:
        context.load_verify_locations(cadata=authorities)
    if not check_dates:
        context.verify_flags |= NO_CHECK_TIME
    return context
