from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from panji import importer
from panji.core.statements import BatchReference, LegalBasis
from panji.core.vocabulary import (
    AuthorityKind,
    Category,
    HashAlgorithm,
    Instrument,
    RequestedAction,
    SubCategory,
    TargetKind,
    Urgency,
)
from panji.errors import InputError
from panji.importer import Format, parse_legal_basis, table

SHARED = Path(os.environ.get("PANJI_SHARED", Path(__file__).parents[4] / "shared"))
TAKEDOWNS = SHARED / "data" / "gov-takedowns.jsonl"

FLAG: dict[str, Any] = {
    "instrument": "ORDER",
    "category": "GAMBLING",
    "sub_category": "GAMBLING_SITE",
    "urgency": "URGENT",
    "reasons": "See the order.",
    "requested_actions": ["REMOVE"],
    "legal_basis": ["ID: UU ITE, art. 27(2)"],
    "issuing_authority": {"name": "Kominfo", "kind": "ADMINISTRATIVE", "jurisdiction": "ID"},
    "targets": [{"kind": "URL", "url": "https://bet.example/"}],
}

NOTICE: dict[str, Any] = {
    "id": "ru-1",
    "received": "2020-01-02",
    "jurisdiction": "RU",
    "authority_name": "Roskomnadzor",
    "authority_type": "executive_agency",
    "deciding": [],
    "register_entries": ["12-РИ"],
    "authority_refs": ["12"],
    "legal_basis": ["RU: Federal Law 149-FZ of 27.07.2006, art. 15.1"],
    "subject": ["gambling"],
    "subject_guess": [],
    "targets": [{"url": "https://bet.example/a", "kind": "pages_page"}],
    "withheld_targets": [],
    "actions_asked": ["remove", "restrict_access_in_jurisdiction", "suspend_account"],
    "threatened": "host_or_ip_block",
    "deadline": "PT24H",
    "attachments": [{"path": "a/b.pdf", "sha256": "ab" * 32, "bytes": 7}],
    "source": {"repo": "github/gov-takedowns", "path": "Russia/a.md", "sha256": "cd" * 32, "bytes": 9},
}


def lines(*entries: Any) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in entries).encode()


def only(*entries: Any, **changes: Any) -> importer.Row:
    (row,) = importer.read(lines(*(one | changes for one in entries))).rows
    return row


def missing(row: importer.Row) -> set[str]:
    assert row.flag is None
    return {one.field for one in row.violations}


# Published takedown notices


@pytest.mark.skipif(not TAKEDOWNS.exists(), reason="the shared data are not here")
def test_the_81_notices_and_142_targets_are_all_accounted_for() -> None:
    read = importer.read_file(TAKEDOWNS)
    assert read.format is Format.TAKEDOWNS
    assert (len(read.rows), read.targets) == (81, 142)
    incomplete = {row.source_id: [(one.field, one.description) for one in row.violations] for row in read.incomplete}
    assert {name: [field for field, _ in found] for name, found in incomplete.items()} == {
        "cn-2016-06-08-programthink-zhao": ["flag.legal_basis"],  # an order that names no law
        "es-2019-10-23-guardiacivil": ["flag.targets"],  # an order whose every address was redacted
    }
    assert "order" in incomplete["cn-2016-06-08-programthink-zhao"][0][1]
    flags = [row.flag for row in read.complete if row.flag]
    assert Counter(flag.instrument for flag in flags) == {Instrument.ORDER: 78, Instrument.NOTICE: 1}
    assert Counter(flag.category for flag in flags) == {
        Category.OTHER_LAW: 41,
        Category.GAMBLING: 19,
        Category.DANGEROUS_ORGANISATION: 7,
        Category.FACILITATING_ACCESS: 3,
        Category.FRAUD_SCAM: 3,
        Category.DEFAMATION: 2,
        Category.SELF_HARM: 1,
        Category.PUBLIC_ORDER: 1,
        Category.ILLEGAL_GOODS: 1,
        Category.INTELLECTUAL_PROPERTY: 1,
    }
    assert all(flag.batch and flag.batch.count == 81 for flag in flags)


