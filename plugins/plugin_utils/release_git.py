# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git repositories as a source: a shallow mirror of what was asked for, from which a tree is written.

Git never asks for anything, gets no password as an argument, and is given a limited time as a whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import posixpath
import re
import shlex
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .release_pack import SourceError
from .release_unpack import is_url, without_credentials

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
ABBREVIATED = re.compile(r"[0-9a-f]{7,64}")
# user@host:path, which git takes for ssh.
SSH_SHORTHAND = re.compile(r"[^/:]+:(?!//|:).*")
DEEPEST = 5
# What the user set to say how servers are reached, and not a caller to say which repository is meant.
OF_THE_USER = ("GIT_SSL_", "GIT_PROXY_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
# Of a mirror that is not whole the one reference.
KEPT = "refs/kept/version"
# Answers git's two questions for the host that the credentials were given for, and no other.
ASKED = """#!/bin/sh
set -u
case $1 in
  "Username for '$WEBSTACK_GIT_HOST"*) printf '%s\\n' "$WEBSTACK_GIT_USERNAME" ;;
  "Password for '"*"@$WEBSTACK_GIT_PLACE': ") printf '%s\\n' "$WEBSTACK_GIT_PASSWORD" ;;
  *) exit 1 ;;
esac
"""


@dataclass(frozen=True)
class Access:
    """How repositories are reached, and where what they brought is kept."""

    cache: Path
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    timeout: int = 300
    end: float = 0.0


@dataclass(frozen=True)
class Repository:
    """A repository by the address that may be shown, and the credentials that may not."""

    address: str
    username: str = ""
    password: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of the control node."""
        return self.address.startswith("/")

    @property
    def answers(self) -> dict[str, str]:
        """What the program that git asks is to answer; nothing where no credentials were given."""
        if not (self.username or self.password):
            return {}
        place = urlsplit(self.address).netloc
        return {
            "WEBSTACK_GIT_HOST": f"https://{place}'",
            "WEBSTACK_GIT_PLACE": place,
            "WEBSTACK_GIT_USERNAME": self.username,
            "WEBSTACK_GIT_PASSWORD": self.password,
        }


def repository(source: str) -> Repository:
    """The repository that a source names."""
    if is_url(source):
        split = urlsplit(source)
        if split.scheme == "file":
            return Repository(unquote(split.path))
        if split.scheme not in ("https", "ssh"):
            raise SourceError(
                f"{without_credentials(source)} is reached by {split.scheme}, which nobody can trust: use https or ssh."
            )
        if split.scheme == "ssh":
            # Its user is part of the address; a password in it would never be used.
            return Repository(source if not split.password else source.replace(f":{split.password}@", "@", 1))
        return Repository(without_credentials(source), unquote(split.username or ""), unquote(split.password or ""))
    if source.startswith("-"):
        raise SourceError(f"{source!r} is no repository: name its URL or its directory.")
    if SSH_SHORTHAND.fullmatch(source) and not Path(source).exists():
        return Repository(source)
    path = Path(os.path.expandvars(source)).expanduser().resolve()
    if not path.is_dir():
        raise SourceError(f"{path} is not a directory on the control node: name the repository's URL or directory.")
    return Repository(str(path))


def relative_to(parent: Repository, url: str) -> Repository:
    """The repository of a submodule, whose URL may be relative to that of its parent."""
    if url.startswith(("./", "../")):
        if is_url(parent.address):
            scheme, _colon, rest = parent.address.partition("://")
            host, _slash, path = rest.partition("/")
            return replace(parent, address=f"{scheme}://{host}{posixpath.normpath(posixpath.join('/', path, url))}")
        host, colon, path = ("", "", parent.address) if parent.is_local else parent.address.partition(":")
        return replace(parent, address=f"{host}{colon}{posixpath.normpath(posixpath.join(path, url))}")
    found = repository(url)
    if found.is_local and not parent.is_local:
        raise SourceError(f"{parent.address} has a submodule at {url!r}, a path of the control node: name it by a URL.")
    if found.address.startswith("https:") and urlsplit(found.address).netloc == urlsplit(parent.address).netloc:
        return replace(parent, address=found.address)
    return found


def ssh_command(access: Access) -> str:
    """How git calls ssh: with this key alone, believing known hosts, and new ones once."""
    words = ["ssh", "-oBatchMode=yes", "-oConnectTimeout=15"]
    if access.ssh_key:
        words += ["-i", str(access.ssh_key), "-oIdentitiesOnly=yes"]
    if access.known_hosts:
        words += ["-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={ssh_path(access.known_hosts)}"]
        words += ["-oGlobalKnownHostsFile=/dev/null"]
    else:
        # A new host is noted in the first file.
        files = [access.cache / "known_hosts", Path("~/.ssh/known_hosts").expanduser()]
        words += ["-oStrictHostKeyChecking=accept-new", f"-oUserKnownHostsFile={' '.join(map(ssh_path, files))}"]
    return shlex.join(words)


def ssh_path(path: Path) -> str:
    """A path as a value of an option of ssh."""
    return '"' + str(path).replace("%", "%%") + '"'


def judge_ssh(access: Access) -> None:
    """The files that ssh is to use are there, and closed where they have to be."""
    for name, path in (("ssh_key", access.ssh_key), ("known_hosts", access.known_hosts)):
        if path and not path.is_file():
            raise SourceError(f"{name} {path} is not a file on the control node: name the file.")
    if access.ssh_key and (mode := stat.S_IMODE(access.ssh_key.stat().st_mode)) & 0o077:
        raise SourceError(f"ssh_key {access.ssh_key} has mode {mode:04o} and ssh refuses it: chmod 600 it.")


class Mirror:
    """What is kept of one repository."""

    def __init__(self, origin: Repository, access: Access) -> None:
        self.origin, self.access = origin, access
        readable = re.sub(r"[^A-Za-z0-9]+", "-", origin.address.removesuffix(".git"))[-40:].strip("-")
        named = hashlib.sha256(origin.address.encode()).hexdigest()[:12]
        self.path = access.cache / f"{readable}-{named}.git"

    def environment(self, index: Path | None) -> dict[str, str]:
        """Environment of git: no question, no program of the user's but those that connect, nothing of a caller's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_ASKPASS"))}
        kept |= {name: value for name, value in os.environ.items() if name.startswith(OF_THE_USER)}
        settings = [
            ("core.autocrlf", "false"), ("core.hooksPath", "/dev/null"), ("gc.autoDetach", "false"),
            ("maintenance.autoDetach", "false"), ("advice.detachedHead", "false"),
        ]  # fmt: skip
        if self.origin.answers:
            # No helper is to note what was given in a URL.
            settings.append(("credential.helper", ""))
        kept |= {f"GIT_CONFIG_KEY_{number}": name for number, (name, _value) in enumerate(settings)}
        kept |= {f"GIT_CONFIG_VALUE_{number}": value for number, (_name, value) in enumerate(settings)}
        return {
            **kept,
            "LC_ALL": "C",
            "GIT_DIR": str(self.path),
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": str(self.access.cache / "askpass"),
            "GIT_SSH_COMMAND": ssh_command(self.access),
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "GCM_INTERACTIVE": "never",
            **({"GIT_INDEX_FILE": str(index)} if index else {}),
            **self.origin.answers,
        }

    def ask(self, *words: str, index: Path | None = None) -> tuple[int, str, str]:
        """Run git; returns its code and what it said."""
        left = self.access.end - time.monotonic()
        try:
            process = subprocess.Popen(
                ["git", *words],
                env=self.environment(index),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="surrogateescape",
                # Those that it starts end with it, and none finds a terminal to ask on.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise SourceError("git is not installed on the control node: install it.") from error
        try:
            out, err = process.communicate(timeout=max(left, 0))
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise SourceError(
                f"{self.origin.address} did not answer within {self.access.timeout} s: see that it can be reached, "
                "or raise timeout."
            ) from error
        return process.returncode, out, err

    def run(self, *words: str, index: Path | None = None) -> str:
        """Run git, and fail with its reason."""
        code, out, err = self.ask(*words, index=index)
        if code:
            # That the program which answers for the user has no answer is told again as what is missing.
            lines = [
                line.strip()
                for line in err.splitlines()
                if line.startswith(("fatal:", "error:", "ERROR:")) and "askpass" not in line
            ]
            said = " ".join(lines or err.split("\n")).strip()
            # Of a host that is not known or a key that is not taken ssh tells itself, before git.
            told = [line for line in err.splitlines() if "ermission denied" in line or "erification failed" in line]
            raise SourceError(f"{self.origin.address}: git {words[0]} failed: {' '.join([*told, said])}")
        return out

    @contextmanager
    def held(self) -> Iterator[None]:
        """Alone, among those that use this mirror."""
        self.access.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        askpass = self.access.cache / "askpass"
        if not askpass.exists() or askpass.read_text() != ASKED:
            partial = askpass.with_suffix(f".{os.getpid()}")
            partial.write_text(ASKED)
            partial.chmod(0o700)
            partial.replace(askpass)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.path / "HEAD").exists():
                self.run("init", "--quiet", "--bare", "--template=")
            yield

    def has(self, commit: str) -> bool:
        """Whether the commit has been brought here with its content."""
        return self.ask("cat-file", "-e", f"{commit}^{{tree}}")[0] == 0

    def resolve(self, version: str) -> str:
        """The commit that a tag, a branch or a commit stands for, brought here."""
        if COMMIT.fullmatch(version):
            if not self.has(version):
                self.fetch_commit(version)
            return version
        reference = self.reference(version)
        if reference:
            name, commit = reference
            if not self.has(commit):
                self.run("fetch", "--quiet", "--no-tags", "--depth=1", self.origin.address, f"+{name}:{KEPT}")
                # It may have moved since it was asked for.
                commit = self.run("rev-parse", "--verify", f"{KEPT}^{{commit}}").strip()
            return commit
        if ABBREVIATED.fullmatch(version):
            found = self.abbreviated(version)
            if found:
                return found
        raise SourceError(
            f"{self.origin.address} has no tag, branch or commit {version!r}: correct version, or push it there."
        )

    def reference(self, version: str) -> tuple[str, str] | None:
        """The tag, or else the branch, of this name, and the commit that it stands for now."""
        names = [version] if version.startswith("refs/") else [f"refs/tags/{version}", f"refs/heads/{version}"]
        wanted = [version] if version == "HEAD" else [each for name in names for each in (name, name + "^{}")]
        listed = self.run("ls-remote", "--quiet", "--", self.origin.address, *wanted)
        found = dict(reversed(line.split("\t", 1)) for line in listed.splitlines() if "\t" in line)
        for name in ["HEAD"] if version == "HEAD" else names:
            if name in found:
                # Of a tag with a message its commit, and not itself.
                return name, found.get(name + "^{}", found[name])
        return None

    def fetch_commit(self, commit: str) -> None:
        """Bring one commit; where the server gives none by its name, everything."""
        code, _out, _err = self.ask(
            "fetch", "--quiet", "--no-tags", "--depth=1", self.origin.address, f"+{commit}:{KEPT}"
        )
        if code:
            self.fetch_all()
        if not self.has(commit):
            raise SourceError(f"{self.origin.address} has no commit {commit}: correct version, or push it there.")

    def abbreviated(self, version: str) -> str | None:
        """The commit of which only the beginning was given, which takes the whole history once."""
        for fetched in (False, True):
            if fetched:
                self.fetch_all()
            code, out, _err = self.ask("rev-parse", "--verify", "--quiet", f"{version}^{{commit}}")
            if code == 0:
                return out.strip()
        return None

    def fetch_all(self) -> None:
        """Bring all branches and tags with their history."""
        whole = ["--unshallow"] if (self.path / "shallow").exists() else []
        self.run(
            "fetch", "--quiet", "--prune", *whole, self.origin.address, "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        )  # fmt: skip

    def write(self, commit: str, into: Path, index: Path) -> None:
        """Write the tree of a commit into an empty directory."""
        self.run(f"--work-tree={into}", "read-tree", "--reset", "-u", commit, index=index)
        for path in into.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1024 and is_pointer(path):
                raise SourceError(
                    f"{self.origin.address} keeps {path.relative_to(into)} in Git LFS: install git-lfs on the control "
                    "node ('git lfs install'), or keep it in the repository."
                )

    def submodules(self, commit: str, into: Path) -> Iterator[tuple[str, str, Repository]]:
        """Path, commit and repository of each submodule."""
        listed = self.run("ls-tree", "-r", "-z", "--full-tree", commit)
        links = {}
        for entry in listed.split("\0"):
            about, _tab, path = entry.partition("\t")
            if about.startswith("160000 "):
                links[path] = about.split()[2]
        if not links:
            return
        modules = into / ".gitmodules"
        told = {}
        if modules.is_file() and not modules.is_symlink():
            told = dict(
                line.split("\n", 1)
                for line in self.run("config", "--null", "--file", str(modules), "--list").split("\0")
                if "\n" in line
            )
        for path, linked in links.items():
            names = [key.removesuffix(".path") for key, value in told.items() if value == path]
            url = told.get(f"{names[0]}.url") if names else None
            if not url:
                raise SourceError(
                    f"{self.origin.address} has a submodule at {path} and .gitmodules names no URL for it: commit one."
                )
            yield path, linked, relative_to(self.origin, url)


def is_pointer(path: Path) -> bool:
    """Whether the file stands for one that is kept in Git LFS."""
    return path.read_bytes().startswith(b"version https://git-lfs.github.com/spec/")


def judge_version(version: str) -> None:
    """A version that git could take for an option, or that no reference can have, is refused."""
    if not re.fullmatch(r"(?![-/.])(?!.*(\.\.|@\{|//|\.lock$))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])", version):
        raise SourceError(f"version {version!r} cannot name a tag, a branch or a commit: correct it.")


def checked_out(origin: Repository, version: str, submodules: bool, into: Path, access: Access, deep: int = 0) -> str:
    """Write the version of the repository into the directory; returns the commit."""
    mirror = Mirror(origin, access)
    with mirror.held():
        commit = mirror.resolve(version)
        with tempfile.TemporaryDirectory(dir=access.cache, prefix="index.") as aside:
            mirror.write(commit, into, Path(aside) / "index")
        inner = list(mirror.submodules(commit, into)) if submodules else []
    for path, linked, module in inner:
        if deep >= DEEPEST:
            raise SourceError(f"{origin.address} has submodules more than {DEEPEST} deep: flatten them.")
        place = into / path
        if not place.resolve().is_relative_to(into.resolve()):
            raise SourceError(f"{origin.address} has a submodule at {path}, which leads outside: move it.")
        place.mkdir(parents=True, exist_ok=True)
        checked_out(module, linked, submodules, place, access, deep + 1)
    return commit
