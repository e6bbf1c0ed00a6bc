"""What servers hold and how they are set: each fault, really produced, gives exactly its rule, and is gone with it."""

from __future__ import annotations

import datetime
import threading
import time

import lab
import pytest
from conftest import as_set, both, check, local, troubles, verify, wait_for_troubles
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from waiting import wait


def as_primary(pair, **options):
    return verify(role="primary", **local(pair.primary), **options)


def follower(pair, options=()):
    """A third server that follows the primary, as right as the second."""
    third = pair.more([*options, *(["--read-only=ON"] if pair.mariadb else [])])
    third.follow(pair.primary)
    if not pair.mariadb:
        third.sql("SET PERSIST super_read_only=ON")
    wait("the table", lambda: third.sql("SHOW DATABASES LIKE 'app'") and third.sql("SHOW TABLES FROM app LIKE 't'"))
    return third


def unlogged(server, *statements):
    """Run on one server only, even on a replica."""
    fence = [] if server.mariadb else [f"SET GLOBAL super_read_only={server.value('SELECT @@super_read_only')}"]
    server.sql(*(["SET GLOBAL super_read_only=OFF"] if fence else []), "SET SESSION sql_log_bin=0", *statements, *fence)


# --- how the writer logs --------------------------------------------------------------------------------------------


def test_statements_instead_of_rows_on_the_writer(pair):
    for value, status in (("STATEMENT", "fail"), ("MIXED", "warn")):
        pair.primary.sql(f"SET GLOBAL binlog_format={value}")
        try:
            assert troubles(both(pair)) == {"row_format": status}
            assert troubles(as_primary(pair)) == {"row_format": status}
            assert f"binlog_format is {value} on the primary" in check(both(pair), "row_format")["message"]
        finally:
            pair.primary.sql("SET GLOBAL binlog_format=ROW")
    assert troubles(both(pair)) == {}


# --- tables ---------------------------------------------------------------------------------------------------------


def test_tables_of_an_engine_that_loses_rows(pair):
    pair.primary.sql(
        "CREATE TABLE app.old (id INT PRIMARY KEY) ENGINE=MyISAM",
        "CREATE TABLE app.quick (id INT PRIMARY KEY) ENGINE=MEMORY",
    )
    pair.settle()
    for result in (both(pair), as_primary(pair)):
        assert troubles(result) == {"engines": "warn"}
        assert check(result, "engines")["observed"] == ["app.old (MyISAM)", "app.quick (MEMORY)"]
    pair.primary.sql("ALTER TABLE app.old ENGINE=InnoDB", "DROP TABLE app.quick")
    pair.settle()
    assert troubles(both(pair)) == {}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (
            "ALTER TABLE app.t MODIFY v VARCHAR(50)",
            "fail",
            ["app.t: columns: column v is", "varchar(40)", "varchar(50)"],
        ),
        ("ALTER TABLE app.t ADD extra INT", "fail", ["column extra (int", "is not on the primary"]),
        ("ALTER TABLE app.t ADD KEY k (v)", "warn", ["app.t: keys: key k (", "is not on the primary"]),
        ("ALTER TABLE app.t DEFAULT COLLATE utf8mb4_bin", "warn", ["collation utf8mb4_bin here"]),
        ("ALTER TABLE app.t ENGINE=MyISAM", "warn", ["engine MyISAM here, InnoDB on the primary"]),
        ("DROP TABLE app.heartbeat", "fail", ["app.heartbeat: it is missing here"]),
        ("CREATE TABLE app.mine (id INT PRIMARY KEY)", "warn", ["app.mine: it does not exist on the primary"]),
        (
            "ALTER TABLE app.t ADD f INT, ADD CONSTRAINT near FOREIGN KEY (f) REFERENCES app.t (id)",
            "fail",
            ["foreign key near", "is not on the primary"],
        ),
    ],
    ids=["column", "added", "key", "collation", "engine", "missing", "only here", "foreign key"],
)
def test_a_table_that_is_defined_otherwise(pair, change, status, words):
    pair.local_write(change, binlog=False)
    result = both(pair)
    expected = {"table_definitions": status, **({"engines": "warn"} if "MyISAM" in change else {})}
    assert troubles(result) == expected
    for word in words:
        assert word in check(result, "table_definitions")["message"]
    assert result["promotion"]["promotable"] is (status == "warn")
    assert check(as_set(pair), "table_definitions")["status"] == status
    assert troubles(both(pair, inspect_tables=False)) == {}


