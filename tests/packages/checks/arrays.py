"""Arrays, numerics, geometry."""

import math
import os
import tempfile


def numpy():
    """Linear algebra, Fourier transforms, random numbers, records, an error"""
    import numpy as np
    matrix = np.arange(16.0).reshape(4, 4) + 5 * np.eye(4)
    assert np.allclose(np.linalg.inv(matrix) @ matrix, np.eye(4))
    assert np.allclose(np.linalg.eigvalsh(matrix + matrix.T).sum(), 2 * np.trace(matrix))
    signal = np.sin(np.arange(64) * 2 * np.pi * 5 / 64)
    assert np.abs(np.fft.rfft(signal)).argmax() == 5
    numbers = np.random.default_rng(1).normal(size=1000)
    assert (numbers == np.random.default_rng(1).normal(size=1000)).all()
    records = np.array([(2, 'b'), (1, 'a')], [('n', 'i4'), ('s', 'U1')])
    assert np.sort(records, order='n')['s'].tolist() == ['a', 'b']
    assert np.array([1, None, 'x'], object)[::-1].tolist() == ['x', None, 1]
    try:
        np.linalg.inv(np.zeros((2, 2)))
    except np.linalg.LinAlgError:
        return
    raise AssertionError('a singular matrix was inverted')


def scipy():
    """linalg, stats, special, optimize, sparse, interpolate, integrate, signal, spatial"""
    import numpy as np
    from scipy import (integrate, interpolate, linalg, optimize, signal, sparse, spatial,
                       special, stats)
    from scipy.sparse.linalg import spsolve
    matrix = np.array([[4.0, 1], [1, 3]])
    p, lower, upper = linalg.lu(matrix)
    assert np.allclose(p @ lower @ upper, matrix)
    assert abs(stats.norm.cdf(1.96) - 0.9750021) < 1e-6
    assert np.allclose(special.gamma([1, 2, 3, 4, 5]), [1, 1, 2, 6, 24])
    assert abs(optimize.brentq(lambda x: x * x - 2, 0, 2) - math.sqrt(2)) < 1e-9
    found = optimize.minimize(optimize.rosen, [0.0, 0.0], method='BFGS')
    assert np.allclose(found.x, 1, atol=1e-3)
    tridiagonal = sparse.diags([1.0, 4.0, 1.0], [-1, 0, 1], (50, 50), format='csc')
    assert np.allclose(tridiagonal @ spsolve(tridiagonal, np.ones(50)), 1)
    x = np.linspace(0, math.pi, 20)
    assert abs(interpolate.CubicSpline(x, np.sin(x))(1.0) - math.sin(1)) < 1e-4
    assert abs(integrate.quad(math.sin, 0, math.pi)[0] - 2) < 1e-9
    path = integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0], rtol=1e-8)
    assert abs(path.y[0, -1] - math.exp(-1)) < 1e-5
    assert np.allclose(signal.convolve([1, 2], [1, 1]), [1, 3, 2])
    assert spatial.cKDTree([[0, 0], [3, 4]]).query([3, 3])[1] == 1


def numexpr():
    """An expression over two arrays, in its own threads"""
    import numexpr as ne
    import numpy as np
    a, b = np.arange(100_000.0), np.ones(100_000)
    assert np.allclose(ne.evaluate('2 * a + sin(b)'), 2 * a + np.sin(b))


def bottleneck():
    """Moving means, and what to do with NaNs"""
    import bottleneck as bn
    import numpy as np
    array = np.array([1, 2, np.nan, 4])
    assert bn.nansum(array) == 7
    assert bn.move_mean(np.arange(4.0), 2)[1:].tolist() == [0.5, 1.5, 2.5]
    assert bn.nanmedian(array) == 2


def numba():
    """Compiles a loop and a ufunc, and runs them"""
    import numba as nb
    import numpy as np

    @nb.njit
    def total(array):
        result = 0.0
        for x in array:
            result += x * x
        return result

    @nb.vectorize([nb.float64(nb.float64)])
    def plus_one(x):
        return x + 1

    assert total(np.arange(10.0)) == 285
    assert plus_one(np.arange(3.0)).tolist() == [1, 2, 3]


def h5py():
    """Writes a compressed file with attributes and reads a part of it"""
    import h5py as h5
    import numpy as np
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'a.h5')
        with h5.File(name, 'w') as file:
            data = file.create_dataset('group/data', data=np.arange(10_000).reshape(100, 100),
                                       chunks=(10, 10), compression='gzip')
            data.attrs['unit'] = 'm'
        with h5.File(name) as file:
            data = file['group/data']
            assert data.attrs['unit'] == 'm'
            assert data[50, 10:13].tolist() == [5010, 5011, 5012]
            assert list(file['group']) == ['data']


def pywavelets():
    """A discrete transform of several levels and back"""
    import numpy as np
    import pywt
    data = np.random.default_rng(2).normal(size=128)
    assert np.allclose(pywt.waverec(pywt.wavedec(data, 'db4', level=3), 'db4'), data)
    assert pywt.cwt(data, [1, 2], 'mexh')[0].shape == (2, 128)


def shapely():
    """Buffers, intersections, well-known text and an index"""
    import shapely as sh
    square = sh.box(0, 0, 2, 2)
    assert square.intersection(sh.box(1, 1, 3, 3)).area == 1
    assert sh.from_wkt('POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))').equals(square)
    assert abs(sh.Point(0, 0).buffer(1).area - math.pi) < 0.05
    tree = sh.STRtree([sh.Point(n, n) for n in range(10)])
    assert tree.nearest(sh.Point(4.2, 4.2)) == 4


def pyproj():
    """Coordinates into another system and back; a geodesic"""
    import pyproj as pp
    there = pp.Transformer.from_crs(4326, 32633, always_xy=True)
    x, y = there.transform(15, 52)
    assert abs(x - 500_000) < 1e-3
    lon, lat = there.transform(x, y, direction='INVERSE')
    assert abs(lon - 15) < 1e-6 and abs(lat - 52) < 1e-6
    assert abs(pp.Geod(ellps='WGS84').inv(0, 0, 1, 0)[2] - 111_319.49) < 0.01


def astropy():
    """Units, time scales, and a coordinate in another frame"""
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.time import Time
    from astropy.utils import iers
    with iers.conf.set_temp('auto_download', False):
        assert (1 * units.km).to(units.m).value == 1000
        time = Time('2000-01-01T12:00:00', scale='tt')
        assert time.jd == 2451545
        assert abs((time.tai - time).sec) < 1e-6
        centre = SkyCoord(0 * units.deg, 0 * units.deg, frame='galactic').icrs
        assert abs(centre.ra.deg - 266.405) < 0.001


def numcodecs():
    """Filters and compressors, there and back"""
    import numcodecs as nc
    import numpy as np
    array = np.arange(1000, dtype='i4')
    for codec in nc.Blosc('zstd'), nc.LZ4(), nc.Zstd(3):
        assert (np.frombuffer(codec.decode(codec.encode(array)), 'i4') == array).all(), codec
    text, codec = np.array(['a', 'bc'] * 10, object), nc.VLenUTF8()
    assert (codec.decode(codec.encode(text)) == text).all()


def blosc2():
    """Compresses an array in its own threads, and a part of it comes back"""
    import blosc2 as b2
    import numpy as np
    array = np.arange(200_000).reshape(200, 1000)
    compressed = b2.asarray(array, cparams={'nthreads': 2})
    assert (compressed[7:9, 5:10] == array[7:9, 5:10]).all()
    assert b2.decompress2(b2.compress2(b'spam' * 1000)) == b'spam' * 1000
