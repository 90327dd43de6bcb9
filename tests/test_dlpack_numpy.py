"""Memory goes to numpy and comes from it by DLPack, without a copy."""

import gc
import weakref

import interpreters
import pytest

numpy = pytest.importorskip('numpy')

DTYPES = 'b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16'.split()


def address(array):
    return array.__array_interface__['data'][0]


def arrays(dtype):
    base = numpy.arange(24).astype(dtype).reshape(2, 3, 4)
    return [base, base[::-1, ::2], base.T, base[0, 0, 0:0], base[1:, 1, :1].reshape(())]


@pytest.mark.parametrize('dtype', DTYPES)
def test_there_and_back(dtype):
    for array in arrays(dtype):
        back = numpy.from_dlpack(interpreters.to_dlpack(interpreters.from_dlpack(array)))
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        assert array.size == 0 or address(back) == address(array)


def test_read_only_memory_stays_read_only():
    array = numpy.arange(3)
    array.flags.writeable = False
    view = interpreters.from_dlpack(array)
    assert view.readonly
    assert not numpy.from_dlpack(interpreters.to_dlpack(view)).flags.writeable


def test_array_lives_as_long_as_its_views():
    array = numpy.arange(1000.0)
    alive = weakref.ref(array)
    view = interpreters.from_dlpack(array)
    del array
    gc.collect()
    assert alive() is not None
    assert view[999] == 999.0
    del view
    assert alive() is None


def test_memory_stays_exported_as_long_as_the_array():
    data = bytearray(80)
    array = numpy.from_dlpack(interpreters.to_dlpack(memoryview(data).cast('d')))
    array[:] = 1.5
    assert memoryview(data).cast('d').tolist() == [1.5] * 10
    with pytest.raises(BufferError):
        data.append(1)
    del array
    data.append(1)


def test_last_view_is_released_in_another_interpreter():
    array = numpy.arange(5)
    alive = weakref.ref(array)
    with interpreters.create() as interp:
        interp.prepare_main(view=interpreters.from_dlpack(array))
        interp.exec('view[0] = 9')
        assert array.tolist() == [9, 1, 2, 3, 4]
        del array
        gc.collect()
        assert alive() is not None
        interp.exec('del view')
        assert alive() is None


def test_what_numpy_does_not_pass_on():
    for array in numpy.array([object()]), numpy.arange(3).astype('>i4'), numpy.array(['a']):
        with pytest.raises((BufferError, TypeError)):
            interpreters.from_dlpack(array)
