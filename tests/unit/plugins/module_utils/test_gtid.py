from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils.mysql import gtid
from ansible_collections.pentad.webstack.plugins.module_utils.mysql.gtid import (
    GtidError,
    GtidSet,
    MariadbGtid,
    or_none,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4e11fa47-71ca-11e1-9e33-c80aa9429562"

KEYS = st.tuples(st.sampled_from([A, B]), st.sampled_from(["", "ops", "tag_2"]))
NUMBERS = st.sets(st.integers(1, 40), max_size=25)
MODELS = st.dictionaries(KEYS, NUMBERS, max_size=4)


def build(model):
    return GtidSet({key: [(n, n) for n in numbers] for key, numbers in model.items()})


def numbers(model):
    return {(key, n) for key, values in model.items() for n in values}


def flat(gtids):
    return {(key, n) for key, spans in gtids._members.items() for a, b in spans for n in range(a, b + 1)}


@given(MODELS, MODELS)
def test_set_algebra_is_that_of_sets(left, right):
    a, b = build(left), build(right)
    assert flat(a - b) == numbers(left) - numbers(right)
    assert flat(a | b) == numbers(left) | numbers(right)
    assert flat(a & b) == numbers(left) & numbers(right)
    assert (a <= b) == (numbers(left) <= numbers(right))
    assert a.count == len(numbers(left))
    assert bool(a) == bool(numbers(left))


@given(MODELS)
def test_text_round_trip(model):
    gtids = build(model)
    assert GtidSet.parse(str(gtids)) == gtids
    assert hash(GtidSet.parse(str(gtids))) == hash(gtids)


@given(MODELS)
def test_case_spaces_and_newlines_mean_nothing(model):
    text = str(build(model))
    assert GtidSet.parse(text.upper().replace(",", ",\n ")) == build(model)


@pytest.mark.parametrize(
    ("text", "normal", "count"),
    [
        ("", "", 0),
        (f"{A}:1-1966:ops:1", f"{A}:1-1966:ops:1", 1967),
        (f"{A}:3:1-2", f"{A}:1-3", 3),
        (f"{A}:5-2", "", 0),
        (f"{A}:1-3:5, {B}:7", f"{A}:1-3:5,{B}:7", 5),
        (f"{A}:ops:1-2:1", f"{A}:ops:1-2", 2),
    ],
)
def test_parsing(text, normal, count):
    gtids = GtidSet.parse(text)
    assert (str(gtids), gtids.count) == (normal, count)


@pytest.mark.parametrize(
    "text", ["rubbish", "0-1-2", A, f"{A}:0", f"{A}:1-2-3", f"{A}:1,nonsense:1", f"{A}:Ä", f"{A}:{'x' * 33}:1"]
)
def test_what_is_no_mysql_gtid_is_said_so(text):
    with pytest.raises(GtidError):
        GtidSet.parse(text)


def test_without_uuids_ignores_case():
    gtids = GtidSet.parse(f"{A}:1-3:ops:1,{B}:1")
    assert str(gtids.without_uuids([A.upper()])) == f"{B}:1"


POSITIONS = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(1, 4)), st.integers(1, 50), max_size=6)


@given(POSITIONS)
def test_mariadb_text_round_trip(model):
    assert MariadbGtid.parse(str(MariadbGtid(model))) == MariadbGtid(model)


@given(POSITIONS, POSITIONS)
def test_mariadb_behind_names_each_domain_and_how_far(here, there):
    gaps = MariadbGtid(here).behind(MariadbGtid(there))
    for domain, sequence in MariadbGtid(there).domains.items():
        own = MariadbGtid(here).domains.get(domain, 0)
        assert gaps.get(domain, 0) == max(0, sequence - own)
    assert set(gaps) <= set(MariadbGtid(there).domains)


