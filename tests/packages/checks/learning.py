"""Statistics, learning, models."""


def scikit_learn():
    """Fits linear models, trees, clusters and a pipeline"""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_iris, make_blobs
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    x = np.arange(10.0).reshape(-1, 1)
    model = LinearRegression().fit(x, 3 * x[:, 0] + 1)
    assert abs(model.coef_[0] - 3) < 1e-9 and abs(model.intercept_ - 1) < 1e-9
    data, kind = load_iris(return_X_y=True)
    assert make_pipeline(StandardScaler(), LogisticRegression()).fit(data, kind).score(data, kind) > 0.9
    forest = RandomForestClassifier(10, random_state=0, n_jobs=2).fit(data, kind)
    assert forest.score(data, kind) > 0.9
    points, _ = make_blobs(90, centers=[[0, 0], [20, 20], [-20, 20]], random_state=0)
    clusters = KMeans(3, n_init=1, random_state=0).fit(points)
    assert sorted(np.bincount(clusters.labels_)) == [30, 30, 30]


def scikit_image():
    """Filters, labels and measures a picture"""
    import numpy as np
    from skimage import filters, measure, morphology, transform
    picture = np.zeros((64, 64))
    picture[10:20, 10:20] = 1
    picture[40:60, 40:50] = 1
    regions = measure.regionprops(measure.label(picture))
    assert [region.area for region in regions] == [100, 200]
    assert filters.sobel(picture).max() > 0.5
    assert 0 <= filters.threshold_otsu(picture) < 1
    assert transform.resize(picture, (32, 32)).shape == (32, 32)
    assert morphology.skeletonize(picture > 0).sum() > 0


def statsmodels():
    """Least squares, a linear model from a formula, a time series"""
    import numpy as np
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf
    from statsmodels.tsa.arima.model import ARIMA
    x = np.arange(20.0)
    noise = np.random.default_rng(3).normal(scale=0.01, size=20)
    fit = sm.OLS(2 * x + 1 + noise, sm.add_constant(x)).fit()
    assert np.allclose(fit.params, [1, 2], atol=0.05)
    fit = smf.ols('y ~ x', pd.DataFrame({'x': x, 'y': 2 * x + noise})).fit()
    assert abs(fit.params['x'] - 2) < 0.01
    walk = np.cumsum(np.random.default_rng(4).normal(size=100))
    assert ARIMA(walk, order=(1, 1, 0)).fit().forecast(2).shape == (2,)


def lightgbm():
    """Fits a booster (the library is loaded with ctypes)"""
    import lightgbm as lgb
    import numpy as np
    x = np.random.default_rng(5).normal(size=(500, 3))
    y = (x[:, 0] > 0).astype(float)
    booster = lgb.train({'objective': 'binary', 'verbosity': -1, 'num_threads': 2, 'seed': 1},
                        lgb.Dataset(x, y), 20)
    assert ((booster.predict(x) > 0.5) == y).mean() > 0.95


def onnxruntime():
    """Runs a model that adds two arrays; one of its threads calls back"""
    import threading
    import numpy as np
    import onnxruntime as ort
    session = ort.InferenceSession(_adder(), providers=['CPUExecutionProvider'])
    a, b = np.arange(3, dtype='f4'), np.ones(3, 'f4')
    assert session.run(None, {'a': a, 'b': b})[0].tolist() == [1, 2, 3]
    results, done = [], threading.Event()

    def finished(found, tag, error):
        results.extend([found[0].tolist(), tag, error])
        done.set()

    session.run_async(None, {'a': a, 'b': b}, finished, 'spam')
    done.wait()
    assert results == [[1, 2, 3], 'spam', '']


def _adder():
    """A model of ONNX that has one node, Add, as the protocol buffer it is."""
    def field(number, value):
        if isinstance(value, int):
            return bytes([number << 3, value])
        value = value.encode() if isinstance(value, str) else value
        return bytes([number << 3 | 2, len(value)]) + value

    def tensor(name):
        shape = field(2, field(1, field(1, 3)))         # one dimension of 3
        return field(1, name) + field(2, field(1, field(1, 1) + shape))     # of floats

    node = field(1, 'a') + field(1, 'b') + field(2, 'c') + field(4, 'Add')
    graph = (field(1, node) + field(2, 'g') + field(11, tensor('a')) + field(11, tensor('b'))
             + field(12, tensor('c')))
    return field(1, 8) + field(7, graph) + field(8, field(1, '') + field(2, 13))


def tokenizers():
    """Trains a byte-pair tokenizer, encodes and decodes"""
    import tokenizers as tk
    from tokenizers import decoders, models, pre_tokenizers, trainers
    tokenizer = tk.Tokenizer(models.BPE(unk_token='[UNK]'))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(['spam and eggs', 'eggs and ham'] * 10,
                                  trainers.BpeTrainer(special_tokens=['[UNK]'], show_progress=False))
    encoded = tokenizer.encode_batch(['eggs and spam', 'ham'])
    assert tokenizer.decode(encoded[0].ids) == 'eggs and spam'
    assert encoded[1].tokens == ['ham']


def safetensors():
    """Arrays to bytes and back"""
    import numpy as np
    from safetensors.numpy import load, save
    arrays = {'a': np.arange(6.0).reshape(2, 3), 'b': np.array([1], 'i8')}
    loaded = load(save(arrays))
    assert all((loaded[name] == array).all() for name, array in arrays.items())


def sentencepiece():
    """Trains a model in memory, encodes and decodes"""
    import io
    import sentencepiece as sp
    model = io.BytesIO()
    sentences = [f'spam {n} eggs and ham {n * 7 % 13}' for n in range(200)]
    sp.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model,
                                  vocab_size=40, minloglevel=2, num_threads=1)
    processor = sp.SentencePieceProcessor(model_proto=model.getvalue())
    assert processor.decode(processor.encode('eggs and spam')) == 'eggs and spam'


def tiktoken():
    """Encodes with ranks that are made here: nothing is downloaded"""
    import tiktoken as tt
    ranks = {bytes([n]): n for n in range(256)} | {b'sp': 256, b'am': 257, b'spam': 258}
    encoding = tt.Encoding('test', pat_str=r'\w+|\W+', mergeable_ranks=ranks,
                           special_tokens={'<end>': 259})
    assert encoding.encode('spam spa<end>', allowed_special='all') == [258, 32, 256, 97, 259]
    assert encoding.decode([258, 32, 256]) == 'spam sp'
