from __future__ import annotations

import stat
import tomllib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from panji.core.directory import parse_directory
from panji.core.keys import Algorithm, PrivateKeySigner
from panji.core.note import NoteVerifier
from panji.core.vocabulary import Role
from panji.development import LIFETIME, DevelopmentCA, init
from panji.errors import InputError
from panji.profile import Profile
from panji_server import config as configuration

if TYPE_CHECKING:
    from pathlib import Path

    from panji.core.keys import PublicKey
    from panji.development import Development

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Development:
    return init(tmp_path / "dev", now=NOW, authorities=("kominfo", "polri"), platforms=("telegram",))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(found: x509.Certificate) -> x509.SubjectAlternativeName:
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_every_organisation_has_one_certificate_with_exactly_one_uri_san_on_p256(made: Development) -> None:
    for organisation, profile in made.profiles.items():
        found = certificate(Profile.load(profile).certificate)
        assert list(names(found)) == [
            x509.UniformResourceIdentifier(f"spiffe://exchange.example/{organisation}/gateway")
        ]
        key = found.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        found.verify_directly_issued_by(certificate(made.directory / "ca" / "ca.pem"))
        private = load_pem_private_key(Profile.load(profile).key.read_bytes(), None)
        assert private.public_key() == key


def test_the_exchange_is_reached_by_name_and_by_both_loopback_addresses(made: Development) -> None:
    found = names(certificate(made.directory / "exchange" / "tls" / "exchange.pem"))
    assert found.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in found.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert found.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://exchange.example/exchange"]


def test_private_keys_are_readable_by_their_owner_only_and_nothing_else_holds_one(made: Development) -> None:
    files = [path for path in made.directory.rglob("*") if path.is_file()]
    secret = {path for path in files if b"PRIVATE KEY" in path.read_bytes()}
    assert (
        len(secret) == 1 + 3 + 2 * 4 + 1
    )  # the authority's, the exchange's, two of each organisation, the operator's second
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert "PRIVATE" not in repr(made)
    issued = made.ca.issue(not_before=NOW, not_after=NOW + LIFETIME)
    assert "PRIVATE" not in repr(issued)


def test_a_folder_can_be_handed_over_alone(made: Development) -> None:
    for organisation, path in made.profiles.items():
        profile = Profile.load(path)
        assert (profile.organisation, profile.address, profile.log_key) == (organisation, made.listen, made.log_key)
        inside = (profile.directory, profile.ca, profile.certificate, profile.key, profile.state, *profile.signing_keys)
        assert all(one.is_relative_to(path.parent) for one in inside)
        assert all(not one.is_absolute() for one in map(type(path), tomllib.loads(path.read_text())["signing_keys"]))


def test_the_directory_knows_everyone_and_lets_every_authority_flag_to_every_platform(made: Development) -> None:
    directory = parse_directory((made.directory / "exchange" / "directory.toml").read_text())
    assert {one.id: one.role for one in directory.organisations.values()} == {
        "kominfo": Role.AUTHORITY,
        "polri": Role.AUTHORITY,
        "telegram": Role.PLATFORM,
        "operator": Role.OPERATOR,
    }
    for authority in ("kominfo", "polri"):
        (grant,) = directory.accreditations_of(authority, "telegram", NOW)
        assert (grant.categories, grant.target_kinds, grant.instruments) == (frozenset(),) * 3
    for organisation, path in made.profiles.items():
        (key_file,) = Profile.load(path).signing_keys
        signer = PrivateKeySigner.from_pem(key_file.read_bytes())
        first, *others = directory.keys(organisation, NOW)
        assert first == signer.public_key
        assert len(others) == (2 if organisation == "operator" else 0)
        assert signer.public_key.algorithm is Algorithm.ED25519
        spiffe = f"spiffe://exchange.example/{organisation}/gateway"
        assert directory.organisation_of(spiffe) == directory.organisation(organisation)


