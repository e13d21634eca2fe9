"""Generated from qa-matrix.schema.json by `make schema`, and not edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.manifest.schema.keywords import always, is_number, is_unique, is_whole, members
from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Callable


def validators(*, templates: bool) -> dict[str, Callable[[object], object]]:
    """For each part what is true of valid data alone; without `templates`, braces are text like any other."""

    p0 = regex('\\{[{%#]')
    p1 = regex('\\*\\*\\*')
    p2 = regex('^\\{\\{[^{}]*\\}\\}\\Z')
    p3 = regex('^[A-Za-z_][A-Za-z0-9_]*\\Z')
    p4 = regex('^[0hms]*\\Z')
    p5 = regex('^(?:[0-9]{1,6}h(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?(?:[0-9]{1,9}ms)?|[0-9]{1,6}m(?:[0-9]{1,6}s)?(?:[0-9]{1,9}ms)?|[0-9]{1,6}s(?:[0-9]{1,9}ms)?|[0-9]{1,9}ms)\\Z')
    p6 = regex('^[a-z0-9][a-z0-9._-]*\\Z')
    p7 = regex('^[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?(?:\\[[^\\]]*\\])?\\Z')
    p8 = regex('^[^,]+\\Z')
    p9 = regex('^[Hh][Tt][Tt][Pp][Ss]?://[^/?# \\t\\r\\n][^ \\t\\r\\n]*\\Z')
    p10 = regex('^[0-9]{4}-[0-9]{2}-[0-9]{2}\\Z')
    p11 = regex('^[a-z0-9*?][a-z0-9._*?-]*(?:/[a-z0-9*?][a-z0-9._*?-]*)?(?:\\[[^\\]]*\\])?\\Z')
    p12 = regex('^!?(?:[^{}\\\\^!]|\\\\[*?!^\\\\])(?:[^{}\\\\]|\\\\[*?!^\\\\])*\\Z')
    p13 = regex('^!')
    p14 = regex('^[0-9]{1,18}\\Z')
    p15 = regex('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\Z')
    p16 = regex('^[a-z][a-z0-9_-]*\\Z')
    p17 = regex('^[^\\u0000- \\u007f-\\u00a0\\u00ad\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u2069\\ufeff,=\\[\\]{}*?!"\'`\\\\<>|]+(?: [^\\u0000- \\u007f-\\u00a0\\u00ad\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u2069\\ufeff,=\\[\\]{}*?!"\'`\\\\<>|]+)*\\Z')
    p18 = regex('^[1-9][0-9]{0,5}/(?:s|min|h)\\Z')
    p19 = regex('^[0-9]{1,9}(?:[.][0-9]{1,6})?\\Z')
    p20 = regex('^[A-Z]{3}\\Z')
    p21 = regex('^(?:[*][.])?[a-z0-9_-]+(?:[.][a-z0-9_-]+)*\\Z')
    p22 = regex('^x-')
    p23 = regex('^ *(?:>=|<=|==|!=|>|<) *[0-9]+(?:[.][0-9]+)*(?: *, *(?:>=|<=|==|!=|>|<) *[0-9]+(?:[.][0-9]+)*)* *\\Z')
    p24 = regex('^[^{}\\\\!][^{}\\\\]*\\Z')
    p25 = regex('^\\.?[^./\\\\{}:][^/\\\\{}:]*(/\\.?[^./\\\\{}:][^/\\\\{}:]*)*\\Z')
    def _template(v): return (isinstance(v, str) and p0.search(v)) if templates else False
    def _unknown(v): return _template(v) if templates else (isinstance(v, str) and p1.search(v))
    def _expression(v): return (isinstance(v, str) and p2.match(v)) if templates else False
    def _variableName(v): return ((not isinstance(v, str)) or p3.match(v))
    def _scalar(v): return isinstance(v, (int, float, str))
    def _plain(v): return (isinstance(v, (int, float, dict, list, str)) and ((not isinstance(v, list)) or all(map(_scalar, v))) and ((not isinstance(v, dict)) or all(map(_scalar, v.values()))))
    def _durationOrTemplate(v): return ((isinstance(v, str) and (not p4.match(v)) and p5.match(v)) or _template(v))
    def _countOrTemplate(v): return ((is_whole(v) and v >= 1) or _template(v))
    def _text(v): return (isinstance(v, str) and bool(v))
    def _textOrNothing(v): return ((isinstance(v, str) or v is None) and ((not isinstance(v, str)) or bool(v)))
    def f11(v): return (isinstance(v, (int, float, list, str)) and ((not isinstance(v, list)) or all(map(_scalar, v))))
    def f12(v): return v in ('uri', 'hostname', 'date', 'integer', 'number', 'boolean', 'list')
    def f13(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(_scalar, v))))
    def f14(v): return isinstance(v, bool)
    def _variable(v): return (((('secret' not in v or (not v['secret'] is True)) if ('format' in v and v['format'] == 'list') else ('default' not in v or (not isinstance(v['default'], list)))) and members(v, t0)) if isinstance(v, dict) else v is None)
    def _id(v): return (isinstance(v, str) and p6.match(v))
    def _rowId(v): return (isinstance(v, str) and p7.match(v))
    def f20(v): return (isinstance(v, str) and p8.match(v))
    def f21(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f20, v))))
    def _labels(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (is_unique(v) and all(map(f20, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t1)))) or _expression(v))
    def _platform(v): return (v in ('web', 'android', 'ios') or _template(v) or v is None)
    def _url(v): return ((isinstance(v, str) and p9.match(v)) or _template(v))
    def _target(v): return ((isinstance(v, dict) or v is None) and ((not isinstance(v, dict)) or (bool(v) and len(v) <= 1 and members(v, t2))))
    def f27(v): return ((isinstance(v, str) or is_whole(v)) and ((not isinstance(v, str)) or bool(v)))
    def f28(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f27, v))))
    def _testIds(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(f27, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t3)))) or _expression(v))
    def _categoryIds(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(f27, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t3)))) or _expression(v))
    def f32(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(_text, v))))
    def _tags(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(_text, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t4)))) or _expression(v))
    def f34(v): return (isinstance(v, str) and (bool(v) and len(v) <= 1000))
    def f35(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f34, v))))
    def _testNames(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(f34, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t5)))) or _expression(v))
    def _categoryNames(v): return (((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(f34, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t5)))) or _expression(v))
    def f39(v): return (v in ('authentication',) or _template(v))
    def f40(v): return (v in ('none', 'generated', 'specific') or _template(v))
    def f41(v): return ((not isinstance(v, dict)) or ('type' in v and v['type'] == 'authentication'))
    def f42(v): return (isinstance(v, list) and (bool(v) and all(map(_artifact, v))))
    def _artifacts(v): return ((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (all(map(_artifact, v)) and 0 <= sum(map(bool, map(f41, v))) <= 1)) and ((not isinstance(v, dict)) or (bool(v) and members(v, t7))))
    def _artifact(v): return (isinstance(v, dict) and (((not ('strategy' in v and v['strategy'] == 'specific')) or 'account_id' in v) and ((not ('strategy' in v and v['strategy'] in ('none', 'generated'))) or 'account_id' not in v)) and (('type' in v and 'strategy' in v) and members(v, t6)))
    def _options(v): return (isinstance(v, dict) or v is None)
    def _timeout(v): return ((isinstance(v, str) and (not p4.match(v)) and p5.match(v)) or _template(v) or v is None)
    def _allowFailure(v): return (isinstance(v, bool) or _template(v) or v is None)
    def f48(v): return ((is_whole(v) and (v >= 0 and v <= 5)) or _template(v) or v is None)
    def _retries(v): return ((isinstance(v, dict) or v is None) and ((not isinstance(v, dict)) or members(v, t8)))
    def f51(v): return (isinstance(v, str) and p10.match(v))
    def _quarantine(v): return (((isinstance(v, dict) or v is None) and ((not isinstance(v, dict)) or members(v, t9))) or _expression(v))
    def _wholeQuarantine(v): return (((members(v, t9) and ('reason' in v and 'owner' in v and 'until' in v)) or _expression(v)) if isinstance(v, dict) else (v is None or _expression(v)))
    def _estimate(v): return ((is_whole(v) and v >= 1) or _template(v) or v is None)
    def f56(v): return ((isinstance(v, str) and p11.match(v)) or _template(v))
    def f57(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f56, v))))
    def _needs(v): return ((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (is_unique(v) and all(map(f56, v)))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t10))))
    def f60(v): return (isinstance(v, str) and (not _template(v)) and (bool(v) and p12.search(v)))
    def f61(v): return (not (isinstance(v, str) and p13.match(v)))
    def f62(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f60, v))))
    def _paths(v): return ((isinstance(v, (dict, list)) or v is None) and ((not isinstance(v, list)) or (bool(v) and is_unique(v) and all(map(f60, v)) and 1 <= sum(map(bool, map(f61, v))) <= len(v))) and ((not isinstance(v, dict)) or (bool(v) and members(v, t11))))
    def _noEstimate(v): return (((not ('test_ids' in v or 'tests' in v)) or ('estimate' not in v or (not (isinstance(v['estimate'], str) or is_whole(v['estimate']))))) if isinstance(v, dict) else True)
    def f65(v): return ((not isinstance(v, str)) or p6.match(v))
    def f66(v): return (not is_whole(v))
    def f67(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'binary' not in v and 'target_id' not in v))
    def f68(v): return ((not ('binary' in v or 'target_id' in v)) if isinstance(v, dict) else False)
    def f69(v): return ((not isinstance(v, dict)) or ('app_id' not in v and 'set_current' not in v and 'build_name' not in v))
    def f70(v): return (((isinstance(v, str) or is_whole(v)) and ((not isinstance(v, str)) or p14.match(v)) and ((not is_number(v)) or (v >= 0 and v <= 999999999999999999))) or _unknown(v))
    def f71(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'bundle_id' not in v and 'environment' not in v and ('target_id' not in v or f70(v['target_id']))))
    def f72(v): return (isinstance(v, bool) or _template(v))
    def f73(v): return ((isinstance(v, str) and p9.match(v)) or _unknown(v))
    def f74(v): return ((not isinstance(v, str)) or p14.match(v))
    def f75(v): return (isinstance(v, dict) and (bool(v) and all(map(f74, v)) and all(map(f73, v.values()))))
    def f76(v): return ((not isinstance(v, dict)) or ('web_url' not in v and 'binary_url' not in v and 'bundle_id' not in v))
    def f77(v): return ((not isinstance(v, dict)) or ('environment_label' not in v and 'build_id' not in v and 'artifact_filename' not in v and 'simulator_region' not in v and 'title' not in v and 'description' not in v and 'base_branch' not in v))
    def f78(v): return ((not isinstance(v, dict)) or ('mode' not in v and 'simulator_region' not in v and 'title' not in v and 'description' not in v and 'base_branch' not in v))
    def f79(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'binary' not in v and 'target_id' not in v and 'bundle_id' not in v))
    def f80(v): return ((not isinstance(v, dict)) or ('mode' not in v and 'device_model' not in v and 'project_environment_id' not in v and 'environment_label' not in v))
    def f81(v): return ((isinstance(v, str) and p15.match(v)) or _unknown(v))
    def f82(v): return ((isinstance(v, str) and v in ('fast', 'deep')) or _template(v))
    def f83(v): return ((isinstance(v, str) and v in ('iphone', 'ipad')) or _template(v))
    def f84(v): return ((isinstance(v, str) and v in ('production', 'staging', 'preview', 'custom')) or _template(v))
    def f85(v): return ((isinstance(v, str) and v in ('eu-north1', 'us-west1')) or _template(v))
    def f86(v): return ((isinstance(v, str) and (bool(v) and len(v) <= 500)) or _template(v))
    def f87(v): return ((isinstance(v, str) and len(v) <= 5000) or _template(v))
    def f88(v): return ((isinstance(v, str) and (bool(v) and len(v) <= 255)) or _template(v))
    def f89(v): return ((is_whole(v) and (v >= 60 and v <= 604800)) or _template(v))
    def f90(v): return ((not isinstance(v, dict)) or ('target_id' not in v or ((isinstance(v['target_id'], str) and p15.match(v['target_id'])) or _unknown(v['target_id']))))
    def f91(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(_axisItem, v))))
    def f92(v): return (isinstance(v, dict) and (bool(v) and all(map(_variableName, v)) and all(map(f91, v.values()))))
    def f93(v): return (isinstance(v, dict) and (bool(v) and all(map(_scalar, v.values()))))
    def f94(v): return (isinstance(v, list) and all(map(f93, v)))
    def f95(v): return (isinstance(v, dict) and (bool(v) and all(map(_variableName, v)) and all(map(_axisItem, v.values()))))
    def f96(v): return (isinstance(v, list) and (bool(v) and all(map(f95, v))))
    def _variants(v): return (isinstance(v, dict) and (bool(v) and all(map(f65, v)) and all(map(_variant, v.values()))))
    def f98(v): return (isinstance(v, list) and (bool(v) and len(v) <= 100 and all(map(_text, v))))
    def f99(v): return (isinstance(v, dict) and (all(map(_variableName, v)) and all(map(_plain, v.values()))))
    def f100(v): return (isinstance(v, dict) and _oneSelectionAtMost(v) and members(v, t18))
    def f101(v): return (is_whole(v) and v >= 0)
    def f102(v): return v in ('pass', 'fail')
    def f103(v): return (isinstance(v, dict) and members(v, t19))
    def f104(v): return ((not isinstance(v, str)) or p7.match(v))
    def f105(v): return (isinstance(v, dict) and (bool(v) and all(map(f104, v)) and all(map(f100, v.values()))))
    def _profile(v): return (isinstance(v, dict) and members(v, t20))
    def f107(v): return (is_number(v) and v == 1)
    def f108(v): return (isinstance(v, dict) and members(v, t21))
    def f109(v): return ((isinstance(v, str) and p18.search(v)) or _template(v))
    def f110(v): return (isinstance(v, dict) and members(v, t22))
    def f111(v): return (isinstance(v, str) and p3.match(v))
    def f112(v): return (isinstance(v, str) and p20.match(v))
    def f113(v): return (isinstance(v, dict) and 'matrix' not in v)
    def f114(v): return (isinstance(v, dict) and members(v, t24))
    def f115(v): return (isinstance(v, dict) and members(v, t25))
    def f116(v): return (isinstance(v, dict) and members(v, t26))
    def f117(v): return (isinstance(v, dict) and members(v, t27))
    def f118(v): return ((not isinstance(v, str)) or p16.match(v))
    def f119(v): return (isinstance(v, dict) and members(v, t28, rest=_settings) and all(map(f118, v)))
    def f120(v): return ((isinstance(v, str) or is_number(v)) and ((not isinstance(v, str)) or p19.match(v)) and ((not is_number(v)) or v >= 0))
    def f121(v): return (isinstance(v, dict) and (all(map(f118, v)) and all(map(f101, v.values()))))
    def f122(v): return (isinstance(v, dict) and members(v, t29))
    def f123(v): return ((not isinstance(v, str)) or bool(v))
    def f124(v): return (isinstance(v, dict) and (bool(v) and all(map(f123, v)) and all(map(f100, v.values()))))
    def f125(v): return (isinstance(v, str) and p16.match(v))
    def f126(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f125, v))))
    def f127(v): return (isinstance(v, str) and p21.match(v))
    def f128(v): return (isinstance(v, list) and (bool(v) and is_unique(v) and all(map(f127, v))))
    def f129(v): return (isinstance(v, dict) and (bool(v) and members(v, t30)))
    def _base(v): return (isinstance(v, dict) and members(v, t31, free=p22))
    def _axisValue(v): return (isinstance(v, (int, float, str)) and ((not isinstance(v, str)) or (len(v) <= 100 and p17.search(v))))
    def _axisItem(v): return (isinstance(v, (int, float, dict, str)) and ((not isinstance(v, str)) or (len(v) <= 100 and p17.search(v))) and ((not isinstance(v, dict)) or ('name' in v and all(map(_variableName, v)) and members(v, t16, rest=_scalar))))
    def f139(v): return (not (isinstance(v, dict) and 'vendor' in v))
    def f140(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _doksiRules(v))
    def f141(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _docketqaRules(v))
    def f142(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _testerarmyRules(v))
    def f143(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _certynRules(v))
    def _entry(v): return (isinstance(v, dict) and (_oneSelectionAtMost(v) and _noEstimate(v) and _vendorOfEntry(v)) and ('id' in v and members(v, t32)))
    def _variant(v): return ((isinstance(v, dict) or v is None) and (_oneSelectionAtMost(v) and _noEstimate(v) and _ownVendor(v)) and ((not isinstance(v, dict)) or members(v, t17)))
    def _row(v): return (isinstance(v, dict) and ((_oneSelectionAtMost(v) if _chosenByOptions(v) else (bool('test_ids' in v) + bool('category_ids' in v) + bool('tags' in v) + bool('tests' in v) + bool('categories' in v) == 1)) and _noEstimate(v) and _ownVendor(v)) and (('id' in v and 'vendor' in v) and members(v, t33)))
    def _oneSelectionAtMost(v): return (not (isinstance(v, dict) and (('test_ids' in v and 'category_ids' in v) or ('test_ids' in v and 'tags' in v) or ('category_ids' in v and 'tags' in v) or ('tests' in v and 'test_ids' in v) or ('tests' in v and 'category_ids' in v) or ('tests' in v and 'tags' in v) or ('tests' in v and 'categories' in v) or ('categories' in v and 'test_ids' in v) or ('categories' in v and 'category_ids' in v) or ('categories' in v and 'tags' in v))))
    def _someVariantHasVendor(v): return ((not isinstance(v, dict)) or ('variants' in v and (isinstance(v['variants'], dict) and (not all(map(f139, v['variants'].values()))))))
    def _otherRules(v): return ((not isinstance(v, dict)) or (('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or all(map(f66, v['test_ids'])))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or all(map(f66, v['category_ids']))))))
    def _vendorDefaults(v): return ((isinstance(v, dict) and _oneSelectionAtMost(v) and members(v, t18)) and ((not isinstance(v, dict)) or 'vendor' not in v))
    def _amount(v): return (((isinstance(v, str) or is_number(v)) and ((not isinstance(v, str)) or p19.match(v)) and ((not is_number(v)) or (v >= 0 and v <= 999999999))) or _template(v))
    def _price(v): return (isinstance(v, dict) and ((not 'currency' in v) or len(v) >= 2) and ('currency' in v and members(v, t23)))
    def _settings(v): return (isinstance(v, dict) and (('poll' not in v or (isinstance(v['poll'], dict) and members(v['poll'], t21))) and ('rate' not in v or (isinstance(v['rate'], dict) and members(v['rate'], t22))) and ('max_in_flight' not in v or ((is_whole(v['max_in_flight']) and v['max_in_flight'] >= 1) or _template(v['max_in_flight']))) and ('api_key_env' not in v or (isinstance(v['api_key_env'], str) and p3.match(v['api_key_env']))) and ('defaults' not in v or _vendorDefaults(v['defaults'])) and ('price' not in v or _price(v['price']))))
    def _vendor(v): return (v in ('doksi', 'docketqa', 'testerarmy', 'certyn') or (isinstance(v, str) and p16.match(v)) or v is None)
    def f163(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _doksiEntry(v))
    def f164(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _docketqaEntry(v))
    def f165(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _testerarmyEntry(v))
    def f166(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _certynEntry(v))
    def _vendorOfDefaults(v): return ((((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'doksi')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f163, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'docketqa')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f164, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'testerarmy')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f165, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'certyn')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f166, v['matrix'])))))) if isinstance(v, dict) else True)
    def _vendorOfEntry(v): return ((((not ('vendor' in v and v['vendor'] == 'doksi')) or _doksiEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'docketqa')) or _docketqaEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'testerarmy')) or _testerarmyEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'certyn')) or _certynEntry(v))) if isinstance(v, dict) else True)
    def _ownVendor(v): return ((((not ('vendor' in v and v['vendor'] == 'doksi')) or _doksiRules(v)) and ((not ('vendor' in v and v['vendor'] == 'docketqa')) or _docketqaRules(v)) and ((not ('vendor' in v and v['vendor'] == 'testerarmy')) or _testerarmyRules(v)) and ((not ('vendor' in v and v['vendor'] == 'certyn')) or _certynRules(v))) if isinstance(v, dict) else True)
    def _chosenByOptions(v): return (((('vendor' in v and 'options' in v) and (v['vendor'] == 'testerarmy' and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and (not v['options']['pull_request'] is False))))) or (('vendor' in v and 'options' in v) and (v['vendor'] == 'certyn' and ((not isinstance(v['options'], dict)) or 'instruction' in v['options'])))) if isinstance(v, dict) else True)
    def _doksiEntry(v): return ((_someVariantHasVendor(v) or _doksiRules(v)) and ((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f140, v['variants'].values()))))))
    def _doksiRules(v): return ((_otherRules(v) and ('variants' in v or _doksiRows(v)) and (('platform' not in v or (not v['platform'] == 'ios')) and ('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('tests' not in v or (not isinstance(v['tests'], (dict, list, str)))) and ('categories' not in v or (not isinstance(v['categories'], (dict, list, str)))) and ('target' not in v or ((not isinstance(v['target'], dict)) or ('bundle_id' not in v['target'] and 'environment' not in v['target']))) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t12))))) if isinstance(v, dict) else True)
    def _doksiRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or f67(v['target']))) and ((not ('platform' in v and v['platform'] == 'android')) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target'])))) if isinstance(v, dict) else True)
    def _docketqaEntry(v): return ((_someVariantHasVendor(v) or _docketqaRules(v)) and ((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f141, v['variants'].values()))))))
    def _docketqaRules(v): return (((((not 'test_ids' in v) or (('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or ('login_url' not in v['options'] and 'test_urls' not in v['options']))))) and ((not ('target' in v and f68(v['target']))) or ('options' not in v or f69(v['options']))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'target_id' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'build_name' not in v['options']))) and ('variants' in v or _docketqaRows(v))) and (('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or (len(v['category_ids']) <= 1 and all(map(f70, v['category_ids']))))) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and bool(v['artifacts'])))) and ('target' not in v or f71(v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t13))) and ('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or all(map(f70, v['test_ids'])))))) if isinstance(v, dict) else True)
    def _docketqaRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or ((not isinstance(v['target'], dict)) or ('binary' not in v['target'] and 'target_id' not in v['target'])))) and ((not ('platform' in v and v['platform'] in ('android', 'ios'))) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target']))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'binary' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('set_current' not in v['options'] or (not v['options']['set_current'] is False))))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'target_id' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('set_current' not in v['options'] or (not v['options']['set_current'] is False)))))) if isinstance(v, dict) else True)
    def _testerarmyEntry(v): return ((_someVariantHasVendor(v) or _testerarmyRules(v)) and ((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f142, v['variants'].values()))))))
    def _testerarmyRules(v): return ((_otherRules(v) and (((not ((not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))) and 'test_ids' in v)) or (('target' not in v or f76(v['target'])) and ('options' not in v or f77(v['options'])))) and ((not ((not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))) and 'category_ids' in v)) or ('options' not in v or f78(v['options']))) and ((not ('target' in v and (not ((not isinstance(v['target'], dict)) or 'binary_url' in v['target'])))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'artifact_filename' not in v['options']))) and ((not ('target' in v and (not ((not isinstance(v['target'], dict)) or 'binary' in v['target'])))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'remove_after' not in v['options']))) and ((not ((not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))) and ('target' in v and ((not isinstance(v['target'], dict)) or 'environment' in v['target'])))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'project_environment_id' not in v['options']))) and ('variants' in v or _testerarmyRows(v))) and (('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or (len(v['test_ids']) <= 1 and all(map(f81, v['test_ids']))))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or (len(v['category_ids']) <= 1 and all(map(f81, v['category_ids']))))) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and bool(v['artifacts'])))) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t14))) and ('target' not in v or f90(v['target'])))) if isinstance(v, dict) else True)
    def _testerarmyRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or f79(v['target']))) and ((not ('platform' in v and v['platform'] in ('android', 'ios'))) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target']))) and ((not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))) or ('test_ids' not in v and 'category_ids' not in v and ('target' not in v or ((not isinstance(v['target'], dict)) or 'environment' not in v['target'])) and ('options' not in v or f80(v['options'])))) and ((not ('platform' in v and v['platform'] == 'web')) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('build_id' not in v['options'] and 'simulator_region' not in v['options'])))) and ((not ('platform' in v and v['platform'] in ('web', 'android'))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'device_model' not in v['options'])))) if isinstance(v, dict) else True)
    def _certynEntry(v): return ((_someVariantHasVendor(v) or _certynRules(v)) and ((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f143, v['variants'].values()))))))
    def _certynRules(v): return (_otherRules(v) and ((not isinstance(v, dict)) or (('platform' not in v or (not v['platform'] in ('android', 'ios'))) and ('test_ids' not in v or (not isinstance(v['test_ids'], (dict, list, str)))) and ('tests' not in v or (not isinstance(v['tests'], (dict, list, str)))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or len(v['category_ids']) <= 1)) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and bool(v['artifacts'])))) and ('target' not in v or f79(v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t15))))))
    def f190(v): return (isinstance(v, str) and p23.search(v))
    def f191(v): return (isinstance(v, dict) and (all(map(_variableName, v)) and all(map(_variable, v.values()))))
    def f192(v): return (isinstance(v, str) and p24.match(v))
    def f193(v): return (isinstance(v, list) and (bool(v) and len(v) <= 100 and is_unique(v) and all(map(f192, v))))
    def f194(v): return (isinstance(v, dict) and (bool(v) and len(v) <= 100 and all(map(f65, v)) and all(map(_profile, v.values()))))
    def f195(v): return (isinstance(v, list) and (bool(v) and all(map(_entry, v))))
    def f196(v): return v in ('json', 'junit', 'ctrf', 'markdown', 'html', 'slack')
    def f197(v): return (isinstance(v, str) and (bool(v) and len(v) <= 500 and p25.match(v)))
    def f198(v): return (isinstance(v, dict) and (('format' in v and 'path' in v) and members(v, t34)))
    def f199(v): return (isinstance(v, list) and (len(v) <= 20 and all(map(f198, v))))
    def f200(v): return (isinstance(v, dict) and (('include' in v or 'matrix' in v) and _vendorOfDefaults(v)) and ('version' in v and members(v, t35, free=p22)))
    def f201(v): return (((('include' in v or 'matrix' in v) and _vendorOfDefaults(v)) and ('matrix' not in v or (isinstance(v['matrix'], list) and (bool(v['matrix']) and all(map(_entry, v['matrix'])))))) if isinstance(v, dict) else True)
    t0 = {'default': f11, 'format': f12, 'enum': f13, 'pattern': _text, 'secret': f14, 'description': _text}
    t1 = {'append': f21}
    t2 = {'web_url': _url, 'binary_url': _url, 'binary': _text, 'target_id': _text, 'bundle_id': _text, 'environment': _text}
    t3 = {'append': f28}
    t4 = {'append': f32}
    t5 = {'append': f35}
    t6 = {'type': f39, 'strategy': f40, 'account_id': _text}
    t7 = {'append': f42}
    t8 = {'failed': f48, 'infra': f48}
    t9 = {'reason': _text, 'owner': _text, 'until': f51}
    t10 = {'append': f57}
    t11 = {'append': f62}
    t12 = {}
    t13 = {'app_id': _countOrTemplate, 'set_current': f72, 'build_name': _text, 'login_url': f73, 'test_urls': f75}
    t14 = {'mode': f82, 'device_model': f83, 'project_environment_id': f81, 'environment_label': f84, 'build_id': _text, 'artifact_filename': _text, 'simulator_region': f85, 'pull_request': f72, 'title': f86, 'description': f87, 'base_branch': f88, 'remove_after': f89}
    t15 = {'instruction': _text}
    t16 = {'name': _axisValue}
    t17 = {'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths, 'axes': f92, 'exclude': f94, 'include': f96}
    t18 = {'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths}
    t19 = {'min_tests': f101, 'on_skipped': f102, 'max_quarantined': f101}
    t20 = {'description': _textOrNothing, 'extends': _id, 'select': f98, 'vars': f99, 'defaults': f100, 'gate': f103, 'entries': f105}
    t21 = {'every': _durationOrTemplate, 'max': _durationOrTemplate}
    t22 = {'reads': f109, 'creates': f109, 'all': f109}
    t23 = {'per_test': _amount, 'per_run': _amount, 'currency': f112}
    t24 = {'poll': f108, 'rate': f110, 'max_in_flight': _countOrTemplate, 'api_key_env': f111, 'defaults': _vendorDefaults, 'price': _price, 'extra': f113}
    t25 = {'poll': f108, 'rate': f110, 'max_in_flight': _countOrTemplate, 'api_key_env': f111, 'defaults': _vendorDefaults, 'price': _price}
    t26 = {'poll': f108, 'rate': f110, 'max_in_flight': _countOrTemplate, 'api_key_env': f111, 'defaults': _vendorDefaults, 'price': _price, 'project': _text}
    t27 = {'poll': f108, 'rate': f110, 'max_in_flight': _countOrTemplate, 'api_key_env': f111, 'defaults': _vendorDefaults, 'price': _price, 'project': _text, 'environment': _text, 'details': f72}
    t28 = {'doksi': f114, 'docketqa': f115, 'testerarmy': f116, 'certyn': f117}
    t29 = {'max_tests': f101, 'max_cost': f120, 'count_retries': f14, 'per_vendor': f121}
    t30 = {'max_tests': f101, 'max_cost': f120, 'vendors': f126, 'hosts': f128, 'quarantine_days': f101}
    t31 = {'version': f107, 'description': _textOrNothing, 'defaults': f100, 'vendors': f119, 'gate': f103, 'budget': f122, 'entries': f124, 'limits': f129}
    t32 = {'id': _id, 'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths, 'variants': _variants, 'axes': f92, 'exclude': f94, 'include': f96}
    t33 = {'id': _rowId, 'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _wholeQuarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths}
    t34 = {'format': f196, 'path': f197}
    t35 = {'version': f107, 'name': _text, 'requires': f190, 'env': f191, 'vars': f99, 'vendors': f119, 'defaults': f100, 'include': f193, 'profiles': f194, 'matrix': f195, 'gate': f103, 'reports': f199, 'budget': f122}
    return {'manifest': f200, 'entry': _entry, 'variant': _variant, 'defaults': f100, 'row': _row, 'base': _base, 'matrix': f201}
