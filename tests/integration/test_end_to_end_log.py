"""The log of a running exchange, for anyone: by our own tools, by another's, over every way, and with every lie."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from support.exchange import CONTENT, Running, World
from support.programs import panji
from support.statements import a_flag
from support.web import Site, serving_site
from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import InclusionProofInvalid

from panji.client import Client
from panji.core.audit import audit
from panji.core.checkpoint import open_checkpoint
from panji.core.tiles import ENTRIES, Tile, top_down
from panji.errors import VerificationError
from panji.logs.exchange import ExchangeReader
from panji.logs.files import CHECKPOINT
from panji.logs.mirror import mirror
from panji.logs.reading import read_ahead
from panji.logs.web import WebReader
from panji.profile import Profile
from panji_server.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from panji.core.checkpoint import Checkpoint
    from panji.core.note import NoteVerifier

FLAGS = 270
"""More than a tile."""
BUNDLE = Tile(ENTRIES, 0)

pytestmark = pytest.mark.xdist_group("log")  # one exchange, filled once


@contextmanager
def started(folder: Path, settings: str = "") -> Iterator[Running]:
    """An exchange that anyone may read the log of."""
    running = Running(World.create(folder, settings=f'\n[log_http]\nlisten = "127.0.0.1:0"\n{settings}'))
    try:
        yield running.start()
    finally:
        running.close()


def url_of(exchange: Running) -> str:
    return f"http://{exchange.wait_for('exchange.started')['log_http']}"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One with more statements than a tile has, that nobody adds to."""
    with started(tmp_path_factory.mktemp("log") / "made") as running:
        voice = running.world.voices["kominfo"]
        for count in (3, FLAGS - 3):
            letters = [voice.says(a_flag(), "telegram") for _ in range(count)]
            results = running["kominfo"].call("SubmitFlags", envelopes=[one.envelope for one in letters]).results
            assert {one.WhichOneof("result") for one in results} == {"receipt"}
        yield running


@pytest.fixture(scope="module")
def url(exchange: Running) -> str:
    return url_of(exchange)


@pytest.fixture(scope="module")
def log(exchange: Running) -> NoteVerifier:
    return exchange.world.log


@pytest.fixture(scope="module")
def head(exchange: Running) -> Checkpoint:
    return exchange["operator"].head()


