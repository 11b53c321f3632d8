"""The words of a bundle in English and in Indonesian: those of the summary, and the steps for a check by hand."""

from __future__ import annotations

import textwrap
from enum import StrEnum
from typing import TYPE_CHECKING

from panji.core.display import safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Language(StrEnum):
    """A language of the texts."""

    EN = "en"
    ID = "id"

    @property
    def position(self) -> int:
        """In a pair of texts."""
        return 0 if self is Language.EN else 1


WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Summary of evidence", "Ringkasan bukti"),
    "case": ("Case", "Kasus"),
    "drill": ("A drill: no real case.", "Latihan: bukan kasus sesungguhnya."),
    "exported": ("Exported", "Diekspor"),
    "by": ("by {0}", "oleh {0}"),
    "what_it_is": (
        (
            "This page only shows what is in the file. Proof is the file itself: “panji evidence verify” checks it and "
            "compares this page with it, letter by letter; HOW-TO-CHECK.en.txt says how to check it with openssl alone."
        ),
        (
            "Halaman ini hanya menampilkan isi berkas. Yang menjadi bukti adalah berkas itu sendiri: “panji evidence "
            "verify” memeriksanya dan mencocokkan halaman ini huruf demi huruf; HOW-TO-CHECK.id.txt menjelaskan cara "
            "memeriksanya hanya dengan openssl."
        ),
    ),
    "redacted": (
        (
            "The content of the statements was left out of this file. What each of them says, who signed it, that it "
            "is of this case, and the states below are the word of the exporter; their kinds, recipients, times and "
            "order are proven, and so is what the exchange itself states."
        ),
        (
            "Isi pernyataan tidak disertakan dalam berkas ini. Bunyi tiap pernyataan, penandatangannya, keterkaitannya "
            "dengan kasus ini, dan status di bawah ini adalah keterangan pihak pengekspor; jenis, penerima, waktu, dan "
            "urutannya terbukti, demikian pula pernyataan sistem pertukaran sendiri."
        ),
    ),
    "erased": (
        (
            "The content of this case was erased by law. Which statements these entries of the log were is the word of "
            "the operator, who signed and logged the erasure."
        ),
        (
            "Isi kasus ini telah dihapus menurut hukum. Pernyataan mana yang menjadi entri log tersebut adalah "
            "keterangan operator, yang menandatangani dan mencatat penghapusan itu dalam log."
        ),
    ),
    "targets": ("Targets", "Objek"),
    "timeline": ("Statements, in the order of the log", "Pernyataan menurut urutan log"),
    "number": ("No.", "No."),
    "received_at": ("Received by the exchange", "Diterima oleh sistem pertukaran"),
    "issued_at": ("Issued by the sender's clock", "Diterbitkan menurut jam pengirim"),
    "from": ("From", "Dari"),
    "to": ("To", "Kepada"),
    "entry": ("Log entry", "Entri log"),
    "digest": ("SHA-256 of the envelope", "SHA-256 amplop"),
    "sequence": ("Number in the recipient's feed", "Nomor dalam aliran penerima"),
    "answers": ("Answers", "Menjawab"),
    "signed_by": ("Signed by", "Ditandatangani oleh"),
    "content_left_out": ("The content was left out.", "Isi tidak disertakan."),
    "content_erased": ("The content was erased by law.", "Isi telah dihapus menurut hukum."),
    "silence": ("Deadline missed", "Tenggat terlewati"),
    "silence_text": (
        (
            "The exchange has stated and logged that no answer to the flag had come when it was due, {due}. It "
            "states this since {stated}, entry {index}. Whoever holds a receipt for an answer before "
            "entry {index} can refute it."
        ),
        (
            "Sistem pertukaran menyatakan dan mencatat dalam log bahwa sampai jatuh tempo, {due}, tidak ada "
            "jawaban atas laporan tersebut. Hal ini dinyatakan sejak {stated}, entri {index}. Siapa pun yang memegang "
            "tanda terima atas jawaban sebelum entri {index} dapat membantahnya."
        ),
    ),
    "silence_delivered": (
        (
            "The exchange states that it handed the flag to {to} at {at}, on a connection that this participant's "
            "certificate had authenticated. That is the exchange's word; the platform's own signed acknowledgement, "
            "where there is one, is the platform's."
        ),
        (
            "Sistem pertukaran menyatakan telah menyerahkan laporan kepada {to} pada {at} melalui sambungan yang "
            "diautentikasi dengan sertifikat peserta tersebut. Itu adalah keterangan sistem pertukaran; konfirmasi "
            "penerimaan yang ditandatangani platform sendiri, jika ada, adalah keterangan platform."
        ),
    ),
    "silence_undelivered": (
        "The exchange states that the platform never fetched the flag.",
        "Sistem pertukaran menyatakan bahwa platform tidak pernah mengambil laporan tersebut.",
    ),
    "silence_seen": (
        "A participant of the platform was last connected at {at}.",
        "Peserta dari platform terakhir terhubung pada {at}.",
    ),
    "silence_unseen": (
        "No participant of the platform was ever connected.",
        "Tidak pernah ada peserta dari platform yang terhubung.",
    ),
    "proof": ("The log", "Log"),
    "origin": ("Origin", "Asal"),
    "log_key": ("SHA-256 of the log's key", "SHA-256 kunci log"),
    "size": ("Size of the head", "Ukuran kepala log"),
    "root": ("Root of the head", "Akar kepala log"),
    "keys": ("Keys, as the directory has them", "Kunci menurut direktori"),
    "key": ("SHA-256 of the key", "SHA-256 kunci"),
    "organisation": ("Organisation", "Organisasi"),
    "algorithm": ("Algorithm", "Algoritma"),
    "valid": ("Valid from, until", "Berlaku sejak, sampai"),
    "record": ("Recorded in the log at entry", "Tercatat dalam log pada entri"),
    "no_record": (
        "The log records no directory before these statements. Whose keys these are is for the reader to know.",
        (
            "Log tidak mencatat direktori sebelum pernyataan ini. Milik siapa kunci tersebut harus diketahui pembaca "
            "dari sumber lain."
        ),
    ),
    "not_proven": ("What this file does not prove", "Yang tidak dibuktikan oleh berkas ini"),
    "not_complete": (
        "That nothing else was said in the case: a statement may have been left out of the file, or have come later.",
        (
            "Bahwa tidak ada hal lain yang dinyatakan dalam kasus: suatu pernyataan mungkin tidak disertakan dalam "
            "berkas, atau datang kemudian."
        ),
    ),
    "not_the_clock": (
        "That the clock of the exchange was right: times of receipt are its own. The order of the log is proven.",
        "Bahwa jam sistem pertukaran tepat: waktu penerimaan berasal dari jamnya sendiri. Urutan log terbukti.",
    ),
    "not_true": (
        "That what the parties say is true, or lawful.",
        "Bahwa keterangan para pihak benar atau sah menurut hukum.",
    ),
    "not_one_log": (
        (
            "That the log shows everyone the same. Only a reader who knows witnesses, and checks that they cosigned "
            "the head, can tell."
        ),
        (
            "Bahwa log memperlihatkan hal yang sama kepada semua orang. Hanya pembaca yang mengenal para saksi, dan "
            "memeriksa bahwa mereka turut menandatangani kepala log, yang dapat memastikannya."
        ),
    ),
    "not_the_owners": (
        (
            "Whose the keys are, beyond the operator's word. A reader with a directory of their own compares it with "
            "the keys above."
        ),
        (
            "Milik siapa kunci-kunci itu, selain menurut keterangan operator. Pembaca yang memiliki direktori sendiri "
            "dapat membandingkannya dengan kunci di atas."
        ),
    ),
    "not_the_exporter": (
        "Who exported it: “panji evidence verify” checks the exporter's signature, which is no part of this page.",
        (
            "Siapa yang mengekspornya: “panji evidence verify” memeriksa tanda tangan pengekspor, yang tidak ada pada "
            "halaman ini."
        ),
    ),
    "not_the_delivery": (
        "That the platform had the flag, beyond the exchange's word.",
        "Bahwa platform menerima laporan, selain menurut keterangan sistem pertukaran.",
    ),
    "cosigned": (
        "Cosigned, by their own clocks, as the head says",
        "Turut ditandatangani, menurut keterangan kepala log",
    ),
    "cosigned_by": ("{who} at {at}", "{who} pada {at}"),
    "no_end": ("no end", "tanpa batas"),
    "yes": ("yes", "ya"),
}
"""English, Indonesian. Braces are filled in."""


