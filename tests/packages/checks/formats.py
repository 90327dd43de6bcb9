"""What reads and writes text and binary formats."""

import datetime
import decimal
import io


def lxml():
    """Parses XML and HTML, XPath with a Python function, XSLT, a schema, an error"""
    from lxml import etree, html
    root = etree.fromstring('<a><b x="1">s</b><b x="2"/>t</a>')
    assert root.xpath('//b[@x="2"]')[0].getprevious().text == 's'
    functions = etree.FunctionNamespace('urn:test')
    functions['twice'] = lambda context, n: 2 * n
    assert root.xpath('f:twice(count(b))', namespaces={'f': 'urn:test'}) == 4
    style = etree.XSLT(etree.XML(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/"><c><xsl:value-of select="count(//b)"/></c></xsl:template>'
        '</xsl:stylesheet>'))
    assert style(root).getroot().text == '2'
    schema = etree.RelaxNG(etree.XML(
        '<element name="a" xmlns="http://relaxng.org/ns/structure/1.0"><empty/></element>'))
    assert schema.validate(etree.XML('<a/>')) and not schema.validate(root)
    assert html.fromstring('<p>spam<br>eggs').text_content() == 'spameggs'
    assert [event for event, _ in etree.iterparse(io.BytesIO(b'<a><b/></a>'))] == ['end', 'end']
    try:
        etree.fromstring('<a><b></a>')
    except etree.XMLSyntaxError:
        return
    raise AssertionError('what is not XML was parsed')


def selectolax():
    """Parses HTML, finds by CSS selectors, changes the tree"""
    from selectolax.lexbor import LexborHTMLParser
    text = '<div><p class="a">spam</p><p>eggs</p></div>'
    tree = LexborHTMLParser(text)
    assert tree.css_first('p.a').text() == 'spam'
    assert [node.text() for node in tree.css('p')] == ['spam', 'eggs']
    tree.css_first('p.a').decompose()
    assert tree.body.text() == 'eggs'


def nh3():
    """Cleans HTML, with a filter in Python"""
    import nh3 as cleaner
    assert cleaner.clean('<b onclick="x">a</b><script>b</script>') == '<b>a</b>'
    got = cleaner.clean('<a href="x" title="y">z</a>', link_rel=None,
                        attribute_filter=lambda tag, name, value: None if name == 'title' else value)
    assert got == '<a href="x">z</a>'


def markupsafe():
    """Escapes, in compiled code"""
    import markupsafe as ms
    from markupsafe import _speedups
    assert _speedups._escape_inner('<a&"\'>') == '&lt;a&amp;&#34;&#39;&gt;'
    assert ms.Markup('<b>%s</b>') % '<' == '<b>&lt;</b>'


def pyyaml():
    """Loads and dumps with libyaml, a class of Python, an error with its place"""
    import yaml
    data = {'a': [1, 2.5, None, True], 'when': datetime.date(2020, 1, 2), 'text': 'line\nline\n'}
    text = yaml.dump(data, Dumper=yaml.CSafeDumper)
    assert yaml.load(text, yaml.CSafeLoader) == data
    assert yaml.load('&x [1, {y: 2}, *z]'.replace('*z', '3'), yaml.CSafeLoader) == [1, {'y': 2}, 3]
    try:
        yaml.load('a: 1\n]', yaml.CSafeLoader)
    except yaml.YAMLError as exc:
        assert exc.problem_mark.line == 1
        return
    raise AssertionError('what is not YAML was loaded')


def ruamel_yaml_clib():
    """Loads and dumps with libyaml, under ruamel.yaml"""
    import _ruamel_yaml
    from ruamel.yaml import YAML
    yaml = YAML(typ='safe')
    assert issubclass(yaml.Parser, _ruamel_yaml.CParser)
    data = {'a': [1, 2.5, None, True], 'b': 'line\nline\n'}
    yaml.dump(data, file := io.StringIO())
    assert yaml.load(file.getvalue()) == data


def orjson():
    """Dataclasses, times, numbers, a hook, an error"""
    import dataclasses
    import orjson as oj

    @dataclasses.dataclass
    class Spam:
        n: int
        when: datetime.datetime

    text = oj.dumps([Spam(1, datetime.datetime(2020, 1, 2)), {'x': 1.5, 'é': None}, decimal.Decimal('1.1')],
                    default=str)
    assert oj.loads(text) == [{'n': 1, 'when': '2020-01-02T00:00:00'}, {'x': 1.5, 'é': None}, '1.1']
    try:
        oj.loads('[1,')
    except oj.JSONDecodeError as exc:
        assert exc.pos == 3
        return
    raise AssertionError('what is not JSON was loaded')


def ujson():
    """Text, numbers, nesting, an error"""
    import ujson as uj
    data = {'a': [1, -2.5, 'é', None, True], 'b': {'c': []}}
    assert uj.loads(uj.dumps(data)) == data
    try:
        uj.loads('{')
    except uj.JSONDecodeError:
        return
    raise AssertionError('what is not JSON was loaded')


def simplejson():
    """Decimals, a hook, compiled scanner and encoder"""
    import simplejson as sj
    from simplejson import _speedups, encoder
    assert encoder.c_make_encoder is _speedups.make_encoder
    assert sj.loads('[1.1, {"a": "b"}]', use_decimal=True)[0] == decimal.Decimal('1.1')
    assert sj.dumps({'b': 1, 'a': [None]}, sort_keys=True) == '{"a": [null], "b": 1}'
    assert sj.loads('{"a": 1}', object_pairs_hook=tuple) == (('a', 1),)


def pysimdjson():
    """A document that is read in part"""
    import simdjson
    document = simdjson.Parser().parse(b'{"a": [1, 2, {"b": "c"}], "d": 1.5}')
    assert document.at_pointer('/a/2/b') == 'c'
    assert document['a'].as_list() == [1, 2, {'b': 'c'}]
    del document
    assert simdjson.loads('[1, "x"]') == [1, 'x']


def jiter():
    """JSON, whole and cut off"""
    import jiter as ji
    assert ji.from_json(b'{"a": [1, 2.5, "x", null]}') == {'a': [1, 2.5, 'x', None]}
    assert ji.from_json(b'["spam", "eg', partial_mode='trailing-strings') == ['spam', 'eg']
    assert ji.cache_usage() >= 0


def msgspec():
    """Structs as JSON and MessagePack, validated, an error with its path"""
    import msgspec as ms
    Item = ms.defstruct('Item', [('n', int), ('tags', list[str], [])])
    item = ms.json.decode(b'{"n": 1, "tags": ["a"]}', type=Item)
    assert item == Item(1, ['a'])
    assert ms.msgpack.decode(ms.msgpack.encode(item), type=Item) == item
    try:
        ms.json.decode(b'{"n": "x"}', type=Item)
    except ms.ValidationError as exc:
        assert '$.n' in str(exc)
        return
    raise AssertionError('a string was taken for a number')


def msgpack():
    """Nested data, times, an extension type, a stream"""
    import msgpack as mp
    assert mp.Packer.__module__ == 'msgpack._cmsgpack'
    data = {'a': [1, -2, 2.5, 'é', b'x', None], 'b': {'c': True}}
    assert mp.unpackb(mp.packb(data)) == data
    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
    assert mp.unpackb(mp.packb(when, datetime=True), timestamp=3) == when
    packed = mp.packb({1, 2}, default=lambda obj: mp.ExtType(7, bytes(obj)))
    assert mp.unpackb(packed, ext_hook=lambda code, data: (code, set(data))) == (7, {1, 2})
    unpacker = mp.Unpacker(io.BytesIO(mp.packb(1) + mp.packb([2])))
    assert list(unpacker) == [1, [2]]


def cbor2():
    """Nested data, times, big numbers, an object in itself"""
    import cbor2 as cb
    data = [1, -2 ** 70, 2.5, 'é', b'x', {'a': None}, decimal.Decimal('1.1'),
            datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)]
    assert cb.loads(cb.dumps(data)) == data
    cycle = []
    cycle.append(cycle)
    again = cb.loads(cb.dumps(cycle, value_sharing=True))
    assert again[0] is again


