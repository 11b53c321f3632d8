"""The page for people: all that is said is on it, in two languages, and nothing that is said can do anything."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from support.evidence import LATER, Stage
from support.statements import a_correspondence, a_decision, a_full_body, a_target, an_acknowledgement
from support.witnesses import WITNESSES, cosigned

from panji.core.vocabulary import Instrument, Kind, RefusalReason, SubCategory
from panji.evidence import labels
from panji.evidence.bundle import unpack
from panji.evidence.content import read
from panji.evidence.summary import render
from panji.evidence.texts import WORDS, Language

HOSTILE = '<script>alert(1)</script>" onload="x\' </table><!-- & \u202egnp.exe'
"""A text that would do something, if it could."""


def page(stage: Stage, language: Language = Language.EN, **options: Any) -> str:
    return render(read(unpack(stage.bundle(**options))), language)


class Reader(HTMLParser):
    """What a browser would see: elements, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"p", "li"}:
            assert self.open.pop() == tag
        elif self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", Language)
def test_every_text_of_every_kind_is_on_the_page(stage: Stage, language: Language) -> None:
    flag: Any = a_full_body(Kind.FLAG)
    stage.flag(**{name: getattr(flag, name) for name in flag.__slots__})
    stage.reply(a_full_body(Kind.ACKNOWLEDGEMENT))
    question = stage.reply(a_full_body(Kind.CLARIFICATION_REQUEST))
    stage.reply(a_full_body(Kind.CLARIFICATION_ANSWER), to=question)
    stage.reply(a_full_body(Kind.DECISION))
    stage.reply(a_full_body(Kind.CORRESPONDENCE))
    text = Reader(page(stage, language)).text
    for said in (
        "Ministry of Communication", "District Court of Jakarta", "17/Pid/2026", "gambling.example", "at 01:17",
        "Objections go to the ministry.", "An investigation is under way.", "2026-05-04/3", "T-99",
        "Which of the two posts is meant?", "The second one.", "Write to the desk.", "Go to court.", "Office hours",
        "The post\npromotes gambling.", "ID-JK", "0a" * 32, stage.said[0].digest.hex(), stage.log.signer.verifier.name,
    ):  # fmt: skip
        assert said in text, said
    for one in stage.said:
        assert labels.member(one.statement.kind, language.position) in text
        assert one.signers[0] in text
    assert WORDS["not_complete"][language.position] in text


def test_the_page_says_its_language(decided: Stage) -> None:
    assert '<html lang="id">' in page(decided, Language.ID)
    assert "Ringkasan bukti" in page(decided, Language.ID)
    assert "Summary of evidence" in page(decided)


def test_the_elements_of_the_page_are_nested_as_they_should_be(decided: Stage) -> None:
    assert Reader(page(decided)).open == []


def test_no_text_of_a_flag_becomes_markup(stage: Stage) -> None:
    plain = Stage()
    plain.record()
    plain.flag(targets=(a_target(url="", handle="x"),))
    stage.flag(reasons=HOSTILE, targets=(a_target(url="", handle=HOSTILE),), reference=HOSTILE)
    harmless, hostile = Reader(page(plain)), Reader(page(stage))
    assert set(hostile.tags) == set(harmless.tags)
    assert hostile.attributes == harmless.attributes
    assert "<script" not in page(stage)
    assert "\\u202e" in hostile.text
    assert "\u202e" not in hostile.text
    assert html.escape(HOSTILE.replace("\u202e", "\\u202e")) in page(stage)


def test_nothing_on_the_page_is_loaded_linked_or_run(decided: Stage) -> None:
    made = page(decided)
    reader = Reader(made)
    assert not {"script", "a", "img", "link", "iframe", "form", "object"} & set(reader.tags)
    assert not {"href", "src", "onload", "style"} & reader.attributes
    assert "Content-Security-Policy" in made
    assert not re.search(r"url\(|@import", made)


def test_the_page_has_rules_for_printing(decided: Stage) -> None:
    assert "@page{size:A4" in page(decided)
    assert "@media print" in page(decided)


def test_silence_is_told_with_whose_word_it_is(silent: Stage) -> None:
    text = Reader(page(silent)).text
    assert "handed the flag to spiffe://test.example/telegram at" in text
    assert "No participant of the platform was ever connected." in text
    assert "Tenggat terlewati" in Reader(page(silent, Language.ID)).text


