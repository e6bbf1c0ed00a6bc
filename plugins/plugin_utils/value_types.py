# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values in the types of the argument specs, whatever they were written in.

``-e name=value`` is always text, and so are truth values in an INI inventory; a quoted number in YAML is text, too.
Pure: a value and an option of an argument spec in, a value or sentences out.
"""

from __future__ import annotations

import datetime
import json
import re
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.unsafe_proxy import wrap_var

try:
    from ansible.parsing.vault import EncryptedString

    NUMBERS_COME_AS_TEXT = False
except ImportError:
    # ansible-core 2.18: the number that a template makes is text, and vaulted strings are of another type.
    NUMBERS_COME_AS_TEXT = True

    class EncryptedString:  # type: ignore[no-redef]
        """Nothing is of this type."""


Option = Mapping[str, Any]
# A value that cannot be read as the wanted type raises one of these.
UNREADABLE = (TypeError, ValueError, ArithmeticError, SyntaxError)
NEEDED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "path": "a path",
    "list": "a list",
    "dict": "a mapping",
}
SECRET = re.compile(r"password|secret|token|private|credential", re.IGNORECASE)


class Misfit(NamedTuple):
    """A value that is not of its type: where it stands below the variable, what it is, and the option it is of."""

    path: str
    value: Any
    option: Option


def type_of(option: Option) -> str:
    """Type of an option; text where the spec has none."""
    return option.get("type") or ("dict" if option.get("options") else "str")


def elements_of(option: Option) -> Option:
    """What each element of a list has to be."""
    return {"type": option.get("elements") or "raw", "options": option.get("options")}


def is_template(value: Any) -> bool:
    """Whether a value is text that Ansible evaluates when it is used."""
    return isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))


def revealed(value: Any) -> Any:
    """The value with the text of vaulted strings of ansible-core 2.18, which later ones reveal when they are used."""
    if getattr(value, "__ENCRYPTED__", False):
        try:
            # It stays text, even if it looks like a template.
            return wrap_var(value.data)
        except AnsibleError:
            # It is reported where it is used.
            return value
    return each_inside(value, lambda _key, inside: revealed(inside))


def each_inside(value: Any, change: Callable[[Any, Any], Any]) -> Any:
    """A list or mapping with every value changed; itself if none does."""
    if isinstance(value, dict):
        changed = {key: change(key, inside) for key, inside in value.items()}
        return value if all(changed[key] is inside for key, inside in value.items()) else changed
    if isinstance(value, list):
        listed = [change(None, inside) for inside in value]
        return value if all(new is old for new, old in zip(listed, value, strict=True)) else listed
    return value


def typed(value: Any, option: Option) -> Any:
    """The value in the type of its option; itself where it is so already, is a template, or cannot be read as one."""
    value = revealed(value)
    if is_template(value) or value is None:
        return value
    kind = type_of(option)
    if not of_type(value, kind):
        try:
            value = READERS[kind](str(value) if isinstance(value, EncryptedString) else value)
        except UNREADABLE:
            return value
    if kind == "list":
        return each_inside(value, lambda _key, inside: typed(inside, elements_of(option)))
    if kind == "dict":
        options = option.get("options") or {}
        return each_inside(value, lambda key, inside: typed(inside, options[key]) if key in options else inside)
    return value


def of_type(value: Any, kind: str) -> bool:
    """Whether a value is of a type, whatever it holds."""
    if kind in ("int", "float"):
        return isinstance(value, int if kind == "int" else (int, float)) and not isinstance(value, bool)
    wanted = {"bool": bool, "list": list, "dict": dict, "str": (str, EncryptedString), "path": (str, EncryptedString)}
    return kind not in wanted or isinstance(value, wanted[kind])


def read_int(value: Any) -> int:
    """A whole number of text or of a number without a fraction; a truth value is none."""
    number = float(value) if isinstance(value, float) else int(refuse_bool(value))
    if number != int(number):
        raise ValueError(value)
    return int(number)


def read_text(value: Any) -> str:
    """Text of a number or a date; what else YAML makes of unquoted text cannot be turned back."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if not isinstance(value, (int, float)):
        raise TypeError(value)
    return str(refuse_bool(value))


