# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive is the application that was meant, and nothing of it ends outside."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import release_unpack
from https_server import certificate, https_server

FILES = {"app.py": b"print('hello')\n", "pages/home.html": b"<p>home</p>\n"}


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz", top: str = "") -> Path:
    """An archive with an application and these members."""
    with tarfile.open(path, mode) as tar:
        for name, content in FILES.items():
            info = tarfile.TarInfo(top + name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o644):
    """A member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, mode
    return info


def zip_of(path: Path, *members: tuple[str, int, bytes], top: str = "") -> Path:
    """A zip archive with an application and these members: name, mode and content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(top + name, content)
        for name, mode, content in members:
            # Name after name, as zipfile corrects one that it is given.
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def checksum(path: Path) -> str:
    """Checksum of an archive."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def pack(release):
    """Pack what an archive holds."""
    return lambda check=False, **arguments: release(check, type="archive", **arguments)


def contents(archive: str) -> dict[str, bytes]:
    """Files of a release."""
    with tarfile.open(archive) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar if info.isfile() and info.name != ".release"}


@pytest.mark.parametrize("top", ["", "shop-2.4.1/", "./shop-2.4.1/"])
@pytest.mark.parametrize("form", ["gz", "xz", "bz2", "zip"])
def test_every_form_gives_the_release_that_the_directory_gives(pack, release, tmp_path, form, top):
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    path = tmp_path / "shop"
    made = zip_of(path, top=top.removeprefix("./")) if form == "zip" else tar_of(path, mode=f"w:{form}", top=top)
    packed = pack(source=made, checksum=checksum(made))
    assert (packed["changed"], packed["id"]) == (True, release(source=tree)["id"])
    assert contents(packed["archive"]) == FILES
    assert pack(source=made)["changed"] is False


def test_the_directory_that_everything_is_in_stays_where_that_is_wanted(pack, tmp_path):
    packed = pack(source=tar_of(tmp_path / "shop.tar.gz", top="shop/"), strip=False)
    assert set(contents(packed["archive"])) == {"shop/app.py", "shop/pages/home.html"}


def test_a_file_alone_is_no_directory_that_everything_is_in(pack, tmp_path):
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        tar.addfile(member("app.py", size=3), io.BytesIO(b"abc"))
    assert contents(pack(source=tmp_path / "one.tar")["archive"]) == {"app.py": b"abc"}


def test_links_and_programs_stay_what_they_are(pack, tmp_path):
    path = tar_of(
        tmp_path / "shop.tar.gz",
        member("shop/run", size=2, mode=0o4755),
        member("shop/latest", tarfile.SYMTYPE, "pages/home.html"),
        member("shop/pages/up", tarfile.SYMTYPE, "../app.py"),
        member("shop/again", tarfile.LNKTYPE, "shop/app.py"),
        top="shop/",
    )
    packed = pack(source=path)
    with tarfile.open(packed["archive"]) as tar:
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("latest").linkname == "pages/home.html"
        assert tar.getmember("pages/up").linkname == "../app.py"
    assert contents(packed["archive"])["again"] == FILES["app.py"]


def test_a_member_that_is_there_twice_counts_as_it_was_last(pack, tmp_path):
    path = tar_of(tmp_path / "shop.tar", member("app.py", size=4), mode="w")
    assert contents(pack(source=path)["archive"])["app.py"] == b"xxxx"


EVIL = {
    "up": ([member("../evil", size=1)], "'../evil' in it, which leads outside"),
    "up again": ([member("pages/../../evil", size=1)], "which leads outside"),
    "absolute": ([member("/etc/evil", size=1)], "the absolute path '/etc/evil'"),
    "through a link": (
        [member("pages/there", tarfile.SYMTYPE, "."), member("pages/there/evil", size=1)],
        "'pages/there/evil' below the link 'pages/there'",
    ),
    "hard link": ([member("evil", tarfile.LNKTYPE, "../../secret")], "'../../secret' in it, which leads outside"),
    "absolute hard link": ([member("evil", tarfile.LNKTYPE, "/etc/passwd")], "the absolute path '/etc/passwd'"),
    "hard link to a link": (
        [member("pages/l", tarfile.SYMTYPE, "home.html"), member("evil", tarfile.LNKTYPE, "pages/l")],
        "the hard link 'evil' in it to 'pages/l', which is no file of the archive",
    ),
    "hard link to itself": ([member("evil", tarfile.LNKTYPE, "evil")], "which is no file of the archive"),
    "device": ([member("null", tarfile.CHRTYPE)], "'null' in it, which is neither a file, a directory nor a link"),
    "block device": ([member("disk", tarfile.BLKTYPE)], "which is neither"),
    "pipe": ([member("pipe", tarfile.FIFOTYPE)], "which is neither"),
    "below a file": ([member("app.py/evil", size=1)], "'app.py/evil' below the file 'app.py'"),
}


@pytest.fixture
def untouched(monkeypatch):
    """Nothing is unpacked in this test."""
    monkeypatch.setattr(release_unpack, "write", lambda *_: pytest.fail("something was unpacked"))


@pytest.mark.parametrize("case", EVIL)
@pytest.mark.usefixtures("untouched")
def test_what_would_end_outside_refuses_the_whole_archive(pack, tmp_path, case):
    members, said = EVIL[case]
    path = tar_of(tmp_path / "evil.tar.gz", *members)
    answer = pack(source=path)
    assert answer["failed"] is True
    assert answer["msg"].startswith(f"source: {path} has ")
    assert said in answer["msg"]


OUTSIDE = {
    "link": [member("evil", tarfile.SYMTYPE, "../../secret")],
    "absolute link": [member("evil", tarfile.SYMTYPE, "/etc/passwd")],
    "link by a link": [member("here", tarfile.SYMTYPE, "."), member("evil", tarfile.SYMTYPE, "here/../secret")],
    "link by a link that comes later": [
        member("evil", tarfile.SYMTYPE, "pages/up/../secret"), member("pages/up", tarfile.SYMTYPE, ".."),
    ],
    "link over what is not there": [member("evil", tarfile.SYMTYPE, "none/../../secret")],
    "link out of what is left out": [member("shop/evil", tarfile.SYMTYPE, "../secret")],
    "link further out of what is left out": [member("shop/pages/evil", tarfile.SYMTYPE, "../../secret")],
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_link_that_leads_outside_is_refused_whatever_the_source(pack, tmp_path, case):
    members = OUTSIDE[case]
    link = next(info.linkname for info in members if info.name.endswith("evil"))
    path = tar_of(tmp_path / "evil.tar.gz", *members, top="shop/" if "left out" in case else "")
    answer = pack(source=path)
    assert answer["failed"] is True
    assert answer["msg"].startswith(f"source: {path}: ")
    assert f"evil is a link that leads outside ({link}): remove it or list its name in exclude." in answer["msg"]
    assert not (tmp_path / "state" / "releases").exists()
    assert list((tmp_path / "state" / "sources").iterdir()) == []
    assert "evil" not in contents(pack(source=path, exclude=["evil"])["archive"])


def test_links_in_a_circle_stay_inside(pack, tmp_path):
    path = tar_of(
        tmp_path / "shop.tar", member("one", tarfile.SYMTYPE, "two"), member("two", tarfile.SYMTYPE, "one"), mode="w"
    )
    with tarfile.open(pack(source=path)["archive"]) as tar:
        assert (tar.getmember("one").linkname, tar.getmember("two").linkname) == ("two", "one")


@pytest.mark.parametrize(
    "evil",
    [
        member("shop/evil", tarfile.LNKTYPE, "shop/../../secret"),
        member("shop/evil", tarfile.LNKTYPE, "secret"),
        member("shop/../evil", size=1),
    ],
    ids=lambda info: f"{info.name} {info.linkname}",
)
@pytest.mark.usefixtures("untouched")
def test_outside_is_what_the_directory_that_is_left_out_is_not(pack, tmp_path, evil):
    answer = pack(source=tar_of(tmp_path / "evil.tar.gz", evil, top="shop/"))
    assert answer["failed"] is True
    assert "leads outside" in answer["msg"] or "is no file of the archive" in answer["msg"]


EVIL_ZIP = {
    "up": (("../evil", stat.S_IFREG | 0o644, b"x"), "'../evil' in it, which leads outside"),
    "absolute": (("/etc/evil", stat.S_IFREG | 0o644, b"x"), "the absolute path '/etc/evil'"),
    "backslashes": (("..\\evil", 0, b"x"), "whose path is not separated by '/'"),
    "device": (("null", stat.S_IFCHR | 0o666, b""), "'null' in it, which is neither"),
    "pipe": (("pipe", stat.S_IFIFO | 0o666, b""), "which is neither"),
}


@pytest.mark.parametrize("case", EVIL_ZIP)
@pytest.mark.usefixtures("untouched")
def test_a_zip_archive_is_judged_alike(pack, tmp_path, case):
    evil, said = EVIL_ZIP[case]
    answer = pack(source=zip_of(tmp_path / "evil.zip", evil))
    assert answer["failed"] is True
    assert said in answer["msg"]


@pytest.mark.parametrize("link", ["../secret", "/etc/passwd"])
def test_a_link_of_a_zip_archive_that_leads_outside_is_refused_alike(pack, tmp_path, link):
    path = zip_of(tmp_path / "evil.zip", ("evil", stat.S_IFLNK | 0o777, link.encode()))
    assert pack(source=path)["msg"] == (
        f"source: {path}: evil is a link that leads outside ({link}): remove it or list its name in exclude."
    )


def test_a_link_and_a_program_of_a_zip_archive_stay_what_they_are(pack, tmp_path):
    run, latest = ("run", stat.S_IFREG | 0o755, b"#!/bin/sh\n"), ("latest", stat.S_IFLNK | 0o777, b"pages/home.html")
    with tarfile.open(pack(source=zip_of(tmp_path / "shop.zip", run, latest))["archive"]) as tar:
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("latest").linkname == "pages/home.html"


def test_an_encrypted_zip_archive_is_refused(pack, tmp_path):
    path = zip_of(tmp_path / "shop.zip")
    content = bytearray(path.read_bytes())
    # The flag in the central directory.
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert pack(source=path)["msg"] == f"source: {path} is encrypted: pack it again without a password."


def test_an_archive_that_does_not_fit_is_refused(pack, tmp_path, monkeypatch):
    usage = release_unpack.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(release_unpack.shutil, "disk_usage", lambda _path: usage)
    assert "the control node has 0 MiB free: free some, or pack less" in pack(source=tar_of(tmp_path / "a.tar"))["msg"]


@pytest.mark.parametrize("form", ["gz", "xz", "bz2", "zip"])
@pytest.mark.parametrize("harm", ["cut short", "something else", "nothing"])
def test_a_damaged_archive_is_named(pack, tmp_path, form, harm):
    big = ("big", stat.S_IFREG | 0o644, os.urandom(200_000))
    path = tmp_path / "shop"
    if form == "zip":
        zip_of(path, big)
    else:
        tar_of(path, member("big", size=200_000), mode=f"w:{form}")
    content = path.read_bytes()
    harmed = {"cut short": content[: len(content) // 2], "something else": b"<html>" * 99, "nothing": b""}
    path.write_bytes(harmed[harm])
    answer = pack(source=path)
    assert answer["failed"] is True
    assert answer["msg"].startswith(f"source: {path} is no .tar.gz, .tar.xz, .tar.bz2 or .zip that can be read (")


def test_an_archive_that_is_not_the_one_that_was_meant_is_refused(pack, tmp_path):
    path = tar_of(tmp_path / "shop.tar.gz")
    answer = pack(source=path, checksum="sha256:" + "0" * 64)
    assert f"{path} has the checksum {checksum(path)} and not sha256:{'0' * 64}" in answer["msg"]
    assert not (tmp_path / "state" / "releases").exists()


@pytest.mark.parametrize("given", ["md5:" + "0" * 32, "0" * 64, "sha256:abc"])
def test_a_checksum_of_another_form_is_none(pack, tmp_path, given):
    assert f"checksum {given!r} is none" in pack(source=tar_of(tmp_path / "shop.tar.gz"), checksum=given)["msg"]


def test_an_archive_that_is_not_there_is_named(pack, tmp_path):
    assert pack(source=tmp_path / "no.zip")["msg"] == (
        f"source: {tmp_path / 'no.zip'} is not a file on the control node: name the application's archive."
    )


def test_check_mode_tells_the_id_and_packs_nothing(pack, tmp_path):
    path = tar_of(tmp_path / "shop.tar.gz")
    told = pack(check=True, source=path)
    assert told["changed"] is True
    assert not (tmp_path / "state" / "releases").exists()
    assert list((tmp_path / "state" / "sources").iterdir()) == []
    assert pack(source=path)["id"] == told["id"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An https server that is believed."""
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    (tmp_path / "www").mkdir()
    with https_server(tmp_path / "www", pem, "deploy:secret") as found:
        yield found


