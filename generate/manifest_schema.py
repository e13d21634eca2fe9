"""What `info.py` of each vendor says, as parts of the manifest's schema and as tables of the README."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from qarunner import __version__
from qarunner.cli.commands.validate import HEADINGS, capability_rows
from qarunner.entry import BY_NAME, ENTRY_KEYS, EXPANDING_KEYS, Platform, SelectionKind, TargetKind
from qarunner.vendors.api import CAPABILITY, INVENTORIES, only_one, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.decode import Json
    from qarunner.vendors.api import VendorInfo

    Schema = dict[str, Json]


# --- the schema -------------------------------------------------------------------------------------------------------


_NAME = "^[a-z][a-z0-9_-]*$"

_GENERAL = {
    "poll": "poll",
    "rate": "rate",
    "max_in_flight": "maxInFlight",
    "api_key_env": "apiKeyEnv",
    "defaults": "vendorDefaults",
    "price": "price",
}
"""The settings that every vendor has, and their definitions."""

_FOR_PEOPLE = frozenset({"description", "examples", "default"})

_FIRST = "vendor"
"""The first generated definition: all that follow it are generated, too."""


def with_vendors(schema: str, infos: Sequence[VendorInfo], formats: Mapping[str, str]) -> str:
    """The manifest's schema with its vendor parts as `infos` have them: every definition from `vendor` on.

    The version and some lists of the hand-written part are generated, too: keys of entries, kinds of targets, formats.
    """
    schema = re.sub(r'(?<="\$id": "urn:qarunner:qa-matrix:)[^"]*', __version__, schema, count=1)
    base, mark, _ = schema.partition(f'\n    "{_FIRST}": {{')
    if not mark:
        raise ValueError(f"the schema has no definition {_FIRST!r}")
    parts = (f"    {json.dumps(name)}: {_text(part, 4, len(name) + 8)}" for name, part in definitions(infos).items())
    return _with_lists(_with_entry_keys(base), formats) + "\n" + ",\n".join(parts) + "\n  }\n}\n"


def _with_entry_keys(base: str) -> str:
    """The hand-written part, in which four lists of keys are those of ENTRY_KEYS."""
    shared = {name: key.schema for name, key in ENTRY_KEYS.items()}
    crossing = {name: schema for name, schema in EXPANDING_KEYS.items() if name != "variants"}
    layers = {
        "entry": {"id": "id", **shared, **EXPANDING_KEYS},
        "variant": {**shared, **crossing},
        "defaults": shared,
        "row": {"id": "rowId", **shared, "quarantine": "wholeQuarantine"},
    }
    for layer, keys in layers.items():
        lines = ",\n".join(f"        {json.dumps(name)}: {_text(_ref(schema), 8, 0)}" for name, schema in keys.items())
        before, mark, rest = base.partition(f'\n    "{layer}": {{\n')
        head, begin, listed = rest.partition('\n      "properties": {\n')
        _, end, after = listed.partition("\n      }")
        base = f"{before}{mark}{head}{begin}{lines}{end}{after}"
    return base


def _with_lists(base: str, formats: Mapping[str, str]) -> str:
    """The hand-written part, in which kinds of targets and formats of reports are those of the program."""
    words = json.dumps(" ".join(f"{name}: {what}." for name, what in formats.items()))
    lists = {
        r'("x-exclusive": )\["web_url".*?\]': json.dumps(list(TargetKind)),
        r'("format": )"write one of .*?"': json.dumps(f"write one of {', '.join(formats)}"),
        r'("enum": )\["json".*?\]': json.dumps(list(formats)),
        r'("description": )"json: .*?"': words,
    }
    for pattern, text in lists.items():
        (place,) = re.finditer(pattern, base)
        base = base[: place.end(1)] + text + base[place.end() :]
    return base


def definitions(infos: Sequence[VendorInfo]) -> Schema:
    """All that the schema says of vendors. The base part refers to these by `$ref`."""
    names = [info.name for info in infos]
    return {
        _FIRST: _vendor(infos),
        "settingsOfVendors": {
            "properties": {name: _ref(f"{name}Settings") for name in names},
            "additionalProperties": _ref("settings"),
        },
        "vendorOfDefaults": {
            "$comment": "Entries without a vendor of their own are checked against that of the defaults.",
            "allOf": [_where_defaults(vendor, rules) for vendor, rules in _by_vendor(names, "Entry")],
        },
        "vendorOfEntry": {
            "defaultSnippets": [_snippet(info) for info in infos],
            "allOf": [_where(vendor, rules) for vendor, rules in _by_vendor(names, "Entry")],
        },
        "ownVendor": {
            "$comment": "What a vendor does not offer, for a row or variant that names its vendor.",
            "allOf": [_where(vendor, rules) for vendor, rules in _by_vendor(names, "Rules")],
        },
        "chosenByOptions": {
            "$comment": "Options with which the vendor itself chooses the tests.",
            "anyOf": [
                {
                    "required": ["vendor", "options"],
                    "properties": {"vendor": {"const": info.name}, "options": info.chosen_by_options},
                }
                for info in infos
                if info.chosen_by_options is not None
            ],
        },
        **{name: part for info in infos for name, part in _of_vendor(info).items()},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _by_vendor(names: Sequence[str], what: str) -> Iterator[tuple[Json, Json]]:
    """Schemas of vendors' names, each with the definition that holds there. A plugin's rules stand in its adapter."""
    yield from (({"const": name}, _ref(f"{name}{what}")) for name in names)


def _where(vendor: Json, rules: Json) -> Schema:
    return {"if": {"required": ["vendor"], "properties": {"vendor": vendor}}, "then": rules}


def _where_defaults(vendor: Json, rules: Json) -> Schema:
    defaults: Json = {"type": "object", "required": ["vendor"], "properties": {"vendor": vendor}}
    return {
        "if": {"required": ["defaults"], "properties": {"defaults": defaults}},
        "then": {"properties": {"matrix": {"items": {"if": {"required": ["vendor"]}, "else": rules}}}},
    }


def _vendor(infos: Sequence[VendorInfo]) -> Schema:
    known = ", ".join(f"`{info.name}`" for info in infos)
    return {
        "description": f"Who runs the tests: {known}, or a vendor that a plugin adds. "
        "`qarunner vendors` shows what each can do. No template.",
        "examples": [infos[0].name],
        "anyOf": [
            {
                "title": "Vendor",
                "enum": [info.name for info in infos],
                "markdownEnumDescriptions": [f"{info.summary} Credential: `{info.key_env}`." for info in infos],
            },
            {"title": "Plugin", "type": "string", "pattern": _NAME},
            {"type": "null"},
        ],
        "x-expected": "a vendor's name",
    }


def _snippet(info: VendorInfo) -> Schema:
    starter = info.starter
    return {
        "label": f"entry at {info.title}",
        "description": f"{starter.tests if starter else 'Tests'}, run by {info.title}",
        "body": {"id": "${1:checkout}", "vendor": info.name, **(starter.snippet if starter else {})},
    }


def _of_vendor(info: VendorInfo) -> Schema:
    name = info.name
    definitions: Schema = {f"{name}Entry": _entry(name), f"{name}Rules": _rules(info)}
    if rows := _row_rules(info):
        definitions[f"{name}Rows"] = {
            "$comment": "What depends on values that a variant can change: of rows, variants, and entries without.",
            "allOf": rows,
        }
    options: Schema = {
        "title": f"Options of {info.title}",
        "properties": {key: _value(schema) for key, schema in info.options.items()},
        "additionalProperties": False,
    }
    if not info.options:
        options["x-hint"] = info.capabilities.instead.get("options", f"{name} has no options")
    return {**definitions, f"{name}Options": options, f"{name}Settings": _settings(info)}


def _entry(name: str) -> Schema:
    """An entry's own keys may be meant for a vendor that only its variants name."""
    rules = _ref(f"{name}Rules")
    variants: Json = {"additionalProperties": {"if": {"required": ["vendor"]}, "else": rules}}
    return {"if": _ref("someVariantHasVendor"), "else": rules, "properties": {"variants": variants}}


