# SPDX-License-Identifier: GPL-3.0-or-later
"""A version of a repository is a release, brought here once and named with its commit."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import release_git
from https_server import certificate, https_server

NOBODY = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


class Repo:
    """A repository of somebody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        """Run git in it."""
        command = ["git", "-c", "protocol.file.allow=always", *words]
        return subprocess.run(command, cwd=self.path, env=NOBODY, check=True, capture_output=True, text=True).stdout

    def commit(self, content: str, name: str = "app.py") -> str:
        """Commit a file; returns the commit."""
        (self.path / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", content)
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repo(tmp_path):
    """A repository with a branch, two kinds of tags and two commits."""
    made = Repo(tmp_path / "repos" / "shop")
    made.first = made.commit("one")
    made.git("tag", "light")
    made.git("tag", "--annotate", "--message", "first", "v1.0")
    made.second = made.commit("two")
    return made


@pytest.fixture
def pack(release, repo, monkeypatch):
    """Pack a version of the repository."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return lambda check=False, **arguments: release(check, **{"type": "git", "source": repo.path, **arguments})


def contents(archive: str) -> dict[str, str]:
    """Files of a release."""
    with tarfile.open(archive) as tar:
        return {info.name: tar.extractfile(info).read().decode() for info in tar if info.isfile()}


@pytest.fixture
def asked(monkeypatch):
    """What git was told to do."""
    told: list[str] = []
    attempt = release_git.Mirror.attempt
    monkeypatch.setattr(
        release_git.Mirror,
        "attempt",
        lambda self, *words, **how: (told.append(words[0]), attempt(self, *words, **how))[1],
    )
    return told


@pytest.mark.parametrize(
    ("version", "which"),
    [
        ("main", "second"), ("light", "first"), ("v1.0", "first"), ("HEAD", "second"), ("refs/heads/main", "second"),
        ("refs/tags/v1.0", "first"),
    ],
)  # fmt: skip
def test_a_branch_or_a_tag_is_its_commit(pack, repo, version, which):
    packed, commit = pack(version=version), getattr(repo, which)
    assert (packed["changed"], packed["commit"], packed["version"]) == (True, commit, version)
    assert packed["id"].startswith(commit[:12] + "-")
    assert contents(packed["archive"]) == {
        "app.py": "one" if which == "first" else "two",
        ".release": packed["id"],
    }


@pytest.mark.parametrize("length", [40, 12, 7])
def test_a_commit_is_found_whole_and_by_its_beginning(pack, repo, length):
    repo.commit("three")
    assert pack(version=repo.first[:length])["commit"] == repo.first
    assert pack(version=repo.second[:length])["commit"] == repo.second


def test_a_commit_that_no_branch_has_is_found(pack, repo):
    repo.git("reset", "--quiet", "--hard", repo.first)
    assert pack(version=repo.second)["commit"] == repo.second


def test_a_tag_comes_before_a_branch_of_its_name(pack, repo):
    repo.git("branch", "light")
    assert pack(version="light")["commit"] == repo.first


def test_the_second_run_brings_nothing(pack, repo, asked):
    first = pack(version="main")
    assert "fetch" in asked
    asked.clear()
    assert pack(version="main") == {**first, "changed": False}
    assert "fetch" not in asked
    asked.clear()
    pack(version=repo.second)
    assert not {"fetch", "ls-remote"} & set(asked)


def test_only_what_was_asked_for_is_kept(pack, repo, tmp_path):
    pack(version="main")
    (mirror,) = (tmp_path / "state" / "sources").glob("*.git")
    known = ["git", "--git-dir", str(mirror), "cat-file", "-e"]
    assert subprocess.run([*known, repo.second], check=False).returncode == 0
    assert subprocess.run([*known, repo.first], check=False, capture_output=True).returncode != 0


def test_a_branch_that_moved_is_another_release(pack, repo):
    before = pack(version="main")
    third = repo.commit("three")
    after = pack(version="main")
    assert (after["changed"], after["commit"]) == (True, third)
    assert after["id"] != before["id"]
    repo.git("reset", "--quiet", "--hard", repo.first)
    assert pack(version="main")["commit"] == repo.first


def test_a_branch_may_take_the_place_of_another_ones_directory(pack, repo):
    repo.git("branch", "next")
    pack(version="next")
    pack(version=repo.first[:10])
    repo.git("branch", "--delete", "--force", "next")
    repo.git("branch", "next/one", repo.first)
    repo.commit("three")
    assert pack(version="next/one")["commit"] == repo.first
    assert pack(version=repo.git("rev-parse", "main").strip()[:10])["commit"] == repo.git("rev-parse", "main").strip()


@pytest.mark.parametrize("version", ["v9", "abcdef1234", "0" * 40, "refs/heads/none"])
def test_a_version_that_is_not_there_names_the_repository(pack, repo, version):
    answer = pack(version=version)
    assert answer["failed"] is True
    assert str(repo.path) in answer["msg"]
    assert version in answer["msg"]
    assert "correct version, or push it there" in answer["msg"]


@pytest.mark.parametrize("version", ["--upload-pack=touch", "a b", "a..b", "v1^", "a:b", "x@{1}", "*", "", None])
def test_what_cannot_be_a_version_is_refused(pack, version):
    answer = pack(version=version)
    assert answer["failed"] is True
    assert "version" in answer["msg"]


def test_neither_settings_of_the_user_nor_of_a_caller_change_a_release(pack, repo, monkeypatch, tmp_path):
    repo.commit("a\nb\n", "lines")
    before = pack(version="main")
    Path(before["archive"]).unlink()
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "reference-transaction").write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    (tmp_path / "hooks" / "reference-transaction").chmod(0o755)
    (tmp_path / "config").write_text(f"[core]\nautocrlf = true\nhooksPath = {tmp_path}/hooks\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    assert pack(version="main")["id"] == before["id"]
    pack(version="light")
    assert not (tmp_path / "hooked").exists()


def test_a_link_that_leads_outside_is_refused(pack, repo):
    (repo.path / "leak").symlink_to("../../secret")
    repo.commit("three")
    assert f"source: {repo.path}: leak is a link that leads outside (../../secret)" in pack(version="main")["msg"]


def test_a_file_that_is_kept_elsewhere_is_no_content(pack, repo):
    repo.commit("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "movie")
    assert f"{repo.path} keeps movie in Git LFS" in pack(version="main")["msg"]


def test_check_mode_tells_the_id_and_packs_nothing(pack, tmp_path):
    told = pack(check=True, version="main")
    assert told["changed"] is True
    assert not (tmp_path / "state" / "releases").exists()
    assert pack(version="main")["id"] == told["id"]


def test_nothing_but_mirrors_is_left_and_nobody_else_reads_them(pack, tmp_path):
    pack(version="main")
    sources = tmp_path / "state" / "sources"
    assert stat.S_IMODE(sources.stat().st_mode) == 0o700
    (mirror,) = sources.glob("*.git")
    assert {path.name for path in sources.iterdir()} == {mirror.name, f"{mirror.stem}.lock"}
    assert not (mirror / "unfinished").exists()


def test_what_a_killed_run_left_is_not_built_upon(pack, repo, tmp_path):
    pack(version="light")
    (mirror,) = (tmp_path / "state" / "sources").glob("*.git")
    (mirror / "shallow.lock").touch()
    assert "shallow.lock" in pack(version="main")["msg"]
    # As when it was killed with the run.
    (mirror / "unfinished").touch()
    assert pack(version="main")["commit"] == repo.second


class TestSubmodules:
    """Submodules come along where that is wanted."""

    @pytest.fixture
    def inner(self, repo):
        """A submodule, of which the repository has not the newest commit, in another one."""
        deepest = Repo(repo.path.parent / "deepest")
        deepest.commit("deep")
        made = Repo(repo.path.parent / "inner")
        made.git("submodule", "--quiet", "add", "../deepest", "far")
        made.pinned = made.commit("inside")
        repo.git("submodule", "--quiet", "add", "../inner", "lib/inner")
        repo.commit("with a submodule")
        made.commit("newer")
        return made

    def test_they_come_along_at_their_commit(self, pack, inner):
        packed = pack(version="main", submodules=True, exclude=[".git*"])
        assert contents(packed["archive"]) == {
            "app.py": "with a submodule", "lib/inner/app.py": "inside", "lib/inner/far/app.py": "deep",
            ".release": packed["id"],
        }  # fmt: skip

    def test_they_do_not_where_they_are_not_wanted(self, pack, inner):
        assert "lib/inner/app.py" not in contents(pack(version="main")["archive"])

    @pytest.mark.usefixtures("inner")
    def test_what_git_finds_them_by_is_no_part_of_a_release(self, pack):
        with tarfile.open(pack(version="main", submodules=True, exclude=[])["archive"]) as tar:
            names = tar.getnames()
        assert {"lib/inner/app.py", ".gitmodules", "lib/inner/.gitmodules"} <= set(names)
        assert not [name for name in names if Path(name).name == ".git"]

    @pytest.mark.usefixtures("inner")
    def test_the_same_commit_is_the_same_release_whatever_is_kept(self, pack, repo, tmp_path):
        before = pack(version="main", submodules=True)
        repo.commit("without it")
        repo.git("rm", "--quiet", "-r", "lib/inner")
        repo.commit("without it, really")
        assert "lib/inner/app.py" not in contents(pack(version="main", submodules=True)["archive"])
        assert pack(version=before["commit"], submodules=True) == {
            **before, "changed": False, "version": before["commit"],
        }  # fmt: skip
        elsewhere = pack(version=before["commit"], submodules=True, dest=tmp_path / "other" / "releases")
        assert elsewhere["id"] == before["id"]

    @pytest.mark.usefixtures("inner")
    def test_runs_at_the_same_time_do_not_disturb_each_other(self, pack, repo):
        wanted = ["main", "light", "main", repo.second]
        with ThreadPoolExecutor(len(wanted)) as pool:
            packed = list(pool.map(lambda version: pack(version=version, submodules=True), wanted))
        assert [contents(each["archive"])["app.py"] for each in packed] == [
            "with a submodule", "one", "with a submodule", "two",
        ]  # fmt: skip
        assert ["lib/inner/far/app.py" in contents(each["archive"]) for each in packed] == [True, False, True, False]

    def test_one_that_is_kept_is_not_fetched_again(self, pack, inner):
        before = pack(version="main", submodules=True)
        inner.path.rename(inner.path.with_name("away"))
        assert pack(version="main", submodules=True) == {**before, "changed": False}

    def test_one_that_moved_is_followed(self, pack, repo, inner):
        pack(version="main", submodules=True)
        inner.path.rename(inner.path.with_name("moved"))
        repo.git("config", "--file", ".gitmodules", "submodule.lib/inner.url", "../moved")
        repo.git("-C", "lib/inner", "fetch", "--quiet", "../../../moved")
        repo.git("-C", "lib/inner", "checkout", "--quiet", "FETCH_HEAD")
        repo.commit("moved")
        assert contents(pack(version="main", submodules=True)["archive"])["lib/inner/app.py"] == "newer"

    @pytest.mark.usefixtures("inner")
    def test_what_the_user_wants_of_submodules_elsewhere_changes_nothing(self, pack, monkeypatch, tmp_path):
        before = pack(version="main", submodules=True)
        (tmp_path / "config").write_text("[submodule]\nrecurse = true\n[fetch]\nrecurseSubmodules = true\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        assert pack(version="main", submodules=True) == {**before, "changed": False}
        assert "lib/inner/app.py" not in contents(pack(version="main")["archive"])
        shutil.rmtree(tmp_path / "state" / "sources")
        assert pack(version="main", submodules=True) == {**before, "changed": False}

    @pytest.mark.usefixtures("inner")
    def test_a_repository_cannot_have_its_submodules_left_out(self, pack, repo):
        repo.git("config", "--file", ".gitmodules", "submodule.lib/inner.update", "none")
        repo.commit("none")
        assert contents(pack(version="main", submodules=True)["archive"])["lib/inner/app.py"] == "inside"

    def test_a_commit_that_is_gone_names_the_submodule(self, pack, repo, inner):
        repo.git("update-index", "--cacheinfo", f"160000,{'1' * 40},lib/inner")
        repo.git("commit", "--quiet", "--message", "gone")
        answer = pack(version="main", submodules=True)
        assert answer["msg"].startswith(f"source: {repo.path}: git submodule failed: fatal: ")
        assert f"submodule path 'lib/inner', but it did not contain {'1' * 40}" in answer["msg"]
        assert answer["msg"].endswith(": correct .gitmodules, or push what it names.")

    @pytest.mark.usefixtures("inner")
    def test_one_without_a_url_is_named(self, pack, repo):
        (repo.path / ".gitmodules").write_text("")
        repo.commit("lost")
        answer = pack(version="main", submodules=True)
        assert "No url found for submodule path 'lib/inner' in .gitmodules: correct .gitmodules" in answer["msg"]

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("ext::sh -c touch% {}/ran", "transport 'ext' not allowed"),
            ("http://example.com/a.git", "transport 'http' not allowed"),
            ("--upload-pack=touch {}/ran", "No url found for submodule path 'lib/inner'"),
            ("../" * 99 + "a.git", "cannot strip one component off url"),
        ],
    )
    @pytest.mark.usefixtures("inner")
    def test_what_runs_something_or_cannot_be_trusted_is_refused(self, pack, repo, tmp_path, url, said):
        repo.git("config", "--file", ".gitmodules", "submodule.lib/inner.url", url.format(tmp_path))
        repo.commit("evil")
        answer = pack(version="main", submodules=True)
        assert answer["failed"] is True
        assert said in answer["msg"]
        assert not (tmp_path / "ran").exists()

    def test_a_repository_that_has_itself_ends(self, pack, repo):
        repo.git("submodule", "--quiet", "add", str(repo.path), "again")
        repo.commit("again")
        repo.git("-C", "again", "checkout", "--quiet", "--detach", "HEAD")
        repo.git("update-index", "--cacheinfo", f"160000,{repo.git('rev-parse', 'HEAD').strip()},again")
        repo.git("commit", "--quiet", "--message", "again, itself")
        assert pack(version="main", submodules=True)["changed"] is True


class TestHttps:
    """Repositories of an https server."""

    @pytest.fixture
    def server(self, tmp_path, repo, monkeypatch):
        """A server that asks for a password."""
        repo.git("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "repos" / "shop.git"))
        pem = certificate(tmp_path)
        monkeypatch.setenv("GIT_SSL_CAINFO", str(pem))
        with https_server(tmp_path / "repos", pem, "deploy:s3cr@t word") as found:
            yield found

    def test_the_password_reaches_the_server_and_nothing_else(self, pack, repo, server, tmp_path, monkeypatch):
        helper = tmp_path / "helper"
        helper.write_text(f"#!/bin/sh\ncat >>{tmp_path}/stored\n")
        helper.chmod(0o755)
        (tmp_path / "config").write_text(f"[credential]\nhelper = {helper}\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        answer = pack(source=f"https://deploy:s3cr%40t%20word@{server.place}/shop.git", version="v1.0")
        assert answer["commit"] == repo.first
        for secret in ("s3cr@t", "s3cr%40t"):
            assert secret not in str(answer)
            assert not any(secret in command for command in server.commands)
            for path in (tmp_path / "state").rglob("*"):
                assert not path.is_file() or secret.encode() not in path.read_bytes()
        assert any("remote-https" in command for command in server.commands)
        assert not (tmp_path / "stored").exists()

    @pytest.mark.parametrize("login", ["deploy:wrong@", "other:wrong@", ""])
    def test_who_does_not_know_it_is_told_and_asked_nothing(self, pack, server, login):
        answer = pack(source=f"https://{login}{server.place}/shop.git", version="v1.0")
        assert answer["failed"] is True
        assert answer["msg"].startswith(f"source: https://{server.place}/shop.git: git ls-remote failed: fatal:")
        assert "wrong" not in str(answer)

    def test_a_token_may_stand_alone(self, server, pack, repo):
        server.login = "t0ken:"
        assert pack(source=f"https://t0ken@{server.place}/shop.git", version="v1.0")["commit"] == repo.first

    @pytest.fixture
    def with_a_submodule(self, tmp_path, repo):
        """The repository, bare, with a submodule at a URL; of the submodule it has not the newest commit."""
        inner = Repo(tmp_path / "repos" / "inner")
        inner.first, inner.second = inner.commit("older"), inner.commit("inside")

        def made(url: str) -> Repo:
            repo.git("submodule", "--quiet", "add", str(inner.path), "lib")
            repo.git("config", "--file", ".gitmodules", "submodule.lib.url", url)
            repo.commit("with a submodule")
            inner.commit("newer")
            for each in (repo, inner):
                bare = each.path.with_suffix(".git")
                shutil.rmtree(bare, ignore_errors=True)
                repo.git("clone", "--quiet", "--bare", str(each.path), str(bare))
            return inner

        return made

    @pytest.mark.parametrize("url", ["../inner.git", "https://{}/inner.git", "https://deploy@{}/inner.git"])
    def test_a_submodule_of_the_same_server_has_its_password(self, pack, server, with_a_submodule, url, tmp_path):
        inner = with_a_submodule(url.format(server.place))
        source = f"https://deploy:s3cr%40t%20word@{server.place}/shop.git"
        assert contents(pack(source=source, version="main", submodules=True)["archive"])["lib/app.py"] == "inside"
        assert not any("s3cr" in command for command in server.commands)
        assert not any(b"s3cr" in path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
        (mirror,) = (tmp_path / "state" / "sources").glob("*.git")
        # Its tree is no more.
        kept = ["--git-dir", str(mirror / "modules" / "lib"), "--work-tree", str(mirror)]
        known = ["git", *kept, "cat-file", "-e"]
        assert subprocess.run([*known, inner.second], check=False).returncode == 0
        assert subprocess.run([*known, inner.first], check=False, capture_output=True).returncode != 0

    def test_a_server_that_gives_no_commit_by_its_name_is_asked_for_everything(
        self, pack, repo, server, with_a_submodule, tmp_path, monkeypatch
    ):
        repo.git("tag", "--delete", "light", "v1.0")
        with_a_submodule("../inner.git")
        (tmp_path / "config").write_text("[protocol]\nversion = 0\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        source = f"https://deploy:s3cr%40t%20word@{server.place}/shop.git"
        assert contents(pack(source=source, version="main", submodules=True)["archive"])["lib/app.py"] == "inside"
        assert pack(source=source, version=repo.first)["commit"] == repo.first

    def test_another_server_is_not_told_the_password(self, pack, server, with_a_submodule, tmp_path, monkeypatch):
        with https_server(tmp_path / "repos", tmp_path / "server.pem", "deploy:s3cr@t word") as other:
            with_a_submodule(f"https://{other.place}/inner.git")
            source = f"https://deploy:s3cr%40t%20word@{server.place}/shop.git"
            answer = pack(source=source, version="main", submodules=True)
            assert f"could not read Username for 'https://{other.place}'" in answer["msg"]
            assert other.requests
            # The user's own way to log in there is as good as ever.
            helper = "!f() { echo username=deploy; echo 'password=s3cr@t word'; }; f"
            (tmp_path / "config").write_text(f'[credential "https://{other.place}"]\nhelper = "{helper}"\n')
            monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
            assert pack(source=source, version="main", submodules=True)["changed"] is True

    def test_a_submodule_is_no_directory_of_the_control_node(self, pack, server, with_a_submodule, tmp_path):
        with_a_submodule(str(tmp_path / "repos" / "inner"))
        source = f"https://deploy:s3cr%40t%20word@{server.place}/shop.git"
        assert "transport 'file' not allowed" in pack(source=source, version="main", submodules=True)["msg"]

    def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(self, pack, server, tmp_path):
        answer = pack(source=f"https://{server.place}/silence/shop.git", version="main", timeout=1)
        assert answer["msg"] == (
            f"source: https://{server.place}/silence/shop.git did not answer within 1 s: check that it can be reached, "
            "or raise timeout."
        )
        # The run that comes next begins anew.
        (mirror,) = (tmp_path / "state" / "sources").glob("*.git")
        assert (mirror / "unfinished").exists()


class TestSsh:
    """Repositories that are reached by ssh."""

    @pytest.fixture
    def ssh(self, tmp_path, monkeypatch):
        """In place of ssh: notes its arguments and runs the command here."""
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/arguments\n"
            '[ "$1" = -G ] && exit 1\nfor command; do :; done\nexec sh -c "$command"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        key = tmp_path / "deploy key"
        key.write_text("key")
        key.chmod(0o600)
        return lambda: (tmp_path / "arguments").read_text().splitlines()

    def test_a_key_is_the_only_one_and_a_new_host_is_noted(self, pack, repo, ssh, tmp_path):
        packed = pack(source=f"git@h.example:{repo.path}", version="main", ssh_key=tmp_path / "deploy key")
        assert packed["commit"] == repo.second
        told = ssh()
        assert told[told.index("-i") + 1] == str(tmp_path / "deploy key")
        assert {"-oIdentitiesOnly=yes", "-oBatchMode=yes", "-oStrictHostKeyChecking=accept-new"} <= set(told)
        known = next(word for word in told if word.startswith("-oUserKnownHostsFile="))
        assert f'"{tmp_path}/state/sources/known_hosts" "' in known

    @pytest.mark.parametrize(
        ("form", "port"), [("git@h.example:{}", []), ("ssh://git@h.example:2222{}", ["-p", "2222"])]
    )
    def test_a_submodule_beside_it_is_reached_alike(self, pack, repo, ssh, form, port):
        Repo(repo.path.parent / "inner").commit("inside")
        repo.git("submodule", "--quiet", "add", "../inner", "lib")
        repo.commit("with a submodule")
        packed = pack(source=form.format(repo.path), version="main", submodules=True)
        assert contents(packed["archive"])["lib/app.py"] == "inside"
        *options, place, command = ssh()
        assert (place, command) == ("git@h.example", f"git-upload-pack '{repo.path.parent}/inner'")
        assert [word for word in options if word in port] == port

    def test_of_known_hosts_nothing_else_is_believed(self, pack, repo, ssh, tmp_path):
        (tmp_path / "hosts").write_text("h.example ssh-ed25519 A")
        pack(source=f"ssh://git@h.example{repo.path}", version="main", known_hosts=tmp_path / "hosts")
        told = set(ssh())
        assert {"-oStrictHostKeyChecking=yes", "-oGlobalKnownHostsFile=/dev/null"} <= told
        assert f'-oUserKnownHostsFile="{tmp_path}/hosts"' in told

    def test_the_real_ssh_takes_these_options(self, tmp_path):
        access = release_git.Access(tmp_path / "a b", ssh_key=tmp_path / "k%y", known_hosts=tmp_path / "h o%sts")
        words = subprocess.run(
            f"{release_git.ssh_command(access)} -G h.example", shell=True, capture_output=True, text=True, check=True
        ).stdout
        assert f"userknownhostsfile {tmp_path}/h o%%sts" in words or f"userknownhostsfile {tmp_path}/h o%sts" in words
        assert "stricthostkeychecking true" in words

    def test_a_key_that_others_can_read_or_that_is_not_there_is_refused(self, pack, tmp_path, ssh):
        (tmp_path / "deploy key").chmod(0o644)
        answer = pack(source="git@h.example:a", version="main", ssh_key=tmp_path / "deploy key")
        assert f"ssh_key {tmp_path}/deploy key has mode 0644" in answer["msg"]
        for option in ("ssh_key", "known_hosts"):
            answer = pack(source="git@h.example:a", version="main", **{option: tmp_path / "none"})
            assert f"{option} {tmp_path}/none is not a file on the control node" in answer["msg"]

    def test_what_ssh_refuses_is_said(self, pack, tmp_path, ssh):
        (tmp_path / "bin" / "ssh").write_text("#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n")
        answer = pack(source="git@h.example:a", version="main")
        assert "git@h.example:a: git ls-remote failed: Host key verification failed." in answer["msg"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://example.com/a.git", "is reached by http, which nobody can trust: use https or ssh"),
        ("git://example.com/a.git", "is reached by git, which nobody can trust"),
        ("https://u:pw@", "git ls-remote failed"),
        ("--upload-pack=touch", "is no repository"),
        ("/nowhere/at/all", "is not a directory on the control node"),
    ],
)
def test_a_source_that_is_none_is_refused(pack, source, said):
    answer = pack(source=source, version="main")
    assert answer["failed"] is True
    assert said in answer["msg"]
    assert "pw" not in answer["msg"]


def test_a_control_node_without_git_is_told(pack, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert pack(version="main")["msg"] == "source: git is not installed on the control node: install it."
