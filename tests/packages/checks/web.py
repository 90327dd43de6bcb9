"""Networks and event loops; whatever is connected to is in the same process."""

import asyncio


def aiohttp():
    """A server and a client, JSON and a web socket"""
    from aiohttp import ClientSession, web

    async def hello(request):
        return web.json_response({'hello': request.match_info['name']})

    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data[::-1])
        return socket

    async def main():
        app = web.Application()
        app.add_routes([web.get('/echo', echo), web.get('/{name}', hello)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, '127.0.0.1', 0)
        await site.start()
        address = 'http://127.0.0.1:%d' % runner.addresses[0][1]
        async with ClientSession() as session:
            async with session.get(f'{address}/spam') as response:
                assert await response.json() == {'hello': 'spam'}
            async with session.ws_connect(f'{address}/echo') as socket:
                await socket.send_str('spam')
                assert await socket.receive_str() == 'maps'
        await runner.cleanup()

    asyncio.run(main())


def multidict():
    """Several values for a key, whatever its case"""
    from multidict import CIMultiDict, MultiDict, istr
    from multidict._multidict import MultiDict as compiled
    assert MultiDict is compiled
    headers = CIMultiDict([('Spam', 'a'), ('spam', 'b')])
    assert headers.getall(istr('SPAM')) == ['a', 'b']
    headers.update({'eggs': 'c'})
    assert list(headers.items()) == [('Spam', 'a'), ('spam', 'b'), ('eggs', 'c')]


def yarl():
    """Takes addresses apart, quotes and joins them"""
    from yarl import URL
    from yarl import _quoting_c
    url = URL('http://example.org/a b/ü?q=1 2#x') / 'c'
    assert str(url) == 'http://example.org/a%20b/%C3%BC/c'
    assert URL('http://x/?q=1 2').query['q'] == '1 2'
    assert _quoting_c._Quoter()('ü') == '%C3%BC'


def frozenlist():
    """A list that can be frozen"""
    from frozenlist import FrozenList
    assert FrozenList.__module__ == 'frozenlist._frozenlist'
    items = FrozenList([1, 2])
    items.append(3)
    items.freeze()
    assert items.frozen and list(items) == [1, 2, 3]
    try:
        items.append(4)
    except RuntimeError:
        return
    raise AssertionError('a frozen list grew')


def propcache():
    """A property that is computed once"""
    from propcache import _helpers_c
    from propcache.api import cached_property

    class Spam:
        calls = 0

        @cached_property
        def eggs(self):
            self.calls += 1
            return 7

    spam = Spam()
    assert (spam.eggs, spam.eggs, spam.calls) == (7, 7, 1)
    assert cached_property is _helpers_c.cached_property


def uvloop():
    """An event loop: a server, a client, timers, a thread"""
    import uvloop as uv

    async def main():
        async def echo(reader, writer):
            writer.write((await reader.readline())[::-1])
            writer.close()

        server = await asyncio.start_server(echo, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b'spam\n')
        assert await reader.read() == b'\nmaps'
        writer.close()
        server.close()
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        await asyncio.sleep(0.001)
        return type(asyncio.get_running_loop()).__module__

    assert uv.run(main()).startswith('uvloop')


def httptools():
    """Parses a request and an address"""
    import httptools as ht
    seen = {}

    class Protocol:
        def on_url(self, url):
            seen['url'] = url

        def on_header(self, name, value):
            seen[name] = value

        def on_body(self, body):
            seen['body'] = body

    parser = ht.HttpRequestParser(Protocol())
    parser.feed_data(b'POST /spam HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\neggs')
    assert seen == {'url': b'/spam', b'Host': b'x', b'Content-Length': b'4', 'body': b'eggs'}
    assert parser.get_method() == b'POST'
    assert ht.parse_url(b'http://x:80/a?b').query == b'b'


def websockets():
    """A server and a client; the mask is applied by compiled code"""
    import websockets.speedups
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve
    assert websockets.speedups.apply_mask(b'spam', b'\x01\x00\x00\x00') == b'rpam'

    async def echo(socket):
        async for message in socket:
            await socket.send(message[::-1])

    async def main():
        async with serve(echo, '127.0.0.1', 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f'ws://127.0.0.1:{port}', proxy=None) as socket:
                await socket.send('spam' * 100)
                assert await socket.recv() == 'maps' * 100

    asyncio.run(main())


def tornado():
    """A server and a client; the mask is applied by compiled code"""
    import tornado.httpclient
    import tornado.httpserver
    import tornado.web
    from tornado import speedups
    from tornado.testing import bind_unused_port
    assert speedups.websocket_mask(b'\x01\x00\x00\x00', b'spam') == b'rpam'

    class Hello(tornado.web.RequestHandler):
        def get(self):
            self.write('hello')

    async def main():
        socket, port = bind_unused_port(address='127.0.0.1')
        server = tornado.httpserver.HTTPServer(tornado.web.Application([('/', Hello)]))
        server.add_socket(socket)
        client = tornado.httpclient.AsyncHTTPClient(force_instance=True)
        response = await client.fetch(f'http://127.0.0.1:{port}/')
        assert response.body == b'hello'
        client.close()
        server.stop()
        await server.close_all_connections()

    asyncio.run(main())


def watchfiles():
    """Sees a file that another thread makes"""
    import tempfile
    import threading
    from pathlib import Path
    import watchfiles as wf
    with tempfile.TemporaryDirectory() as folder:
        stop = threading.Event()

        def make():
            # Whether the watcher has begun cannot be seen: until it tells of one.
            for n in range(1000):
                (Path(folder) / f'{n}.txt').touch()
                if stop.wait(0.05):
                    return

        maker = threading.Thread(target=make)
        maker.start()
        try:
            changes = next(wf.watch(folder, step=10, debounce=50, yield_on_timeout=False))
        finally:
            stop.set()
            maker.join()
    change, name = min(changes)
    assert change == wf.Change.added and name.endswith('.txt')


def gevent():
    """Greenlets that wait for each other, a pool, a server; nothing is patched"""
    import gevent as ge
    from gevent import pool, queue, server, socket
    channel = queue.Queue()
    producer = ge.spawn(lambda: [channel.put(n) for n in range(3)])
    consumer = ge.spawn(lambda: [channel.get() for _ in range(3)])
    ge.joinall([producer, consumer], raise_error=True)
    assert consumer.value == [0, 1, 2]
    assert pool.Pool(2).map(lambda n: n * n, range(4)) == [0, 1, 4, 9]
    echo = server.StreamServer(('127.0.0.1', 0), lambda s, _: s.sendall(s.recv(10)[::-1]))
    echo.start()
    client = socket.create_connection(('127.0.0.1', echo.server_port))
    client.sendall(b'spam')
    assert client.recv(10) == b'maps'
    client.close()
    echo.stop()
    hub = ge.get_hub()
    assert hub.threadpool.apply(sum, ([1, 2],)) == 3
    hub.threadpool.kill()       # its threads would keep the interpreter from being closed


def greenlet():
    """Switches there and back, an exception, a context variable"""
    import contextvars
    import greenlet as gl
    variable = contextvars.ContextVar('variable', default=0)
    seen = []

    def other(value):
        variable.set(5)
        while True:
            seen.append(value)
            value = main.switch(value * 2)

    main = gl.getcurrent()
    side = gl.greenlet(other)
    assert [side.switch(1), side.switch(2)] == [2, 4] and seen == [1, 2]
    assert variable.get() == 0
    try:
        side.throw(ValueError('spam'))
    except ValueError as exc:
        assert str(exc) == 'spam'
    assert side.dead


def grpcio():
    """A server and a client, unary and streaming, with a pool of threads"""
    from concurrent import futures
    import grpc

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            if details.method == '/spam/Reverse':
                return grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: (bytes([byte]) for byte in request))

    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, [Handler()])
        port = server.add_insecure_port('127.0.0.1:0')
        server.start()
        with grpc.insecure_channel(f'127.0.0.1:{port}') as channel:
            assert channel.unary_unary('/spam/Reverse')(b'spam', timeout=30) == b'maps'
            parts = channel.unary_stream('/spam/Split')(b'spam', timeout=30)
            assert list(parts) == [b's', b'p', b'a', b'm']
        server.stop(None).wait()