def test_a_notice_becomes_an_order_with_all_its_facts() -> None:
    row = only(NOTICE)
    flag = row.flag
    assert flag is not None
    assert (row.number, row.source_id, row.targets, row.language) == (1, "ru-1", 1, "en")
    assert (flag.instrument, flag.good_faith, flag.urgency) == (Instrument.ORDER, False, Urgency.URGENT)
    assert (flag.category, flag.sub_category) == (Category.GAMBLING, SubCategory.GAMBLING_SITE)
    assert flag.requested_actions == (
        RequestedAction.REMOVE,
        RequestedAction.DISABLE_IN_JURISDICTION,
        RequestedAction.SUSPEND_ACCOUNT,
    )
    assert flag.legal_basis == (
        LegalBasis(jurisdiction="RU", law="Federal Law 149-FZ of 27.07.2006", article="art. 15.1"),
    )
    assert (flag.targets[0].kind, flag.targets[0].url) == (TargetKind.PAGE, "https://bet.example/a")
    assert flag.issuing_authority.kind is AuthorityKind.ADMINISTRATIVE
    assert flag.reference == "12; 12-РИ"
    assert [(one.description, one.size_bytes, one.media_type) for one in flag.evidence] == [
        ("The notice as published: Russia/a.md", 9, "text/markdown"),
        ("Attachment: a/b.pdf", 7, "application/pdf"),
    ]
    assert flag.reasons == (
        "The text of the notice is not in the imported data; these are its facts."
        " Received on 2020-01-02 from Roskomnadzor (RU). Subject: gambling."
        " Measure threatened: host or ip block. Deadline in the notice: PT24H."
        " Source: github/gov-takedowns, Russia/a.md."
    )


def test_a_notice_that_asks_for_nothing_is_a_notice_in_good_faith() -> None:
    flag = only(NOTICE, actions_asked=[], legal_basis=[], deadline=None, threatened=None).flag
    assert flag is not None
    assert (flag.instrument, flag.good_faith, flag.urgency) == (Instrument.NOTICE, True, Urgency.ROUTINE)
    assert flag.requested_actions == (RequestedAction.NONE,)


@pytest.mark.parametrize(
    ("subject", "guess", "category", "said"),
    [
        (["unheard_of", "copyright"], [], Category.INTELLECTUAL_PROPERTY, "Subject: unheard of, copyright."),
        (["unheard_of"], ["gambling"], Category.OTHER_LAW, "Subject: unheard of."),
        ([], ["circumvention_tool"], Category.FACILITATING_ACCESS, "guessed from the address: circumvention tool."),
        ([], [], Category.OTHER_LAW, "The notice states no subject."),
    ],
)
def test_what_the_notice_says_goes_before_what_was_guessed(
    subject: list[str], guess: list[str], category: Category, said: str
) -> None:
    flag = only(NOTICE, subject=subject, subject_guess=guess).flag
    assert flag is not None
    assert flag.category is category
    assert said in flag.reasons


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Leninsky District Court", AuthorityKind.JUDICIAL),
        ("Prosecutor General", AuthorityKind.LAW_ENFORCEMENT),
        ("FNS (Federal Tax Service)", AuthorityKind.ADMINISTRATIVE),
    ],
)
def test_who_decided_is_kept_apart_from_who_sent(name: str, kind: AuthorityKind) -> None:
    decided = [{"body": name, "date": "2018-01-24", "number": None}, {"body": "Another", "date": None, "number": None}]
    flag = only(NOTICE, deciding=decided, withheld_targets=[{}]).flag
    assert flag is not None
    assert flag.deciding_body is not None
    assert (flag.deciding_body.name, flag.deciding_body.kind, flag.deciding_body.document_number) == (name, kind, "")
    assert "Also decided by: Another." in flag.reasons
    assert "Targets that the data withhold: 1." in flag.reasons


def test_words_that_no_table_has_are_reported_and_not_guessed() -> None:
    target = {"url": "hxxps://bet[.]example/", "kind": "hologram"}
    row = only(NOTICE, authority_type="oracle", actions_asked=["pray"], targets=[target])
    assert missing(row) == {
        "flag.issuing_authority.kind",
        "flag.requested_actions[0]",
        "flag.targets[0].kind",
        "flag.targets[0].url",
    }
    assert row.targets == 1


def test_a_notice_of_another_shape_is_reported_and_the_rest_goes_on() -> None:
    read = importer.read(lines(NOTICE, NOTICE | {"id": "b", "source": None}, NOTICE | {"id": "c"}) + b"[]\nnull\n")
    assert read.format is Format.TAKEDOWNS
    assert [bool(row.flag) for row in read.rows] == [True, False, True, False, False]
    assert (read.rows[1].source_id, read.rows[1].violations[0].field) == ("b", "line")


