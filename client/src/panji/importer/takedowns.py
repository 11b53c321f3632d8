"""Facts of published government takedown notices, in the shape of ``gov-takedowns.jsonl``.

A row that asks for an act is an ORDER; one that asks for none is a NOTICE, in good faith as its sender transmits it.
The data hold no notice text, so the reasons say that and give the facts that there are. Nothing is repaired: a row
without a legal basis or without targets comes out incomplete. ``asap`` and deadlines of hours are URGENT. A deadline
has no instant here, since only the day of the notice is known: it stands in the reasons.

Subjects become categories by :data:`SUBJECTS`, the first known one deciding. Where the notice states none, the guess of
those who collected the data is taken and called a guess; where there is none either, the category is OTHER_LAW: the
legal basis is all that the authority said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panji.core.vocabulary import AuthorityKind, Category, SubCategory
from panji.errors import Violation
from panji.importer import records
from panji.importer.rows import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = frozenset(
    {"received", "jurisdiction", "authority_name", "authority_type", "targets", "actions_asked", "source"}
)
"""A first row that has all of these is recognised as this shape."""

SUBJECTS: dict[str, tuple[Category, SubCategory]] = {
    "gambling": (Category.GAMBLING, SubCategory.GAMBLING_SITE),
    "banned_religious_movement": (Category.DANGEROUS_ORGANISATION, SubCategory.DANGEROUS_ORGANISATION_OTHER),
    "extremism_territorial_integrity": (Category.DANGEROUS_ORGANISATION, SubCategory.DANGEROUS_ORGANISATION_SEPARATISM),
    "public_disorder_organisation": (Category.PUBLIC_ORDER, SubCategory.PUBLIC_ORDER_UNREST),
    "insult_of_head_of_state": (Category.DEFAMATION, SubCategory.UNSPECIFIED),
    "harm_to_national_honour": (Category.DEFAMATION, SubCategory.UNSPECIFIED),
    "forgery_fake_app": (Category.FRAUD_SCAM, SubCategory.FRAUD_SCAM_IMPERSONATION),
    "welfare_fraud": (Category.FRAUD_SCAM, SubCategory.FRAUD_SCAM_OTHER),
    "tobacco_sale": (Category.ILLEGAL_GOODS, SubCategory.ILLEGAL_GOODS_REGULATED_OTHER),
    "copyright": (Category.INTELLECTUAL_PROPERTY, SubCategory.INTELLECTUAL_PROPERTY_COPYRIGHT),
    "train_surfing": (Category.SELF_HARM, SubCategory.SELF_HARM_CHALLENGE),
    "circumvention_tool": (Category.FACILITATING_ACCESS, SubCategory.UNSPECIFIED),
}
"""Category and sub-category of each subject; any other is OTHER_LAW."""

_OTHER = (Category.OTHER_LAW, SubCategory.UNSPECIFIED)

TARGET_KINDS = {
    "repository": "REPOSITORY",
    "fork_list": "REPOSITORY",
    "gist": "FILE",
    "file": "FILE",
    "raw_file": "FILE",
    "image": "FILE",
    "issue": "POST",
    "account": "ACCOUNT",
    "gist_account": "ACCOUNT",
    "pages_site": "URL",
    "pages_page": "PAGE",
    "wiki": "PAGE",
}
"""Kind of target by the kind that the data name; any other is reported."""

_AUTHORITIES = {
    "executive_agency": "ADMINISTRATIVE",
    "ministry": "ADMINISTRATIVE",
    "police": "LAW_ENFORCEMENT",
    "prosecutor": "LAW_ENFORCEMENT",
    "court": "JUDICIAL",
    "industry_association": "ACCREDITED_PRIVATE",
}
_ACTIONS = {
    "remove": "REMOVE",
    "restrict_access_in_jurisdiction": "DISABLE_IN_JURISDICTION",
    "suspend_account": "SUSPEND_ACCOUNT",
}
_MEDIA_TYPES = {"pdf": "application/pdf", "md": "text/markdown", "png": "image/png", "jpg": "image/jpeg"}


def drafts(text: str) -> Iterator[Draft]:
    """Read the rows of a file."""
    for number, entry in records.lines(text):
        try:
            yield records.draft(number, _record(entry) if isinstance(entry, dict) else entry)
        except (AttributeError, TypeError, KeyError, ValueError):
            yield Draft(
                number=number, source_id=_text(entry.get("id")), violations=(Violation("line", "is not of the shape"),)
            )


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the row in our own shape. A word that no table has stays as it is, and is refused as no name."""
    actions = [_ACTIONS.get(one, one) for one in row["actions_asked"]]
    category, sub_category = _category(row)
    decided = [_deciding_body(one) for one in row.get("deciding", [])]
    return {
        "id": row.get("id", ""),
        "language": "en",
        "instrument": "ORDER" if actions else "NOTICE",
        "good_faith": not actions,
        "category": category.name,
        "sub_category": sub_category.name,
        "urgency": "URGENT" if _text(row.get("deadline")).startswith(("asap", "PT")) else "ROUTINE",
        "legal_basis": row.get("legal_basis", []),
        "reasons": _reasons(row),
        "targets": [{"kind": TARGET_KINDS.get(one["kind"], one["kind"]), "url": one["url"]} for one in row["targets"]],
        "requested_actions": actions or ["NONE"],
        "jurisdictions": [row["jurisdiction"]],
        "issuing_authority": {
            "name": row["authority_name"],
            "kind": _AUTHORITIES.get(row["authority_type"], row["authority_type"]),
            "jurisdiction": row["jurisdiction"],
        },
        "deciding_body": decided[0] if decided else None,
        "reference": "; ".join(dict.fromkeys([*row.get("authority_refs", []), *row.get("register_entries", [])])),
        "evidence": [_document("The notice as published", row["source"])]
        + [_document("Attachment", one) for one in row.get("attachments", [])],
    }