def test_the_operator_has_two_persons_and_the_exchange_a_key_of_its_own(made: Development) -> None:
    directory = parse_directory((made.directory / "exchange" / "directory.toml").read_text())

    def key(path: str) -> PublicKey:
        return PrivateKeySigner.from_pem((made.directory / path).read_bytes()).public_key

    persons = (key("operator/keys/statements.pem"), key("operator/keys/second.pem"))
    assert directory.persons("operator", NOW) == persons
    assert directory.keys("operator", NOW) == (*persons, key("exchange/keys/statements.pem"))


def test_the_operators_second_person_has_a_profile_with_a_key_and_a_state_of_their_own(made: Development) -> None:
    first = Profile.load(made.profiles["operator"])
    second = Profile.load(made.profiles["operator"].with_name("second.toml"))
    assert second.organisation == first.organisation
    assert second.state != first.state
    (key,) = second.signing_keys
    assert key == made.directory / "operator/keys/second.pem"
    assert not set(second.signing_keys) & set(first.signing_keys)


def test_the_settings_of_the_exchange_name_files_that_are_there(made: Development) -> None:
    settings = tomllib.loads(made.config.read_text())
    folder = made.config.parent
    assert (settings["origin"], settings["listen"]) == (made.origin, made.listen)
    files = [settings["directory"], settings["log_key"], settings["statement_key"], *settings["tls"].values()]
    assert all((folder / one).is_file() for one in files)
    log = PrivateKeySigner.from_pem((folder / settings["log_key"]).read_bytes())
    assert made.log_key == str(NoteVerifier.for_key(made.origin, log.public_key))


def test_an_origin_in_any_script_is_read_by_all_who_are_given_it(tmp_path: Path) -> None:
    """TOML knows no surrogate pairs, which JSON would have written."""
    made = init(tmp_path / "dev", now=NOW, origin='exchange.example/😀"\\日志')
    assert configuration.load(made.config).origin == made.origin
    assert {Profile.load(path).log.name for path in made.profiles.values()} == {made.origin}


def test_an_address_can_be_chosen_and_is_free_otherwise(tmp_path: Path) -> None:
    assert init(tmp_path / "a", now=NOW, listen="127.0.0.1:7443").listen == "127.0.0.1:7443"
    host, _, port = init(tmp_path / "b", now=NOW).listen.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


def test_an_empty_directory_will_do_but_nothing_is_overwritten(tmp_path: Path) -> None:
    init(tmp_path, now=NOW)
    with pytest.raises(InputError, match="not empty"):
        init(tmp_path, now=NOW)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not empty"):
        init(tmp_path / "file", now=NOW)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"authorities": ("Kominfo!",)}, "organisation"),
        ({"platforms": ("kominfo",)}, "twice"),
        ({"operator": "exchange"}, "folder"),
        ({"origin": "exchange example/log"}, "white space"),
        ({"origin": "/log"}, "SPIFFE"),
        ({"origin": "exchange.example/\x1b"}, "control character"),
        ({"origin": "exchange.example/\udce9"}, "control character"),
        ({"origin": "exchange.example/\x7f"}, "control character"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        init(tmp_path / "dev", now=NOW, **wrong)
    assert not (tmp_path / "dev").exists()


def test_odd_certificates_can_be_made_for_tests() -> None:
    ca = DevelopmentCA.create(NOW)
    ids = ["spiffe://a.example/x", "spiffe://a.example/y"]
    odd = ca.issue(ids, not_before=NOW - timedelta(days=2), not_after=NOW - timedelta(days=1), server=True)
    found = x509.load_pem_x509_certificate(odd.certificate)
    assert names(found).get_values_for_type(x509.UniformResourceIdentifier) == ids
    assert found.not_valid_after_utc < NOW
    bare = x509.load_pem_x509_certificate(ca.issue(not_before=NOW, not_after=NOW + LIFETIME, client=False).certificate)
    for absent in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        with pytest.raises(x509.ExtensionNotFound):
            bare.extensions.get_extension_for_class(absent)
    authority = x509.load_pem_x509_certificate(ca.certificate)
    bare.verify_directly_issued_by(authority)
    assert load_pem_private_key(ca.key, None).public_key() == authority.public_key()
    foreign = x509.load_pem_x509_certificate(DevelopmentCA.create(NOW).certificate)
    with pytest.raises(Exception, match=r"^$"):
        bare.verify_directly_issued_by(foreign)