# Our own JSON lines


def test_a_line_has_the_fields_of_a_flag() -> None:
    target = {
        "kind": "MEDIA_HASH",
        "hashes": [{"algorithm": "SHA256", "value": "ab" * 32}],
        "observed_at": "2026-01-02T03:04:05+07:00",
        "snapshot_sha256": "cd" * 32,
    }
    more = {
        "id": "7/1",
        "language": "id",
        "targets": [target],
        "legal_basis": [{"jurisdiction": "ID", "law": "UU ITE"}],
        "non_disclosure": {"until": "2027-01-01T00:00:00Z", "reason": "Inquiry."},
        "batch": {"id": "list 7", "position": 1, "count": 2},
        "deciding_body": None,
    }
    row = only(FLAG, **more)
    flag = row.flag
    assert flag is not None
    assert (row.source_id, row.language) == ("7/1", "id")
    assert flag.targets[0].hashes[0].algorithm is HashAlgorithm.SHA256
    assert flag.targets[0].observed_at is not None
    assert flag.targets[0].snapshot_sha256 == b"\xcd" * 32
    assert flag.batch == BatchReference(id="list 7", position=1, count=2)
    assert flag.non_disclosure is not None


def test_everything_that_is_wrong_with_a_row_is_named_at_once() -> None:
    row = only(
        FLAG,
        colour="red",
        instrument="PLEA",
        good_faith="yes",
        reasons=7,
        respond_by="2026-01-01T00:00:00",
        expires_at="soon",
        evidence=[{"sha256": "xyz", "description": "x", "size_bytes": -1}],
        jurisdictions="ID",
        issuing_authority="Kominfo",
        targets=[{"kind": "URL", "url": "\ud800"}],
        legal_basis=["UU ITE"],
    )
    assert missing(row) == {
        "flag.colour",
        "flag.instrument",
        "flag.good_faith",
        "flag.reasons",
        "flag.respond_by",
        "flag.expires_at",
        "flag.evidence[0].sha256",
        "flag.evidence[0].size_bytes",
        "flag.jurisdictions",
        "flag.issuing_authority",
        "flag.issuing_authority.name",
        "flag.issuing_authority.kind",
        "flag.issuing_authority.jurisdiction",
        "flag.targets[0].url",
        "flag.legal_basis[0].jurisdiction",
    }
    assert len(row.violations) == len(missing(row))


def test_an_empty_object_is_told_all_that_a_flag_needs() -> None:
    fields = missing(only({}))
    assert {"flag.instrument", "flag.category", "flag.reasons", "flag.targets", "flag.issuing_authority.name"} <= fields


def test_a_line_that_is_no_json_is_named_by_its_number_and_sinks_nobody() -> None:
    data = lines(FLAG) + b"\n" + b'{"instrument": \n' + lines(FLAG | {"reasons": "Another."}) + b"[1]\n" + b"[" * 99999
    rows = importer.read(data).rows
    assert [(row.number, bool(row.flag)) for row in rows] == [(1, True), (3, False), (4, True), (5, False), (6, False)]
    assert rows[1].violations[0].description.startswith("is no JSON at column")


def test_a_name_that_stands_twice_is_told_and_loses_nothing() -> None:
    """Attack: of two lists of targets in one row, the first would vanish in silence."""
    row = lines(FLAG)[:-2].decode() + ', "targets": [{"kind": "CHANNEL", "url": "https://t.me/other"}]}'
    nested = lines(FLAG).decode().replace('"jurisdiction": ', '"jurisdiction": "SG", "jurisdiction": ', 1)
    for text, name in ((row, "targets"), (nested, "jurisdiction")):
        (read,) = importer.read(text.encode()).rows
        assert read.flag is None
        assert [one.description for one in read.violations] == [f"has '{name}' twice in one object"]


def test_repeated_rows_are_named_and_not_sent_twice() -> None:
    by_id = importer.read(lines(FLAG | {"id": "a"}, FLAG | {"id": "b"}, FLAG | {"id": "a", "reasons": "Other."})).rows
    assert [bool(row.flag) for row in by_id] == [True, True, False]
    assert by_id[2].violations[0].description == "repeats the row at line 1"
    by_content = importer.read(lines(FLAG, FLAG)).rows
    assert [bool(row.flag) for row in by_content] == [True, False]


