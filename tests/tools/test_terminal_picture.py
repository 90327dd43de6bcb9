"""tools/terminal_picture.py: text in, SVG out."""

import subprocess
import sys
import xml.etree.ElementTree as ET


def test_every_line_is_in_the_picture(root):
    lines = ['first  line', '', '<angle> & "quote"']
    done = subprocess.run([sys.executable, root / 'tools/terminal_picture.py', '$ command'],
                          input='\n'.join(lines) + '\n', text=True, capture_output=True, check=True)
    picture = ET.fromstring(done.stdout)
    texts = picture.findall('.//{http://www.w3.org/2000/svg}text')
    assert [text.text for text in texts] == ['$ command', lines[0], lines[2]]
    bottom = float(picture.get('height'))
    assert all(0 < float(text.get('y')) < bottom for text in texts)