def test_tables_that_are_equal_again(pair):
    pair.local_write("ALTER TABLE app.t ADD KEY k (v)", binlog=False)
    assert troubles(both(pair)) == {"table_definitions": "warn"}
    pair.local_write("ALTER TABLE app.t DROP KEY k", binlog=False)
    assert troubles(both(pair)) == {}


def test_a_change_that_is_still_on_its_way_is_no_difference(pair):
    with pair.replica.connect() as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM app.t")
        pair.primary.sql("ALTER TABLE app.t ADD COLUMN more INT")
        wait("the replica to lack it", lambda: both(pair)["gtid"]["missing_count"] == 1)
        found = check(both(pair), "table_definitions")
        assert (found["status"], found["severity"]) == ("unknown", "warning")
        assert "because this replica is behind: app.t" in found["message"]
    pair.settle()
    assert troubles(both(pair)) == {}


def test_tables_that_change_all_the_time_are_no_difference(pair):
    stopping = threading.Event()

    def change():
        number = 0
        while not stopping.is_set():
            number += 1
            pair.primary.sql(f"ALTER TABLE app.t ALGORITHM=COPY, CHANGE COLUMN v v VARCHAR({40 + number})")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            found = check(both(pair), "table_definitions")
            # It is unknown as long as the replica has not arrived.
            assert found["status"] in {"pass", "unknown"}, found["message"]
    finally:
        stopping.set()
        changing.join()


def test_automatic_numbers_near_their_end(pair):
    pair.primary.sql(
        "CREATE TABLE app.n (id TINYINT UNSIGNED AUTO_INCREMENT PRIMARY KEY)", "INSERT INTO app.n VALUES (100)"
    )
    pair.settle()
    assert troubles(both(pair)) == {}
    for number, status in ((219, "warn"), (250, "fail")):
        pair.primary.sql(f"INSERT INTO app.n VALUES ({number})")
        pair.settle()
        for result in (both(pair), as_primary(pair)):
            assert troubles(result) == {"auto_increment": status}
            assert f"app.n has used {100 * number / 255:.1f} %" in check(result, "auto_increment")["message"]
    assert troubles(both(pair, max_auto_increment_percent=99)) == {}


def test_what_an_account_is_not_shown_is_unknown_with_its_grant(pair):
    pair.primary.sql("SET SESSION sql_log_bin=0", "REVOKE REFERENCES ON *.* FROM verify@'%'")
    pair.local_write("ALTER TABLE app.t ADD extra INT", binlog=False)
    result = both(pair)
    assert troubles(result) == {"table_definitions": "unknown"}
    assert (result["verdict"], result["coverage"], result["not_judged"]) == ("ok", "partial", ["table_definitions"])
    grant = check(result, "table_definitions")["hint"].partition(": ")[2]
    assert grant == "GRANT REFERENCES ON *.* TO 'verify'@'%';"
    pair.primary.sql("SET SESSION sql_log_bin=0", grant)
    assert troubles(both(pair)) == {"table_definitions": "fail"}
    bare = {"login_user": lab.MONITOR_USER, "login_password": lab.MONITOR_PASSWORD, "login_host": pair.primary.ip}
    grant = check(verify(role="primary", **bare), "definers")["hint"].partition(": ")[2]
    pair.primary.sql("SET SESSION sql_log_bin=0", grant)
    assert check(verify(role="primary", **bare), "definers")["status"] == "pass"


# --- what is stored to be run ---------------------------------------------------------------------------------------