def word(name: str, language: Language, *positional: object, **named: object) -> str:
    """Give a text, with its braces filled in."""
    return WORDS[name][language.position].format(*positional, **named)


_BY_HAND = {
    Language.EN: """\
How to check this evidence by hand: case {case}

It takes a shell (sh) with the usual tools, and OpenSSL 3. Unpack the file into an empty folder, go
there, and enter the indented lines. After the first of them a check that fails ends the shell with
an error. Nothing here needs a network, Panji, or the exchange.

Whoever forges a file edits this text as well. Take the indented lines from the documentation of
Panji (docs/evidence.md), which has the same for every file, or compare them with it.

You need the verifier key of the log, from the operator, a participant's profile (log_key in
profile.toml) or another place than this file. Enter it first, as in

V='exchange.example/log+61b79849+AaJL...'

{start}

1. The file is whole. This finds damage, not forgery: whoever forges a file writes new sums.

{sums}

2. The key of the log {origin}. Everything rests on it: it must be the one that you have from
elsewhere. A verifier key is the log's name, four bytes of a hash, and, after the second "+", a byte
for the algorithm and the key. The commands compare the name with the log's, put before the key what
makes DER of it (RFC 8410), and compare that with the key in this file, which the next step uses.
The SHA-256 of both is shown; the two lines must be equal. The file checkpoint/log-key.txt comes from
this file as well: a forger would put the true one there.

{key}

In this file the key's SHA-256 is {fingerprint}.

3. The head of the log. The note begins with the text that is signed: the log's origin, its size and
the root of its Merkle tree. The signature stands in the line with the log's name. The last commands
say "Signature Verified Successfully", and show the text.

{head}{cosigned}

4. Each entry of the log is that of its statement. An entry has four lines: its version, the kind of
the statement, the time of receipt, and a commitment. The commitment is the HMAC-SHA256, keyed with
the salt, of the file "opening". The second line of that is the SHA-256 of the envelope; the
recipient and the statement's number in the recipient's feed follow. Only an entry whose content was
erased has no salt, and then no envelope. The kind must be that in the folder's name.

{openings}

5. Each entry is in the log (RFC 6962, section 2.1.1). SHA-256 of a zero byte and the entry gives the
leaf. The file "path" names the sibling on every level and its side; SHA-256 of a byte of value one
and of both gives the parent. The last parent is the root of step 3. The sides follow from the
entry's place in the log (the line "index" of the file "proof.tlog-proof") and the log's size (RFC
9162, section 2.1.3.2), so the place is proven. It must rise from folder to folder. Every statement is
listed with its place, its time of receipt, its recipient and its number.

{paths}

6. Each statement is signed. The file "parts" says at which byte of the envelope the payload and the
signatures stand. What is signed is the DSSE encoding: a header, then the payload. The file "signers"
says which key made which signature. Both must name the same ones, and at least one. Of a statement
without a file "envelope" the content was left out or erased: nothing is known of what it says and
who signed it, and no file may claim to show it.

{signatures}

7. Whose keys these are. {owners}

8. What is said. The payload is a message of the schema panji/v1/statement.proto. Its texts are plain
UTF-8, which any viewer shows; "protoc --decode_raw < payload" lists all fields. A reply names in
in_reply_to the SHA-256 of the envelope that it answers.

Proven by this: the log has the listed entries, in this order, and states these times of receipt; the
entries are those of these statements; the owners of the keys signed them. Not proven: that nothing
else was said; that the exchange's clock was right; that what is said is true; that the log shows
everyone the same; whose the keys are, beyond the operator's word in the directory; and, of a
statement that a deadline was missed, that the platform had the flag, beyond the exchange's word.

Not checked by these steps, but by "panji evidence verify": the pages summary.*.html and the file
manifest.json, with the state of the case; the files envelope.json; that the head only appends to
those of the receipts (growth, receipt.tlog-proof); who exported this file (exporter.json); how many
keys an organisation must sign with; that the operator's own key signed the directory; cosignatures.
""",
    Language.ID: """\
Cara memeriksa bukti ini secara mandiri: kasus {case}

Diperlukan shell (sh) dengan perkakas yang lazim, dan OpenSSL 3. Ekstrak berkas ke folder kosong,
masuk ke folder itu, lalu ketikkan baris-baris yang menjorok. Setelah baris pertama, pemeriksaan yang
gagal menghentikan shell dengan pesan galat. Tidak diperlukan jaringan, Panji, maupun sistem
pertukaran.

Pemalsu berkas juga akan mengubah teks ini. Ambillah baris-baris yang menjorok dari dokumentasi Panji
(docs/evidence.md), yang sama untuk setiap berkas, atau cocokkan dengannya.

Anda memerlukan kunci pemverifikasi log (verifier key), dari operator, dari profil suatu peserta
(log_key dalam profile.toml), atau dari sumber lain di luar berkas ini. Ketikkan dahulu, misalnya

V='exchange.example/log+61b79849+AaJL...'

{start}

1. Berkas utuh. Langkah ini menemukan kerusakan, bukan pemalsuan: pemalsu akan menulis nilai baru.

{sums}

2. Kunci log {origin}. Semuanya bertumpu pada kunci ini: ia harus sama dengan kunci yang Anda peroleh
dari sumber lain. Kunci pemverifikasi terdiri atas nama log, empat bita dari suatu hash, dan, setelah
"+" kedua, satu bita untuk algoritme serta kunci itu sendiri. Perintah-perintah berikut mencocokkan
nama itu dengan nama log, menambahkan di depan kunci itu awalan DER (RFC 8410), dan mencocokkannya
dengan kunci dalam berkas ini, yang dipakai pada langkah berikutnya. SHA-256 keduanya ditampilkan;
kedua baris itu harus sama. checkpoint/log-key.txt pun berasal dari berkas ini: pemalsu akan menaruh
kunci yang asli di situ.

{key}

Dalam berkas ini SHA-256 kunci itu adalah {fingerprint}.

3. Kepala log. Catatan diawali teks yang ditandatangani: asal log, ukurannya, dan akar pohon
Merkle-nya. Tanda tangan terdapat pada baris yang memuat nama log. Perintah-perintah terakhir
menampilkan "Signature Verified Successfully" dan teks itu.

{head}{cosigned}

4. Setiap entri log adalah entri pernyataannya. Entri terdiri atas empat baris: versi, jenis
pernyataan, waktu penerimaan, dan komitmen. Komitmen adalah HMAC-SHA256, dengan garam (salt) sebagai
kunci, atas berkas "opening". Baris kedua berkas itu adalah SHA-256 amplop; penerima dan nomor
pernyataan dalam aliran penerima menyusul. Hanya entri yang isinya telah dihapus tidak memiliki garam,
dan dengan demikian tidak memiliki amplop. Jenisnya harus sama dengan yang ada pada nama folder.

{openings}

5. Setiap entri ada dalam log (RFC 6962, bagian 2.1.1). SHA-256 atas satu bita nol dan entri
menghasilkan daun. Berkas "path" menyebutkan saudara pada tiap tingkat beserta sisinya (left = kiri,
right = kanan); SHA-256 atas satu bita bernilai satu dan keduanya menghasilkan induk. Induk terakhir
adalah akar pada langkah 3. Sisi-sisi itu ditentukan oleh letak entri dalam log (baris "index" pada
berkas "proof.tlog-proof") dan ukuran log (RFC 9162, bagian 2.1.3.2), sehingga letaknya terbukti.
Letak itu harus naik dari folder ke folder. Setiap pernyataan ditampilkan dengan letak, waktu
penerimaan, penerima, dan nomornya.

{paths}

6. Setiap pernyataan ditandatangani. Berkas "parts" menyebutkan pada bita ke berapa dalam amplop
muatan dan tanda tangan berada. Yang ditandatangani adalah penyandian DSSE: kepala, lalu muatan.
Berkas "signers" menyebutkan kunci mana yang membuat tanda tangan mana. Keduanya harus menyebutkan
tanda tangan yang sama, paling sedikit satu. Pernyataan tanpa berkas "envelope" isinya tidak
disertakan atau telah dihapus: bunyi dan penandatangannya tidak diketahui, dan tidak boleh ada berkas
yang seolah-olah menampilkannya.

{signatures}

7. Pemilik kunci. {owners}

8. Bunyi pernyataan. Muatan adalah pesan dengan skema panji/v1/statement.proto. Teksnya UTF-8 biasa,
yang dapat ditampilkan oleh penampil apa pun; "protoc --decode_raw < payload" menampilkan semua
bidang. Suatu jawaban menyebutkan dalam in_reply_to nilai SHA-256 amplop yang dijawabnya.

Yang terbukti: log memuat entri-entri yang ditampilkan, dalam urutan ini, dan menyatakan waktu
penerimaan ini; entri-entri itu adalah entri pernyataan ini; pemilik kunci menandatanganinya. Yang
tidak terbukti: bahwa tidak ada hal lain yang dinyatakan; bahwa jam sistem pertukaran tepat; bahwa
keterangan itu benar; bahwa log memperlihatkan hal yang sama kepada semua orang; milik siapa
kunci-kunci itu, selain menurut keterangan operator dalam direktori; dan, mengenai pernyataan bahwa
tenggat terlewati, bahwa platform menerima laporan, selain menurut keterangan sistem pertukaran.

Yang tidak diperiksa oleh langkah-langkah ini, tetapi oleh "panji evidence verify": halaman
summary.*.html dan berkas manifest.json, beserta status kasus; berkas-berkas envelope.json; bahwa
kepala log hanya menambah kepala dalam tanda terima (growth, receipt.tlog-proof); siapa yang
mengekspor berkas ini (exporter.json); berapa kunci yang harus menandatangani bagi suatu organisasi;
bahwa kunci operator sendiri yang menandatangani direktori; tanda tangan para saksi.
""",
}
_OWNERS = {
    Language.EN: """\
The directory is a statement of the operator, in the log like all others (steps 4
to 6). For every statement come the beginning of its payload, and each key that signed it with the
organisations and times for which the record before that statement has it. The third text of the
payload, after the statement's id and the exchange, is the sender: it must be that organisation, and
the time of receipt must be in the key's time. "nobody" means that the signature proves no sender. If
you have a directory that you trust more, look there.""",
    Language.ID: """\
Direktori adalah pernyataan operator, yang tercatat dalam log seperti pernyataan
lain (langkah 4 sampai 6). Untuk setiap pernyataan tampil awal muatannya, dan setiap kunci yang
menandatanganinya beserta organisasi dan masa berlaku menurut catatan direktori sebelum pernyataan
itu. Teks ketiga dalam muatan, setelah pengenal pernyataan dan sistem pertukaran, adalah pengirim: ia
harus sama dengan organisasi tersebut, dan waktu penerimaan harus berada dalam masa berlaku kunci.
"nobody" berarti tanda tangan itu tidak membuktikan pengirim mana pun. Jika Anda memiliki direktori
yang lebih tepercaya, gunakan direktori itu.""",
}
_COSIGNED = {
    Language.EN: """\
The note has cosignatures of witnesses, too, by whom and when it says: {who}.
They count for whoever has these witnesses' keys: "panji evidence verify --policy".""",
    Language.ID: """\
Catatan itu juga memuat tanda tangan para saksi, menurut keterangannya: {who}.
Tanda tangan itu berlaku bagi siapa pun yang memiliki kunci para saksi: "panji evidence verify
--policy".""",
}
_NO_OWNERS = {
    Language.EN: """\
The log records no directory before these statements: you need a directory that
you trust, such as a participant's directory.toml. Each file in "keys" is named by the SHA-256 of its
key in DER form.""",
    Language.ID: """\
Log tidak mencatat direktori sebelum pernyataan ini: diperlukan direktori yang
Anda percayai, misalnya directory.toml milik peserta. Nama setiap berkas dalam "keys" adalah SHA-256
kunci tersebut dalam bentuk DER.""",
}