def test_each_flag_says_which_list_it_came_with() -> None:
    data = lines(FLAG, FLAG | {"reasons": "Another."})
    read = importer.read(data)
    batches = [row.flag.batch for row in read.rows if row.flag]
    assert [(one.position, one.count, one.manifest_sha256) for one in batches if one] == [
        (1, 2, read.sha256),
        (2, 2, read.sha256),
    ]


def test_a_byte_order_mark_and_crlf_do_no_harm() -> None:
    assert importer.read(b"\xef\xbb\xbf" + lines(FLAG).replace(b"\n", b"\r\n")).rows[0].flag


# CSV

HEADER = (
    "flag,instrument,category,sub_category,urgency,reasons,requested_actions,legal_basis,authority_name,"
    "authority_kind,authority_jurisdiction,deciding_name,deciding_kind,good_faith,kind,url,sha256"
)
ROW = "{flag},ORDER,gambling,GAMBLING_SITE,ROUTINE,Why.,REMOVE; LABEL,ID: UU ITE art. 27,Kominfo,ADMINISTRATIVE,ID,,,,"


def csv_file(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join([header, *rows, ""]).encode("utf-8-sig")


def test_rows_of_one_name_make_one_flag_and_the_rest_stand_alone() -> None:
    first = ROW.format(flag="A") + "URL,https://a.example/1,"
    more = "A,,,,,,,,,,,,,,URL,https://a.example/2,"
    alone = ROW.format(flag="").replace("Why.", "Else.") + "MEDIA_HASH,," + "ab" * 32
    read = importer.read(csv_file(first, alone, more, "", ",,"))
    assert read.format is Format.CSV
    grouped, single = read.rows
    assert grouped.flag is not None
    assert [target.url for target in grouped.flag.targets] == ["https://a.example/1", "https://a.example/2"]
    assert grouped.flag.requested_actions == (RequestedAction.REMOVE, RequestedAction.LABEL)
    assert grouped.flag.legal_basis == (LegalBasis(jurisdiction="ID", law="UU ITE", article="art. 27"),)
    assert (grouped.source_id, grouped.number, grouped.targets) == ("A", 2, 2)
    assert single.flag is not None
    assert single.flag.targets[0].hashes[0].value == "ab" * 32
    assert (single.source_id, single.number) == ("", 3)


def test_a_cell_that_contradicts_the_flags_first_row_is_named() -> None:
    first = ROW.format(flag="A") + "URL,https://a.example/1,"
    other = ROW.format(flag="A").replace("Why.", "Because.") + "URL,https://a.example/2,"
    (row,) = importer.read(csv_file(first, other)).rows
    assert [(one.field, one.description) for one in row.violations] == [
        ("reasons", "at line 3 is not what the flag's first row says")
    ]


def test_a_csv_row_is_told_what_it_lacks_by_column_and_line() -> None:
    header = f"{HEADER},observed_at"
    first = "A,COURT_ORDER,GAMBLING,,,,,UU ITE,,MONARCHICAL,ID,,,maybe,URL,bet.example,,yesterday"
    second = "A,,,,,,,,,,,,,,HOUSE,https://bet.example/,,"
    third = "A,,,,,,,,,,,,,,MEDIA_HASH,,ab,"
    (row,) = importer.read(csv_file(first, second, third, "A,,,,,,,,,,,,,,POST,,,", header=header)).rows
    assert row.flag is None
    told = [(one.field, one.description) for one in row.violations]
    assert sorted(told) == [
        ("authority_kind", "is none of ADMINISTRATIVE, JUDICIAL, LAW_ENFORCEMENT, ACCREDITED_PRIVATE"),
        ("authority_name", "is required"),
        ("deciding_name", "is required for a court order"),
        ("good_faith", "is neither yes nor no"),
        ("kind", f"at line 3 is none of {', '.join(one.name for one in TargetKind if one)}"),
        ("legal_basis", "jurisdiction is required"),
        ("line", "at line 5 has no url, identifier, handle or hash: nobody could find it"),
        ("observed_at", "at line 2 is not a time in ISO 8601 with an offset"),
        ("reasons", "is required"),
        ("requested_actions", "are required"),
        ("sha256", "at line 4 is not 64 hexadecimal digits"),
        ("sub_category", "is required for this category: GAMBLING_SITE, GAMBLING_PROMOTION, GAMBLING_ACCOUNT"),
        ("urgency", "is required"),
        ("url", "at line 2 is no absolute http or https URL"),
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("yes", None),
        ("TRUE", None),
        ("no", "must be yes in a notice: that it is made in good faith (DSA art. 16(2)(d))"),
        ("", "must be yes in a notice: that it is made in good faith (DSA art. 16(2)(d))"),
        ("ya", "is neither yes nor no"),
    ],
)
def test_good_faith_in_a_csv_file_is_yes_or_no_and_yes_in_a_notice(said: str, told: str | None) -> None:
    notice = ROW.format(flag="A").replace("ORDER,", "NOTICE,", 1).removesuffix(",") + f"{said},URL,https://a.example/1,"
    (row,) = importer.read(csv_file(notice)).rows
    assert [(one.field, one.description) for one in row.violations] == ([("good_faith", told)] if told else [])


