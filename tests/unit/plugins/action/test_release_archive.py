# SPDX-License-Identifier: GPL-3.0-or-later
"""A release is named after what is in it, and its archive holds exactly that."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from pathlib import Path

import pytest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small application."""
    top = tmp_path / "application"
    (top / "pages").mkdir(parents=True)
    (top / "app.py").write_text("print('hello')\n")
    (top / "run").write_text("#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "pages" / "home.html").write_text("<p>home</p>\n")
    (top / "latest").symlink_to("pages/home.html")
    return top


@pytest.fixture
def pack(release, source):
    """Pack the application, as a task does."""

    def run(check: bool = False, **arguments):
        return release(check, **{"source": source, **arguments})

    return run


def names(archive: str) -> set[str]:
    """Names in an archive."""
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def test_the_archive_holds_the_application_and_its_id(pack, source, tmp_path):
    packed = pack()
    assert packed["changed"] is True
    assert packed["archive"] == str(tmp_path / "state" / "releases" / f"{packed['id']}.tar.gz")
    with tarfile.open(packed["archive"]) as tar:
        assert {member.name: member.mode for member in tar if member.isfile()} == {
            "app.py": 0o644, "run": 0o755, "pages/home.html": 0o644, ".release": 0o644,
        }  # fmt: skip
        assert tar.extractfile(".release").read().decode() == packed["id"]
        assert tar.extractfile("pages/home.html").read() == b"<p>home</p>\n"
        assert tar.getmember("latest").linkname == "pages/home.html"
        assert {(member.uid, member.gid) for member in tar} == {(0, 0)}


def times(archive: str) -> dict[str, int]:
    """Times of the files in an archive, but for the one that names the release."""
    with tarfile.open(archive) as tar:
        return {member.name: member.mtime for member in tar if member.isfile() and member.name != ".release"}


def test_a_file_has_a_time_that_follows_its_content_through_all_releases(pack, source):
    (source / "a.css").write_text("body { color: black }")
    (source / "b.css").write_text("body { color: black }")
    first = times(pack()["archive"])
    (source / "a.css").write_text("body { color: white }")
    second = times(pack()["archive"])
    assert first["a.css"] == first["b.css"] == second["b.css"] != second["a.css"]
    assert {name: first[name] == second[name] for name in first} == {name: name != "a.css" for name in first}
    (source / "a.css").write_text("body { color: black }")
    (source / "new").write_text("another release")
    assert times(pack()["archive"])["a.css"] == first["a.css"]
    # Past for every client, and after the first time that zip knows.
    assert {1980 <= time.gmtime(each).tm_year <= 2014 for each in first.values()} == {True}
    assert len(set(first.values())) == len({(source / name).read_bytes() for name in first})


def test_the_same_content_is_the_same_release_whoever_packs_it(pack, source):
    first = pack()
    content = Path(first["archive"]).read_bytes()
    Path(first["archive"]).unlink()
    now = time.time()
    for path in source.rglob("*"):
        os.utime(path, (now - 9999, now - 9999), follow_symlinks=False)
    (source / "app.py").chmod(0o600)
    again = pack()
    assert again["id"] == first["id"]
    assert Path(again["archive"]).read_bytes() == content


def test_neither_the_time_nor_the_order_of_the_disk_is_in_the_archive(pack, monkeypatch):
    first = pack()
    content = Path(first["archive"]).read_bytes()
    Path(first["archive"]).unlink()
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path), reverse=True)))
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    again = pack()
    assert (again["id"], Path(again["archive"]).read_bytes()) == (first["id"], content)


def test_a_release_that_is_there_is_not_packed_again(pack):
    first = pack()
    assert pack() == {**first, "changed": False}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda top: (top / "app.py").write_text("print('other')\n"), id="content"),
        pytest.param(lambda top: (top / "app.py").rename(top / "main.py"), id="name"),
        pytest.param(lambda top: (top / "app.py").chmod(0o755), id="executable"),
        pytest.param(lambda top: (top / "empty").mkdir(), id="an empty directory"),
        pytest.param(lambda top: (top / "pages" / "home.html").unlink(), id="a file less"),
        pytest.param(
            lambda top: [(top / "latest").unlink(), (top / "latest").symlink_to("app.py")], id="where a link leads"
        ),
    ],
)
def test_any_change_is_a_new_release(pack, source, change):
    before = pack()["id"]
    change(source)
    assert pack()["id"] != before


def test_what_is_excluded_is_neither_packed_nor_a_change(pack, source):
    before = pack()
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("main\n")
    (source / "pages" / "home.pyc").write_text("cached")
    after = pack(exclude=[".git", "*.pyc"])
    assert after["id"] == before["id"]
    assert names(after["archive"]) == {"app.py", "run", "pages", "pages/home.html", "latest", ".release"}
    assert pack()["id"] != before["id"]


def test_a_marker_of_the_application_itself_is_no_content(pack, source):
    before = pack()["id"]
    (source / ".release").write_text("mine")
    assert pack()["id"] == before


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "pages/../../secret", "here/../secret"])
def test_a_link_that_leads_outside_is_refused(pack, source, tmp_path, target):
    (tmp_path / "secret").write_text("secret")
    (source / "here").symlink_to(".")
    (source / "leak").symlink_to(target)
    answer = pack()
    assert answer["failed"] is True
    assert f"{source}: leak is a link that leads outside ({target}): remove it or list its name" in answer["msg"]
    assert not (tmp_path / "state").exists()
    assert pack(exclude=["leak"])["changed"] is True


