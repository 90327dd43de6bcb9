"""Arrays of numpy, data frames and Arrow columns are shared without a copy.

Both ends of a channel are in the main interpreter, where nothing says otherwise.
"""

import io
import math
import mmap
from multiprocessing import shared_memory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

interpreters = pytest.importorskip('interpreters')
np = pytest.importorskip('numpy')
pd = pytest.importorskip('pandas')
pa = pytest.importorskip('pyarrow')

from hypothesis.extra import numpy as hnp  # noqa: E402


def round_trip(obj):
    recv, send = interpreters.create_channel(None)
    send.send(obj)
    return recv.recv()


def address(array):
    return array.__array_interface__['data'][0]


def assert_same(got, array):
    assert type(got) is np.ndarray
    assert got.dtype == array.dtype
    assert got.dtype.metadata == array.dtype.metadata
    assert got.shape == array.shape
    assert got.flags.writeable == array.flags.writeable
    if array.size:
        # What the stride of an axis of one item is does not matter.
        assert [(n, stride) for n, stride in zip(got.shape, got.strides) if n > 1] == [
            (n, stride) for n, stride in zip(array.shape, array.strides) if n > 1]
        assert address(got) == address(array)
    # NaNs and padding, too.
    raw = np.dtype((np.void, array.dtype.itemsize))
    assert got.view(raw).tobytes() == array.view(raw).tobytes()


cube = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize('array', [
    cube, cube[::-1], cube.T, cube[:, ::2], cube[1:, 1:, ::-2], np.asfortranarray(cube),
    np.broadcast_to(np.arange(3), (4, 3)), np.array(3.5), np.zeros((0, 3)), np.zeros((3, 0, 2)),
], ids=lambda array: f'{array.shape}{array.strides}')
def test_shapes_and_strides(array):
    assert_same(round_trip(interpreters.share(array)), array)


@pytest.mark.parametrize('dtype', [
    '?', 'i1', 'u1', '<i2', '>i2', '<u8', '>f4', 'f2', 'f8', 'g', 'F', 'D', '>D', 'G', 'S3', 'U3', '>U3',
    'V5', 'M8[ns]', '>M8[s]', 'm8[D]', '>m8[ms]', 'M8',
    [('a', 'i4'), ('b', 'f8', (2,))], [('when', 'M8[s]'), ('x', '>f4')],
    np.dtype([('a', 'i1'), ('b', 'f8')], align=True),
    np.dtype({'names': ['x', 'y'], 'formats': ['i4', 'i2'], 'offsets': [0, 2], 'itemsize': 8}),
    np.dtype([(('a title', 'a'), 'i4')]),
    np.dtype('i4', metadata={'unit': 'm'}),
    [('deep', [('er', 'i2', (2, 2)), ('est', 'U2')])],
], ids=str)
def test_dtypes(dtype):
    dtype = np.dtype(dtype)
    raw = bytes(range(1, 7 * dtype.itemsize + 1)) if dtype.kind not in 'U?' else bytes(7 * dtype.itemsize)
    array = np.frombuffer(bytearray(raw), dtype)
    for view in (array, array[::2], array[::-3]):
        assert_same(round_trip(interpreters.share(view)), view)


def test_read_only_stays_read_only():
    array = np.arange(5)
    array.flags.writeable = False
    got = round_trip(interpreters.share(array))
    assert_same(got, array)
    with pytest.raises(ValueError):
        got[0] = 1


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.data())
def test_generated_arrays(data):
    dtype = data.draw(st.one_of(
        hnp.scalar_dtypes(), hnp.nested_dtypes(subtype_strategy=hnp.scalar_dtypes(), max_leaves=4)))
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))
    view = np.asarray(array[index])
    if view.dtype.itemsize:
        assert_same(round_trip(interpreters.share(view)), view)


@pytest.mark.parametrize('before', [False, True])
def test_arrives_elsewhere_as_an_array(before):
    array = np.arange(6, dtype='>i2').reshape(2, 3)[:, ::-1]
    with interpreters.create() as interp:
        interp.exec('import warnings; warnings.simplefilter("error")')
        if before:
            interp.exec('import numpy')
        interp.prepare_main(array=interpreters.share(array))
        interp.exec("assert type(array).__name__ == 'ndarray'")
        interp.exec("assert (array.dtype, array.shape, array.strides) == ('>i2', (2, 3), (6, -2))")
        interp.exec('array += 10')
        assert array.tolist() == [[12, 11, 10], [15, 14, 13]]
        interp.exec('del array')