# --- what a vendor takes ----------------------------------------------------------------------------------------------


def _rules(info: VendorInfo) -> Schema:
    """What the capability table says of an entry, with the vendor's own rules on top."""
    vendor_rules = info.rules
    text_ids = {} if info.capabilities.integer_ids else _ref("otherRules")
    properties = {**_refused_keys(info), "options": _ref(f"{info.name}Options")}
    rules = _merged({"properties": properties}, {"properties": _open(vendor_rules.get("properties", {}))})
    more = list(cast("list[Json]", vendor_rules.get("allOf", [])))
    if _row_rules(info):
        more.append({"if": {"required": ["variants"]}, "else": _ref(f"{info.name}Rows")})
    return {**text_ids, **rules, **({"allOf": more} if more else {})}


def _open(rules: Json) -> Json:
    """Rules in which every text whose form is checked may be a template, too."""
    if not isinstance(rules, dict):
        return rules
    return _value(rules) if "pattern" in rules else {key: _open(value) for key, value in rules.items()}


def _row_rules(info: VendorInfo) -> list[Json]:
    return [*_targets_by_platform(info), *info.row_rules]


def _merged(first: Schema, second: Mapping[str, Json]) -> Schema:
    """Mappings merge deeply, so that a vendor's rule of a key stands beside the table's."""
    merged = dict(first)
    for key, value in second.items():
        other = merged.get(key)
        merged[key] = _merged(other, value) if isinstance(other, dict) and isinstance(value, dict) else value
    return merged


