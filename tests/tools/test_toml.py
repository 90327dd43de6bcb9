import pytest

from ensemble import toml
from ensemble.errors import Stop

tomllib = pytest.importorskip('tomllib')

ACCEPTED = [
    '', '# only a comment', 'a = "b"', 'a="b" # why', '  a-b_1 =\t"x y"  ', 'a = ""',
    '[[t]]\na = "1"\n\n[[t]]\na = "2"\nb = "3"', 'a = "# no comment"\r\nb = "2"\r\n',
    '[[ t ]] # c\na = "é"', 'x = "1"\n[[t]]\n[[u]]\nx = "2"', "a = \"it's\"", 'a = "]["',
]
REFUSED = [
    'a', 'a =', 'a = b', 'a = 1', "a = 'b'", 'a = "b', 'a = "\\n"', 'a = "b" c', '[t', '[t]',
    'a.b = "c"', '"a" = "b"', 'a = "b"\na = "c"', 'a = "b"\n[[a]]', 'a = """b"""',
    'a = ["b"]', 'a = "\x01"',
]


@pytest.mark.parametrize('text', ACCEPTED)
def test_reads_what_tomllib_reads(text):
    assert toml.parse(text, 'x') == tomllib.loads(text)


@pytest.mark.parametrize('text', REFUSED)
def test_refuses_what_it_does_not_know_and_names_the_line(text):
    with pytest.raises(Stop, match=r'x:\d+: '):
        toml.parse(text, 'x')


def test_reads_the_real_file_as_tomllib_does(root):
    text = (root / 'upstream.toml').read_text()
    assert toml.parse(text, 'upstream.toml') == tomllib.loads(text)
