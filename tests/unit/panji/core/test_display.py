from __future__ import annotations

from panji.core.display import safe


def test_nothing_that_plays_with_a_reader_comes_through() -> None:
    assert safe("a\x1b[2Jb\x07\x9b\u202e\u2066\ufeff\x7f\ud800") == (
        "a\\x1b[2Jb\\x07\\x9b\\u202e\\u2066\\ufeff\\x7f\\ud800"
    )
    assert safe("one\ntwo\t") == "one\\ntwo\\t"
    assert safe("one\ntwo\t", lines=True) == "one\ntwo\t"
    assert safe("ڤ漢字 \u200d🏳️") == "ڤ漢字 \u200d🏳️"
