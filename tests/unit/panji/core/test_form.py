"""What a well-formed value is. Each check is a table: what it takes, and what it refuses."""

# ruff: noqa: RUF001 - letters that look like others are what some of these tests are about

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panji.core import form
from panji.core.form import Field, check_fields
from panji.core.vocabulary import Urgency
from panji.errors import Violation

GOOD_URLS = [
    "http://example.org",
    "https://example.org/",
    "HTTPS://Example.ORG/Path",
    "https://example.org:8443/a;b=1?c=d&e#f",
    "https://example.org?query-without-path",
    "https://example.org#fragment-without-path",
    "https://user:secret@example.org/",
    "https://localhost/",
    "https://under_score.example.org/",
    "https://example.org./trailing-dot-of-the-root",
    "https://example.org:/empty-port",
    "https://192.0.2.7/",
    "https://[2001:db8::7]:443/x",
    "https://4.example/",
    "https://1.2.3.4.example/",
    "https://contoh.example/berita/17?q=%E2%82%AC",
    "https://пример.рф/страница",
    "https://उदाहरण.भारत/पृष्ठ",  # its vowel signs are marks, no letters
    "https://例え.テスト/ページ",
    "https://xn--fsqu00a.xn--0zwm56d/",
    "https://t.example/emoji/👨‍👩‍👧",  # with zero-width joiners
    "https://t.example/emoji/\u2764\ufe0f",  # with a variation selector
    "https://ｅｘａｍｐｌｅ.org/",
    "https://क्\u200dष.भारत/",  # a joiner after a virama
    "https://نامه\u200cای.ایران/",  # and one between Arabic letters
    "https://benutzer\u00e4:x@example.org/",
    "https://github.example/djy/blob/master/gb/n24hr.md?dfh#1",
    "https://example.org/[brackets]",
    f"https://example.org/{'a' * (form.MAX_URL - 20)}",
]

BAD_URLS = [
    "example.org",
    "//example.org/",
    "https:",
    "https://",
    "https:///path",
    "https:/example.org",
    "ftp://example.org/",
    "javascript:alert(1)",
    "data:text/html,x",
    "httpſ://example.org/",  # the long s, which a careless comparison takes for an s
    "https://?q",
    "https://#f",
    "https://:443/",
    "https://@/",
    "https://a@b@example.org/",
    "https://exa mple.org/",
    "https://example..org/",
    "https://.example.org/",
    "https://-example.org/",
    "https://example-.org/",
    f"https://{'a' * 64}.org/",
    "https://example.org:0/",
    "https://example.org:65536/",
    "https://example.org:999999/",
    "https://example.org:80a/",
    "https://example.org:-1/",
    "https://192.0.2.256/",
    "https://192.0.2/",
    "https://3232235777/",
    "https://example.1/",
    "https://[2001:db8::7/",
    "https://[192.0.2.7]/",
    "https://[::g]/",
    "https://[]/",
    "https://2001:db8::7/",
    "https://example.org/a\nb",
    "https://example.org/a\rb",
    "https://example.org/a\tb",
    "https://example.org/a\x00b",
    "https://example.org/a\x7fb",
    "https://example.org/a\x85b",
    "https://example.org/a\u2028b",
    "https://example.org/a\u202eb",  # turns the direction of what follows: the reader sees another address
    "https://example.org/a\u200bb",  # shows nothing
    "https://example.org/\ud800",
    "https://trusted.example\\@evil.example/",
    "https://example.org。evil.example/",  # the dot of another script splits the name for some readers only
    *(f"https://bank.example{one}.evil.example/" for one in "／？＃＠：․‥…℀℁⒈㏂％＼［﹖﹟﹕\ufe52\ufe55"),
    *(f"https://exa{one}mple.org/" for one in "\u00ad\u034f\u115f\u1160\u17b4\u180b\u3164\ufe0f\uffa0\ufff9\ufffb"),
    *(f"https://exa{one}mple.org/" for one in "\u200c\u200d\U000e0041\U000e0100\U0001d173"),
    "https://exa\u200c.org/",
    "https://\u200dexample.org/",
    "https://example.org/a\u00adb",
    "https://example.org/a\U000e0041b",
    "https://１２７.０.０.１/",  # to a browser, an address of this machine
    "https://a.①/",
    "https://user＠example.org@evil.example/",
    "https://[@example.org/",
    "https://]@example.org/",
    "https://[::1]@example.org/",
    "https://example.org/<script>",
    'https://example.org/"quoted"',
    " https://example.org/",
    "https://example.org/\n",
    f"https://example.org/{'a' * (form.MAX_URL - 19)}",
]


