"""Images of Pillow are shared without a copy.

Where Pillow cannot be imported, as in interpreters that are strict about extensions, images
arrive as memoryviews.
"""

import gc
import sys

import pytest

interpreters = pytest.importorskip('interpreters')
Image = pytest.importorskip('PIL.Image')

MODES = ['1', 'L', 'P', 'RGB', 'RGBA', 'RGBX', 'RGBa', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'LA', 'La', 'PA',
         'I', 'F', 'I;16', 'I;16L', 'I;16B', 'I;16N']


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()                    # exceptions refer to frames, and these to images
    assert interpreters.list_shared() == []


def round_trip(obj):
    recv, send = interpreters.create_channel(None)
    send.send(obj)
    return recv.recv()


def image_of(mode, size):
    """An image with different pixels."""
    image = Image.new(mode, size)
    raw = bytes(i * 7 % 256 for i in range(len(image.tobytes())))
    if raw:
        image.frombytes(raw)
    if mode in ('P', 'PA'):
        image.putpalette([i * 5 % 256 for i in range(768)])
    return image


@pytest.mark.parametrize('size', [(1, 1), (5, 3), (3, 5), (640, 480), (0, 0), (0, 4), (4, 0)], ids=str)
@pytest.mark.parametrize('mode', MODES)
def test_modes_and_sizes(mode, size):
    image = image_of(mode, size)
    got = round_trip(interpreters.share(image))
    assert type(got) is Image.Image
    assert (got.mode, got.size) == (image.mode, image.size)
    assert got.tobytes() == image.tobytes()
    assert got.getpalette() == image.getpalette()
    assert got.getbands() == image.getbands()
    if mode in ('P', 'PA') and all(size):
        assert got.convert('RGBA').tobytes() == image.convert('RGBA').tobytes()


@pytest.mark.parametrize('mode, colour', [
    ('1', 255), ('L', 77), ('P', 3), ('RGB', (1, 2, 3)), ('RGBA', (1, 2, 3, 4)), ('CMYK', (4, 3, 2, 1)),
    ('LA', (7, 8)), ('I', -70000), ('F', 0.5), ('I;16', 40000), ('I;16B', 40000)])
def test_what_the_owner_writes_is_seen(mode, colour):
    image = Image.new(mode, (5, 3))
    got = round_trip(interpreters.share(image))
    assert got.getpixel((4, 2)) != colour
    image.putpixel((4, 2), colour)
    assert got.getpixel((4, 2)) == colour


def test_an_image_that_arrived_is_copied_when_it_is_written():
    # As with all memory that Pillow has from others.
    image = image_of('L', (5, 3))
    before = image.tobytes()
    got = round_trip(interpreters.share(image))
    assert got.readonly
    got.putpixel((0, 0), 200)
    assert got.getpixel((0, 0)) == 200
    assert image.tobytes() == before
    image.putpixel((1, 0), 201)
    assert got.getpixel((1, 0)) != 201


def test_memory_is_kept_by_any_user():
    image = image_of('RGB', (50, 30))
    raw = image.tobytes()
    got = round_trip(interpreters.share(image))
    del image
    assert got.tobytes() == raw
    again = round_trip(interpreters.share(got))
    del got
    assert again.tobytes() == raw
    part = again.crop((1, 1, 3, 3))
    del again
    assert interpreters.list_shared() == []
    assert part.size == (2, 2)


def test_closed_image():
    image = image_of('L', (5, 3))
    raw = image.tobytes()
    shared = interpreters.share(image)
    image.close()
    assert round_trip(shared).tobytes() == raw
    del shared
    with pytest.raises(ValueError):
        interpreters.share(image)


def test_info_and_palette():
    image = image_of('P', (5, 3))
    image.putpalette([1, 2, 3, 4, 5, 6, 7, 8], 'RGBA')
    image.info['transparency'] = 1
    image.info['dpi'] = 72, 72
    got = round_trip(interpreters.share(image))
    assert got.info == image.info
    assert got.getpalette('RGBA') == image.getpalette('RGBA')
    assert got.palette.mode == 'RGBA'
    got.info['dpi'] = None
    assert image.info['dpi'] == (72, 72)


def test_images_from_files(tmp_path):
    image_of('L', (300, 200)).save(tmp_path / 'mapped.ppm')     # Pillow maps this one
    image_of('RGB', (300, 200)).save(tmp_path / 'decoded.png')
    for name, readonly in ('mapped.ppm', True), ('decoded.png', False):
        with Image.open(tmp_path / name) as image:
            got = round_trip(interpreters.share(image))
            assert bool(image.readonly) is readonly
            assert type(got) is Image.Image
            assert got.tobytes() == image.tobytes()
        with interpreters.create(extensions='strict') as interp, Image.open(tmp_path / name) as image:
            interp.prepare_main(view=interpreters.share(image), readonly=readonly)
            interp.exec('assert view.readonly is readonly')
            interp.exec('del view')
        image = None


