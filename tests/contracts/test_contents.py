"""Contents of files in every store, and what becomes of them when S3 fails, refuses, or is taken up later."""

import asyncio
import os
import tracemalloc
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.domain.errors import BodyTooLarge, StorageUnavailable
from gateway.domain.secret import Secret
from gateway.filing import PART, Filing
from gateway.ids import derive_id, new_id
from gateway.ring import KeyRing, Unreadable
from gateway.seal import Seal
from gateway.settings import BatchesSettings, FilesSettings, Postgres, Settings, Storage
from gateway.storage.catalogue import open_store
from gateway.storage.ports import FileStore
from gateway.storage.s3.bucket import Bucket
from tests.contracts.proxy import Wire
from tests.contracts.test_batch_stores import a_file
from tests.s3 import S3Server
from tests.servers import free_port

DAY = timedelta(days=1)
MEMORY = Storage(**dict.fromkeys(Storage.model_fields, "memory"))
SEAL = Seal(KeyRing("k", {"k": Secret("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}))


def settings_of(url=None, s3=None, kept_in=None):
    """Everything in memory or in a database, contents in S3 if there is one and nothing else is said."""
    files = FilesSettings(
        store=kept_in or ("postgres" if s3 is None else "s3"), **({} if s3 is None else {"s3": s3})
    )
    return Settings(
        storage=MEMORY if url is None else Storage(),
        postgres=Postgres() if url is None else Postgres(url=Secret(url)),
        batches=BatchesSettings(files=files),
    )


@asynccontextmanager
async def opened(*args, **options):
    store = await open_store(settings_of(*args, **options))
    try:
        yield store
    finally:
        await store.close()


def filing_of(store):
    return Filing(store.files, store.contents, SEAL)


async def pieces_of(*pieces):
    for piece in pieces:
        yield piece


async def kept(store, data, **changes):
    """A file with its content."""
    file = a_file(bytes=len(data), **changes)
    await filing_of(store).write(file.id, pieces_of(data), 2**40)
    await store.files.create(file)
    return file


async def read(store, file):
    return b"".join([part async for part in filing_of(store).read(file.id)])


@pytest.fixture
def s3(s3_server):
    """Settings of the storage, with names that are this test's alone."""
    return s3_server.settings(prefix=f"test-{new_id()}")


@pytest.fixture
def names(s3_server, s3):
    """The names of what is kept, without those that say that something was begun."""
    return lambda: s3_server.names(prefix=f"{s3.prefix}/parts/")


@pytest.fixture(params=["memory", "postgres", "memory and s3", "postgres and s3"])
def place(request):
    url = request.getfixturevalue("database_url") if "postgres" in request.param else None
    return url, request.getfixturevalue("s3") if "s3" in request.param else None


@pytest.fixture
async def store(place):
    async with opened(*place) as store:
        yield store


# ---- every store -------------------------------------------------------------------------------------------------
async def test_parts_are_read_back_as_they_were_and_replaced(store):
    file_id = derive_id("file", new_id())
    parts = [os.urandom(1000), b"", b"\x00\xff"]
    for number, data in enumerate(parts):
        await store.contents.put(file_id, number, data)
    await store.contents.put(file_id, 1, b"another")
    assert [await store.contents.get(file_id, n) for n in range(4)] == [parts[0], b"another", parts[2], None]
    assert await store.contents.get(new_id(), 0) is None


async def test_what_is_deleted_is_gone_and_may_be_deleted_twice(store):
    first, second = [new_id() for _ in range(2)]
    for file_id in (first, second):
        for number in range(3):
            await store.contents.put(file_id, number, b"part")
    for _ in range(2):
        await store.contents.delete(first)
        assert [await store.contents.get(first, n) for n in range(3)] == [None] * 3
    assert await store.contents.get(second, 2) == b"part"


async def test_a_name_that_is_no_id_is_refused(store):
    with pytest.raises(ValueError, match="an id is a UUID"):
        await store.contents.put("../others/secret", 0, b"x")


async def test_contents_of_no_file_are_strays_once_they_are_old(store):
    file = await kept(store, b"kept")
    strays = {new_id() for _ in range(3)}
    for stray in strays:
        await store.contents.put(stray, 0, b"begun")
    now = datetime.now(UTC)
    assert await store.contents.strays(now - DAY, 10) == []
    assert len(await store.contents.strays(now + DAY, 2)) == 2
    assert set(await store.contents.strays(now + DAY, 10)) == strays
    assert await read(store, file) == b"kept"


async def test_files_say_where_they_are_and_which_ids_are_theirs(store, place):
    file, nobody = await kept(store, b"kept"), new_id()
    assert await store.files.store_of(file.id) == (FileStore.S3 if place[1] else FileStore.POSTGRES)
    assert await store.files.store_of(nobody) is None
    assert await store.files.known([file.id, nobody]) == {file.id}
    assert await store.files.known([]) == frozenset()


async def test_an_upload_that_breaks_off_leaves_nothing_to_be_read(store):
    async def broken():
        yield os.urandom(PART + 1)
        raise ConnectionResetError

    for pieces, limit, error in (
        (broken(), 2**40, ConnectionResetError),
        (pieces_of(b"x" * 3 * PART), PART, BodyTooLarge),
    ):
        file_id = new_id()
        with pytest.raises(error):
            await filing_of(store).write(file_id, pieces, limit)
        assert [await store.contents.get(file_id, n) for n in range(2)] == [None, None]


async def test_what_is_over_is_swept_with_its_content(store):
    old, young = await kept(store, b"old", kept_until=datetime.now(UTC) - DAY), await kept(store, b"young")
    assert await filing_of(store).sweep() == 1
    assert await store.contents.get(old.id, 0) is None
    assert await store.files.expired(datetime.now(UTC), 10) == []
    assert await read(store, young) == b"young"


# ---- S3 ----------------------------------------------------------------------------------------------------------
async def test_what_lies_in_the_bucket_is_sealed_and_goes_with_its_file(s3, s3_server, names):
    async with opened(s3=s3) as store:
        file = await kept(store, b"my secret prompt" * PART)
        assert len(names()) == 16
        folder = s3_server.folder / "buckets" / "files"
        assert not [name for name in names() if b"secret prompt" in (folder / name).read_bytes()]
        await store.contents.delete(file.id)
        assert names() == set()


async def test_what_says_that_a_file_was_begun_goes_once_the_file_has_been_known_for_a_while(s3, s3_server):
    async with opened(s3=s3) as store:
        file, stray = await kept(store, b"x"), new_id()
        await store.contents.put(stray, 0, b"x")
        begun = f"{s3.prefix}/begun/"
        assert s3_server.names(prefix=begun) == {begun + file.id, begun + stray}
        await store.contents.strays(datetime.now(UTC) + DAY, 10)
        assert s3_server.names(prefix=begun) == {begun + stray}
        await store.contents.delete(stray)  # not yet: a part that was on its way may still come
        assert s3_server.names(prefix=begun) == {begun + stray}
        at = (datetime.now(UTC) - DAY).timestamp()
        os.utime(s3_server.folder / "buckets" / "files" / begun / stray, (at, at))
        await store.contents.delete(stray)
        assert s3_server.names(prefix=begun) == set()


async def test_what_is_not_ours_in_the_bucket_is_left_alone(s3, s3_server):
    async with opened(s3=s3) as store:
        strange = s3_server.folder / "buckets" / "files" / s3.prefix / "begun" / "readme.txt"
        strange.parent.mkdir(parents=True)
        strange.write_text("mine")
        assert await store.contents.strays(datetime.now(UTC) + DAY, 10) == []
        assert strange.read_text() == "mine"


async def test_twenty_megabytes_go_in_and_out_in_bounded_memory(s3):
    size, piece = 20 * 1024 * 1024, os.urandom(64 * 1024)

    async def upload():
        for _ in range(size // len(piece)):
            yield piece

    async with opened(s3=s3) as store:
        filing, file_id, read_back = filing_of(store), new_id(), 0
        tracemalloc.start()
        try:
            assert await filing.write(file_id, upload(), size) == size
            async for part in filing.read(file_id):
                assert part[: len(piece)] == piece
                read_back += len(part)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read_back == size
    assert peak < 8 * PART


async def test_names_beyond_one_page_are_all_found(s3):
    bucket = Bucket(s3)
    wanted = {f"parts/{number:04d}" for number in range(1105)}
    for name in sorted(wanted):
        await bucket.put(name, b"")
    pages = [[name for name, _ in page] async for page in bucket.pages("parts")]
    assert [len(page) for page in pages] == [1000, 105]
    assert {name for page in pages for name in page} == wanted
    await bucket.delete(sorted(wanted))
    assert [page async for page in bucket.pages("parts")] == []


# ---- changing from one to the other ------------------------------------------------------------------------------
async def test_files_of_before_a_change_are_read_where_they_are(database_url, s3, names):
    data = os.urandom(3 * PART)  # a whole number of parts: the end is found by looking for one more
    async with opened(database_url) as store:
        before = await kept(store, data)
    async with opened(database_url, s3) as store:
        assert await read(store, before) == data
        assert await filing_of(store).open(before.id).read(PART + 5, 7) == data[PART + 5 : PART + 12]
        assert names() == set()
        after = await kept(store, b"after")
        assert len(names()) == 1
    async with opened(database_url, s3, kept_in="postgres") as store:
        assert (await read(store, before), await read(store, after)) == (data, b"after")
        again = await kept(store, b"again")
        for file in (before, after, again):
            await store.contents.delete(file.id)
            with pytest.raises(Unreadable):
                await read(store, file)
        assert names() == set()


async def test_a_file_in_the_database_is_read_while_s3_is_away(database_url, s3):
    async with opened(database_url) as store:
        file = await kept(store, b"here")
    away = s3.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}"})
    async with opened(database_url, away) as store:
        assert await read(store, file) == b"here"
        with pytest.raises(StorageUnavailable):
            await kept(store, b"not here")


async def test_a_content_that_is_begun_again_after_a_change_is_that_of_its_file(database_url, s3):
    file = a_file()
    async with opened(database_url) as store:
        await store.contents.put(file.id, 0, b"a worker died after this")
    async with opened(database_url, s3) as store:
        await filing_of(store).write(file.id, pieces_of(b"whole"), PART)
        await store.files.create(file)
        assert await read(store, file) == b"whole"
        await store.contents.delete(file.id)
    async with opened(database_url) as store:
        assert await store.contents.get(file.id, 0) is None


# ---- S3 that is away, or refuses ---------------------------------------------------------------------------------
async def test_s3_that_goes_away_in_the_middle_is_said_to_be_away_and_used_when_it_is_back(s3, s3_server):
    wire = Wire("127.0.0.1", s3_server.port)
    await wire.mend()
    through = s3.model_copy(update={"endpoint": f"http://127.0.0.1:{wire.port}"})

    async def upload():
        yield os.urandom(PART)
        await wire.cut()
        yield os.urandom(PART)

    try:
        async with opened(s3=through) as store:
            file = await kept(store, b"kept")
            with pytest.raises(StorageUnavailable) as caught:
                await filing_of(store).write(new_id(), upload(), 2**40)
            assert caught.value.retry_after
            for doing in (read(store, file), store.contents.delete(file.id), filing_of(store).sweep()):
                with pytest.raises(StorageUnavailable):
                    await doing
            await wire.mend()
            assert await read(store, file) == b"kept"
    finally:
        await wire.close()


async def test_s3_that_says_nothing_is_waited_for_as_long_as_was_set(s3, s3_server):
    wire = Wire("127.0.0.1", s3_server.port)
    await wire.mend()
    changes = {"endpoint": f"http://127.0.0.1:{wire.port}", "timeout": timedelta(seconds=0.5)}
    try:
        async with opened(s3=s3.model_copy(update=changes)) as store, asyncio.timeout(60):
            file = await kept(store, b"kept")
            wire.silence()
            for doing in (
                read(store, file),
                kept(store, b"more"),
                store.contents.strays(datetime.now(UTC), 1),
            ):
                with pytest.raises(StorageUnavailable):
                    await doing
    finally:
        await wire.close()


async def test_s3_that_is_away_does_not_keep_a_process_from_starting(s3):
    async with opened(s3=s3.model_copy(update={"endpoint": f"http://127.0.0.1:{free_port()}"})) as store:
        await store.ping()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"secret_key": Secret("wrong-secret")},
            "batches.files.s3.secret_key: it is not the secret of access_key",
        ),
        ({"access_key": Secret("nobody")}, "batches.files.s3.access_key: the storage does not know this key"),
        ({"bucket": "nothing"}, "batches.files.s3.bucket: there is no such bucket"),
        ({"bucket": ""}, "batches.files.s3.bucket: expected the name of a bucket"),
        ({"allow_http": False}, "batches.files.s3.endpoint: expected https://"),
        ({"endpoint": "s3.example.org"}, "batches.files.s3.endpoint: expected https://host"),
        ({"access_key": Secret()}, "batches.files.s3.access_key: expected the other half"),
        (
            {"secret_key": Secret("file:/nowhere")},
            "batches.files.s3.secret_key: the reference cannot be read",
        ),
        (
            {"secret_key": Secret("env:NOT_THERE")},
            "batches.files.s3.secret_key: the reference cannot be read",
        ),
        ({"tls_ca": "/nowhere.pem"}, "batches.files.s3.tls_ca: /nowhere.pem cannot be read"),
    ],
)
async def test_what_the_storage_refuses_is_said_at_the_start_by_the_key_that_is_wrong(s3, changes, said):
    with pytest.raises(ValueError, match="batches") as caught:
        await open_store(settings_of(s3=s3.model_copy(update=changes)))
    assert str(caught.value).startswith(said)
    for secret in (s3.secret_key, changes.get("secret_key", s3.secret_key)):
        assert secret.reveal() not in str(caught.value)