@pytest.mark.parametrize("value", GOOD_URLS)
def test_an_absolute_web_address_is_a_url(value: str) -> None:
    assert form.url(value) == ""


@pytest.mark.parametrize("value", BAD_URLS)
def test_anything_else_is_no_url(value: str) -> None:
    assert form.url(value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("https://example.org/ a", "has a character that no URL may have"),
        ("mailto:desk@example.org", "is no absolute http or https URL"),
        ("https://192.0.2.256/", "has a host that is no IP address"),
        ("https://[::1::]/", "has a host that is no IP address"),
        ("https://example.org:0/", "has a port that is not from 1 to 65535"),
        ("https://" + "a" * form.MAX_URL, "has more than 4096 characters"),
    ],
)
def test_a_refused_url_says_what_is_wrong_with_it(value: str, complaint: str) -> None:
    assert form.url(value) == complaint


@given(
    st.text(max_size=80).map("https://".__add__) | st.from_regex(r"https?://[a-z.:@\[\]0-9/?#-]{0,40}", fullmatch=True)
)
@example("https://" + "1." * 2000)
@example("https://" + "a-" * 2000)
def test_no_text_makes_the_url_check_fail_or_hang(value: str) -> None:
    assert isinstance(form.url(value), str)


_ODD = "".join(c for c in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", c) != c) + "\u00ad\u200d\ufe0f"


def split_alike(value: str) -> bool:
    """Whether Python's reader, which maps compatible characters, finds what stands there before mapping."""
    found = urlsplit(value)
    mapped = urlsplit(unicodedata.normalize("NFKC", value.partition("#")[0].partition("?")[0]))
    assert found.hostname is not None
    assert mapped.hostname is not None
    return found.hostname.count(".") == mapped.hostname.count(".") and found.port == mapped.port


@given(
    st.text(st.sampled_from("aß१/?#@:.[]%\\ -1é․／℀…\u00ad\u200c\u200dｂ①"), max_size=12).map(
        "https://x{}y.example/".format
    )
    | st.text(st.sampled_from("aß१@:.[]1é／ｂ①"), max_size=12).map("https://".__add__)
    | st.from_regex(r"https?://[a-z.:@\[\]0-9/?#-]{0,40}", fullmatch=True)
)
@example("https://[@a.example/")
@example("https://a]b@a.example/")
def test_every_reader_splits_an_accepted_url_in_the_same_places(value: str) -> None:
    """Attack: what the platform blocks is another host than the one that the authority looked at."""
    if not form.url(value):
        assert split_alike(value)


def test_no_character_that_another_stands_for_splits_a_url_for_some_readers_only() -> None:
    taken = [one for one in _ODD if not form.url(f"https://bank{one}x.example/")]
    assert len(taken) > 1000
    assert all(split_alike(f"https://bank{one}x.example/") for one in taken)
    assert all("." not in unicodedata.normalize("NFKC", one) for one in _ODD if not form.host(f"bank{one}x.example"))


@pytest.mark.parametrize(
    "value",
    [
        "t.me",
        "a.b.c.example",
        "flora-1.web.telegram.org",
        "xn--p1ai.example",
        "हिन्दी.भारत",
        "ไทย.ไทย",
        "a_b.example.",
        "1.example",
    ],
)
def test_a_name_of_two_labels_or_more_is_a_host(value: str) -> None:
    assert form.host(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "localhost",
        "telegram",
        ".me",
        "t..me",
        "t.me..",
        "-t.me",
        "t-.me",
        f"{'a' * 64}.me",
        ".".join(["a" * 63] * 4),
        "192.0.2.7",  # an address, and no name
        "2001:db8::7",
        "example.7",
        "https://t.me",
        "t.me/path",
        "t.me:443",
        "t .me",
        "t.me\n",
        "t\u200b.me",
        "t.m\u202ee",
        "t。me",
        "bank／x.example",
        "a\u00adb.example",
        "a․b.example",
        "exa\u200dmple.org",
        "example.７",
        "t.\ud800",
        "*.example.org",
    ],
)
def test_anything_else_is_no_host(value: str) -> None:
    assert form.host(value) == "is no domain name"