def test_a_flag_that_was_never_fetched_is_told_as_that(stage: Stage) -> None:
    stage.flag()
    stage.missed(delivered=False, last_seen=True)
    text = Reader(page(stage)).text
    assert "never fetched the flag" in text
    assert "was last connected at" in text


def test_without_content_the_page_says_what_is_left(decided: Stage) -> None:
    made = page(decided, with_content=False)
    assert WORDS["redacted"][0] in html.unescape(made)
    assert made.count("The content was left out.") == 5
    assert "that it is of this case, and the states below are the word of the exporter" in made
    assert "gambling" not in made.replace("Online gambling", "").replace("Promotion of gambling", "")


def test_without_a_record_the_page_says_that_owners_of_keys_are_not_recorded() -> None:
    stage = Stage()
    stage.flag()
    assert WORDS["no_record"][0] in page(stage)


def test_the_keys_are_shown_with_the_time_in_which_they_count(stage: Stage) -> None:
    stage.periods["telegram"] = "valid_until = 2030-01-01T00:00:00Z"
    stage.record()
    stage.flag()
    stage.reply(an_acknowledgement())
    stage.reply(a_decision())
    stage.reply(a_correspondence())
    text = Reader(page(stage)).text
    assert "2030-01-01 00:00:00.000000 UTC" in text
    assert stage.signers["telegram"][0].public_key.keyid in text


@pytest.mark.parametrize("with_content", [True, False])
@pytest.mark.parametrize("language", Language)
def test_nothing_is_escaped_twice(silent: Stage, language: Language, with_content: bool) -> None:
    silent.reply(an_acknowledgement())
    silent.reply(a_decision())
    made = page(silent, language, with_content=with_content)
    assert "&amp;#" not in made
    assert not re.search(r"&\w+;|&#", Reader(made).text)
    assert WORDS["issued_at"][language.position] in Reader(made).text


@pytest.mark.parametrize("language", Language)
def test_the_page_says_all_that_is_not_proven(decided: Stage, language: Language) -> None:
    text = Reader(page(decided, language)).text
    for gap in ("complete", "the_clock", "true", "one_log", "the_owners", "the_exporter"):
        assert WORDS[f"not_{gap}"][language.position] in text
    assert WORDS["not_the_delivery"][language.position] not in text


def test_the_delivery_is_not_proven_until_the_platform_has_answered(silent: Stage) -> None:
    gap = WORDS["not_the_delivery"][0]
    assert gap in Reader(page(silent)).text
    silent.reply(an_acknowledgement())
    assert gap not in Reader(page(silent)).text
    assert gap in Reader(page(silent, with_content=False)).text


@pytest.mark.parametrize("language", Language)
def test_the_page_names_the_cosigners_and_their_times(stage: Stage, language: Language) -> None:
    stage.flag()
    assert WORDS["cosigned"][language.position] not in page(stage, language)
    note = cosigned(stage.log.checkpoint(), *WITNESSES.values(), at=LATER)
    text = Reader(render(read(unpack(stage.bundle(stage.material(checkpoint=note)))), language)).text
    for witness in WITNESSES.values():
        assert re.search(rf"{witness.verifier.name} \w+ {LATER:%Y-%m-%d %H:%M:%S}", text)


def test_a_key_without_an_end_says_so(decided: Stage) -> None:
    assert "UTC, no end" in page(decided)
    assert "UTC, tanpa batas" in page(decided, Language.ID)


def test_the_sub_category_follows_the_category(stage: Stage) -> None:
    stage.flag(sub_category=SubCategory.GAMBLING_PROMOTION)
    made = page(stage)
    assert len(re.findall(r"<tr><th>Category</th><td>[^<]*</td></tr>\s*<tr><th>Sub-category</th>", made)) == 2


def test_only_fingerprints_are_broken_anywhere_when_printed(decided: Stage) -> None:
    rules = dict(re.findall(r"([\w,. ]+)\{([^{}]*)\}", page(decided).partition("<style>")[2].replace("\n", "")))
    assert "overflow-wrap:anywhere" in rules["code"]
    assert [name for name, rule in rules.items() if "overflow-wrap:anywhere" in rule] == ["code"]


def test_the_words_of_the_law_are_used_in_indonesian(decided: Stage) -> None:
    assert "Diputuskan oleh platform" in page(decided, Language.ID)
    assert labels.member(RefusalReason.LOCATOR_INVALID, 1) == "Alamat tidak valid"
    assert labels.member(Instrument.PRESERVATION, 1) == "Penyimpanan bukti elektronik"