def test_an_archive_is_downloaded_once(pack, server, tmp_path):
    made = tar_of(tmp_path / "www" / "shop.tar.gz", top="shop/")
    url = f"https://deploy:s3cret@{server.place}/shop.tar.gz"
    packed = pack(source=url, checksum=checksum(made))
    assert contents(packed["archive"]) == FILES
    assert pack(source=url, checksum=checksum(made))["changed"] is False
    assert server.requests == ["GET /shop.tar.gz"]
    assert stat.S_IMODE((tmp_path / "state" / "sources").stat().st_mode) == 0o700


def test_a_download_that_is_another_one_is_refused_and_not_kept(pack, server, tmp_path):
    tar_of(tmp_path / "www" / "shop.tar.gz")
    answer = pack(source=f"https://deploy:s3cret@{server.place}/shop.tar.gz", checksum="sha256:" + "0" * 64)
    assert f"https://{server.place}/shop.tar.gz has the checksum sha256:" in answer["msg"]
    assert "s3cret" not in str(answer)
    assert list((tmp_path / "state" / "sources").iterdir()) == []


def test_what_a_server_refuses_is_said_without_the_password(pack, server):
    answer = pack(source=f"https://deploy:s3cret@{server.place}/none.zip", checksum="sha256:" + "0" * 64)
    assert answer["msg"].startswith(f"source: https://{server.place}/none.zip could not be downloaded: ")
    assert "404" in answer["msg"]
    assert "s3cret" not in str(answer)


def test_a_server_that_is_not_believed_is_refused(pack, server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    answer = pack(source=f"https://{server.place}/shop.zip", checksum="sha256:" + "0" * 64)
    assert "could not be downloaded" in answer["msg"]
    assert "certificate" in answer["msg"].lower()
    assert server.requests == []


def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(pack, server):
    answer = pack(source=f"https://{server.place}/silence.zip", checksum="sha256:" + "0" * 64, timeout=1)
    assert "could not be downloaded" in answer["msg"]
    assert "timed out" in answer["msg"]


@pytest.mark.parametrize(
    ("url", "given", "said"),
    [
        ("https://example.com/a.zip", {}, "https://example.com/a.zip needs a checksum"),
        ("http://example.com/a.zip", {"checksum": "sha256:" + "0" * 64}, "is not an https URL"),
        ("ftp://me:pw@example.com/a.zip", {}, "ftp://example.com/a.zip is not an https URL"),
    ],
)
def test_a_url_is_https_and_has_a_checksum(pack, url, given, said):
    assert said in pack(source=url, **given)["msg"]