def _refused_keys(info: VendorInfo) -> Schema:
    """Keys, or values of them, that the vendor takes on no platform, in the words of its table."""
    able = info.capabilities
    refused: Schema = {}
    missing = [str(platform) for platform in Platform if platform not in able.targets]
    if missing:
        schema: Json = {"const": missing[0]} if len(missing) == 1 else {"enum": cast("list[Json]", missing)}
        refused["platform"] = {**refuse(able.instead[missing[0]]), "not": schema}
    for selection in SelectionKind:
        if selection not in able.selections:
            # null takes away what a lower layer has: the vendor need not offer it.
            refused[str(selection)] = {
                **refuse(able.instead[selection]),
                "not": {"type": ["array", "object", "string"]},
            }
    for key, selection in BY_NAME.items():
        if selection not in able.selections:
            refused[key] = {**refuse(able.instead[selection]), "not": {"type": ["array", "object", "string"]}}
        elif INVENTORIES[key] not in info.inventories:
            words = f"{info.name} has no inventory that could be asked for names: write the ids in {selection}"
            refused[key] = {**refuse(words), "not": {"type": ["array", "object", "string"]}}
    for selection in SelectionKind:
        if able.takes_one(selection):
            message, hint = only_one(info, selection)
            rule: Schema = {"maxItems": 1, "errorMessage": message, "x-code": CAPABILITY, "x-hint": hint}
            refused[str(selection)] = rule
    if not able.artifacts:
        refused["artifacts"] = {**refuse(able.instead["artifacts"]), "not": {"type": "array", "minItems": 1}}
    taken = frozenset[TargetKind]().union(*able.targets.values())
    targets: Schema = {str(kind): refuse(able.instead[kind]) for kind in TargetKind if kind not in taken}
    return {**refused, "target": {"properties": targets}} if targets else refused