def protobuf():
    """Messages of known types and of one that is described here, as bytes and as JSON"""
    from google.protobuf import (descriptor_pb2, descriptor_pool, json_format, message_factory,
                                 struct_pb2)
    from google.protobuf.internal import api_implementation
    assert api_implementation.Type() == 'upb'
    struct = struct_pb2.Struct()
    struct.update({'a': 1, 'b': ['x', None, True]})
    again = struct_pb2.Struct.FromString(struct.SerializeToString())
    assert json_format.MessageToDict(again) == {'a': 1.0, 'b': ['x', None, True]}
    file = descriptor_pb2.FileDescriptorProto(name='spam.proto', package='spam', syntax='proto3')
    message = file.message_type.add(name='Eggs')
    message.field.add(name='n', number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
                      label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    eggs = message_factory.GetMessageClass(pool.FindMessageTypeByName('spam.Eggs'))
    assert eggs.FromString(eggs(n=7).SerializeToString()).n == 7


def pyzmq():
    """Sockets inside the process and over TCP, a poller, a proxy's thread"""
    import zmq
    with zmq.Context() as context:
        with context.socket(zmq.REP) as server, context.socket(zmq.REQ) as client:
            port = server.bind_to_random_port('tcp://127.0.0.1')
            client.connect(f'tcp://127.0.0.1:{port}')
            client.send_multipart([b'spam', b'eggs'])
            assert server.poll(30_000) == zmq.POLLIN
            server.send_multipart(server.recv_multipart()[::-1])
            assert client.recv_multipart() == [b'eggs', b'spam']