def test_arrays_made_elsewhere_outlive_their_interpreter():
    def make(n):
        import numpy
        return interpreters.share(numpy.arange(n) * 2.5)
    interp = interpreters.create()
    interp.prepare_main(interpreters=interpreters)
    array = interp.call(make, 1000)
    interp.close()
    assert type(array) is np.ndarray
    assert array.sum() == 2.5 * 999 * 500
    del array
    assert interp.id not in [i.id for i in interpreters.list_all()]


def test_arrives_as_memoryview_where_numpy_cannot_be_imported():
    array = np.arange(6, dtype='>i2').reshape(2, 3)[:, ::-1]
    with interpreters.create(extensions='strict') as interp:
        interp.prepare_main(view=interpreters.share(array))
        interp.exec("assert (view.format, view.shape, view.strides) == ('>h', (2, 3), (6, -2))")
        interp.exec('del view')


def test_subclasses_arrive_as_arrays():
    for array in np.matrix([[1, 2]]), np.rec.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')]):
        got = round_trip(interpreters.share(array))
        assert type(got) is np.ndarray
        assert address(got) == address(array)


def test_what_cannot_be_shared():
    for array in np.array([object()]), np.zeros(2, [('a', 'O')]):
        with pytest.raises(BufferError, match='Python objects'):
            interpreters.share(array)
    with pytest.raises(TypeError, match='masked'):
        interpreters.share(np.ma.array([1, 2], mask=[0, 1]))


def test_array_cannot_be_resized_while_shared():
    array = np.arange(10)
    recv, send = interpreters.create_channel(None)
    send.send(interpreters.share(array))
    with pytest.raises(ValueError):
        array.resize(20)
    recv.close()
    array.resize(20)


def test_moved_arrays_and_views_are_shared():
    array = np.arange(10)
    view = memoryview(array)
    got = round_trip(interpreters.move(view))
    got[0] = 77
    assert array[0] == 77
    with pytest.raises(ValueError):
        view[0]


def test_array_over_a_shared_block():
    block = interpreters.SharedBlock(8 * 1000)
    array = np.frombuffer(block, 'f8')
    array[:] = np.arange(1000)
    got = round_trip(interpreters.share(array))
    assert_same(got, array)
    other = np.frombuffer(round_trip(block), 'f8')
    assert other.sum() == math.comb(1000, 2)


def test_data_frame():
    frame = pd.DataFrame({'x': np.arange(1000.0), 'y': np.arange(1000), 'when': pd.date_range('2020', periods=1000),
                          'name': ['spam', 'eggs'] * 500})
    got = round_trip(interpreters.share(frame))
    pd.testing.assert_frame_equal(got, frame)
    for column in ('x', 'y', 'when'):
        assert np.shares_memory(got[column].to_numpy(), frame[column].to_numpy())
    series = frame['x']
    got = round_trip(interpreters.share(series))
    pd.testing.assert_series_equal(got, series)
    assert np.shares_memory(got.to_numpy(), series.to_numpy())


def test_arrow_columns_and_tables():
    column = pa.array(range(1000), type=pa.int64())
    got = round_trip(interpreters.share(column))
    assert got.equals(column)
    assert got.buffers()[1].address == column.buffers()[1].address
    table = pa.table({'n': column, 's': pa.array([str(i) for i in range(1000)])})
    got = round_trip(interpreters.share(table))
    assert got.equals(table)
    assert got['n'].chunk(0).buffers()[1].address == column.buffers()[1].address
    buffer = pa.py_buffer(b'abc' * 1000)
    assert round_trip(interpreters.share(buffer)) == b'abc' * 1000


def test_exporters_of_the_standard_library():
    with mmap.mmap(-1, 4096) as mapped:
        got = round_trip(interpreters.share(mapped))
        got[:4] = b'mmap'
        assert mapped[:4] == b'mmap'
        with pytest.raises(BufferError):
            mapped.close()
        got.release()
        del got
    stream = io.BytesIO(b'abc')
    got = round_trip(interpreters.share(stream.getbuffer()))
    got[0] = ord('x')
    assert stream.getvalue() == b'xbc'
    with pytest.raises(BufferError):
        stream.truncate(1)
    got.release()
    del got
    stream.truncate(1)
    block = shared_memory.SharedMemory(create=True, size=100)
    try:
        got = round_trip(interpreters.share(block.buf))
        got[0] = 9
        assert block.buf[0] == 9
        got.release()
        del got
    finally:
        block.close()
        block.unlink()