def by_hand(
    language: Language,
    commands: Mapping[str, str],
    *,
    case: str,
    origin: str,
    fingerprint: str,
    cosigned: Sequence[tuple[str, datetime]],
) -> str:
    """Give the steps of a check by hand.

    Args:
        language: Of the text.
        commands: By the name of their step; they are indented. Without ``owners`` the log records no directory.
        case: Id of the case.
        origin: Of the log.
        fingerprint: Hex SHA-256 of the log's key.
        cosigned: Who claims to have cosigned the head, and when.
    """
    shown = {name: textwrap.indent(command, "    ") for name, command in commands.items()}
    owners = f"{_OWNERS[language]}\n\n{shown['owners']}" if "owners" in shown else _NO_OWNERS[language]
    who = ", ".join(word("cosigned_by", language, who=safe(one), at=shown_time(at)) for one, at in cosigned)
    witnesses = f"\n\n{_COSIGNED[language].format(who=who)}" if who else ""
    named = {"owners": owners, "case": case, "origin": origin, "fingerprint": fingerprint, "cosigned": witnesses}
    return _BY_HAND[language].format(**(shown | named))


def shown_time(instant: datetime) -> str:
    """A time as people read it: to the microsecond, UTC."""
    return instant.isoformat(sep=" ", timespec="microseconds").replace("+00:00", " UTC")