def test_an_account_that_objects_run_as_is_missing_on_the_replica(pair):
    account = ("CREATE USER author@'%' IDENTIFIED BY 'Author-pass-1'", "GRANT ALL ON app.* TO author@'%'")
    pair.primary.sql("SET SESSION sql_log_bin=0", *account)
    pair.primary.sql(
        "CREATE DEFINER=author@'%' TRIGGER app.before_t BEFORE INSERT ON app.t FOR EACH ROW SET NEW.v = UPPER(NEW.v)",
        "CREATE DEFINER=author@'%' PROCEDURE app.nothing() SELECT 1",
        "CREATE DEFINER=author@'%' VIEW app.some AS SELECT id FROM app.t",
    )
    pair.settle()
    assert troubles(as_primary(pair)) == {}
    result = both(pair)
    assert troubles(result) == {"definers": "warn"}
    assert check(result, "definers")["observed"] == [
        "trigger app.before_t (author@%)", "routine app.nothing (author@%)", "view app.some (author@%)",
    ]  # fmt: skip
    pair.local_write(*account, binlog=False)
    assert troubles(both(pair)) == {}


def test_events_that_run_on_both(pair):
    scheduler = pair.replica.value("SELECT @@GLOBAL.event_scheduler")
    pair.replica.sql("SET GLOBAL event_scheduler=ON")
    try:
        pair.primary.sql("CREATE EVENT app.tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM app.t WHERE id > 1000")
        pair.settle()
        assert troubles(both(pair)) == {}, "what comes from the source does not run here"
        pair.local_write("ALTER EVENT app.tidy ENABLE", binlog=False)
        result = both(pair)
        assert troubles(result) == {"events": "warn"}
        assert check(result, "events")["observed"] == ["app.tidy"]
        statement = check(result, "events")["hint"].split(" here")[0].replace("...", "app.tidy")
        pair.local_write(statement, binlog=False)
        assert troubles(both(pair)) == {}
    finally:
        pair.replica.sql(f"SET GLOBAL event_scheduler={scheduler}")


def test_events_that_run_nowhere_after_a_promotion(pair):
    pair.primary.sql("CREATE EVENT app.tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM app.t WHERE id > 1000")
    pair.settle()
    pair.stop_replica()
    pair.replica.sql("RESET SLAVE ALL" if pair.mariadb else "RESET REPLICA ALL", "SET GLOBAL read_only=OFF")
    promoted = {"role": "primary", **local(pair.replica)}
    try:
        assert troubles(verify(**promoted)) == {"events": "warn"}
        pair.replica.sql("ALTER EVENT app.tidy ENABLE")
        assert troubles(verify(**promoted)) == {}
    finally:
        if pair.mariadb:
            pair.replica.sql("SET GLOBAL read_only=ON")


# --- settings -------------------------------------------------------------------------------------------------------


def test_settings_that_have_to_agree(pair):
    names = ("sql_mode", "max_allowed_packet", "character_set_server", "collation_server")
    before = {name: pair.replica.value(f"SELECT @@GLOBAL.{name}") for name in names}
    timestamps = "explicit_defaults_for_timestamp"
    changes = [
        ("SET GLOBAL sql_mode='ANSI_QUOTES'", {"sql_mode"}),
        ("SET GLOBAL max_allowed_packet=1048576", {"max_allowed_packet"}),
        (
            "SET GLOBAL collation_server='utf8mb4_bin'",
            {"collation_server"} | ({"character_set_server"} & _odd_set(pair)),
        ),
        (f"SET GLOBAL {timestamps}=OFF", {timestamps}),
    ]
    try:
        for statement, expected in changes:
            pair.replica.sql(statement)
            result = both(pair)
            assert troubles(result) == {"settings_alike": "warn"}, statement
            assert set(check(result, "settings_alike")["observed"]) == expected
            _restore(pair, before, timestamps)
        mixed = ",".join(reversed(before["sql_mode"].lower().split(",")))
        pair.replica.sql(f"SET GLOBAL sql_mode='{mixed}'")
        assert troubles(both(pair)) == {}
    finally:
        _restore(pair, before, timestamps)