# ---- where Pillow cannot be imported ----

@pytest.mark.parametrize('mode, format, bands', [
    ('1', 'B', None), ('L', 'B', None), ('P', 'B', None), ('RGB', 'B', 4), ('RGBA', 'B', 4), ('LA', 'B', 4),
    ('I', 'i', None), ('F', 'f', None), ('I;16', 'H', None), ('I;16B', '>H', None), ('I;16N', 'H', None)])
def test_arrives_as_memoryview_where_pillow_cannot_be_imported(mode, format, bands):
    if sys.byteorder == 'big':
        format = {'I;16': '<H', 'I;16B': 'H'}.get(mode, format)
    for size in (5, 3), (0, 3), (5, 0):
        image = image_of(mode, size)
        shape = size[::-1] + (() if bands is None else (bands,))
        with interpreters.create(extensions='strict') as interp:
            interp.prepare_main(view=interpreters.share(image), expected=(format, shape, False))
            interp.exec('assert (view.format, view.shape, view.readonly) == expected, view.shape')
            interp.exec('del view')


def test_pixels_in_a_memoryview():
    image = image_of('RGB', (5, 3))
    wide = image_of('I;16', (5, 3))
    with interpreters.create(extensions='strict') as interp:
        interp.prepare_main(view=interpreters.share(image), wide=interpreters.share(wide),
                            pixel=image.getpixel((4, 2)), number=wide.getpixel((4, 2)))
        interp.exec('''if True:
            assert tuple(view[2, 4, band] for band in range(3)) == pixel
            assert wide[2, 4] == number
            view[1, 2, 0] = 99
            wide[1, 2] = 50_000
            del view, wide''')
    assert image.getpixel((2, 1))[0] == 99
    assert wide.getpixel((2, 1)) == 50_000


def test_view_outlives_the_image_and_comes_back():
    image = image_of('RGBA', (5, 3))
    raw = image.tobytes()
    recv, send = interpreters.create_channel(None)
    with interpreters.create(extensions='strict') as interp:
        interp.prepare_main(view=interpreters.share(image), send=send)
        del image
        interp.exec('send.send(view); del view')
        view = recv.recv()
        assert view.tobytes() == raw
        del view
        assert interpreters.list_shared() == []


# ---- what cannot be shared ----

def test_image_of_several_blocks():
    image = Image.new('RGB', (2048, 2100))
    with pytest.raises(interpreters.NotShareableError, match='set_use_block_allocator') as caught:
        interpreters.share(image)
    assert 'contiguous' in str(caught.value)
    Image.core.set_use_block_allocator(1)
    try:
        image.putpixel((2047, 2099), (1, 2, 3))
        got = round_trip(interpreters.share(image.copy()))
    finally:
        Image.core.set_use_block_allocator(0)
    assert got.getpixel((2047, 2099)) == (1, 2, 3)


def test_info_that_cannot_be_sent():
    image = image_of('L', (5, 3))
    image.info['what'] = (_ for _ in ())
    with pytest.raises(TypeError):
        interpreters.share(image)


def test_rows_with_gaps():
    Image.core.set_alignment(64)
    try:
        image = Image.new('L', (5, 3))
    finally:
        Image.core.set_alignment(1)
    with pytest.raises(interpreters.NotShareableError):
        interpreters.share(image)


def test_image_that_was_not_loaded(tmp_path):
    image_of('RGB', (300, 200)).save(tmp_path / 'image.png')
    cut = (tmp_path / 'image.png').read_bytes()[:100]
    (tmp_path / 'image.png').write_bytes(cut)
    with Image.open(tmp_path / 'image.png') as image, pytest.raises(OSError):
        interpreters.share(image)


@pytest.mark.parametrize('mode', ['L', 'RGB', 'F'])
def test_arrives_elsewhere_as_an_image(mode):
    image = Image.linear_gradient('L').resize((5, 3)).convert(mode)
    expected = [image.getpixel((x, y)) for y in range(3) for x in range(5)]
    with interpreters.create() as interp:
        recv, send = interpreters.create_channel(None)
        interp.prepare_main(image=interpreters.share(image), send=send)
        interp.exec('pixels = [image.getpixel((x, y)) for y in range(3) for x in range(5)]\n'
                    'send.send((type(image).__name__, image.mode, image.size, pixels))\n'
                    'del image')
        assert recv.recv() == ('Image', mode, (5, 3), expected)