def test_what_is_no_file_is_refused(pack, source):
    os.mkfifo(source / "pipe")
    answer = pack()
    assert answer["failed"] is True
    assert f"{source}: pipe is neither a file, a directory nor a link" in answer["msg"]


def test_a_link_by_an_absolute_path_leads_nowhere_on_a_node(pack, source):
    (source / "home").symlink_to(source / "pages")
    assert f"{source}: home is a link that leads outside ({source / 'pages'})" in pack()["msg"]


def test_nothing_is_no_release(pack, source):
    assert "there is nothing in it to release" in pack(exclude=["*"])["msg"]


def test_a_source_that_is_not_there_is_named(pack, tmp_path):
    answer = pack(source=tmp_path / "nowhere")
    assert answer["msg"] == (
        f"source: {tmp_path / 'nowhere'} is not a directory on the control node: name the application's directory."
    )


@pytest.mark.parametrize("source", ["", " "])
def test_a_source_that_is_empty_is_not_the_directory_that_ansible_runs_in(pack, source):
    answer = pack(source=source)
    assert (answer["failed"], answer["msg"]) == (
        True, "source is empty: name the application; for the role app_server in app_server_source.",
    )  # fmt: skip


def test_check_mode_tells_the_id_and_writes_nothing(pack, tmp_path):
    told = pack(check=True)
    assert told["changed"] is True
    assert not (tmp_path / "state").exists()
    assert pack()["id"] == told["id"]


def test_archives_are_closed_to_others_and_nothing_is_left_beside_them(pack, tmp_path):
    packed = pack()
    releases = tmp_path / "state" / "releases"
    assert stat.S_IMODE(releases.stat().st_mode) == 0o700
    assert [path.name for path in releases.iterdir()] == [f"{packed['id']}.tar.gz"]


def test_releases_that_were_used_longest_ago_make_room(pack, source, tmp_path):
    archives = {}
    for age, name in enumerate(["first", "second", "third"]):
        (source / "version").write_text(name)
        archives[name] = Path(pack(keep=3)["archive"])
        os.utime(archives[name], (1000 + age, 1000 + age))
    built = archives["second"].with_name(archives["second"].name.replace(".tar.gz", ".built.tar.gz"))
    built.touch()
    os.utime(built, (1, 1))
    (source / "version").write_text("first")
    assert pack(keep=3)["removed"] == [], "what is used again is young again"
    (source / "version").write_text("fourth")
    gone = sorted([archives["second"].name, built.name])
    assert pack(keep=3, check=True)["removed"] == gone
    assert built.exists()
    fourth = pack(keep=3)
    assert fourth["removed"] == gone
    left = {path.name for path in Path(fourth["archive"]).parent.iterdir()}
    assert left == {archives["first"].name, archives["third"].name, Path(fourth["archive"]).name}


def test_a_link_that_releases_share_takes_the_place_of_what_was_there(pack, source):
    (source / "uploads" / "old").mkdir(parents=True)
    packed = pack(links={"uploads": "/srv/app/shared/uploads", "var/cache": "/srv/app/shared/var/cache"})
    with tarfile.open(packed["archive"]) as tar:
        assert tar.getmember("uploads").linkname == "/srv/app/shared/uploads"
        assert tar.getmember("var/cache").issym()
        assert tar.getmember("var").isdir()
        assert "uploads/old" not in tar.getnames()
    assert pack()["id"] != packed["id"] != pack(links={"uploads": "/srv/app/shared/uploads"})["id"]


@pytest.mark.parametrize("name", ["/etc", "../up", "a/../../up", "", "a/", "./a"])
def test_a_link_is_made_inside_of_the_release_alone(pack, name):
    assert f"link {name!r} is no path inside of a release" in pack(links={name: "/srv"})["msg"]


def test_what_builds_a_release_is_part_of_what_it_is(pack):
    assert pack(recipe="npm ci")["id"] != pack()["id"]
    assert pack(recipe="npm ci")["id"] == pack(recipe="npm ci")["id"]


FILE = "shop_1%3a6.8+dfsg1-1_all.deb 8923 SHA256:" + "0" * 64


def test_a_package_is_named_after_its_version_and_its_digest(release):
    packed = release(type="package", source="shop", version=FILE)
    assert packed["id"].startswith("1-6.8+dfsg1-1-")
    with tarfile.open(packed["archive"]) as tar:
        assert tar.extractfile("PACKAGE").read().decode() == FILE + "\n"
    rebuilt = release(type="package", source="shop", version=FILE.replace("0" * 64, "1" * 64))
    assert rebuilt["id"] != packed["id"]


@pytest.mark.parametrize("version", [None, "6.8", FILE.partition(" ")[0], f"../x {FILE}"])
def test_what_does_not_tell_a_package_from_others_is_refused(release, version):
    said = release(type="package", source="shop", version=version)
    assert said["failed"]
    assert said["msg"].startswith(f"source: shop: version is {version or ''!r} and not a file, its size and its digest")
