"""Pictures, plots, fonts, documents."""

import io


def pillow():
    """Draws, resizes, writes and reads PNG, JPEG and WebP"""
    from PIL import Image, ImageChops, ImageDraw, ImageFilter
    picture = Image.new('RGB', (64, 48), 'white')
    ImageDraw.Draw(picture).rectangle((10, 10, 30, 30), fill='red')
    for format in ('PNG', 'JPEG', 'WEBP'):
        picture.save(file := io.BytesIO(), format)
        file.seek(0)
        again = Image.open(file).convert('RGB')
        assert again.size == (64, 48)
        if format == 'PNG':
            assert ImageChops.difference(again, picture).getbbox() is None
    assert picture.resize((32, 24)).getpixel((10, 10)) == (255, 0, 0)
    assert picture.filter(ImageFilter.GaussianBlur(2)).size == picture.size


def matplotlib():
    """Plots lines, text and a contour, without a display, as PNG, SVG and PDF"""
    import numpy as np
    from matplotlib.figure import Figure
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.plot([1, 2, 3], [3, 1, 2], label='spam')
    left.set_title('eggs $x^2$')
    left.legend()
    x, y = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 20))
    right.contourf(x, y, x * x + y * y)
    for format, start in (('png', b'\x89PNG'), ('svg', b'<?xml'), ('pdf', b'%PDF')):
        figure.savefig(file := io.BytesIO(), format=format)
        assert file.getvalue().startswith(start) and len(file.getvalue()) > 5000


def contourpy():
    """The lines and areas of a contour plot, of several algorithms"""
    import contourpy as cp
    import numpy as np
    x, y = np.meshgrid(np.linspace(-2, 2, 50), np.linspace(-2, 2, 50))
    for name in 'serial', 'threaded':
        lines = cp.contour_generator(x, y, x * x + y * y, name=name,
                                     line_type=cp.LineType.Separate).lines(1)
        points = np.concatenate(lines)
        assert np.allclose(np.hypot(*points.T), 1, atol=0.01), name


def kiwisolver():
    """Solves constraints, and sees that some cannot be"""
    import kiwisolver as kiwi
    x, y = kiwi.Variable('x'), kiwi.Variable('y')
    solver = kiwi.Solver()
    solver.addConstraint(x >= 10)
    solver.addConstraint(y == x + 5)
    solver.updateVariables()
    assert (x.value(), y.value()) == (10, 15)
    try:
        solver.addConstraint(y <= 0)
    except kiwi.UnsatisfiableConstraint:
        return
    raise AssertionError('what cannot be satisfied was')


def fonttools():
    """Bezier curves, in compiled code; makes a font and reads it"""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.misc import bezierTools
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import TTFont
    assert bezierTools.__file__.endswith('.so')
    assert bezierTools.splitCubicAtT((0, 0), (0, 1), (1, 1), (1, 0), 0.5)[0][-1] == (0.5, 0.75)
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(['.notdef', 'A'])
    builder.setupCharacterMap({65: 'A'})
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 700))
    pen.lineTo((500, 0))
    pen.closePath()
    builder.setupGlyf({'.notdef': TTGlyphPen(None).glyph(), 'A': pen.glyph()})
    builder.setupHorizontalMetrics({'.notdef': (500, 0), 'A': (600, 0)})
    builder.setupHorizontalHeader()
    builder.setupPost()
    builder.save(file := io.BytesIO())
    file.seek(0)
    assert TTFont(file).getBestCmap() == {65: 'A'}


def opencv_python_headless():
    """Filters, finds contours, encodes and decodes"""
    import cv2
    import numpy as np
    picture = np.zeros((100, 100), np.uint8)
    cv2.rectangle(picture, (20, 20), (60, 70), 255, -1)
    contours, _ = cv2.findContours(picture, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    assert cv2.boundingRect(contours[0]) == (20, 20, 41, 51)
    assert cv2.GaussianBlur(picture, (5, 5), 0).max() == 255
    done, encoded = cv2.imencode('.png', picture)
    assert done and (cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) == picture).all()
    try:
        cv2.resize(picture, (0, 0))
    except cv2.error:
        return
    raise AssertionError('resized to nothing')


def pikepdf():
    """Makes a document, writes and reads it"""
    import pikepdf as pp
    with pp.new() as document:
        document.add_blank_page(page_size=(200, 100))
        document.Root.Spam = pp.Dictionary(Eggs=pp.Array([1, 2, 3]))
        document.save(file := io.BytesIO())
    file.seek(0)
    with pp.open(file) as document:
        assert len(document.pages) == 1
        assert [int(n) for n in document.Root.Spam.Eggs] == [1, 2, 3]
