"""Draw what a program printed as a picture of a terminal: text in, SVG out.

    make demo | python3 tools/terminal_picture.py '$ make demo' > Doc/demo.svg
"""

import sys
from xml.sax.saxutils import escape

# In pixels; a character of the monospaced font is about 0.6 of its size wide.
SIZE = 14
WIDTH = SIZE * 0.602
HEIGHT = SIZE * 1.35
MARGIN = 16


def picture(lines):
    """The SVG document (str) that shows the lines."""
    columns = max((len(line) for line in lines), default=0)
    width = round(2 * MARGIN + columns * WIDTH)
    height = round(2 * MARGIN + len(lines) * HEIGHT)
    rows = '\n'.join(
        f'<text x="{MARGIN}" y="{MARGIN + (number + 0.8) * HEIGHT:.1f}" '
        f'xml:space="preserve">{escape(line)}</text>'
        for number, line in enumerate(lines) if line)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">\n'
            f'<rect width="{width}" height="{height}" rx="8" fill="#1c2128"/>\n'
            f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
            f'font-size="{SIZE}" fill="#d6dde6">\n{rows}\n</g>\n</svg>\n')


def main():
    lines = sys.argv[1:] + sys.stdin.read().rstrip('\n').split('\n')
    sys.stdout.write(picture(lines))


if __name__ == '__main__':
    main()
