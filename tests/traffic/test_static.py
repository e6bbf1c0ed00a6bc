# SPDX-License-Identifier: GPL-3.0-or-later
"""Static files of releases as they are packed: known by their content, on every node, forwards and back."""

from __future__ import annotations

import shlex
from contextlib import ExitStack

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils.release_pack import pack
from conftest import DOMAIN, WEB, Traffic, docker
from exact_client import Answer, Place
from waiting import wait

NAME = "/static/site.css"
# Of one length.
CONTENTS = {"first": "body { color: black }\n" * 100, "second": "body { color: white }\n" * 100}


@pytest.fixture(scope="module")
def releases(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two releases, unpacked on both web nodes; their directories by their names."""
    found = {}
    for name, content in CONTENTS.items():
        source = tmp_path_factory.mktemp(name)
        (source / "static").mkdir()
        (source / "static" / "site.css").write_text(content)
        packed = pack(source, source.parent / "archives", [], check_mode=False)
        found[name] = f"/srv/app/releases/{packed['id']}"
        for node in WEB:
            traffic[node].sh(f"mkdir -p {found[name]}")
            docker("cp", packed["archive"], f"{traffic[node].container}:/tmp/release.tar.gz")
            traffic[node].sh(f"tar -xzf /tmp/release.tar.gz -C {found[name]}")
    return found


def switch(traffic: Traffic, directory: str) -> None:
    """Have both nodes run a release, as the module atomic_symlink does."""
    for node in WEB:
        traffic[node].sh(f"ln -s {shlex.quote(directory)} /srv/app/next && mv -T /srv/app/next /srv/app/current")


def seen(traffic: Traffic, **headers: str) -> dict[str, Answer]:
    """What both nodes answer through the balancer."""
    site = Place(traffic["lb1"].address, 443, DOMAIN, traffic.authority.path)
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answers: dict[str, Answer] = {}
    for _each in range(8):
        answer = site.ask(NAME, headers=given)
        answers[answer.headers["X-Served-By"]] = answer
    assert set(answers) == set(WEB)
    return answers


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_change_of_equal_length_is_told_at_once_and_a_rollback_too(traffic: Traffic, releases, encoding):
    try:
        switch(traffic, releases["first"])
        first = seen(traffic, Accept_Encoding=encoding)
        tags = {answer.headers["ETag"] for answer in first.values()}
        dates = {answer.headers["Last-Modified"] for answer in first.values()}
        assert (len(tags), len(dates)) == (1, 1)
        kept = {"If_None_Match": tags.pop(), "If_Modified_Since": dates.pop()}
        for given in ({"If_None_Match": kept["If_None_Match"]}, {"If_Modified_Since": kept["If_Modified_Since"]}, kept):
            assert {answer.status for answer in seen(traffic, Accept_Encoding=encoding, **given).values()} == {304}
        switch(traffic, releases["second"])
        for given in ({"If_None_Match": kept["If_None_Match"]}, {"If_Modified_Since": kept["If_Modified_Since"]}, kept):
            assert {answer.status for answer in seen(traffic, Accept_Encoding=encoding, **given).values()} == {200}
        bodies = {answer.body for answer in seen(traffic, Accept_Encoding="identity").values()}
        assert bodies == {CONTENTS["second"].encode()}
        switch(traffic, releases["first"])
        assert {answer.status for answer in seen(traffic, Accept_Encoding=encoding, **kept).values()} == {304}
        bodies = {answer.body for answer in seen(traffic, Accept_Encoding="identity").values()}
        assert bodies == {CONTENTS["first"].encode()}
    finally:
        switch(traffic, "releases/one")


def taken(traffic: Traffic, backend: str) -> int:
    """Places that a backend's servers have given away."""
    shown = traffic["lb1"].sh("echo 'show stat' | socat - /run/haproxy/admin.sock").splitlines()
    names = shown[0].lstrip("# ").split(",")
    rows = [dict(zip(names, line.split(","), strict=False)) for line in shown[1:]]
    return sum(int(row["scur"]) for row in rows if row["pxname"] == backend and row["svname"] in WEB)


def test_clients_that_take_files_slowly_keep_nobody_waiting(traffic: Traffic):
    for node in WEB:
        traffic[node].sh("head -c 32M /dev/zero > /srv/app/current/static/large")
    site = Place(traffic["lb1"].address, 443, DOMAIN, traffic.authority.path)
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(site.connect()) for _each in range(100)]
        for slow in clients:
            slow.sendall(f"GET /static/large HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())

        def many() -> bool:
            """Whether they take more than the application has places for; each takes a little, or it would be cut."""
            for slow in clients:
                assert slow.recv(4096)
            return taken(traffic, "site-static") > 64

        wait("slow clients", many)
        assert taken(traffic, "site") == 0
        assert site.ask("/").status == 200