@pytest.fixture(scope="module")
def files(url: str, head: Checkpoint, log: NoteVerifier, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Everything that is served, by path; a mirror made it, so all of it was verified."""
    directory = tmp_path_factory.mktemp("mirror") / "log"
    with WebReader(url) as reader:
        assert mirror(reader, directory, log).checkpoint == head
    found = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert found.keys() == {CHECKPOINT, *(tile.path for tile in top_down(head.size))}
    return found


# Our own tools.


def test_the_log_is_audited_over_http(url: str, log: NoteVerifier, head: Checkpoint) -> None:
    with WebReader(url) as reader:
        assert audit(reader, log, older=[head], fetch=read_ahead).checkpoint == head


def test_the_log_is_audited_over_the_participants_own_connection(
    exchange: Running, log: NoteVerifier, head: Checkpoint, files: dict[str, bytes]
) -> None:
    with Client.connect(Profile.load(exchange.world.made.profiles["telegram"])) as client:
        reader = ExchangeReader(client)
        assert audit(reader, log, fetch=read_ahead).checkpoint == head
        for tile in (*top_down(head.size), Tile(0, 0, 3), Tile(ENTRIES, 1, 2)):
            assert reader.tile(tile) == files.get(tile.path, reader.tile(tile))


def test_the_database_of_the_running_exchange_is_audited(exchange: Running, head: Checkpoint) -> None:
    done = panji("log", "verify", "--config", exchange.world.made.config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Verified: {head.origin}: {head.size} of {head.size} entries lead to")


def test_a_partial_tile_of_an_earlier_size_is_still_served(url: str, files: dict[str, bytes]) -> None:
    with urllib.request.urlopen(f"{url}/{Tile(0, 0, 3).path}") as answer:  # noqa: S310 - the exchange that we started
        assert answer.read() == files[Tile(0, 0).path][:96]


def test_nothing_of_a_statement_is_served(files: dict[str, bytes], exchange: Running) -> None:
    voice = exchange.world.voices["kominfo"].profile
    for data in files.values():
        text = data.decode("latin-1")
        assert not [piece for piece in (*CONTENT, voice.organisation, "telegram") if piece in text]


def test_reading_the_log_leaves_no_event(exchange: Running, url: str, log: NoteVerifier) -> None:
    since = exchange.mark()
    with WebReader(url) as reader:
        audit(reader, log)
    exchange["operator"].call("GetCheckpoint")
    exchange.wait_for("call.finished", since=since, organisation="operator")
    assert {one["event"] for one in exchange.audit()[since:]} == {"call.finished"}


# Another's tool.


def by_another(location: str, log: NoteVerifier) -> int:
    """Reads and verifies all of a log with tlog-scales; returns its size, or raises."""
    backend = make_backend(location)
    reader = TilesReader(backend)
    try:
        checkpoint = reader.get_checkpoint()
        checkpoint.verify(Vkey.from_string(str(log)))
        assert reader.calculate_root_hash() == checkpoint.root_hash
        for index in range(checkpoint.size):
            proof = reader.get_inclusion_proof(index, checkpoint.size)
            proof.check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
        for size in (3, 256):
            reader.get_consistency_proof(size, checkpoint.size).check(reader.mth(0, size), checkpoint.root_hash)
        return int(checkpoint.size)
    finally:
        if hasattr(backend, "session"):
            backend.session.close()


def by_the_page(url: str, log: NoteVerifier) -> int:
    """Runs the example of the documentation; returns the size that it verified, or raises."""
    page = Path(__file__).resolve().parents[2] / "docs/log.md"
    found = re.search(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert found
    example = found[1].replace("https://log.exchange.example", url).replace("exchange.example/log+…", str(log))
    assert url in example
    assert str(log) in example
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - our own page
    names["reader"].backend.session.close()
    return int(names["checkpoint"].size)


def served(files: dict[str, bytes]) -> Site:
    return Site({f"/{path}": (200, {}, data) for path, data in files.items()})


def test_an_independent_verifier_accepts_the_log_over_http(url: str, log: NoteVerifier, head: Checkpoint) -> None:
    assert by_another(url, log) == head.size


def test_an_independent_verifier_accepts_the_mirror(
    files: dict[str, bytes], log: NoteVerifier, head: Checkpoint, tmp_path: Path
) -> None:
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    assert by_another(str(tmp_path), log) == head.size


@pytest.mark.parametrize(
    ("path", "at", "errors"),
    [
        pytest.param(CHECKPOINT, 60, (InvalidSignature, ValueError), id="the root in the checkpoint"),
        pytest.param(CHECKPOINT, -9, (InvalidSignature, ValueError), id="the signature of the checkpoint"),
        pytest.param("tile/0/000", 100 * 32, (AssertionError, InclusionProofInvalid), id="a tile of hashes"),
        pytest.param("tile/1/000.p/1", 5, (AssertionError, InclusionProofInvalid), id="a tile above"),
        pytest.param(BUNDLE.path, 30, (InclusionProofInvalid,), id="an entry"),
    ],
)
def test_both_verifiers_reject_one_flipped_byte(
    files: dict[str, bytes], log: NoteVerifier, path: str, at: int, errors: tuple[type[Exception], ...]
) -> None:
    data = bytearray(files[path])
    data[at] ^= 1
    with serving_site(served(files | {path: bytes(data)})) as site, WebReader(site.url) as reader:
        with pytest.raises(errors):
            by_another(site.url, log)
        with pytest.raises(VerificationError):
            audit(reader, log)


def test_the_example_of_the_documentation_proves_every_entry(
    files: dict[str, bytes], url: str, log: NoteVerifier, head: Checkpoint
) -> None:
    assert by_the_page(url, log) == head.size
    bundle, hashes = bytearray(files[BUNDLE.path]), bytearray(files["tile/0/000"])
    size = int.from_bytes(bundle[:2])
    bundle[30] ^= 1  # within the first entry
    hashes[:32] = leaf_hash(bytes(bundle[2 : 2 + size]))  # the tile above it, and so the root, stay
    lies = {BUNDLE.path: bytes(bundle), "tile/0/000": bytes(hashes)}
    with serving_site(served(files | lies)) as site, pytest.raises(InclusionProofInvalid):
        by_the_page(site.url, log)


# The program, as an auditor would run it who has the key and nothing else.


def test_an_auditor_keeps_a_head_and_holds_the_grown_log_to_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with started(tmp_path / "made") as exchange:
        log, url = exchange.world.log, url_of(exchange)
        where = ("--url", url, "--log-key", log)
        assert panji("log", "head", *where, "--out", kept).returncode == 0
        older = open_checkpoint(kept.read_text(), log)
        exchange["kominfo"].says(a_flag(), "telegram")
        done = panji("log", "verify", *where, "--since", kept)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"and extend the older heads of {older.size}.\n")
        assert exchange.terminate() == 0
        with pytest.raises(urllib.error.URLError):  # the listener ends with the exchange
            urllib.request.urlopen(f"{url}/checkpoint")  # noqa: S310 - as above


HTTPS = 'certificate = "tls/exchange.pem"\nkey = "tls/exchange.key"\n'


def test_over_https_a_renewed_certificate_is_told(tmp_path: Path) -> None:
    with started(tmp_path / "made", HTTPS) as exchange:
        tls = exchange.world.made.config.parent / "tls"
        url, certificate = url_of(exchange).replace("http:", "https:"), (tls / "exchange.pem").read_bytes()

        def read() -> int:
            with WebReader(url, ca=tls / "ca.pem") as reader:
                return audit(reader, exchange.world.log).entries

        assert read() == 1
        for renewed, event in ((b"half of it", "certificate.rejected"), (certificate, "certificate.changed")):
            (tls / "exchange.pem").write_bytes(renewed)
            since = exchange.mark()
            assert read() == 1
            exchange.wait_for(event, since=since)


def test_a_certificate_that_cannot_be_used_is_found_by_the_check(tmp_path: Path) -> None:
    world = World.create(tmp_path / "made", settings=f'\n[log_http]\nlisten = "127.0.0.1:0"\n{HTTPS}')
    config = str(world.made.config)
    assert main(["--config", config, "--check"]) == 0
    (world.made.config.parent / "other.key").write_text("no key")
    world.made.config.write_text(
        world.made.config.read_text().replace(HTTPS, HTTPS.replace("tls/exchange.key", "other.key"))
    )
    assert main(["--config", config, "--check"]) == 78
