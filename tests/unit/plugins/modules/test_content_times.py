# SPDX-License-Identifier: GPL-3.0-or-later
"""Files below directories get times of their content, and nothing else is touched."""

from __future__ import annotations

import os

from ansible_collections.pentad.webstack.plugins.module_utils.content_time import content_time
from ansible_collections.pentad.webstack.plugins.modules import content_times


def test_files_get_the_time_of_their_content_once(run_module, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    a, b, script = tmp_path / "a.css", tmp_path / "deep" / "er" / "b.css", tmp_path / "index.php"
    outside = tmp_path.parent / "outside.css"
    for path in (a, b, script, outside):
        path.write_text("body { color: black }")
        # As npm dates every file of a package.
        os.utime(path, (499162500, 499162500))
    b.write_text("body { color: white }")
    os.utime(b, (499162500, 499162500))
    (tmp_path / "link.css").symlink_to(outside)
    (tmp_path / "elsewhere").symlink_to(tmp_path.parent)
    arguments = {"paths": [str(tmp_path), str(tmp_path / "none")], "exclude": ["*.php"]}
    told = run_module(content_times, check=True, **arguments)
    assert (told["changed"], told["files"], a.stat().st_mtime) == (True, 2, 499162500)
    done = run_module(content_times, **arguments)
    assert (done["changed"], done["files"]) == (True, 2)
    assert (a.stat().st_mtime, b.stat().st_mtime) == (content_time(a), content_time(b))
    assert content_time(a) != content_time(b)
    assert script.stat().st_mtime == outside.stat().st_mtime == 499162500
    assert run_module(content_times, **arguments)["changed"] is False


def test_a_directory_in_the_place_of_a_file_is_left_alone(run_module, tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "fifo")
    assert run_module(content_times, paths=[str(tmp_path)])["files"] == 0


def test_a_file_that_cannot_be_read_is_named(run_module, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(content_times, "content_time", refuse)
    failed = run_module(content_times, paths=[str(tmp_path)])
    assert failed["failed"] is True
    assert failed["msg"] == f"paths: {tmp_path}/a: Permission denied: check who owns it, and run again."