@pytest.mark.parametrize("value", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])
def test_ip_addresses_of_both_families_pass(value: str) -> None:
    assert form.ip_address(value) == ""


@pytest.mark.parametrize("value", ["192.0.2", "192.0.2.256", "192.0.2.07", "192.0.2.0/24", "[::1]", "t.me"])
def test_networks_and_names_are_no_ip_addresses(value: str) -> None:
    assert form.ip_address(value) == "is no IP address"


LINE_BREAKERS = ["\n", "\r", "\t", "\x00", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ud800"]


@pytest.mark.parametrize("character", LINE_BREAKERS, ids=ascii)
@pytest.mark.parametrize("place", ["{}after", "before{}", "bet{}ween"])
def test_nothing_that_could_break_a_log_line_stands_in_a_line(character: str, place: str) -> None:
    assert form.line(50)(place.format(character)) == "has a control character or a line break"


@pytest.mark.parametrize("character", [one for one in LINE_BREAKERS if one not in "\n\t"], ids=ascii)
def test_running_text_has_no_control_character_but_line_feed_and_tab(character: str) -> None:
    assert form.text(50)(f"first\n\tsecond{character}") == "has a control character other than line feed and tab"
    assert form.text(50)("first\n\tsecond") == ""


@pytest.mark.parametrize("of_four", [form.line(4), form.text(4)], ids=["line", "text"])
def test_a_text_is_measured_in_characters_and_not_in_bytes(of_four: form.Check) -> None:
    assert of_four("𝔘𝔘𝔘𝔘") == ""
    assert of_four("abcde") == "has more than 4 characters"


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u3000 "], ids=ascii)
def test_a_blank_text_is_no_text(blank: str) -> None:
    assert form.line(50)(blank) == form.text(50)(blank) == "is blank"
    assert form.text(50)("\n\t ") == "is blank"


@given(st.text())
def test_the_quick_look_at_a_line_never_lets_an_unwanted_character_through(value: str) -> None:
    refused = any(ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 or one in "\u2028\u2029" for one in value)
    assert (form.line(10**6)(value) == "has a control character or a line break") == refused


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            form.uuid7,
            ["01970000-0000-7000-8000-000000000001", "ffffffff-ffff-7fff-bfff-ffffffffffff"],
            [
                "01970000-0000-4000-8000-000000000001",  # version 4
                "01970000-0000-7000-c000-000000000001",  # another variant
                "01970000-0000-7000-8000-00000000000A",
                "{01970000-0000-7000-8000-000000000001}",
                "01970000000070008000000000000001",
                "01970000-0000-7000-8000-000000000001\n",
                "٠1970000-0000-7000-8000-000000000001",
            ],
        ),
        (
            form.organisation,
            ["a", "7", "kominfo", "a.b-c", "x" * 63],
            ["A", "-a", "a-", ".a", "a.", "a_b", "a b", "ä", "x" * 64, "a\n", "../etc", "a/b"],
        ),
        (
            form.language,
            ["id", "en", "zh-Hant-TW", "sr-Latn-RS", "de-CH-1996"],
            ["e", "en_GB", "en-", "-en", "e1", "en-toolonger", "en\n", "ен"],
        ),
        (form.country, ["ID", "EU", "XK"], ["id", "I", "IDN", "I1", "ID\n", "ІD"]),
        (form.territory, ["ID", "ID-JK", "FR-75", "GB-ENG"], ["id", "ID-", "ID-jk", "ID-ABCD", "*", ""]),
        (
            form.media_type,
            ["application/pdf", "image/svg+xml", "application/vnd.panji.statement.v1+protobuf"],
            ["pdf", "image/", "/png", "Image/PNG", "text/plain; charset=utf-8", "a/b/c", "a" * 50 + "/" + "b" * 50],
        ),
        (
            form.calendar_date,
            ["2017-07-14", "2024-02-29", "0001-01-01"],
            [
                "2023-02-29",
                "2017-13-01",
                "2017-00-10",
                "2017-7-14",
                "20170714",
                "0000-01-01",
                "14-07-2017",
                "٢٠١٧-٠٧-١٤",
            ],
        ),
        (form.sha256, [bytes(32)], [bytes(31), bytes(33), b"\x00"]),
        (form.number(1, 3), [1, 3], [0, 4, -1]),
        (form.member(Urgency), [Urgency.URGENT, Urgency.UNSPECIFIED], [2, 99, "URGENT"]),
        (form.replies_only, [], ["01970000-0000-7000-8000-000000000001", bytes(32)]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_check_takes_its_form_and_nothing_else(check: form.Check, good: list[object], bad: list[object]) -> None:
    assert {value: check(value) for value in good} == dict.fromkeys(good, "")
    assert [value for value in bad if check(value) == ""] == []


def test_hexadecimal_digits_are_counted_and_may_be_of_either_case() -> None:
    assert form.hexadecimal("0aF9", 4) == ""
    assert form.hexadecimal("0aF", 4) == form.hexadecimal("0aFg", 4) == "is not 4 hexadecimal digits"


class TestInstant:
    def test_any_aware_time_is_an_instant(self) -> None:
        assert form.instant(datetime(2026, 5, 4, tzinfo=UTC)) == ""
        assert form.instant(datetime(2026, 5, 4, tzinfo=timezone(timedelta(hours=7)))) == ""

    def test_a_naive_time_is_none(self) -> None:
        assert form.instant(datetime(2026, 5, 4)) == "has no time zone"  # noqa: DTZ001 - that is the point

    def test_a_time_that_is_in_no_year_of_utc_is_none(self) -> None:
        far_east, far_west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
        assert form.instant(datetime.min.replace(tzinfo=far_east)) == "is outside the years 1 to 9999"
        assert form.instant(datetime.max.replace(tzinfo=far_west)) == "is outside the years 1 to 9999"


class TestFields:
    FIELDS = (Field("name", form.line(5), required=True), Field("note", form.line(5)))

    def found(self, **value: str) -> list[Violation]:
        found: list[Violation] = []
        check_fields(found, "whole.", SimpleNamespace(**value), self.FIELDS)
        return found

    def test_an_empty_field_is_fine_unless_it_is_required(self) -> None:
        assert self.found(name="x", note="") == []
        assert self.found(name="", note="") == [Violation("whole.name", "is required")]

    def test_every_wrong_field_is_found_with_its_path(self) -> None:
        assert self.found(name="too long", note="too long") == [
            Violation("whole.name", "has more than 5 characters"),
            Violation("whole.note", "has more than 5 characters"),
        ]

    @pytest.mark.parametrize("value", ["secret\n", "secret and much too long"])
    def test_a_violation_never_repeats_the_value_for_it_may_be_content(self, value: str) -> None:
        assert "secret" not in str(self.found(name=value, note=""))
