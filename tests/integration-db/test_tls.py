"""A renewed certificate is shown, by the port that clients see."""

from __future__ import annotations

import hashlib
import shutil
import socket
import ssl
import struct

import lab
import pytest
from ansible_collections.pentad.webstack.plugins.modules import mysql_tls
from conftest import local

PROTOCOL = 0x00088A00  # PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH


def issue(folder, days: int) -> str:
    """A new key and certificate in the place of the old one; its fingerprint."""
    lab.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", "/CN=repltest",
        "-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem"),
    )  # fmt: skip
    (folder / "server.key").chmod(0o644)
    der = ssl.PEM_cert_to_DER_cert((folder / "server.pem").read_text())
    return hashlib.sha256(der).hexdigest()


def served(server: lab.Server) -> str:
    """Fingerprint of what the port shows to a client before it logs in."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.ip, 3306), timeout=10) as plain:
        header = plain.recv(4, socket.MSG_WAITALL)
        plain.recv(int.from_bytes(header[:3], "little"), socket.MSG_WAITALL)
        plain.sendall(struct.pack("<IIIB23x", 32 | 1 << 24, PROTOCOL, 2**24, 45))
        with context.wrap_socket(plain) as secured:
            return hashlib.sha256(secured.getpeercert(binary_form=True)).hexdigest()


@pytest.fixture
def own(pair, tmp_path):
    """A server with a certificate of its own, and the directory of that."""
    # The engines are tested at the same time.
    folder = lab.ROOT / f"own-{pair.engine}"
    folder.mkdir(exist_ok=True)
    issue(folder, 10)
    options = ["--ssl-cert=/own/server.pem", "--ssl-key=/own/server.key", "--ssl-ca=/own/server.pem"]
    yield pair.more(options, volumes=[f"{folder}:/own:ro"]), folder
    shutil.rmtree(folder)


def test_a_renewed_certificate_is_shown(own, run):
    server, folder = own
    options = {"certificate": str(folder / "server.pem"), **local(server)}
    assert run(mysql_tls, **options)["changed"] is False
    before = served(server)
    wanted = issue(folder, 20)
    assert run(mysql_tls, check_mode=True, **options)["changed"] is True
    assert served(server) == before != wanted
    # Nothing else is needed, whatever became of the run that issued it.
    assert (run(mysql_tls, **options)["changed"], served(server)) == (True, wanted)
    assert run(mysql_tls, **options)["changed"] is False


def test_a_server_goes_on_with_what_it_has_where_the_new_one_is_no_use(own, run):
    server, folder = own
    before = served(server)
    issue(folder, 20)
    (folder / "server.key").write_text("no key")
    answer = run(mysql_tls, certificate=str(folder / "server.pem"), **local(server))
    assert answer["failed"], answer
    assert served(server) == before


def test_a_server_that_reads_another_file_is_told(own, run, tmp_path):
    server, _folder = own
    issue(tmp_path, 5)
    answer = run(mysql_tls, certificate=str(tmp_path / "server.pem"), **local(server))
    assert "still shows another certificate" in answer["msg"]
    assert "holds no certificate" in run(mysql_tls, certificate=str(tmp_path / "server.key"), **local(server))["msg"]
