"""Databases inside the process, and the compiled parts of clients of others."""

import datetime
import os
import tempfile


def sqlalchemy():
    """Tables and mapped classes over SQLite; its compiled parts are used"""
    import sqlalchemy as sa
    from sqlalchemy import orm
    from sqlalchemy.engine import _util_cy
    assert _util_cy._is_compiled()

    class Base(orm.DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = 'items'
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str]
        when: orm.Mapped[datetime.date]

    engine = sa.create_engine('sqlite://')
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([Item(name=name, when=datetime.date(2020, 1, 2)) for name in ('spam', 'eggs')])
        session.commit()
        names = session.scalars(sa.select(Item.name).order_by(Item.name)).all()
        assert names == ['eggs', 'spam']
        count, = session.execute(sa.select(sa.func.count()).select_from(Item)).one()
        assert count == 2
    engine.dispose()


def apsw():
    """Its own SQLite: a function, a virtual table, a busy handler"""
    import apsw as ap
    db = ap.Connection(':memory:')
    db.create_scalar_function('twice', lambda n: 2 * n, 1)
    db.execute('CREATE TABLE t(n)')
    db.executemany('INSERT INTO t VALUES(?)', [(n,) for n in range(10)])
    assert db.execute('SELECT sum(twice(n)) FROM t').get == 90
    try:
        db.execute('SELECT absent FROM t')
    except ap.SQLError:
        db.close()
        return
    raise AssertionError('a column that is not there was found')


def lmdb():
    """Transactions in a file, a cursor"""
    import lmdb as lm
    with tempfile.TemporaryDirectory() as folder, lm.open(folder, map_size=1 << 20) as environment:
        with environment.begin(write=True) as transaction:
            for key in (b'spam', b'eggs'):
                transaction.put(key, key[::-1])
        with environment.begin() as transaction:
            assert transaction.get(b'spam') == b'maps'
            assert [key for key, _ in transaction.cursor()] == [b'eggs', b'spam']


def psycopg2_binary():
    """Quoting, composing, and an error: there is no server"""
    import psycopg2 as pg
    from psycopg2 import extensions, extras
    assert extensions.adapt(datetime.date(2020, 1, 2)).getquoted() == b"'2020-01-02'::date"
    assert extensions.parse_dsn('host=x dbname=y') == {'host': 'x', 'dbname': 'y'}
    assert extensions.adapt([1, None, 'a']).getquoted() == b"ARRAY[1,NULL,'a']"
    assert extensions.INTEGER('7', None) == 7
    assert extras.Json({'a': 1}).getquoted() == b"'{\"a\": 1}'"
    with tempfile.TemporaryDirectory() as folder:
        try:
            pg.connect(host=folder, dbname='absent')
        except pg.OperationalError:
            return
    raise AssertionError('connected to nothing')


def asyncpg():
    """Types of its protocol, and an error: there is no server"""
    import asyncio
    import uuid
    import asyncpg as pg
    from asyncpg.pgproto import pgproto
    number = uuid.uuid4()
    assert pgproto.UUID(str(number)) == number
    with tempfile.TemporaryDirectory() as folder:
        try:
            asyncio.run(pg.connect(host=folder, user='spam', timeout=30))
        except OSError:
            assert not os.listdir(folder)
            return
    raise AssertionError('connected to nothing')


def pymongo():
    """Documents as BSON and back, in compiled code; a client without a server"""
    import bson
    import pymongo as pm
    assert bson.has_c()
    document = {'_id': bson.ObjectId(), 'n': [1, 2.5, None], 'when': datetime.datetime(2020, 1, 2),
                'b': b'x', 'nested': {'a': bson.Int64(7)}}
    assert bson.decode(bson.encode(document)) == document
    with tempfile.TemporaryDirectory() as folder:
        with pm.MongoClient(os.path.join(folder, 'absent.sock').replace('/', '%2F'),
                            serverSelectionTimeoutMS=50) as client:
            try:
                client.admin.command('ping')
            except pm.errors.ServerSelectionTimeoutError:
                return
    raise AssertionError('connected to nothing')


def hiredis():
    """Packs commands and reads answers, in pieces, an error"""
    import hiredis as hr
    assert hr.pack_command(('SET', 'a', 1)) == b'*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n'
    reader = hr.Reader(encoding='utf-8')
    reader.feed(b'*2\r\n$4\r\nspam')
    assert reader.gets() is False
    reader.feed(b'\r\n:7\r\n-ERR eggs\r\n')
    assert reader.gets() == ['spam', 7]
    assert isinstance(reader.gets(), hr.ReplyError)
