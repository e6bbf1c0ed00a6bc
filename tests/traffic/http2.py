# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of HTTP/2 that runs on a balancer.

Usage: http2.py '{"address": ..., "name": ..., "streams": [[[header, value], ...], ...]}' [websocket]

Tells the headers and the body of the last answer as JSON. As a WebSocket it asks by RFC 8441, and tells what it hears.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings


def frame(text: str) -> bytes:
    """A text as WebSocket clients send it, the mask being zero."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def main(given: dict[str, Any], websocket: bool) -> dict[str, str]:
    """Ask; returns what was answered."""
    context = ssl.create_default_context(cafile="/etc/ssl/webstack/ca.pem")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    sock = context.wrap_socket(socket.create_connection((given["address"], 443), 10), server_hostname=given["name"])
    # What is wrong is for the other side to find.
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    found: dict[str, str] = {"body": ""}
    sent = False
    heard = b""
    while data := sock.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged) and not sent:
                found["offered"] = str(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL in event.changed_settings)
                sent = True
                for headers in given["streams"]:
                    stream = connection.get_next_available_stream_id()
                    method = "CONNECT" if websocket else "GET"
                    extra = [(":protocol", "websocket")] if websocket else []
                    path = "/socket" if websocket else "/"
                    begin = [(":method", method), *extra, (":scheme", "https"), (":path", path)]
                    pseudo = [tuple(each) for each in headers if each[0].startswith(":")]
                    rest = [tuple(each) for each in headers if not each[0].startswith(":")]
                    connection.send_headers(stream, [*begin, *pseudo, *rest], end_stream=not websocket)
            elif isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                found.update(event.headers)
                if websocket and found[":status"] == "200":
                    connection.send_data(stream, frame("hello"))
            elif isinstance(event, h2.events.DataReceived) and event.stream_id == stream:
                connection.acknowledge_received_data(event.flow_controlled_length, stream)
                heard += event.data
                found["body"] = heard.decode("utf-8", "replace")
                if websocket and b"hello" in heard:
                    return found
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                return found
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                return {":status": "reset", **found}
        sock.sendall(connection.data_to_send())
    return {":status": "closed", **found}


print(json.dumps(main(json.loads(sys.argv[1]), "websocket" in sys.argv[2:])))
