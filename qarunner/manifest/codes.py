"""The code of every problem that reading and checking a manifest can have.

A code never changes its meaning, which its section in docs/errors.md begins with.
"""

from __future__ import annotations

from enum import StrEnum

# ---------------------------------------------------------------------------------------------------------------------

# Problems with variables and templates (E3xx) and with rows (E4xx).


class Code(StrEnum):
    """A problem's code."""

    SYNTAX = "E301"
    UNKNOWN_NAME = "E302"
    UNDECLARED = "E303"
    UNDEFINED_VAR = "E304"
    UNKNOWN_FIELD = "E305"
    UNKNOWN_FILTER = "E306"
    FORBIDDEN = "E307"
    SECRET_CHANGED = "E308"  # noqa: S105  a code
    RESERVED = "E309"
    NO_TEMPLATE_HERE = "E310"

    SECRET_NAME = "E320"  # noqa: S105  a code
    CREDENTIAL = "E321"
    SECRET_DEFAULT = "E322"  # noqa: S105  a code
    BAD_DEFAULT = "E323"
    BAD_PATTERN = "E324"
    MISSING = "E325"
    BAD_VALUE = "E326"
    LOOKS_SECRET = "E327"  # noqa: S105  a code
    NOT_ALLOWED = "E328"
    UNKNOWN_OVERRIDE = "E329"
    FOREIGN_KEY = "E330"
    KEY_NOT_ALLOWED = "E331"
    ELSEWHERE = "E332"
    NOT_NAMED = "E333"
    ENV_FILE = "E334"
    VAR_FILE = "E335"
    OWN_VARIABLE = "E336"

    NO_VALUE = "E340"
    FAILED = "E341"
    TOO_MUCH = "E342"
    NOT_TEXT = "E343"
    NOT_KNOWN = "E344"
    NO_LIST = "E345"

    DUPLICATE_ID = "E401"
    NOTHING_TO_RUN = "E402"
    NO_DAY = "E410"
    QUARANTINED = "E411"
    QUARANTINE_ENDS = "W410"
    UNKNOWN_NEED = "E420"
    NEEDS_CYCLE = "E421"
    NO_CONDITION = "E422"
    NO_FILE = "W420"
    UNREAD_AXIS = "W421"
    EQUAL_ROWS = "W422"
    TOO_FEW_TESTS = "W423"
    UNREAD_VALUE = "W424"
    OUT_OF_REACH = "W425"
    NO_FACT = "W426"
    OLD_SCHEMA = "W427"

    AXIS = "E430"
    EXCLUDE = "E431"
    NOTHING_LEFT = "E432"
    TOO_MANY_ROWS = "E433"
    TOO_MUCH_WORK = "E434"
    LAYER = "E435"
    COMBINATION = "E436"
    PROFILE = "E440"
    REQUIRES = "E441"
    CURRENCIES = "E442"
    NO_PRICE = "E443"
    LIMIT = "E444"
    BASE_ENTRIES = "E445"
    INCLUDE = "E450"
    FRAGMENT = "E451"
    NOT_LOCKED = "E460"
    BAD_LOCK = "E461"
    NOT_FOUND = "E462"


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


# ---------------------------------------------------------------------------------------------------------------------

# What the manifest alone does not show: files, and the vendors that are there.


NOT_OFFERED = "E501"
UNKNOWN_VENDOR = "E502"
UNREADABLE = "E503"
MISPLACED = "E504"