def _category(row: dict[str, Any]) -> tuple[Category, SubCategory]:
    subjects = row.get("subject") or row.get("subject_guess") or []
    return next((SUBJECTS[one] for one in subjects if one in SUBJECTS), _OTHER)


def _deciding_body(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry["body"]
    words = name.lower()
    kind = AuthorityKind.ADMINISTRATIVE
    if "court" in words:
        kind = AuthorityKind.JUDICIAL
    elif "prosecutor" in words:
        kind = AuthorityKind.LAW_ENFORCEMENT
    return {
        "name": name,
        "kind": kind.name,
        "document_number": entry.get("number"),
        "document_date": entry.get("date"),
    }


def _document(what: str, entry: dict[str, Any]) -> dict[str, Any]:
    ending = entry["path"].rpartition(".")[2].lower()
    return {
        "sha256": entry["sha256"],
        "size_bytes": entry.get("bytes", 0),
        "media_type": _MEDIA_TYPES.get(ending, ""),
        "description": f"{what}: {entry['path']}",
    }


def _reasons(row: dict[str, Any]) -> str:
    stated, guessed = row.get("subject") or [], row.get("subject_guess") or []
    facts = [
        "The text of the notice is not in the imported data; these are its facts.",
        f"Received on {row['received']} from {row['authority_name']} ({row['jurisdiction']}).",
    ]
    if stated:
        facts.append(f"Subject: {_words(stated)}.")
    elif guessed:
        facts.append(f"The notice states no subject; guessed from the address: {_words(guessed)}.")
    else:
        facts.append("The notice states no subject.")
    if row.get("threatened"):
        facts.append(f"Measure threatened: {_words([row['threatened']])}.")
    if row.get("deadline"):
        facts.append(f"Deadline in the notice: {row['deadline']}.")
    others = [one["body"] for one in row.get("deciding", [])[1:]]
    if others:
        facts.append(f"Also decided by: {'; '.join(others)}.")
    if hidden := len(row.get("withheld_targets", [])):
        facts.append(f"Targets that the data withhold: {hidden}.")
    source = row["source"]
    facts.append(f"Source: {source['repo']}, {source['path']}.")
    return " ".join(facts)


def _words(names: list[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