def test_a_category_that_is_none_is_the_only_thing_wrong_with_its_sub_category() -> None:
    row = only(FLAG, category="GAMBLNG")
    assert [one.field for one in row.violations] == ["flag.category"]


def test_a_header_that_is_wrong_is_told_every_column_and_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        importer.read(b"kind,urll,colour,authority\n")
    assert [(one.field, one.description) for one in caught.value.violations] == [
        ("'urll'", "is no column; near it is url"),
        ("'colour'", "is no column"),
        ("'authority'", "is no column; near it are authority_name, authority_kind, authority_contact"),
    ]
    assert [name for name in table.COLUMNS if name not in caught.value.message] == []


@pytest.mark.parametrize(
    ("category", "said"),
    [
        ("GAMBLING", "is no sub-category of GAMBLING, which has GAMBLING_SITE, GAMBLING_PROMOTION, GAMBLING_ACCOUNT"),
        ("DEFAMATION", "is no sub-category of DEFAMATION, which has none"),
        ("BETTING", "is no sub-category; which there are follows from the category"),
    ],
)
def test_a_sub_category_that_is_none_is_told_those_of_its_category(category: str, said: str) -> None:
    row = only(FLAG, category=category, sub_category="BETTING_SITE")
    assert [one.description for one in row.violations if one.field == "flag.sub_category"] == [said]


def test_a_word_that_is_none_is_told_those_that_are() -> None:
    (violation,) = only(FLAG, instrument="PLEA").violations
    assert violation.description == f"is none of {', '.join(one.name for one in Instrument if one)}"


def test_quoted_cells_keep_their_line_breaks_and_line_numbers_stay_right() -> None:
    first = ROW.format(flag="A").replace("Why.", '"One,\r\ntwo."') + "URL,https://a.example/1,"
    second = ROW.format(flag="B") + "URL,https://a.example/2,"
    rows = importer.read(csv_file(first, second)).rows
    assert [row.number for row in rows] == [2, 4]


def test_a_row_with_too_many_cells_or_a_cell_without_end_is_named() -> None:
    good = ROW.format(flag="A") + "URL,https://a.example/1,"
    surplus, broken = importer.read(csv_file(good + ",extra", f"B,{'x' * 200_000}")).rows
    assert missing(surplus) == {"line"}
    assert surplus.violations[0].description == "has more cells than the header"
    assert broken.violations[0].description.startswith("is no CSV")
    assert importer.read(csv_file(good, f"B,{'x' * 200_000}")).rows[0].flag


LONG = "x" * 70_000


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ('"He said', 4),
        ('"He said ""no', 4),
        ('"He said"",', 4),
        ('"One.\r\nTwo.","', 5),
        (f'"{LONG}\r\n{LONG}', 4),
        ('"He said" no', 4),
    ],
    ids=[
        "to the end",
        "after a doubled one",
        "doubled at the end",
        "in a later line",
        "beyond what a cell may hold",
        "too early",
    ],
)
def test_a_quote_that_is_not_closed_refuses_the_file_and_swallows_no_row(cell: str, line: int) -> None:
    """Attack, or accident: one quote, and the rest of the file becomes the text of one cell, in silence."""
    good = [ROW.format(flag=name) + f"URL,https://a.example/{name},{name}" for name in "ABCDE"]
    header = HEADER.replace("sha256", "locator_note")
    with pytest.raises(InputError, match=f"the quote that opens in line {line} is not closed"):
        importer.read(csv_file(*good[:2], good[2][:-1] + cell, *good[3:], header=header))


def test_a_quote_that_another_row_closes_refuses_the_file() -> None:
    first = ROW.format(flag="A").replace("Why.", '"Why.') + "URL,https://a.example/1,"
    second = ROW.format(flag="B").replace("Why.", '"Else."') + "URL,https://a.example/2,"
    with pytest.raises(InputError, match="in line 2"):
        importer.read(csv_file(first, second))


