"""What can be rendered of a row where not everything is set: a text that needs more stays as it was written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from qarunner.manifest.computing import Computing
from qarunner.manifest.expression import TemplateFault, holds_template, parse
from qarunner.manifest.variables import Resolved, Use, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.manifest.model import Manifest, Row
    from qarunner.manifest.variables import Values


class Partly:
    """Renders rows and settings of one manifest. Secrets count as not set, whoever allowed them."""

    def __init__(self, manifest: Manifest, values: Values) -> None:
        used = {name: Use(manifest.document, ("env", name)) for name in manifest.env}
        resolved = resolve(manifest, used, values)
        env = {name: value for name, value in resolved.env.items() if name not in resolved.secrets}
        self._computing = Computing(Resolved(env, {}, ()), values)
        self._env = env
        self._manifest = manifest
        given = {**manifest.vars, **{name: text for name, text in values.overrides.items() if name in manifest.vars}}
        literal = frozenset(values.overrides)
        for name, value in given.items():
            known = value if name in literal else self._value(value, {})
            if name in literal or not _texts(known):
                self._computing.vars[name] = known

    def row(self, row: Row) -> Row:
        return replace(row, data=self.mapping(row.data, row.matrix))

    def mapping(self, data: Mapping[str, object], matrix: Mapping[str, object]) -> dict[str, object]:
        return cast("dict[str, object]", self._value(data, matrix))

    def missing(self, data: object) -> list[str]:
        """The declared variables without a value here that the texts which are still templates need."""
        found: set[str] = set()
        looked_at: set[str] = set()
        queue = _texts(data)
        for text in queue:
            for reference in (each for expression in parse(text).expressions for each in expression.references):
                name = reference.path[0] if reference.path else ""
                if reference.root == "env" and name in self._manifest.env and name not in self._env:
                    found.add(name)
                elif reference.root == "vars" and name not in self._computing.vars and name not in looked_at:
                    looked_at.add(name)
                    queue += _texts(self._manifest.vars.get(name))
        return sorted(found)

    def _value(self, value: object, matrix: Mapping[str, object]) -> object:
        if isinstance(value, dict):
            return {key: self._value(child, matrix) for key, child in value.items()}
        if isinstance(value, list):
            return [self._value(child, matrix) for child in value]
        if not isinstance(value, str) or not holds_template(value):
            return value
        try:
            return self._computing.value(value, matrix)
        except TemplateFault:
            return value


def _texts(data: object) -> list[str]:
    """The texts in data that are still templates."""
    if isinstance(data, str):
        return [data] if holds_template(data) else []
    children = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [text for child in children for text in _texts(child)]
