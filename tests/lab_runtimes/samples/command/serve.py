"""A sample of an application of another kind: it listens on the socket that its command names."""

import http.server
import socketserver
import sys
from pathlib import Path

RELEASE = Path("RELEASE").read_text().strip()


class Handler(http.server.BaseHTTPRequestHandler):
    """Says what runs here."""

    def do_GET(self):
        """Answer."""
        body = f'{{"release": "{RELEASE}"}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        """A socket has no address."""
        return "local"


socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler).serve_forever()
