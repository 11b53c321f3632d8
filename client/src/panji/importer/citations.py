"""Citations of law as people write them."""

from __future__ import annotations

import re

from panji.core.statements import LegalBasis

_CITATION = re.compile(r"(?:(?P<country>[A-Za-z]{2}):\s*)?(?P<rest>.*)", re.DOTALL)
_ARTICLE = re.compile(  # looks back at one space: a run of them is passed once, not once for each
    r"(?<=\s)(?:arts?|articles?|pasal|ss?|sec|section|para|§)\.?\s*\d.*", re.IGNORECASE | re.DOTALL
)
_NO_ARTICLE = "(no article cited)"


def parse_legal_basis(citation: str) -> LegalBasis:
    """Take a citation apart, as in ``ID: UU ITE, art. 27(2)``.

    The country stands before the colon; the article begins at the first ``art.``, ``article``, ``pasal``, ``s.``,
    ``section``, ``para`` or ``§`` with a number. What is missing stays empty, and the rules say so; nothing is guessed.
    """
    found = _CITATION.fullmatch(citation.strip())
    country, rest = (found["country"] or "", found["rest"]) if found else ("", citation)
    if rest.endswith(_NO_ARTICLE):
        rest = rest.removesuffix(_NO_ARTICLE).rstrip()
    article = _ARTICLE.search(rest)
    if article is None:
        return LegalBasis(jurisdiction=country.upper(), law=rest)
    law = rest[: article.start()].rstrip().removesuffix(",")
    return LegalBasis(jurisdiction=country.upper(), law=law, article=article[0])
