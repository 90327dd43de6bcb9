"""Hashes, ciphers, compression, foreign functions."""

import io


def cryptography():
    """Fernet, a key pair, a certificate, an error"""
    import datetime
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.fernet import Fernet, InvalidToken
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.x509.oid import NameOID
    key = Fernet(Fernet.generate_key())
    assert key.decrypt(key.encrypt(b'spam')) == b'spam'
    try:
        Fernet(Fernet.generate_key()).decrypt(key.encrypt(b'spam'))
    except InvalidToken:
        pass
    else:
        raise AssertionError('decrypted with another key')
    pair = ed25519.Ed25519PrivateKey.generate()
    signature = pair.sign(b'spam')
    pair.public_key().verify(signature, b'spam')
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'spam')])
    ec_key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.datetime(2020, 1, 1)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                   .public_key(ec_key.public_key()).serial_number(7).not_valid_before(start)
                   .not_valid_after(start + datetime.timedelta(days=1)).sign(ec_key, hashes.SHA256()))
    assert certificate.subject == name and certificate.serial_number == 7
    try:
        pair.public_key().verify(signature, b'eggs')
    except InvalidSignature:
        return
    raise AssertionError('a wrong signature was accepted')


def bcrypt():
    """Hashes and checks a password"""
    import bcrypt as bc
    hashed = bc.hashpw(b'spam', bc.gensalt(4))
    assert bc.checkpw(b'spam', hashed) and not bc.checkpw(b'eggs', hashed)
    assert len(bc.kdf(b'spam', b'salt', 8, 50)) == 8


def pynacl():
    """Secret boxes and signatures (cffi)"""
    from nacl import exceptions, secret, signing
    box = secret.SecretBox(bytes(range(32)))
    sealed = box.encrypt(b'spam')
    assert box.decrypt(sealed) == b'spam'
    signer = signing.SigningKey(bytes(32))
    assert signer.verify_key.verify(signer.sign(b'spam')) == b'spam'
    try:
        box.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    except exceptions.CryptoError:
        return
    raise AssertionError('a spoilt message was decrypted')


def argon2_cffi_bindings():
    """Hashes and verifies through cffi"""
    from _argon2_cffi_bindings import ffi, lib
    encoded = ffi.new('char[]', 200)
    assert lib.argon2_hash(1, 64, 1, b'spam', 4, b'saltsalt', 8, ffi.NULL, 16, encoded, 200,
                           lib.Argon2_id, lib.ARGON2_VERSION_NUMBER) == lib.ARGON2_OK
    assert lib.argon2_verify(encoded, b'spam', 4, lib.Argon2_id) == lib.ARGON2_OK
    assert lib.argon2_verify(encoded, b'eggs', 4, lib.Argon2_id) == lib.ARGON2_VERIFY_MISMATCH


def pycryptodome():
    """AES, RSA and hashes (its libraries are loaded with cffi or ctypes)"""
    from Crypto.Cipher import AES
    from Crypto.Hash import SHA256, SHA512
    from Crypto.PublicKey import ECC
    from Crypto.Signature import eddsa
    cipher = AES.new(bytes(16), AES.MODE_GCM, nonce=bytes(12))
    text, tag = cipher.encrypt_and_digest(b'spam')
    assert AES.new(bytes(16), AES.MODE_GCM, nonce=bytes(12)).decrypt_and_verify(text, tag) == b'spam'
    assert SHA256.new(b'').hexdigest().startswith('e3b0c44298fc1c14')
    key = ECC.generate(curve='Ed25519')
    signature = eddsa.new(key, 'rfc8032').sign(SHA512.new(b'spam'))
    eddsa.new(key.public_key(), 'rfc8032').verify(SHA512.new(b'spam'), signature)