def _odd_set(pair):
    """MariaDB 10.11 is on latin1 by default, so that another collation is of another character set."""
    return {"character_set_server"} if pair.primary.value("SELECT @@character_set_server") != "utf8mb4" else set()


def _restore(pair, before, timestamps):
    for name, value in before.items():
        pair.replica.sql(f"SET GLOBAL {name}={value!r}")
    pair.replica.sql(f"SET GLOBAL {timestamps}=ON")


def test_settings_that_a_new_server_has_otherwise(pair):
    third = follower(pair, ["--lower-case-table-names=1"])
    result = both(pair, **local(third))
    assert troubles(result) == {"settings_alike": "warn"}
    assert list(check(result, "settings_alike")["observed"]) == ["lower_case_table_names"]


def test_time_zones_that_only_one_of_them_knows(pair):
    third = follower(pair)
    wait_for_troubles({}, lambda: both(pair, **local(third)))
    unlogged(
        third,
        "INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (9, 'N')",
        "INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Europe/Paris', 9)",
        "INSERT INTO mysql.time_zone_transition_type VALUES (9, 0, 3600, 0, 'CET')",
    )
    result = both(pair, **local(third))
    assert troubles(result) == {"settings_alike": "warn"}
    assert check(result, "settings_alike")["observed"] == {"time zone tables": {"here": "loaded", "primary": "empty"}}


def test_clocks_that_differ(pair):
    """A session of the verification account is given another time by the primary, as by a clock that is wrong.

    UNIX_TIMESTAMP() has whole seconds, so that up to one of the five is lost, and some of the way to the server.
    """
    pair.primary.sql("SET GLOBAL init_connect='SET timestamp = UNIX_TIMESTAMP() + 5'")
    try:
        result = both(pair)
        assert troubles(result) == {"clock": "warn"}
        assert 3.5 <= check(result, "clock")["observed"] <= 6
    finally:
        pair.primary.sql("SET GLOBAL init_connect=''")
    assert troubles(both(pair)) == {}


# --- certificates ---------------------------------------------------------------------------------------------------


def certificate(folder, days):
    """A certificate of the servers' own authority that ends in so many days."""
    authority = x509.load_pem_x509_certificate((lab.ROOT / "tls" / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((lab.ROOT / "tls" / "ca.key").read_bytes(), None)
    own = serialization.load_pem_private_key((lab.ROOT / "tls" / "server.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "repltest")]))
        .issuer_name(authority.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=20))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_a_certificate_near_its_end(pair, tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    certificate(tmp_path, 5)
    third = pair.more(["--ssl-cert=/near/server.pem"], volumes=[f"{tmp_path}:/near"])
    load = "FLUSH SSL" if pair.mariadb else "ALTER INSTANCE RELOAD TLS"
    alone = {"role": "primary", **local(third)}
    result = verify(**alone)
    assert troubles(result) == {"certificate": "warn"}
    assert "ends in 5 days" in check(result, "certificate")["message"]
    assert troubles(verify(**alone, min_certificate_days=3)) == {}
    certificate(tmp_path, 200)
    assert troubles(verify(**alone)) == {"certificate": "warn"}, "a file that was not loaded does not count"
    third.sql(load)
    assert troubles(verify(**alone)) == {}
    if pair.mariadb:
        # MySQL does not load one that has ended.
        certificate(tmp_path, -1)
        third.sql(load)
        assert troubles(verify(**alone)) == {"certificate": "fail"}


def test_the_certificate_of_the_source_is_judged_by_its_replica(pair):
    result = both(pair, min_certificate_days=60)
    assert troubles(result) == {"certificate": "warn"}
    assert set(check(result, "certificate")["observed"]) == {"the primary", "this server"}
    assert 29 <= min(check(result, "certificate")["observed"].values()) <= 30