@pytest.mark.parametrize(("header", "said"), [('"kind,url', "in line 1"), ("x" * 200_000, "field larger")])
def test_a_header_that_is_no_csv_is_told(header: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        importer.read(csv_file("URL,https://a.example/", header=header), Format.CSV)


def test_quotes_that_are_meant_are_read() -> None:
    row = ROW.format(flag="A").replace("Why.", '"He said ""no"", twice."').replace("Kominfo", 'The "K"')
    flag = importer.read(csv_file(row + "URL,https://a.example/1,")).rows[0].flag
    assert flag is not None
    assert (flag.reasons, flag.issuing_authority.name) == ('He said "no", twice.', 'The "K"')


def test_a_long_cell_between_quotes_sinks_its_row_only() -> None:
    good, long = (ROW.format(flag=name) + f"URL,https://a.example/{name}," for name in "AB")
    rows = importer.read(csv_file(good, long.replace("Why.", f'"{"x" * 200_000}"'), good.replace("A,", "C,"))).rows
    assert [bool(row.flag) for row in rows] == [True, False, True]


def test_semicolons_separate_where_commas_do_not() -> None:
    header = HEADER.replace(",", ";")
    row = ROW.format(flag="A").replace("; ", " ").replace(" LABEL", "").replace(",", ";") + "URL;https://a.example/1;"
    assert importer.read(csv_file(row, header=header)).rows[0].flag


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_file_in_another_encoding_is_told_the_line_and_what_to_do(mark: bytes) -> None:
    first = ROW.format(flag="A") + "URL,https://a.example/1,"
    text = "\n".join([HEADER, first, first.replace("Why.", "Perché."), ""])
    with pytest.raises(InputError, match=r"line 3 .*Save it again as UTF-8"):
        importer.read(mark + text.encode("latin-1"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"kind,colour\n", "no column"),
        (b"kind,kind\n", "twice"),
        (b"url\nhttps://a.example\n", "kind"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_says_why(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        importer.read(data)


def test_a_file_that_is_not_there_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        importer.read_file(tmp_path / "none.csv")


def test_the_shape_is_recognised_and_can_be_said() -> None:
    assert importer.recognise("\n" + lines(NOTICE).decode()) is Format.TAKEDOWNS
    assert importer.recognise("broken\n" + lines(FLAG).decode()) is Format.JSONL
    assert importer.recognise("{broken") is Format.JSONL
    assert importer.recognise("kind,url\n") is Format.CSV
    assert importer.read(b"", Format.JSONL).rows == ()


# Citations


def test_a_citation_of_spaces_costs_what_any_other_of_its_length_does() -> None:
    """Attack: work that grows with the square of the spaces; these would take many minutes."""
    spaces = " " * 60_000
    assert parse_legal_basis(f"ID: x{spaces}y") == LegalBasis(jurisdiction="ID", law=f"x{spaces}y")
    assert parse_legal_basis(f"ID: x{spaces}, art{spaces}y").article == ""
    assert parse_legal_basis(f"ID: x{spaces}(no article cited)").law == "x"
    assert parse_legal_basis(f"ID: x,{spaces}art. 1").article == "art. 1"
    assert parse_legal_basis("ID: x" + " art" * 15_000).article == ""


@pytest.mark.parametrize(
    ("citation", "parts"),
    [
        ("ID: UU ITE, art. 27(2)", ("ID", "UU ITE", "art. 27(2)")),
        ("id: UU 11/2008 Pasal 28 ayat (2)", ("ID", "UU 11/2008", "Pasal 28 ayat (2)")),
        ("HK: Crimes Ordinance Cap. 200 s. 71 (forgery)", ("HK", "Crimes Ordinance Cap. 200", "s. 71 (forgery)")),
        ("DE: StGB § 86a", ("DE", "StGB", "§ 86a")),
        ("RU: entry in the Register (no article cited)", ("RU", "entry in the Register", "")),
        ("ES: National High Court warrant (attached)", ("ES", "National High Court warrant (attached)", "")),
        ("UU ITE", ("", "UU ITE", "")),
        ("", ("", "", "")),
    ],
)
def test_a_citation_is_taken_apart_and_nothing_is_guessed(citation: str, parts: tuple[str, str, str]) -> None:
    basis = parse_legal_basis(citation)
    assert (basis.jurisdiction, basis.law, basis.article) == parts
