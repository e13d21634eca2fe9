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
    p4 = regex('^(?:[0-9]{1,6}h(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?(?:[0-9]{1,9}ms)?|[0-9]{1,6}m(?:[0-9]{1,6}s)?(?:[0-9]{1,9}ms)?|[0-9]{1,6}s(?:[0-9]{1,9}ms)?|[0-9]{1,9}ms)\\Z')
    p5 = regex('^[0hms]*\\Z')
    p6 = regex('^[a-z0-9][a-z0-9._-]*\\Z')
    p7 = regex('^[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?(?:\\[[^\\]]*\\])?\\Z')
    p8 = regex('^[^,]+\\Z')
    p9 = regex('^[Hh][Tt][Tt][Pp][Ss]?://[^/?# \\t\\r\\n][^ \\t\\r\\n]*\\Z')
    p10 = regex('^[0-9]{4}-[0-9]{2}-[0-9]{2}\\Z')
    p11 = regex('^[a-z0-9*?][a-z0-9._*?-]*(?:/[a-z0-9*?][a-z0-9._*?-]*)?(?:\\[[^\\]]*\\])?\\Z')
    p12 = regex('^!?(?:[^{}|~\\\\^!]|\\\\[*?!^\\\\])(?:[^{}|\\\\]|\\\\[*?!^\\\\])*\\Z')
    p13 = regex('^!')
    p14 = regex('^[a-z][a-z0-9_-]*\\Z')
    p15 = regex('^[^\\u0000- \\u007f-\\u00a0\\u00ad\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u2069\\ufeff,=\\[\\]{}*?!"\'`\\\\<>|]+(?: [^\\u0000- \\u007f-\\u00a0\\u00ad\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u2069\\ufeff,=\\[\\]{}*?!"\'`\\\\<>|]+)*\\Z')
    p16 = regex('^[0-9]{1,18}\\Z')
    p17 = regex('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\Z')
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
    def _plain(v): return ((isinstance(v, list) and all(map(_scalar, v))) or (isinstance(v, dict) and all(map(_scalar, v.values()))) or isinstance(v, (int, float, str)))
    def _durationOrTemplate(v): return (((isinstance(v, str) and p4.match(v)) and (not p5.match(v))) or _template(v))
    def _countOrTemplate(v): return ((is_whole(v) and v >= 1) or _template(v))
    def _text(v): return (isinstance(v, str) and v)
    def _textOrNothing(v): return ((isinstance(v, str) and v) or v is None)
    def f11(v): return ((isinstance(v, list) and all(map(_scalar, v))) or isinstance(v, (int, float, str)))
    def f12(v): return v in ('uri', 'hostname', 'date', 'integer', 'number', 'boolean', 'list')
    def f13(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(_scalar, v))))
    def f14(v): return isinstance(v, bool)
    def _variable(v): return ((members(v, t0) and (('secret' not in v or (not v['secret'] is True)) if ('format' in v and v['format'] == 'list') else ('default' not in v or (not isinstance(v['default'], list))))) if isinstance(v, dict) else v is None)
    def _id(v): return (isinstance(v, str) and p6.match(v))
    def _rowId(v): return (isinstance(v, str) and p7.match(v))
    def f20(v): return (isinstance(v, str) and p8.match(v))
    def f21(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f20, v))))
    def _labels(v): return (((isinstance(v, list) and (is_unique(v) and all(map(f20, v)))) or (isinstance(v, dict) and (v and members(v, t1))) or v is None) or _expression(v))
    def _platform(v): return (v in ('web', 'android', 'ios') or _template(v) or v is None)
    def _url(v): return ((isinstance(v, str) and p9.match(v)) or _template(v))
    def _target(v): return ((isinstance(v, dict) and (v and len(v) <= 1 and members(v, t2))) or v is None)
    def f27(v): return ((isinstance(v, str) and v) or is_whole(v))
    def f28(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f27, v))))
    def _testIds(v): return (((isinstance(v, list) and (v and is_unique(v) and all(map(f27, v)))) or (isinstance(v, dict) and (v and members(v, t3))) or v is None) or _expression(v))
    def _categoryIds(v): return (((isinstance(v, list) and (v and is_unique(v) and all(map(f27, v)))) or (isinstance(v, dict) and (v and members(v, t3))) or v is None) or _expression(v))
    def f32(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(_text, v))))
    def _tags(v): return (((isinstance(v, list) and (v and is_unique(v) and all(map(_text, v)))) or (isinstance(v, dict) and (v and members(v, t4))) or v is None) or _expression(v))
    def f34(v): return (isinstance(v, str) and (v and len(v) <= 1000))
    def f35(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f34, v))))
    def _testNames(v): return (((isinstance(v, list) and (v and is_unique(v) and all(map(f34, v)))) or (isinstance(v, dict) and (v and members(v, t5))) or v is None) or _expression(v))
    def _categoryNames(v): return (((isinstance(v, list) and (v and is_unique(v) and all(map(f34, v)))) or (isinstance(v, dict) and (v and members(v, t5))) or v is None) or _expression(v))
    def f39(v): return (v in ('authentication',) or _template(v))
    def f40(v): return (v in ('none', 'generated', 'specific') or _template(v))
    def f41(v): return ((not isinstance(v, dict)) or ('type' in v and v['type'] == 'authentication'))
    def f42(v): return (isinstance(v, list) and (v and all(map(_artifact, v))))
    def _artifacts(v): return ((isinstance(v, list) and (all(map(_artifact, v)) and 0 <= sum(map(bool, map(f41, v))) <= 1)) or (isinstance(v, dict) and (v and members(v, t7))) or v is None)
    def _artifact(v): return ((isinstance(v, dict) and (('type' in v and 'strategy' in v) and members(v, t6))) and (((not ('strategy' in v and v['strategy'] == 'specific')) or 'account_id' in v) and ((not ('strategy' in v and v['strategy'] in ('none', 'generated'))) or 'account_id' not in v)))
    def _options(v): return (isinstance(v, dict) or v is None)
    def _timeout(v): return (((isinstance(v, str) and p4.match(v)) and (not p5.match(v))) or _template(v) or v is None)
    def _allowFailure(v): return (isinstance(v, bool) or _template(v) or v is None)
    def f48(v): return ((is_whole(v) and (v >= 0 and v <= 5)) or _template(v) or v is None)
    def _retries(v): return ((isinstance(v, dict) and members(v, t8)) or v is None)
    def f51(v): return (isinstance(v, str) and p10.match(v))
    def _quarantine(v): return (((isinstance(v, dict) and members(v, t9)) or v is None) or _expression(v))
    def _wholeQuarantine(v): return ((((not isinstance(v, dict)) or ('reason' in v and 'owner' in v and 'until' in v)) and ((isinstance(v, dict) and members(v, t9)) or v is None)) or _expression(v))
    def _estimate(v): return ((is_whole(v) and v >= 1) or _template(v) or v is None)
    def f56(v): return ((isinstance(v, str) and p11.match(v)) or _template(v))
    def f57(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f56, v))))
    def _needs(v): return ((isinstance(v, list) and (is_unique(v) and all(map(f56, v)))) or (isinstance(v, dict) and (v and members(v, t10))) or v is None)
    def f60(v): return ((isinstance(v, str) and (v and p12.search(v))) and (not _template(v)))
    def f61(v): return (not (isinstance(v, str) and p13.match(v)))
    def f62(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f60, v))))
    def _paths(v): return ((isinstance(v, list) and (v and is_unique(v) and all(map(f60, v)) and 1 <= sum(map(bool, map(f61, v))) <= len(v))) or (isinstance(v, dict) and (v and members(v, t11))) or v is None)
    def _noEstimate(v): return (((not ('test_ids' in v or 'tests' in v)) or ('estimate' not in v or (not (isinstance(v['estimate'], str) or is_whole(v['estimate']))))) if isinstance(v, dict) else True)
    def f65(v): return ((not isinstance(v, str)) or p6.match(v))
    def f66(v): return ((isinstance(v, str) and (len(v) <= 100 and p15.search(v))) or isinstance(v, (int, float)))
    def f67(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(_axisItem, v))))
    def f68(v): return (isinstance(v, dict) and (v and all(map(_variableName, v)) and all(map(f67, v.values()))))
    def f69(v): return (isinstance(v, dict) and (v and all(map(_scalar, v.values()))))
    def f70(v): return (isinstance(v, list) and all(map(f69, v)))
    def f71(v): return (isinstance(v, dict) and (v and all(map(_variableName, v)) and all(map(_axisItem, v.values()))))
    def f72(v): return (isinstance(v, list) and (v and all(map(f71, v))))
    def f73(v): return (not is_whole(v))
    def f74(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'binary' not in v and 'target_id' not in v))
    def f75(v): return (((is_whole(v) and (v >= 0 and v <= 999999999999999999)) or (isinstance(v, str) and p16.match(v))) or _unknown(v))
    def f76(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'bundle_id' not in v and 'environment' not in v and ('target_id' not in v or f75(v['target_id']))))
    def f77(v): return (isinstance(v, bool) or _template(v))
    def f78(v): return ((isinstance(v, str) and p9.match(v)) or _unknown(v))
    def f79(v): return ((not isinstance(v, str)) or p16.match(v))
    def f80(v): return (isinstance(v, dict) and (v and all(map(f79, v)) and all(map(f78, v.values()))))
    def f81(v): return ((not ('binary' in v or 'target_id' in v)) if isinstance(v, dict) else False)
    def f82(v): return ((not isinstance(v, dict)) or ('app_id' not in v and 'set_current' not in v and 'build_name' not in v))
    def f83(v): return ((isinstance(v, str) and p17.match(v)) or _unknown(v))
    def f84(v): return ((isinstance(v, str) and v in ('fast', 'deep')) or _template(v))
    def f85(v): return ((isinstance(v, str) and v in ('iphone', 'ipad')) or _template(v))
    def f86(v): return ((isinstance(v, str) and v in ('production', 'staging', 'preview', 'custom')) or _template(v))
    def f87(v): return ((isinstance(v, str) and v in ('eu-north1', 'us-west1')) or _template(v))
    def f88(v): return ((isinstance(v, str) and (v and len(v) <= 500)) or _template(v))
    def f89(v): return ((isinstance(v, str) and len(v) <= 5000) or _template(v))
    def f90(v): return ((isinstance(v, str) and (v and len(v) <= 255)) or _template(v))
    def f91(v): return ((is_whole(v) and (v >= 60 and v <= 604800)) or _template(v))
    def f92(v): return ((not isinstance(v, dict)) or ('target_id' not in v or ((isinstance(v['target_id'], str) and p17.match(v['target_id'])) or _unknown(v['target_id']))))
    def f93(v): return ((not isinstance(v, dict)) or ('web_url' not in v and 'binary_url' not in v and 'bundle_id' not in v))
    def f94(v): return ((not isinstance(v, dict)) or ('environment_label' not in v and 'build_id' not in v and 'artifact_filename' not in v and 'simulator_region' not in v and 'title' not in v and 'description' not in v and 'base_branch' not in v))
    def f95(v): return ((not isinstance(v, dict)) or ('mode' not in v and 'simulator_region' not in v and 'title' not in v and 'description' not in v and 'base_branch' not in v))
    def f96(v): return ((not isinstance(v, dict)) or ('binary_url' not in v and 'binary' not in v and 'target_id' not in v and 'bundle_id' not in v))
    def f97(v): return ((not isinstance(v, dict)) or ('mode' not in v and 'device_model' not in v and 'project_environment_id' not in v and 'environment_label' not in v))
    def _variants(v): return (isinstance(v, dict) and (v and all(map(f65, v)) and all(map(_variant, v.values()))))
    def f99(v): return (isinstance(v, list) and (v and len(v) <= 100 and all(map(_text, v))))
    def f100(v): return (isinstance(v, dict) and (all(map(_variableName, v)) and all(map(_plain, v.values()))))
    def f101(v): return ((isinstance(v, dict) and members(v, t18)) and _oneSelectionAtMost(v))
    def f102(v): return (is_whole(v) and v >= 0)
    def f103(v): return v in ('pass', 'fail')
    def f104(v): return (isinstance(v, dict) and members(v, t19))
    def f105(v): return ((not isinstance(v, str)) or p7.match(v))
    def f106(v): return (isinstance(v, dict) and (v and all(map(f105, v)) and all(map(f101, v.values()))))
    def _profile(v): return (isinstance(v, dict) and members(v, t20))
    def f108(v): return (is_number(v) and v == 1)
    def f109(v): return ((not isinstance(v, str)) or p14.match(v))
    def f110(v): return (isinstance(v, dict) and members(v, t21))
    def f111(v): return ((isinstance(v, str) and p18.search(v)) or _template(v))
    def f112(v): return (isinstance(v, dict) and members(v, t22))
    def f113(v): return (isinstance(v, str) and p3.match(v))
    def f114(v): return (isinstance(v, str) and p20.match(v))
    def f115(v): return (isinstance(v, dict) and 'matrix' not in v)
    def f116(v): return (isinstance(v, dict) and members(v, t24))
    def f117(v): return (isinstance(v, dict) and members(v, t25))
    def f118(v): return (isinstance(v, dict) and members(v, t26))
    def f119(v): return (isinstance(v, dict) and members(v, t27))
    def f120(v): return ((isinstance(v, dict) and all(map(f109, v))) and members(v, t28, rest=_settings))
    def f121(v): return ((is_number(v) and v >= 0) or (isinstance(v, str) and p19.match(v)))
    def f122(v): return (isinstance(v, dict) and (all(map(f109, v)) and all(map(f102, v.values()))))
    def f123(v): return (isinstance(v, dict) and members(v, t29))
    def f124(v): return ((not isinstance(v, str)) or v)
    def f125(v): return (isinstance(v, dict) and (v and all(map(f124, v)) and all(map(f101, v.values()))))
    def f126(v): return (isinstance(v, str) and p14.match(v))
    def f127(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f126, v))))
    def f128(v): return (isinstance(v, str) and p21.match(v))
    def f129(v): return (isinstance(v, list) and (v and is_unique(v) and all(map(f128, v))))
    def f130(v): return (isinstance(v, dict) and (v and members(v, t30)))
    def _base(v): return (isinstance(v, dict) and members(v, t31, free=p22))
    def _axisItem(v): return ((isinstance(v, dict) and ('name' in v and all(map(_variableName, v)) and members(v, t12, rest=_scalar))) or (isinstance(v, str) and (len(v) <= 100 and p15.search(v))) or isinstance(v, (int, float)))
    def f140(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _doksiRules(v))
    def f141(v): return (not (isinstance(v, dict) and 'vendor' in v))
    def f142(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _docketqaRules(v))
    def f143(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _testerarmyRules(v))
    def f144(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _certynRules(v))
    def _entry(v): return ((isinstance(v, dict) and ('id' in v and members(v, t32))) and (_oneSelectionAtMost(v) and _noEstimate(v) and _vendorOfEntry(v)))
    def _variant(v): return (((isinstance(v, dict) and members(v, t13)) or v is None) and (_oneSelectionAtMost(v) and _noEstimate(v) and _ownVendor(v)))
    def _row(v): return ((isinstance(v, dict) and (('id' in v and 'vendor' in v) and members(v, t33))) and ((_oneSelectionAtMost(v) if _chosenByOptions(v) else (bool('test_ids' in v) + bool('category_ids' in v) + bool('tags' in v) + bool('tests' in v) + bool('categories' in v) == 1)) and _noEstimate(v) and _ownVendor(v)))
    def _oneSelectionAtMost(v): return (not (isinstance(v, dict) and (('test_ids' in v and 'category_ids' in v) or ('test_ids' in v and 'tags' in v) or ('category_ids' in v and 'tags' in v) or ('tests' in v and 'test_ids' in v) or ('tests' in v and 'category_ids' in v) or ('tests' in v and 'tags' in v) or ('tests' in v and 'categories' in v) or ('categories' in v and 'test_ids' in v) or ('categories' in v and 'category_ids' in v) or ('categories' in v and 'tags' in v))))
    def _someVariantHasVendor(v): return ((not isinstance(v, dict)) or ('variants' in v and (isinstance(v['variants'], dict) and (not all(map(f141, v['variants'].values()))))))
    def _otherRules(v): return ((not isinstance(v, dict)) or (('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or all(map(f73, v['test_ids'])))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or all(map(f73, v['category_ids']))))))
    def _vendorDefaults(v): return (((isinstance(v, dict) and members(v, t18)) and _oneSelectionAtMost(v)) and ((not isinstance(v, dict)) or 'vendor' not in v))
    def _amount(v): return (((is_number(v) and (v >= 0 and v <= 999999999)) or (isinstance(v, str) and p19.match(v))) or _template(v))
    def _price(v): return ((isinstance(v, dict) and ('currency' in v and members(v, t23))) and ((not 'currency' in v) or len(v) >= 2))
    def _settings(v): return (isinstance(v, dict) and (('poll' not in v or (isinstance(v['poll'], dict) and members(v['poll'], t21))) and ('rate' not in v or (isinstance(v['rate'], dict) and members(v['rate'], t22))) and ('max_in_flight' not in v or ((is_whole(v['max_in_flight']) and v['max_in_flight'] >= 1) or _template(v['max_in_flight']))) and ('api_key_env' not in v or (isinstance(v['api_key_env'], str) and p3.match(v['api_key_env']))) and ('defaults' not in v or _vendorDefaults(v['defaults'])) and ('price' not in v or _price(v['price']))))
    def _vendor(v): return (v in ('doksi', 'docketqa', 'testerarmy', 'certyn') or (isinstance(v, str) and p14.match(v)) or v is None)
    def f164(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _doksiEntry(v))
    def f165(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _docketqaEntry(v))
    def f166(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _testerarmyEntry(v))
    def f167(v): return (((not isinstance(v, dict)) or 'vendor' in v) or _certynEntry(v))
    def _vendorOfDefaults(v): return ((((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'doksi')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f164, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'docketqa')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f165, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'testerarmy')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f166, v['matrix']))))) and ((not ('defaults' in v and (isinstance(v['defaults'], dict) and ('vendor' in v['defaults'] and v['defaults']['vendor'] == 'certyn')))) or ('matrix' not in v or ((not isinstance(v['matrix'], list)) or all(map(f167, v['matrix'])))))) if isinstance(v, dict) else True)
    def _vendorOfEntry(v): return ((((not ('vendor' in v and v['vendor'] == 'doksi')) or _doksiEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'docketqa')) or _docketqaEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'testerarmy')) or _testerarmyEntry(v)) and ((not ('vendor' in v and v['vendor'] == 'certyn')) or _certynEntry(v))) if isinstance(v, dict) else True)
    def _ownVendor(v): return ((((not ('vendor' in v and v['vendor'] == 'doksi')) or _doksiRules(v)) and ((not ('vendor' in v and v['vendor'] == 'docketqa')) or _docketqaRules(v)) and ((not ('vendor' in v and v['vendor'] == 'testerarmy')) or _testerarmyRules(v)) and ((not ('vendor' in v and v['vendor'] == 'certyn')) or _certynRules(v))) if isinstance(v, dict) else True)
    def _chosenByOptions(v): return (((('vendor' in v and 'options' in v) and (v['vendor'] == 'testerarmy' and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and (not v['options']['pull_request'] is False))))) or (('vendor' in v and 'options' in v) and (v['vendor'] == 'certyn' and ((not isinstance(v['options'], dict)) or 'instruction' in v['options'])))) if isinstance(v, dict) else True)
    def _doksiEntry(v): return (((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f140, v['variants'].values()))))) and (_someVariantHasVendor(v) or _doksiRules(v)))
    def _doksiRules(v): return (((('platform' not in v or (not v['platform'] == 'ios')) and ('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('tests' not in v or (not isinstance(v['tests'], (dict, list, str)))) and ('categories' not in v or (not isinstance(v['categories'], (dict, list, str)))) and ('target' not in v or ((not isinstance(v['target'], dict)) or ('bundle_id' not in v['target'] and 'environment' not in v['target']))) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t14)))) and _otherRules(v) and ('variants' in v or _doksiRows(v))) if isinstance(v, dict) else True)
    def _doksiRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or f74(v['target']))) and ((not ('platform' in v and v['platform'] == 'android')) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target'])))) if isinstance(v, dict) else True)
    def _docketqaEntry(v): return (((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f142, v['variants'].values()))))) and (_someVariantHasVendor(v) or _docketqaRules(v)))
    def _docketqaRules(v): return (((('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or (len(v['category_ids']) <= 1 and all(map(f75, v['category_ids']))))) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and v['artifacts']))) and ('target' not in v or f76(v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t15))) and ('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or all(map(f75, v['test_ids']))))) and (((not 'test_ids' in v) or (('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or ('login_url' not in v['options'] and 'test_urls' not in v['options']))))) and ((not ('target' in v and f81(v['target']))) or ('options' not in v or f82(v['options']))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'target_id' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'build_name' not in v['options']))) and ('variants' in v or _docketqaRows(v)))) if isinstance(v, dict) else True)
    def _docketqaRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or ((not isinstance(v['target'], dict)) or ('binary' not in v['target'] and 'target_id' not in v['target'])))) and ((not ('platform' in v and v['platform'] in ('android', 'ios'))) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target']))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'binary' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('set_current' not in v['options'] or (not v['options']['set_current'] is False))))) and ((not ('target' in v and ((not isinstance(v['target'], dict)) or 'target_id' in v['target']))) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('set_current' not in v['options'] or (not v['options']['set_current'] is False)))))) if isinstance(v, dict) else True)
    def _testerarmyEntry(v): return (((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f143, v['variants'].values()))))) and (_someVariantHasVendor(v) or _testerarmyRules(v)))
    def _testerarmyRules(v): return (((('tags' not in v or (not isinstance(v['tags'], (dict, list, str)))) and ('test_ids' not in v or ((not isinstance(v['test_ids'], list)) or (len(v['test_ids']) <= 1 and all(map(f83, v['test_ids']))))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or (len(v['category_ids']) <= 1 and all(map(f83, v['category_ids']))))) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and v['artifacts']))) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t16))) and ('target' not in v or f92(v['target']))) and _otherRules(v) and (((not ('test_ids' in v and (not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))))) or (('target' not in v or f93(v['target'])) and ('options' not in v or f94(v['options'])))) and ((not ('category_ids' in v and (not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))))) or ('options' not in v or f95(v['options']))) and ((not ('target' in v and (not ((not isinstance(v['target'], dict)) or 'binary_url' in v['target'])))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'artifact_filename' not in v['options']))) and ((not ('target' in v and (not ((not isinstance(v['target'], dict)) or 'binary' in v['target'])))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'remove_after' not in v['options']))) and ((not (('target' in v and ((not isinstance(v['target'], dict)) or 'environment' in v['target'])) and (not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'project_environment_id' not in v['options']))) and ('variants' in v or _testerarmyRows(v)))) if isinstance(v, dict) else True)
    def _testerarmyRows(v): return ((((not ('platform' in v and v['platform'] == 'web')) or ('target' not in v or f96(v['target']))) and ((not ('platform' in v and v['platform'] in ('android', 'ios'))) or ('target' not in v or ((not isinstance(v['target'], dict)) or 'web_url' not in v['target']))) and ((not ('options' in v and ((not isinstance(v['options'], dict)) or ('pull_request' in v['options'] and v['options']['pull_request'] is True)))) or ('test_ids' not in v and 'category_ids' not in v and ('target' not in v or ((not isinstance(v['target'], dict)) or 'environment' not in v['target'])) and ('options' not in v or f97(v['options'])))) and ((not ('platform' in v and v['platform'] == 'web')) or ('options' not in v or ((not isinstance(v['options'], dict)) or ('build_id' not in v['options'] and 'simulator_region' not in v['options'])))) and ((not ('platform' in v and v['platform'] in ('web', 'android'))) or ('options' not in v or ((not isinstance(v['options'], dict)) or 'device_model' not in v['options'])))) if isinstance(v, dict) else True)
    def _certynEntry(v): return (((not isinstance(v, dict)) or ('variants' not in v or ((not isinstance(v['variants'], dict)) or all(map(f144, v['variants'].values()))))) and (_someVariantHasVendor(v) or _certynRules(v)))
    def _certynRules(v): return (((not isinstance(v, dict)) or (('platform' not in v or (not v['platform'] in ('android', 'ios'))) and ('test_ids' not in v or (not isinstance(v['test_ids'], (dict, list, str)))) and ('tests' not in v or (not isinstance(v['tests'], (dict, list, str)))) and ('category_ids' not in v or ((not isinstance(v['category_ids'], list)) or len(v['category_ids']) <= 1)) and ('artifacts' not in v or (not (isinstance(v['artifacts'], list) and v['artifacts']))) and ('target' not in v or f96(v['target'])) and ('options' not in v or ((not isinstance(v['options'], dict)) or members(v['options'], t17))))) and _otherRules(v))
    def f191(v): return (isinstance(v, str) and p23.search(v))
    def f192(v): return (isinstance(v, dict) and (all(map(_variableName, v)) and all(map(_variable, v.values()))))
    def f193(v): return (isinstance(v, str) and p24.match(v))
    def f194(v): return (isinstance(v, list) and (v and len(v) <= 100 and is_unique(v) and all(map(f193, v))))
    def f195(v): return (isinstance(v, dict) and (v and len(v) <= 100 and all(map(f65, v)) and all(map(_profile, v.values()))))
    def f196(v): return (isinstance(v, list) and (v and all(map(_entry, v))))
    def f197(v): return v in ('json', 'junit', 'ctrf', 'markdown', 'html', 'slack')
    def f198(v): return (isinstance(v, str) and (v and len(v) <= 500 and p25.match(v)))
    def f199(v): return (isinstance(v, dict) and (('format' in v and 'path' in v) and members(v, t34)))
    def f200(v): return (isinstance(v, list) and (len(v) <= 20 and all(map(f199, v))))
    def f201(v): return ((isinstance(v, dict) and ('version' in v and members(v, t35, free=p22))) and (('include' in v or 'matrix' in v) and _vendorOfDefaults(v)))
    def f202(v): return ((('matrix' not in v or (isinstance(v['matrix'], list) and (v['matrix'] and all(map(_entry, v['matrix']))))) and (('include' in v or 'matrix' in v) and _vendorOfDefaults(v))) if isinstance(v, dict) else True)
    def f203(v): return (isinstance(v, dict) and members(v, t33))
    def f204(v): return ((('id' in v and 'vendor' in v) and ((_oneSelectionAtMost(v) if _chosenByOptions(v) else (bool('test_ids' in v) + bool('category_ids' in v) + bool('tags' in v) + bool('tests' in v) + bool('categories' in v) == 1)) and _noEstimate(v) and _ownVendor(v))) if isinstance(v, dict) else True)
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
    t12 = {'name': f66}
    t13 = {'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths, 'axes': f68, 'exclude': f70, 'include': f72}
    t14 = {}
    t15 = {'app_id': _countOrTemplate, 'set_current': f77, 'build_name': _text, 'login_url': f78, 'test_urls': f80}
    t16 = {'mode': f84, 'device_model': f85, 'project_environment_id': f83, 'environment_label': f86, 'build_id': _text, 'artifact_filename': _text, 'simulator_region': f87, 'pull_request': f77, 'title': f88, 'description': f89, 'base_branch': f90, 'remove_after': f91}
    t17 = {'instruction': _text}
    t18 = {'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths}
    t19 = {'min_tests': f102, 'on_skipped': f103, 'max_quarantined': f102}
    t20 = {'description': _textOrNothing, 'extends': _id, 'select': f99, 'vars': f100, 'defaults': f101, 'gate': f104, 'entries': f106}
    t21 = {'every': _durationOrTemplate, 'max': _durationOrTemplate}
    t22 = {'reads': f111, 'creates': f111, 'all': f111}
    t23 = {'per_test': _amount, 'per_run': _amount, 'currency': f114}
    t24 = {'poll': f110, 'rate': f112, 'max_in_flight': _countOrTemplate, 'api_key_env': f113, 'defaults': _vendorDefaults, 'price': _price, 'extra': f115}
    t25 = {'poll': f110, 'rate': f112, 'max_in_flight': _countOrTemplate, 'api_key_env': f113, 'defaults': _vendorDefaults, 'price': _price}
    t26 = {'poll': f110, 'rate': f112, 'max_in_flight': _countOrTemplate, 'api_key_env': f113, 'defaults': _vendorDefaults, 'price': _price, 'project': _text}
    t27 = {'poll': f110, 'rate': f112, 'max_in_flight': _countOrTemplate, 'api_key_env': f113, 'defaults': _vendorDefaults, 'price': _price, 'project': _text, 'environment': _text, 'details': f77}
    t28 = {'doksi': f116, 'docketqa': f117, 'testerarmy': f118, 'certyn': f119}
    t29 = {'max_tests': f102, 'max_cost': f121, 'count_retries': f14, 'per_vendor': f122}
    t30 = {'max_tests': f102, 'max_cost': f121, 'vendors': f127, 'hosts': f129, 'quarantine_days': f102}
    t31 = {'version': f108, 'description': _textOrNothing, 'defaults': f101, 'vendors': f120, 'gate': f104, 'budget': f123, 'entries': f125, 'limits': f130}
    t32 = {'id': _id, 'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _quarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths, 'variants': _variants, 'axes': f68, 'exclude': f70, 'include': f72}
    t33 = {'id': _rowId, 'name': _textOrNothing, 'description': _textOrNothing, 'labels': _labels, 'owner': _textOrNothing, 'vendor': _vendor, 'platform': _platform, 'target': _target, 'test_ids': _testIds, 'category_ids': _categoryIds, 'tags': _tags, 'tests': _testNames, 'categories': _categoryNames, 'artifacts': _artifacts, 'options': _options, 'timeout': _timeout, 'allow_failure': _allowFailure, 'retries': _retries, 'quarantine': _wholeQuarantine, 'estimate': _estimate, 'needs': _needs, 'if': _allowFailure, 'paths': _paths}
    t34 = {'format': f197, 'path': f198}
    t35 = {'version': f108, 'name': _text, 'requires': f191, 'env': f192, 'vars': f100, 'vendors': f120, 'defaults': f101, 'include': f194, 'profiles': f195, 'matrix': f196, 'gate': f104, 'reports': f200, 'budget': f123}
    return {'manifest': f201, 'entry': _entry, 'variant': _variant, 'defaults': f101, 'row': _row, 'base': _base, 'matrix': f202, 'values': f203, 'rules': f204}