def cffi():
    """Calls libc, which calls back, from a native thread too; structs and handles"""
    from cffi import FFI
    ffi = FFI()
    ffi.cdef('''
        void qsort(void *, size_t, size_t, int (*)(const void *, const void *));
        typedef struct { int n; double x[2]; } spam;
        typedef unsigned long thread;
        int pthread_create(thread *, void *, void *(*)(void *), void *);
        int pthread_join(thread, void **);
    ''')
    libc = ffi.dlopen(None)

    @ffi.callback('int(const void *, const void *)')
    def compare(a, b):
        return ffi.cast('int *', a)[0] - ffi.cast('int *', b)[0]

    numbers = ffi.new('int[]', [3, 1, 2])
    libc.qsort(numbers, 3, ffi.sizeof('int'), compare)
    assert list(numbers) == [1, 2, 3]

    @ffi.callback('void *(void *)')
    def square(number):
        ffi.cast('int *', number)[0] **= 2
        return number
    thread = ffi.new('thread *')
    assert libc.pthread_create(thread, ffi.NULL, square, numbers + 2) == 0
    assert libc.pthread_join(thread[0], ffi.NULL) == 0
    assert list(numbers) == [1, 2, 9]
    spam = ffi.new('spam *', {'n': 7, 'x': [1.5, 2.5]})
    assert spam.n == 7 and spam.x[1] == 2.5
    here = object()
    handle = ffi.new_handle(here)
    assert ffi.from_handle(handle) is here


def xxhash():
    """Hashes whole and in pieces"""
    import xxhash as xx
    assert xx.xxh64(b'').hexdigest() == 'ef46db3751d8e999'
    hashed = xx.xxh3_128()
    hashed.update(b'sp')
    hashed.update(b'am')
    assert hashed.digest() == xx.xxh3_128_digest(b'spam')


def mmh3():
    """Hashes whole and in pieces"""
    import mmh3 as mm
    assert mm.hash('foo') == -156908512
    hashed = mm.mmh3_x64_128(b'sp')
    hashed.update(b'am')
    assert hashed.digest() == mm.hash_bytes(b'spam')


def blake3():
    """Hashes whole, in pieces and in its own threads"""
    import blake3 as b3
    assert b3.blake3(b'').hexdigest().startswith('af1349b9f5f9a1a6')
    hashed = b3.blake3(max_threads=2)
    for _ in range(10):
        hashed.update(bytes(100_000))
    assert hashed.digest() == b3.blake3(bytes(1_000_000)).digest()


def google_crc32c():
    """A checksum of compiled code"""
    import google_crc32c as crc
    assert crc.implementation == 'c'
    assert crc.value(b'123456789') == 0xe3069283


def zstandard():
    """There and back, a stream, a dictionary, in its own threads"""
    import zstandard as zs
    data = b'spam and eggs ' * 10_000
    compressed = zs.ZstdCompressor(threads=2).compress(data)
    assert len(compressed) < 1000 and zs.ZstdDecompressor().decompress(compressed) == data
    with zs.ZstdDecompressor().stream_reader(io.BytesIO(compressed)) as reader:
        assert reader.read(4) == b'spam'
    words = zs.train_dictionary(1000, [b'spam %d eggs %d' % (n, n * n) for n in range(1000)])
    small = zs.ZstdCompressor(dict_data=words).compress(b'spam 7 eggs 49')
    assert zs.ZstdDecompressor(dict_data=words).decompress(small) == b'spam 7 eggs 49'


def lz4():
    """Frames and blocks, there and back"""
    import lz4.block
    import lz4.frame
    data = b'spam and eggs ' * 1000
    assert lz4.frame.decompress(lz4.frame.compress(data)) == data
    assert lz4.block.decompress(lz4.block.compress(data)) == data
    with lz4.frame.open(io.BytesIO(lz4.frame.compress(data))) as file:
        assert file.read(4) == b'spam'


def brotli():
    """There and back, in pieces, an error"""
    import brotli as br
    data = b'spam and eggs ' * 1000
    compressed = br.compress(data)
    assert br.decompress(compressed) == data
    decompressor = br.Decompressor()
    assert decompressor.process(compressed[:10]) + decompressor.process(compressed[10:]) == data
    try:
        br.decompress(b'spam')
    except br.error:
        return
    raise AssertionError('what is not compressed was decompressed')


def cramjam():
    """Several formats, there and back"""
    import cramjam as cj
    data = b'spam and eggs ' * 1000
    for codec in (cj.snappy, cj.zstd, cj.lz4, cj.gzip, cj.brotli):
        assert bytes(codec.decompress(codec.compress(data))) == data, codec
