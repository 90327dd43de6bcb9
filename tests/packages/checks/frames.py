"""Data frames and columns."""

import io
import os
import tempfile


def pandas():
    """Groups, joins, times, text, and a CSV file read"""
    import pandas as pd
    frame = pd.read_csv(io.StringIO('k,n,when\na,1,2020-01-01\nb,2,2020-01-02\na,3,2020-01-03\n'),
                        parse_dates=['when'])
    assert frame.groupby('k')['n'].sum().to_dict() == {'a': 4, 'b': 2}
    assert frame.merge(pd.DataFrame({'k': ['a'], 'm': [9]}))['m'].tolist() == [9, 9]
    assert frame.set_index('when')['n'].resample('2D').sum().tolist() == [3, 3]
    assert frame['k'].str.upper().value_counts().to_dict() == {'A': 2, 'B': 1}
    assert frame.pivot_table(index='k', values='n', aggfunc='mean').loc['a', 'n'] == 2
    assert frame['when'].dt.day_name().iloc[0] == 'Wednesday'
    assert pd.eval('n + 1', local_dict={'n': frame['n']}).tolist() == [2, 3, 4]


def pyarrow():
    """Tables, computing in its own threads, Parquet, IPC, a Python UDF"""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    table = pa.table({'n': list(range(1000)), 's': [str(n % 3) for n in range(1000)]})
    assert pc.sum(table['n']).as_py() == 499_500
    grouped = table.group_by('s').aggregate([('n', 'count')]).sort_by('s')
    assert grouped['n_count'].to_pylist() == [334, 333, 333]
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'a.parquet')
        pq.write_table(table, name, row_group_size=100)
        assert pq.read_table(name, filters=[('n', '<', 5)])['n'].to_pylist() == list(range(5))
    # Arrow's threads call a file object of Python.
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert pa.ipc.open_stream(io.BytesIO(sink.getvalue())).read_all().equals(table)
    pq.write_table(table, file := io.BytesIO())
    assert pq.read_table(io.BytesIO(file.getvalue()), use_threads=True).equals(table)
    assert pa.array([1, 2]).to_numpy().tolist() == [1, 2]


def polars():
    """Lazy queries in its own threads, which call Python functions; a join"""
    import polars as pl
    frame = pl.DataFrame({'k': ['a', 'b', 'a'], 'n': [1, 2, 3]})
    total = frame.lazy().group_by('k').agg(pl.col('n').sum()).sort('k').collect()
    assert total.rows() == [('a', 4), ('b', 2)]
    assert frame.join(pl.DataFrame({'k': ['b'], 'm': [9]}), on='k').rows() == [('b', 2, 9)]
    query = frame.lazy().select(
        pl.col('k').map_elements(ord, return_dtype=pl.Int64),
        pl.col('n').map_batches(lambda column: column * 2, return_dtype=pl.Int64))
    assert query.collect().rows() == [(97, 2), (98, 4), (97, 6)]
    assert pl.read_csv(frame.write_csv().encode()).equals(frame)


def duckdb():
    """SQL in its own threads, which call a Python function; an error"""
    import duckdb as ddb
    with ddb.connect(':memory:', config={'threads': 2}) as db:
        db.execute('CREATE TABLE t AS SELECT range AS n FROM range(10000)')
        assert db.execute('SELECT sum(n), count(*) FROM t').fetchall() == [(49_995_000, 10_000)]
        db.create_function('twice', lambda n: 2 * n, ['BIGINT'], 'BIGINT')
        # Of more rows than one thread is given.
        db.execute('CREATE TABLE long AS SELECT range % 10 AS n FROM range(130000)')
        assert db.execute('SELECT sum(twice(n)) FROM long').fetchall() == [(1_170_000,)]
        try:
            db.execute('SELECT absent FROM t')
        except ddb.BinderException:
            return
    raise AssertionError('a column that is not there was found')


def fastavro():
    """Writes records by a schema, and reads them"""
    import fastavro as fa
    schema = fa.parse_schema({'type': 'record', 'name': 'R', 'fields': [
        {'name': 'n', 'type': 'int'}, {'name': 's', 'type': ['null', 'string']}]})
    records = [{'n': 1, 's': 'a'}, {'n': 2, 's': None}]
    file = io.BytesIO()
    fa.writer(file, schema, records, codec='deflate')
    file.seek(0)
    assert list(fa.reader(file)) == records