def pydantic():
    """Models with validators in Python, JSON, a schema, errors with their places"""
    import pydantic as pd

    class Item(pd.BaseModel):
        n: int
        when: datetime.date
        name: str = pd.Field(max_length=5)

        @pd.field_validator('name')
        @classmethod
        def upper(cls, value):
            return value.upper()

    item = Item(n='1', when='2020-01-02', name='spam')
    assert item.model_dump() == {'n': 1, 'when': datetime.date(2020, 1, 2), 'name': 'SPAM'}
    assert Item.model_validate_json(item.model_dump_json()) == item
    assert Item.model_json_schema()['required'] == ['n', 'when', 'name']
    assert pd.TypeAdapter(dict[str, list[int]]).validate_python({'a': ['1']}) == {'a': [1]}
    try:
        Item(n='x', when='2020-01-02', name='much too long')
    except pd.ValidationError as exc:
        assert [error['loc'] for error in exc.errors()] == [('n',), ('name',)]
        return
    raise AssertionError('what is invalid was validated')


def charset_normalizer():
    """Finds encodings, in compiled code"""
    import charset_normalizer as cn
    from charset_normalizer import md
    assert md.__file__.endswith('.so')
    text = 'Съешь же ещё этих мягких французских булок, да выпей чаю. ' * 5
    assert cn.from_bytes(text.encode('cp1251')).best().encoding in ('cp1251', 'mac_cyrillic')
    assert str(cn.from_bytes(text.encode()).best()) == text


def faust_cchardet():
    """Finds encodings"""
    import cchardet
    text = 'Съешь же ещё этих мягких французских булок, да выпей чаю. ' * 5
    assert cchardet.detect(text.encode('cp1251'))['encoding'].upper() == 'WINDOWS-1251'
    assert cchardet.detect(text.encode())['encoding'].upper() == 'UTF-8'
