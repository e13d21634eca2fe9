"""Values put into strings: each distinct expression is computed once, unless it depends on the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner import secret
from qarunner.manifest.codes import Code
from qarunner.manifest.declarations import shaped_like_secret
from qarunner.manifest.expression import LONGEST_TEXT, Expression, Facts, TemplateFault, as_text, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.manifest.variables import Resolved, Values

_WHOLE = "a secret can be inserted whole, or through urlencode or b64encode"


class Computing:
    """Strings with templates → their values. `vars` gets its own once they are rendered.

    `asking`: conditions are computed, which may ask for facts that this build does not have.
    """

    def __init__(self, resolved: Resolved, values: Values, *, asking: bool = False) -> None:
        self._asking = asking
        self.secrets = resolved.secrets
        self.env: Mapping[str, object] = resolved.env
        self.vars: dict[str, object] = {}
        self._context: dict[str, Mapping[str, object]] = {
            "env": resolved.env,
            "vars": self.vars,
            "git": Facts(values.git) if asking else values.git,
            "ci": Facts(values.ci) if asking else values.ci,
            "matrix": {},
        }
        self._known: dict[Expression, object] = {}

    def value(self, text: str, matrix: Mapping[str, object]) -> str | int | float | bool:
        """The value of a string; TemplateFault if it has none.

        A string that is one expression and nothing else keeps the type of its value; everything else becomes text.
        """
        pieces = parse(text).pieces
        if len(pieces) == 1 and isinstance(pieces[0], Expression):
            value = self._compute(pieces[0], matrix)
            if isinstance(value, (bool, int)):
                return value
            if isinstance(value, float):
                as_text(value)  # refuses what JSON cannot hold
                return value
            return self._checked(as_text(value))
        texts = [piece if isinstance(piece, str) else as_text(self._compute(piece, matrix)) for piece in pieces]
        return self._checked("".join(texts))

    def _compute(self, expression: Expression, matrix: Mapping[str, object]) -> object:
        if expression in self._known:
            return self._known[expression]
        self._check_build(expression)
        self._context["matrix"] = Facts(matrix) if self._asking else matrix
        value = expression.compute(self._context)
        if not expression.varies:
            self._known[expression] = value
        return value

    def _check_build(self, expression: Expression) -> None:
        """Branch names and build URLs come from outside, too: they can neither forge a placeholder nor be a key."""
        for reference in expression.references:
            if reference.root not in {"git", "ci"}:
                continue
            text = self._context[reference.root].get(reference.path[0])
            name = f"{reference.root}.{reference.path[0]}"
            if isinstance(text, str) and ("⟦" in text or "⟧" in text):
                raise TemplateFault(Code.RESERVED, f"the value of {name} holds ⟦ or ⟧, which are reserved")
            if isinstance(text, str) and shaped_like_secret(text):
                raise TemplateFault(Code.LOOKS_SECRET, f"the value of {name} holds what looks like a secret")

    def _checked(self, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise TemplateFault(Code.TOO_MUCH, f"a template makes a text of more than {LONGEST_TEXT} characters")
        if ("⟦" in text or "⟧" in text) and not (secret.intact(text) and secret.names_in(text) <= self.secrets.keys()):
            raise TemplateFault(Code.SECRET_CHANGED, f"template: {_WHOLE}")
        return text