def _targets_by_platform(info: VendorInfo) -> Iterator[Schema]:
    """Targets that the vendor takes on another platform alone."""
    able = info.capabilities
    taken = frozenset[TargetKind]().union(*able.targets.values())
    groups: dict[frozenset[TargetKind], list[str]] = {}
    for platform, kinds in able.targets.items():
        if platform is not None:
            groups.setdefault(kinds, []).append(str(platform))
    for kinds, platforms in groups.items():
        offered = _alternatives([f"{_article(kind)} {kind}" for kind in TargetKind if kind in kinds])
        text = f"with platform: {' or '.join(platforms)} {info.name} takes {offered}, no "
        refused: Schema = {str(kind): refuse(text + kind) for kind in TargetKind if kind in taken - kinds}
        if refused:
            value: Json = {"const": platforms[0]} if len(platforms) == 1 else {"enum": cast("list[Json]", platforms)}
            yield {
                "if": {"required": ["platform"], "properties": {"platform": value}},
                "then": {"properties": {"target": {"properties": refused}}},
            }


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _alternatives(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


# --- options and settings ---------------------------------------------------------------------------------------------


def _value(schema: Json) -> Schema:
    """The schema of an option or setting, which may be a template, too, with its words for people."""
    mapping = cast("Schema", schema)
    words: Schema = {key: value for key, value in mapping.items() if key in _FOR_PEOPLE}
    if "description" in words:
        words["description"] = f"{words['description']}."
    rule = {key: value for key, value in mapping.items() if key not in _FOR_PEOPLE}
    if rule.get("type") == "object":
        if isinstance(rule.get("additionalProperties"), dict):
            rule["additionalProperties"] = _value(rule["additionalProperties"])
        return {**words, **rule}
    if rule == {"type": "string", "minLength": 1}:
        return {**words, **_ref("text")}
    if rule.get("type") == "boolean":
        rule.setdefault("x-expected", "true or false")
    # Of a text whose form is checked, a masked secret in it hides the rest.
    return {**words, "anyOf": [rule, _ref("unknown" if "pattern" in rule else "template")]}


def _settings(info: VendorInfo) -> Schema:
    of_vendor = {key: _value(schema) for key, schema in info.settings.items()}
    example = _example(info)
    shown = ", ".join(f"{key}: {value}" for key, value in example.items())
    address = f"the address comes only from the environment variable {info.url_env[0]}"
    return {
        "title": f"Settings of {info.title}",
        "description": f"Settings of {info.title}. Its credential is the environment variable {info.key_env}.",
        "examples": [example],
        "type": "object",
        "additionalProperties": False,
        "x-instead": {
            "api_key": f"a manifest holds no credentials: set the environment variable {info.key_env}",
            "url": address,
            "base_url": address,
        },
        "properties": {**{key: _ref(name) for key, name in _GENERAL.items()}, **of_vendor},
        "x-expected": "a mapping",
        "x-hint": f"write `{info.name}: {{ {shown} }}`",
    }


def _example(info: VendorInfo) -> Schema:
    example: Schema = {}
    for key, schema in info.settings.items():
        mapping = cast("Mapping[str, Json]", schema)
        if mapping.get("type") == "string":
            example[key] = cast("list[Json]", mapping["examples"])[0]
    return example or {"max_in_flight": 8}


# --- tables -----------------------------------------------------------------------------------------------------------


def capability_table(infos: Sequence[VendorInfo]) -> str:
    return _markdown([HEADINGS, *(row for info in infos for row in capability_rows(info))])


def variable_table(infos: Sequence[VendorInfo]) -> str:
    """Which variables of the environment a vendor has."""
    rows = [
        (info.name, _code(info.key_env), _code(*info.url_env), _code(*info.settings_env.values())) for info in infos
    ]
    return _markdown([("vendor", "credential", "base URL", "settings that the manifest leaves out"), *rows])


def _code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    first, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join((first, "|---" * len(rows[0]) + "|", *rest))


# --- JSON as text -----------------------------------------------------------------------------------------------------


_WIDTH = 120


def _text(node: Json, indent: int, column: int) -> str:
    """JSON on one line where that fits, else with a line for each member."""
    flat = _flat(node)
    if column + len(flat) < _WIDTH or not isinstance(node, (dict, list)):
        return flat
    inner = indent + 2
    if isinstance(node, dict):
        keyed = ((f"{json.dumps(key)}: ", value) for key, value in node.items())
        members = [key + _text(value, inner, inner + len(key)) for key, value in keyed]
    else:
        members = [_text(value, inner, inner) for value in node]
    edges = "{}" if isinstance(node, dict) else "[]"
    lines = ",\n".join(" " * inner + member for member in members)
    return f"{edges[0]}\n{lines}\n{' ' * indent}{edges[1]}"


def _flat(node: Json) -> str:
    if isinstance(node, dict) and node:
        return f"{{ {', '.join(f'{json.dumps(key)}: {_flat(value)}' for key, value in node.items())} }}"
    if isinstance(node, list):
        return f"[{', '.join(map(_flat, node))}]"
    return json.dumps(node, ensure_ascii=False)
