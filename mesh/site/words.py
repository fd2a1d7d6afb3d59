"""What pydantic and the reader of TOML say of a file, in plain words. Pure.

Rules kept here: a message says what to write; none shows what stands in the file.
"""

import re
from collections.abc import Mapping
from typing import Any

from mesh.registry.setups import MAX_SIDE

SIZE = f'give "WIDTHxHEIGHT" in pixels, each from 1 to {MAX_SIDE}, such as "640x480"'

_NUMBER = "it is a number, without quotes"
_WHOLE = "it is a whole number, without quotes"
_LIST = 'it is a list: write it in brackets, as in ["one", "two"]'
_TRUTH = "it is true or false, without quotes"
_TEXT = "it is a text: write it in quotes"

# By pydantic's own names of what is wrong.
_VALUES: Mapping[str, str] = {
    "bool_parsing": _TRUTH,
    "bool_type": _TRUTH,
    "finite_number": "give a number that is finite",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "it is too small: give more than {gt}",
    "greater_than_equal": "it is too small: give {ge} or more",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "it has too many digits",
    "int_type": _WHOLE,
    "less_than": "it is too large: give less than {lt}",
    "less_than_equal": "it is too large: give {le} at most",
    "list_type": _LIST,
    "literal_error": "write {expected}",
    "missing": "it is missing",
    "string_pattern_mismatch": (
        "it is not a name: use 1 to 63 of a-z, 0-9, '-' and '_', a letter or digit first"
    ),
    "string_too_long": "it is longer than {max_length} characters",
    "string_too_short": "it is empty",
    "string_type": _TEXT,
    "too_short": "it is empty: name one at least",
}

# By how the reader of TOML begins what it says.
_SYNTAX: Mapping[str, str] = {
    "Escaped character is not a Unicode scalar value": "there is no such character",
    "Expected ']' at the end of a table declaration": "a ] is missing behind the table's name",
    "Expected ']]' at the end of an array declaration": "a ]] is missing behind the table's name",
    "Expected '=' after a key in a key/value pair": "a = is missing behind the key",
    "Expected \"'": "its closing quote is missing",
    "Expected newline or end of document after a statement": (
        "there is something behind the end of it: one key a line, and quotes around a text"
    ),
    "Illegal character '\\n'": "its closing quote is missing",
    "Invalid date or datetime": "there is no such date",
    "Invalid hex value": "behind \\u stand four hexadecimal digits, and behind \\U eight",
    "Invalid initial character for a key part": (
        "no key begins like that: a key is of letters, digits, '-' and '_', or stands in quotes"
    ),
    "Invalid statement": "it is neither [TABLE] nor KEY = VALUE",
    "Invalid value": "that is no value: a text stands in quotes, and true and false are written small",
    "Unclosed array": "a ] or a comma is missing in the list",
    "Unclosed inline table": "a } or a comma is missing",
    "Unescaped '\\' in a string": "a \\ in a text is written \\\\, or the text stands in single quotes",
    "Unterminated string": "its closing quote is missing",
}
_TWICE = "Cannot "  # … declare, overwrite, redefine or mutate: it is written already


def of_value(kind: str, context: Mapping[str, Any], said: str) -> str:
    """What is wrong with a value of which pydantic says so, as an error of that kind."""
    if kind not in _VALUES:
        return said.removeprefix("Value error, ")
    return _VALUES[kind].format_map({name: _plain(value) for name, value in context.items()})


def of_toml(said: str) -> str:
    """What is wrong with a text of which the reader of TOML says so, without the place."""
    plain = next((plain for begins, plain in _SYNTAX.items() if said.startswith(begins)), None)
    if plain is None and (found := re.match(r"(?:Illegal|Found invalid) character (.+)", said)):
        return f"the character {found[1]} cannot stand there"
    return plain or said[:1].lower() + said[1:]


def is_twice(said: str) -> bool:
    """Whether the reader of TOML complains of what is written already."""
    return said.startswith(_TWICE)


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