async def test_a_bucket_that_is_gone_is_no_file_that_is_gone(s3, s3_server):
    s3_server.make_bucket("short-lived")
    async with opened(s3=s3.model_copy(update={"bucket": "short-lived"})) as store:
        file = await kept(store, b"kept")
        folder = s3_server.folder / "buckets"
        (folder / "short-lived").rename(folder / "away")
        with pytest.raises(StorageUnavailable):
            await read(store, file)
        (folder / "away").rename(folder / "short-lived")
        assert await read(store, file) == b"kept"


async def test_a_key_in_a_file_is_read_again_when_it_was_changed(s3, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    given = s3.model_copy(update={"secret_key": Secret(f"file:{secret}")})
    with pytest.raises(ValueError, match="secret_key"):
        await open_store(settings_of(s3=given))
    bucket = Bucket(given)
    with pytest.raises(StorageUnavailable):
        await bucket.put("a", b"x")
    secret.write_text(s3.secret_key.reveal() + "\n")
    async with asyncio.timeout(60):
        while True:
            with suppress(StorageUnavailable):
                await bucket.put("a", b"x")
                break
            await asyncio.sleep(0.1)
    assert await bucket.get("a") == b"x"


@pytest.fixture
def tls(servers, tmp_path):
    """A server whose certificate is by an authority of its own; and the file to trust that by."""
    authority = an_authority(tmp_path)
    more = ("--cert", str(tmp_path / "certificate.pem"), "--key", str(tmp_path / "key.pem"))
    server = S3Server(tmp_path / "s3", free_port(), "secret-of-the-other", more)
    server.make_bucket("files")
    servers.start(server.component())
    return server, authority


def an_authority(folder):
    """Write a certificate for 127.0.0.1 and its key; returns the file of the authority that signed it."""
    now = datetime.now(UTC)

    def signed(name, key, by, by_key, *, ca):
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder(issuer, named, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(alternative, critical=False)
            .sign(by_key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "certificate.pem").write_bytes(signed("s3", own, "authority", root, ca=False))
    (folder / "key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    authority = folder / "authority.pem"
    authority.write_bytes(signed("authority", root, "authority", root, ca=True))
    return authority


@pytest.mark.usefixtures("s3_server")
async def test_an_authority_of_ones_own_is_trusted_where_its_file_is_named(tls):
    server, authority = tls
    settings = server.settings(endpoint=f"https://127.0.0.1:{server.port}", allow_http=False)
    with pytest.raises(StorageUnavailable):
        await Bucket(settings).put("a", b"x")
    bucket = Bucket(settings.model_copy(update={"tls_ca": str(authority)}))
    await bucket.put("a", b"x")
    assert await bucket.get("a") == b"x"
