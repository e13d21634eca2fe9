"""The code of every problem that reading and checking a manifest can have. A code never changes its meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


# ---------------------------------------------------------------------------------------------------------------------

# What the codes of problems with variables and templates (E3xx) and with rows (E4xx) mean.


class Code(StrEnum):
    """A problem's code. It never changes its meaning, which `MEANINGS` says in words."""

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


MEANINGS: Mapping[str, str] = {
    Code.SYNTAX: "A template that cannot be read.",
    Code.UNKNOWN_NAME: "A template names something that does not exist there.",
    Code.UNDECLARED: "A template reads a variable that `env` does not declare.",
    Code.UNDEFINED_VAR: "A template reads something that `vars` does not define.",
    Code.UNKNOWN_FIELD: "`matrix`, `git` or `ci` has no such field.",
    Code.UNKNOWN_FILTER: "A filter, test or method that templates do not have.",
    Code.FORBIDDEN: "A construct that templates do not have, such as a loop.",
    Code.SECRET_CHANGED: "A secret is used otherwise than whole, or through urlencode or b64encode.",
    Code.RESERVED: "A character that is reserved for the placeholders of secrets.",
    Code.NO_TEMPLATE_HERE: "A template where none is rendered.",
    Code.SECRET_NAME: "A variable with the name of a secret is not declared as one.",
    Code.CREDENTIAL: "A vendor's credential is declared under `env`.",
    Code.SECRET_DEFAULT: "A secret has a default in the manifest.",
    Code.BAD_DEFAULT: "A default does not fit its declaration.",
    Code.BAD_PATTERN: "A pattern that is no regular expression, or one that could take for ever.",
    Code.MISSING: "A variable that is needed is not set.",
    Code.BAD_VALUE: "A variable's value does not fit its declaration.",
    Code.LOOKS_SECRET: "A value that looks like a secret, in a place that is not declared as one.",
    Code.NOT_ALLOWED: "A secret is used without --allow-secret.",
    Code.UNKNOWN_OVERRIDE: "--var names a variable that the manifest does not declare.",
    Code.FOREIGN_KEY: "`api_key_env` names another vendor's credential.",
    Code.KEY_NOT_ALLOWED: "`api_key_env` names an unrelated variable without --allow-secret.",
    Code.ELSEWHERE: "A secret would be sent elsewhere than to the host or vendor that it is allowed for.",
    Code.NOT_NAMED: "A variable is set in the environment, and the pipeline does not name it.",
    Code.ENV_FILE: "A line of an env file that is no assignment, or sets what an env file cannot set.",
    Code.VAR_FILE: "A --var-file that does not hold values of variables.",
    Code.OWN_VARIABLE: "A variable of qarunner itself is declared under `env`.",
    Code.NO_VALUE: "A template needs a value that does not exist in this build.",
    Code.FAILED: "A template cannot be computed.",
    Code.TOO_MUCH: "A template exceeds a bound of size or of time.",
    Code.NOT_TEXT: "A template's result is a list or an object where text is needed.",
    Code.NOT_KNOWN: "A template reads a fact about the build that could not be found out.",
    Code.NO_LIST: "A template's result is a text where a list or a mapping is needed.",
    Code.DUPLICATE_ID: "Two entries have the same id.",
    Code.NOTHING_TO_RUN: "The matrix is empty.",
    Code.NO_DAY: "A quarantine ends on a day that the calendar does not have.",
    Code.QUARANTINED: "More entries are in quarantine than `gate.max_quarantined` allows.",
    Code.QUARANTINE_ENDS: "A quarantine ends within a week, or has ended: the entry gates again.",
    Code.UNKNOWN_NEED: "`needs` names an entry that the matrix does not have.",
    Code.NEEDS_CYCLE: "Entries need each other in a circle, so that none could begin.",
    Code.NO_CONDITION: "`if` is neither true nor false.",
    Code.NO_FILE: "A glob in `paths` matches no file of the repository.",
    Code.UNREAD_AXIS: "No template reads an axis: its rows send the same, and each is paid for.",
    Code.EQUAL_ROWS: "Two rows send the same request, and each is paid for.",
    Code.TOO_FEW_TESTS: "`gate.min_tests` is more than the matrix can bring.",
    Code.UNREAD_VALUE: "No template reads a variable, or a value of `vars`; or a rule asks for a part of a secret.",
    Code.OUT_OF_REACH: "A target is an address of this machine, or of a private network: a vendor cannot reach it.",
    Code.NO_FACT: "A condition asks for a fact that this build does not have, such as the branch of a tag's build.",
    Code.OLD_SCHEMA: "Editors check the manifest with the schema of another version.",
    Code.AXIS: "An axis, or one of its values, that ids or templates cannot have.",
    Code.EXCLUDE: "`exclude` names what no row has.",
    Code.NOTHING_LEFT: "`exclude` takes out every row of an entry.",
    Code.TOO_MANY_ROWS: "The axes make more rows than qarunner takes.",
    Code.TOO_MUCH_WORK: "A check of the manifest would take longer than qarunner lets one take.",
    Code.LAYER: "`append` to what is no list.",
    Code.COMBINATION: "`include` of an entry adds what is no combination of its axes, or is there already.",
    Code.PROFILE: "A profile chooses or changes entries that do not exist, or extends what it cannot.",
    Code.REQUIRES: "The manifest requires another version of qarunner.",
    Code.CURRENCIES: "The manifest has prices in two currencies.",
    Code.NO_PRICE: "`budget.max_cost` limits money, and no vendor has a price.",
    Code.LIMIT: "The manifest goes beyond a limit of the base that the pipeline names.",
    Code.BASE_ENTRIES: "The base chooses entries by an expression that cannot be read.",
    Code.INCLUDE: "`include` names no file, or one that cannot be taken.",
    Code.NOT_LOCKED: "A name whose id the lock does not have, or there is no lock.",
    Code.BAD_LOCK: "A lock that cannot be read, such as one with the marks of a merge conflict.",
    Code.NOT_FOUND: "A name that the vendor does not have, or that it has more than once.",
    Code.FRAGMENT: "A fragment, which holds `matrix` and nothing else, is something else, or is checked alone.",
}


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


FAULT_MEANINGS: Mapping[str, str] = {
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
    EXCLUSIVE: "Keys that exclude each other, or a missing key where exactly one is needed.",
    BAD_NAME: "A name chosen in the manifest is not written as names have to be.",
    CAPABILITY: "Something that the entry's vendor does not offer.",
    OTHER: "The manifest breaks the schema in more ways than are listed, or in one that has no message.",
}


# ---------------------------------------------------------------------------------------------------------------------

# What the manifest alone does not show: files, and the vendors that are there.


NOT_OFFERED = "E501"


UNKNOWN_VENDOR = "E502"


UNREADABLE = "E503"


MISPLACED = "E504"


SURROUNDING_MEANINGS: Mapping[str, str] = {
    NOT_OFFERED: "Something that the entry's vendor cannot do, or needs.",
    UNKNOWN_VENDOR: "A vendor that neither qarunner nor an installed plugin knows.",
    UNREADABLE: "A file that cannot be read.",
    MISPLACED: "A report that no apply would write where it is to go.",
}