@given(POSITIONS)
def test_mariadb_nothing_is_foreign_to_itself(model):
    state = MariadbGtid(model)
    assert not state.foreign_to(state, MariadbGtid(), 1)
    assert not state.behind(state)


def test_mariadb_local_write_is_foreign():
    here, there = MariadbGtid.parse("0-1-10,0-2-11"), MariadbGtid.parse("0-1-12")
    assert str(here.foreign_to(there, MariadbGtid.parse("0-1-12"), 2)) == "0-2-11"


def test_mariadb_ahead_of_the_primary_is_foreign():
    assert str(MariadbGtid.parse("0-1-10").foreign_to(MariadbGtid.parse("0-1-9"), MariadbGtid(), 2)) == "0-1-10"


def test_mariadb_history_before_a_rebuild_of_the_primary_is_believed():
    here, primary = MariadbGtid.parse("0-1-5,0-3-20"), MariadbGtid.parse("0-3-20")
    assert not here.foreign_to(primary, MariadbGtid.parse("0-3-20"), 2)


def test_writes_that_the_primary_knows_by_position_are_not_foreign():
    here = MariadbGtid.parse("0-2-7")
    assert not here.foreign_to(MariadbGtid(), MariadbGtid.parse("0-2-7"), 2)


@pytest.mark.parametrize("text", ["x", "1-2", "1-2-3-4", "-1-2-3", f"{A}:1"])
def test_what_is_no_mariadb_gtid_is_said_so(text):
    with pytest.raises(GtidError):
        MariadbGtid.parse(text)


def test_parse_by_flavor():
    assert isinstance(parse("0-1-2", "mariadb"), MariadbGtid)
    assert isinstance(parse(f"{A}:1", "mysql"), GtidSet)
    assert repr(parse("0-1-2", "mariadb")) == "MariadbGtid('0-1-2')"
    assert repr(parse(f"{A}:1", "mysql")) == f"GtidSet('{A}:1')"


@pytest.mark.parametrize(
    ("one", "other", "flavor"),
    [("0-1-2,1-1-3", "1-1-3, 0-1-2", "mariadb"), (f"{A}:1-2:3", f"{A.upper()}:1-3", "mysql")],
)
def test_equal_positions_are_one_in_a_set(one, other, flavor):
    assert len({parse(one, flavor), parse(other, flavor)}) == 1
    assert len({parse(one, flavor), parse("", flavor)}) == 2


def test_a_figure_of_what_cannot_be_read_is_none_but_errors_are_raised():
    assert or_none(parse, "0-1-2", "mariadb") == MariadbGtid({(0, 1): 2})
    assert or_none(parse, "0-1-2", "mysql") is None
    with pytest.raises(ZeroDivisionError):
        or_none(lambda: 1 / 0)


SPANS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 12)), max_size=40)


@given(SPANS, SPANS)
def test_subtraction_of_spans_is_that_of_their_numbers(left, right):
    whole, holes = (GtidSet({(A, ""): [(n, n + length) for n, length in spans]}) for spans in (left, right))
    assert flat(whole - holes) == flat(whole) - flat(holes)


class Counted(int):
    """A number that counts how often it is compared."""

    comparisons = 0

    def _compare(self, name, other):
        Counted.comparisons += 1
        return getattr(int, name)(self, other)

    def __lt__(self, other):
        return self._compare("__lt__", other)

    def __le__(self, other):
        return self._compare("__le__", other)

    def __gt__(self, other):
        return self._compare("__gt__", other)

    def __ge__(self, other):
        return self._compare("__ge__", other)


def comparisons(count):
    whole, holes = ([(Counted(4 * n + shift), Counted(4 * n + shift + 1)) for n in range(count)] for shift in (0, 1))
    Counted.comparisons = 0
    assert len(list(gtid._cut(whole, holes))) == count
    return Counted.comparisons


def test_twice_the_intervals_are_twice_the_work_of_a_subtraction():
    assert comparisons(2000) <= 2.1 * comparisons(1000)
