"""The code of every problem that reading and checking a manifest can have. A code never changes its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# E1xx: the text is not YAML as this reader takes it.
SYNTAX = "E101"
ENCODING = "E102"
CHARACTER = "E103"
TAB = "E104"
UNQUOTED_TEMPLATE = "E105"
EMPTY = "E106"
NOT_A_MAPPING = "E107"
SECOND_DOCUMENT = "E108"
DUPLICATE_KEY = "E109"
BAD_KEY = "E110"
TAG = "E111"
BAD_NUMBER = "E112"
ALIAS = "E113"
MERGE = "E114"
TOO_LARGE = "E115"
TOO_DEEP = "E116"
TOO_MUCH_ALIASING = "E117"

# E2xx: the data is not a manifest.
UNKNOWN_KEY = "E201"
REFUSED_KEY = "E203"
MISSING_KEY = "E204"
WRONG_TYPE = "E205"
WRONG_VALUE = "E206"
WRONG_FORM = "E207"
WRONG_SIZE = "E208"
REPEATED = "E209"
EXCLUSIVE = "E210"
BAD_NAME = "E211"
CAPABILITY = "E212"
OTHER = "E299"

MEANINGS: Mapping[str, str] = {
    SYNTAX: "The file is not valid YAML.",
    ENCODING: "The file is not UTF-8 text.",
    CHARACTER: "A character that YAML does not allow, such as NUL.",
    TAB: "A tab is used as indentation; YAML takes spaces only.",
    UNQUOTED_TEMPLATE: "A template stands without quotes, so that YAML reads its braces as a mapping.",
    EMPTY: "The file holds no data.",
    NOT_A_MAPPING: "The top level is not a mapping of keys to values.",
    SECOND_DOCUMENT: "The file holds more than one YAML document.",
    DUPLICATE_KEY: "A key stands twice in the same mapping.",
    BAD_KEY: "A key is empty, null, a list, a mapping or an alias.",
    TAG: "A YAML tag other than !!str.",
    BAD_NUMBER: "A number that JSON cannot hold: infinite, not a number, or too long.",
    ALIAS: "An alias without its anchor, or inside of it.",
    MERGE: "`<<` with something else than a mapping or a list of mappings.",
    TOO_LARGE: "The file is larger than qarunner reads.",
    TOO_DEEP: "Lists and mappings are nested too deeply.",
    TOO_MUCH_ALIASING: "Aliases expand to far more than was written.",
    UNKNOWN_KEY: "A key that is not known here.",
    REFUSED_KEY: "A key that is known, but does not belong here.",
    MISSING_KEY: "A required key is missing.",
    WRONG_TYPE: "A value of the wrong type, such as a string where a list belongs.",
    WRONG_VALUE: "A value that is none of the valid ones.",
    WRONG_FORM: "A text that is not written as it has to be, such as a duration.",
    WRONG_SIZE: "A text, list, mapping or number that is too short, too long, too small or too large.",
    REPEATED: "A list that holds the same thing twice.",
    EXCLUSIVE: "Keys that exclude each other, or none of those of which one is needed.",
    BAD_NAME: "A name chosen in the manifest is not written as names have to be.",
    CAPABILITY: "Something that the entry's vendor does not offer.",
    OTHER: "The manifest breaks the schema in a way that has no message of its own.",
}