def refuse_bool(value: Any) -> Any:
    """The value, unless it is a truth value, which Python takes for a number."""
    if isinstance(value, bool):
        raise TypeError(value)
    return value


def read_list(value: Any) -> list[Any]:
    """A list of text that is one in JSON, or has commas between its elements; of a number the list of it alone."""
    if isinstance(value, (int, float)):
        return [refuse_bool(value)]
    if not isinstance(value, str):
        raise TypeError(value)
    if value.strip().startswith("["):
        return read_structure(value, list)
    return [part.strip() for part in value.split(",")] if value.strip() else []


def read_dict(value: Any) -> dict[str, Any]:
    """A mapping of text that is one in JSON."""
    if not isinstance(value, str):
        raise TypeError(value)
    return read_structure(value, dict) if value.strip() else {}


def read_structure(text: str, wanted: type) -> Any:
    """The structure that a text has in JSON, or in the notation of Python."""
    try:
        found = json.loads(text)
    except ValueError:
        found = literal_eval(text.strip())
    if not isinstance(found, wanted):
        raise TypeError(text)
    return found


READERS: dict[str, Callable[[Any], Any]] = {
    "bool": boolean,
    "int": read_int,
    "float": lambda value: float(refuse_bool(value)),
    "str": read_text,
    "path": read_text,
    "list": read_list,
    "dict": read_dict,
}


def misfits(value: Any, option: Option, path: str = "") -> Iterator[Misfit]:
    """Every part of a value that is not of its type; templates and null are not checked here."""
    if value is None or is_template(value):
        return
    kind = type_of(option)
    if not of_type(value, kind):
        yield Misfit(path, value, option)
    elif kind == "list":
        for index, inside in enumerate(value):
            yield from misfits(inside, elements_of(option), f"{path}[{index}]")
    elif kind == "dict":
        for key, inner in (option.get("options") or {}).items():
            yield from misfits(value.get(key), inner, f"{path}.{key}")


def refused(value: Any, option: Option, raw: Any) -> Iterator[Misfit]:
    """The parts of a variable's value that cannot be used; raw is the value as it was given.

    A number as text is accepted inside of a structure, and from a template with ansible-core 2.18, which always makes
    text; so is a number where text is wanted.
    """
    for misfit in misfits(value, option):
        kind = type_of(misfit.option)
        harmless = kind in ("str", "path") or (
            kind in ("int", "float") and (misfit.path or (NUMBERS_COME_AS_TEXT and is_template(raw)))
        )
        if not harmless or not of_type(typed(misfit.value, misfit.option), kind):
            yield misfit


def is_vaulted(value: Any) -> bool:
    """Whether a value is vaulted, and so must not be shown."""
    return isinstance(value, EncryptedString) or bool(getattr(value, "__ENCRYPTED__", False))


def sentence(name: str, misfit: Misfit, raw: Any = None) -> str:
    """What is wrong with a value, and how it is to be written."""
    where, kind = name + misfit.path, type_of(misfit.option)
    secret = bool(SECRET.search(where)) or is_vaulted(misfit.value) or is_vaulted(raw)
    better = typed(misfit.value, misfit.option)
    shown = "the given value" if secret else f"{misfit.value!r}"
    said = f"{where} = {shown} is {'text, not' if isinstance(misfit.value, str) else 'not'} {NEEDED[kind]}"
    if secret or not of_type(better, kind):
        example = misfit.option.get("default")
        return f"{said}: give it {NEEDED[kind]}{f', as {json.dumps(example)}' if example is not None else ''}."
    written = json.dumps(better)
    if misfit.path:
        return f"{said}: write {written}."
    return (
        f"{said}: write {name}: {written} in the inventory, or -e '{json.dumps({name: better})}' on the command line."
    )
