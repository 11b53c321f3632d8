"""The summary: one HTML page that shows a case to people, and prints well. It is computed from the core alone.

It holds no script, no link and nothing from elsewhere, and everything that others wrote is escaped: the page of a
hostile flag is as harmless as any.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from enum import Enum
from html import escape
from typing import TYPE_CHECKING, Any

from panji.core.directory import parse_directory
from panji.core.display import safe
from panji.core.statements import Flag
from panji.core.vocabulary import Kind
from panji.evidence import labels
from panji.evidence.texts import Language, shown_time, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from panji.core.statements import Target
    from panji.evidence.content import Content, Item

_STYLE = """\
body{font:11pt/1.4 serif;color:#000;background:#fff;max-width:60em;margin:2em auto;padding:0 1em}
h1{font-size:1.6em}h2{font-size:1.2em;border-bottom:1px solid #000;margin-top:1.8em}h3{font-size:1em}
table{border-collapse:collapse;width:100%;margin:.5em 0}th,td{border:1px solid #888;padding:.2em .5em;text-align:left;
vertical-align:top;overflow-wrap:break-word}th{background:#eee;font-weight:600}.rows th{width:14em}
.text{white-space:pre-wrap}code{font:.85em monospace;overflow-wrap:anywhere}.notice{border:2px solid #000;padding:.5em}
@page{size:A4;margin:20mm 15mm}@media print{body{margin:0;max-width:none;padding:0}thead{display:table-header-group}
tr,h2,h3{break-inside:avoid}h2,h3{break-after:avoid}}"""


def render(content: Content, language: Language) -> str:
    """Give the page. The content has been verified: statements are parsed here.

    Args:
        content: The core of a bundle.
        language: Of the page; what the parties wrote stays in theirs.
    """
    page = _Page(content, language)
    return "".join(f"{line}\n" for line in page.lines())


class _Page:
    """One page in one language."""

    def __init__(self, content: Content, language: Language) -> None:
        self._content = content
        self._language = language
        self._at = language.position

    def lines(self) -> Iterator[str]:
        title = f"{self._word('title')}: {_shown(self._content.case.id)}"
        yield "<!DOCTYPE html>"
        yield f'<html lang="{self._language}"><head><meta charset="utf-8">'
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{title}</title>'
        yield f"<style>\n{_STYLE}\n</style></head><body>"
        yield f"<h1>{title}</h1>"
        yield f"<p>{self._word('what_it_is')}</p>"
        for notice in self._notices():
            yield f'<p class="notice">{self._word(notice)}</p>'
        yield from self._case()
        yield from self._silence()
        yield f"<h2>{self._word('timeline')}</h2>"
        for number, item in enumerate(self._content.statements, 1):
            yield from self._statement(number, item)
        yield from self._log()
        yield from self._keys()
        yield f"<h2>{self._word('not_proven')}</h2><ul>"
        more = self._undelivered()
        for gap in (
            "not_complete",
            "not_the_clock",
            "not_true",
            "not_one_log",
            "not_the_owners",
            "not_the_exporter",
            *more,
        ):
            yield f"<li>{self._word(gap)}</li>"
        yield "</ul></body></html>"

    def _undelivered(self) -> Iterator[str]:
        mine = self._content.case.platform
        answered = any(one.envelope and one.told.sender == mine for one in self._content.statements)
        if self._content.silence is not None and not answered:
            yield "not_the_delivery"

    def _notices(self) -> Iterator[str]:
        if self._content.case.test:
            yield "drill"
        if not self._content.with_content:
            yield "redacted"
        if any(not one.opening.salt for one in self._content.statements):
            yield "erased"

    def _case(self) -> Iterator[str]:
        case = self._content.case
        yield f"<h2>{self._word('case')}</h2>"
        names = ("authority", "platform", "instrument", "category", "sub_category", "urgency", "state")
        rows = [(self._field(name), self._value(getattr(case, name))) for name in names]
        exported = f"{shown_time(self._content.exported_at)}, {self._word('by', self._content.exported_by)}"
        yield from _rows([*rows, (self._word("exported"), exported)])
        yield f"<h3>{self._word('targets')}</h3>"
        first = self._content.statements[0].statement
        named = first.body.targets if first is not None and isinstance(first.body, Flag) else ()
        columns = [self._word("number"), *map(self._field, ("target", "state", "outcome"))]
        body = [
            (
                str(position),
                self._target(named[position - 1]) if position <= len(named) else "",
                self._value(status.state),
                ": ".join(filter(None, (self._value(status.outcome), self._value(status.refusal)))),
            )
            for position, status in enumerate(case.targets, 1)
        ]
        yield from _table(columns, body)

    def _target(self, target: Target) -> str:
        where = target.url or target.identifier or target.handle or target.hashes[0].value
        return f"{self._value(target.kind)}: {_text(where)}"

    def _silence(self) -> Iterator[str]:
        found = self._content.silence
        if found is None:
            return
        item, missed = found
        yield f"<h2>{self._word('silence')}</h2>"
        stated = shown_time(item.opening.entry.received_at)
        said = self._word("silence_text", due=shown_time(missed.due_at), stated=stated, index=item.receipt.index)
        yield f"<p>{said}</p>"
        if missed.delivered_at is not None:
            at = shown_time(missed.delivered_at)
            yield f"<p>{self._word('silence_delivered', to=missed.delivered_to, at=at)}</p>"
        else:
            yield f"<p>{self._word('silence_undelivered')}</p>"
        if missed.last_seen_at is not None:
            yield f"<p>{self._word('silence_seen', at=shown_time(missed.last_seen_at))}</p>"
        else:
            yield f"<p>{self._word('silence_unseen')}</p>"

    def _statement(self, number: int, item: Item) -> Iterator[str]:
        opening, told = item.opening, item.told
        yield f"<h3>{number}. {self._value(Kind(opening.entry.kind))}</h3>"
        rows = [
            (self._word("received_at"), shown_time(opening.entry.received_at)),
            (self._word("from"), _text(told.sender)),
            (self._word("to"), _text(opening.recipient)),
            (self._word("issued_at"), shown_time(told.issued_at) if told.issued_at else ""),
            (self._word("entry"), str(item.receipt.index)),
            (self._word("sequence"), str(opening.sequence)),
            (self._word("digest"), _code(opening.digest.hex())),
            (self._word("answers"), _code(told.in_reply_to.hex()) if told.in_reply_to else ""),
        ]
        if item.envelope:
            keys = [_code(key.keyid) for _, _, key in self._content.signatures(item)]
            rows.append((self._word("signed_by"), "<br>".join(keys)))
        yield from _rows(rows)
        said = item.statement
        if said is not None:
            yield from _rows(self._fields(said.body))
        else:
            yield f"<p>{self._word('content_left_out' if opening.salt else 'content_erased')}</p>"

    def _fields(self, body: Any) -> Iterator[tuple[str, str]]:
        """Every field of a message that says anything, by its name."""
        names = [one.name for one in dataclasses.fields(body)]
        if "sub_category" in names:  # it says more of the category, wherever the message has it
            names.remove("sub_category")
            names.insert(names.index("category") + 1, "sub_category")
        for one in names:
            yield self._field(one), self._value(getattr(body, one))

    def _field(self, name: str) -> str:
        return escape(labels.field(name, self._at))

    def _value(self, value: Any) -> str:  # noqa: PLR0911 - a table
        """A value as HTML; nothing where there is none."""
        match value:
            case Enum():
                return escape(labels.member(value, self._at))
            case bool():
                return self._word("yes") if value else ""
            case datetime():
                return shown_time(value)
            case bytes():
                return _code(value.hex()) if value else ""
            case tuple():
                return self._values(value)
            case int():
                return str(value) if value else ""
            case str():
                return _text(value)
            case None:
                return ""
            case _:
                return "".join(_rows(self._fields(value)))

    def _values(self, values: tuple[Any, ...]) -> str:
        shown = [self._value(one) for one in values]
        if any(dataclasses.is_dataclass(one) for one in values):
            return "".join(f"<p>{number}.</p>{one}" for number, one in enumerate(shown, 1))
        return "<br>".join(shown)

    def _log(self) -> Iterator[str]:
        log, head = self._content.log, self._content.head
        yield f"<h2>{self._word('proof')}</h2>"
        yield from _rows(
            [
                (self._word("origin"), _text(log.name)),
                (self._word("log_key"), _code(log.public_key.keyid)),
                (self._word("size"), str(head.size)),
                (self._word("root"), _code(head.root.hex())),
                (self._word("cosigned"), "<br>".join(self._cosigned())),
            ]
        )

    def _cosigned(self) -> Iterator[str]:
        for who, at in self._content.cosigned:
            yield self._word("cosigned_by", who=who, at=shown_time(at))

    def _keys(self) -> Iterator[str]:
        """Every key whose signature stands in the bundle, as each record of the directory has it."""
        yield f"<h2>{self._word('keys')}</h2>"
        if not self._content.records:
            yield f"<p>{self._word('no_record')}</p>"
        columns = [self._word(name) for name in ("key", "organisation", "algorithm", "valid", "record")]
        rows = []
        for record in self._content.records:
            directory = parse_directory(self._content.document(record))
            for one in directory.organisations.values():
                for key in one.keys:
                    if key.key.keyid in self._content.keys:
                        until = shown_time(key.valid_until) if key.valid_until else self._word("no_end")
                        period = f"{shown_time(key.valid_from)}, {until}"
                        place = str(record.receipt.index)
                        rows.append((_code(key.key.keyid), _text(one.id), key.key.algorithm.value, period, place))
        yield from _table(columns, rows)

    def _word(self, name: str, *positional: object, **named: object) -> str:
        """A text of the page; what is filled in is escaped with it."""
        return _shown(word(name, self._language, *positional, **named))


def _shown(text: str) -> str:
    return escape(safe(text, lines=True))


def _text(text: str) -> str:
    """What somebody wrote. Its direction of writing stays its own."""
    return f'<bdi class="text">{_shown(text)}</bdi>' if text else ""


def _code(text: str) -> str:
    return f"<code>{text}</code>"


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A table with a name on the left of every value, both as HTML; those without a value are left out."""
    yield '<table class="rows">'
    for name, value in rows:
        if value:
            yield f"<tr><th>{name}</th><td>{value}</td></tr>"
    yield "</table>"


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in columns)}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</tbody></table>"
