# SPDX-License-Identifier: GPL-3.0-or-later
"""A request's id reaches every log, and nothing that pretends to be one does."""

from __future__ import annotations

import logging

import pymysql
import pytest
from guestbook import db, tracing

ID = "0b6f3f0e-3c2a-4f7e-9d57-0c1f1f6d7a11"


@pytest.fixture(autouse=True)
def nobody_else():
    yield
    tracing.begin(None)


@pytest.mark.parametrize(
    "given",
    [None, "", "short", "a" * 65, f"{ID} ", f"{ID}\n", "*/ DROP TABLE entries; --", "/*!50000 SLEEP(9) */",
     "%s%s%s%s%s", "idé-0123456789", "0b6f3f0e_3c2a"],
)  # fmt: skip
def test_what_is_no_id_is_left_out(given):
    tracing.begin(given)
    assert tracing.current() == ""
    assert tracing.commented("SELECT 1") == "SELECT 1"


def test_an_id_is_in_a_comment_of_every_statement(monkeypatch):
    sent = []
    monkeypatch.setattr(pymysql.connections.Connection, "query", lambda _self, sql, _unbuffered: sent.append(sql))
    connection = db._Connection.__new__(db._Connection)
    tracing.begin(ID)
    connection.query("SELECT %")
    tracing.begin(None)
    connection.query("SELECT 2")
    assert sent == [f"SELECT % /* request_id={ID} */", "SELECT 2"]


def test_an_id_is_in_every_line_that_is_logged(capsys):
    log = logging.getLogger("guestbook")
    before = (list(log.handlers), log.level, log.propagate)
    try:
        tracing.log_to_stderr()
        tracing.begin(ID)
        logging.getLogger("guestbook.web").info("POST /entries 303")
        tracing.begin(None)
        logging.getLogger("guestbook.web").warning("alone")
    finally:
        log.handlers[:], log.level, log.propagate = before
    assert capsys.readouterr().err.splitlines() == [
        f"INFO request_id={ID} POST /entries 303",
        "WARNING request_id=- alone",
    ]
