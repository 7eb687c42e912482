"""Compares SEARCH with a slow and plain reading of the same messages: HOST PORT USER PASSWORD [--full] CORPUS MAILBOX...

The message files of CORPUS are appended to a mailbox of their own; the other mailboxes are there already. All messages are read back, and
words, dates and sizes are taken from them and looked for, by the server and here. Two independent readers will not agree on broken mail; a
difference is accepted only by a rule of `RULES`, which says why. What each rule accepts is counted and printed.
"""

import base64
import codecs
import email
import email.policy
import email.utils
import html.parser
import os
import quopri
import random
import re
import sys
import unicodedata

from wire import Imap

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
BLANK = re.compile(rb"\r\n\r\n|\A\r\n")
WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
# Lode looks at the first 4 MiB of a part.
SEARCHED_OCTETS = 4 << 20


class Capitals(dict):
    """i;unicode-casemap (RFC 5051): the titlecase character, then its compatibility decomposition."""

    def __missing__(self, code):
        title = chr(code).title()
        mapped = unicodedata.normalize("NFKD", title if len(title) == 1 else chr(code))
        self[code] = mapped
        return mapped


CAPITALS = Capitals()


def prepared(text):
    return text.upper() if text.isascii() else text.translate(CAPITALS)


def octets_to_text(octets, charset=None):
    """Text of octets; without a charset that is known, UTF-8 or else windows-1252."""
    if charset:
        name = charset.lower()
        # What mail calls these is more than their names say (RFC 6532; WHATWG encodings).
        name = {"gb2312": "gb18030", "gbk": "gb18030", "ks_c_5601-1987": "cp949", "iso-8859-1": "cp1252", "us-ascii": ""}.get(name, name)
        try:
            if name:
                return octets.decode(name, "replace")
        except (LookupError, UnicodeError, ValueError):
            pass
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def header_text(value):
    """A raw header value: unfolded, its encoded words decoded."""
    plain = octets_to_text(re.sub(rb"\r?\n", b"", value)).strip()
    out, pending, last = [], b"", None

    def flush():
        nonlocal pending, last
        if last is not None:
            out.append(octets_to_text(pending, last))
        pending, last = b"", None

    at = 0
    for match in WORD.finditer(plain):
        charset = match[1].split("*")[0].lower()
        try:
            codecs.lookup(charset)
            encoded = match[3].encode("ascii")
            if match[2] in "bB":
                octets = base64.b64decode(encoded + b"=" * (-len(encoded) % 4))
            else:
                octets = quopri.decodestring(encoded, header=True)
        except (LookupError, ValueError, UnicodeError):
            continue
        between = plain[at : match.start()]
        if between.strip() or last is None:
            flush()
            out.append(between)
        elif last != charset:
            flush()
        pending, last = pending + octets, charset
        at = match.end()
    flush()
    out.append(plain[at:])
    return "".join(out)


class Tags(html.parser.HTMLParser):
    """Text of HTML."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.hidden = [], 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.out.append(data)


class Reading:
    """What one message has to be searched."""

    def __init__(self, item):
        self.uid = int(item[b"UID"])
        self.octets = item[b"BODY[]"]
        self.size = int(item[b"RFC822.SIZE"])
        day, month, year = item[b"INTERNALDATE"].decode().split()[0].strip('"').split("-")
        self.day = (int(year), MONTHS.index(month) + 1, int(day))
        blank = BLANK.search(self.octets)
        self.header = self.octets[: blank.start() + 2] if blank else self.octets
        self.fields = []
        for raw in re.findall(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)", self.header):
            name, colon, value = raw.partition(b":")
            if colon and re.fullmatch(rb"[!-9;-~]+[ \t]*", name):
                self.fields.append((name.strip().lower().decode("latin-1"), value))
        self.message = email.message_from_bytes(self.octets, policy=email.policy.compat32)
        dates = [value for name, value in self.fields if name == "date"]
        parsed = email.utils.parsedate_tz(header_text(dates[0])) if dates else None
        self.sent = tuple(parsed[:3]) if parsed else None
        self.headers = [prepared(header_text(raw)) for raw in re.findall(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)", self.header)]
        self.body, self.mime, self.html = [], [], []
        for index, part in enumerate(self.message.walk()):
            self.read_part(part, is_first=index == 0)

    def read_part(self, part, is_first):
        if not is_first:
            lines = [f"{name}: {value}".encode("utf-8", "surrogateescape") for name, value in part._headers]
            texts = [prepared(header_text(line)) for line in lines]
            (self.body if getattr(part, "is_enclosed", False) else self.mime).extend(texts)
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            part.get_payload(0).is_enclosed = True
        if part.get_content_maintype() != "text" or part.is_multipart():
            return
        octets = (part.get_payload(decode=True) or b"")[:SEARCHED_OCTETS]
        text = octets_to_text(octets, part.get_content_charset())
        if part.get_content_subtype() == "html":
            self.html.append(prepared(text))
            tags = Tags()
            try:
                tags.feed(text)
                tags.close()
            except (AssertionError, ValueError):
                pass
            text = "".join(tags.out)
        self.body.append(prepared(text))

    def field(self, name):
        return [header_text(value) for field, value in self.fields if field == name]

    def meets(self, kind, argument):
        if kind in ("subject", "from", "to", "cc", "bcc"):
            return any(prepared(argument) in prepared(text) for text in self.field(kind))
        if kind == "header":
            name, text = argument
            return any(prepared(text) in prepared(value) for value in self.field(name.lower()))
        if kind == "body":
            return any(prepared(argument) in text for text in self.body)
        if kind == "text":
            return any(prepared(argument) in text for text in self.headers + self.body + self.mime)
        if kind == "larger":
            return self.size > argument
        if kind == "smaller":
            return self.size < argument
        # Without a date that can be read a message was sent before every day.
        day = (self.sent or (0, 0, 0)) if kind.startswith("sent") else self.day
        return {"since": day >= argument, "before": day < argument, "on": day == argument}[kind.removeprefix("sent")]


def key(kind, argument):
    def string(text):
        octets = text.encode("utf-8")
        return b"{%d+}\r\n%s" % (len(octets), octets)

    if kind == "header":
        return b"HEADER %s %s" % (string(argument[0]), string(argument[1]))
    if kind in ("larger", "smaller"):
        return b"%s %d" % (kind.upper().encode(), argument)
    if isinstance(argument, tuple):
        return b"%s %d-%s-%04d" % (kind.upper().encode(), argument[2], MONTHS[argument[1] - 1].encode(), argument[0])
    return b"%s %s" % (kind.upper().encode(), string(argument))


def stretches(text, random):
    """Something to look for in a text: a word, a part of one, two words as they stand."""
    words = re.findall(r"\w{3,}", text)
    if not words:
        return []
    word = random.choice(words)
    found = [word, word[1:6] if len(word) > 5 else word]
    pair = re.search(r"\w+[ ,.:;-]\w+", text[random.randrange(len(text)) :])
    return found + ([pair[0]] if pair else [])


def queries(readings, count, random):
    made = set()
    for reading in random.sample(readings, min(count, len(readings))):
        for kind in ("subject", "from", "to", "cc", "bcc"):
            for text in reading.field(kind)[:1]:
                made.update((kind, words) for words in stretches(text, random))
        name, value = random.choice(reading.fields) if reading.fields else ("subject", b"")
        made.add(("header", (name, "")))
        made.update(("header", (name, words)) for words in stretches(header_text(value), random)[:2])
        texts = [text for text in reading.body if text.strip()]
        if texts:
            for words in stretches(random.choice(texts)[:100_000], random):
                made.update([("body", words), ("text", words)])
        for words in stretches(random.choice(reading.headers), random)[:1]:
            made.add(("text", words))
        made.update([("larger", reading.size), ("smaller", reading.size), ("larger", reading.size - 1)])
        made.update((kind, reading.day) for kind in ("since", "before", "on"))
        if reading.sent and 1970 <= reading.sent[0] <= 2100:
            made.update((kind, reading.sent) for kind in ("sentsince", "sentbefore", "senton"))
    return sorted(made, key=str)


def defects(reading):
    return {type(defect).__name__ for part in reading.message.walk() for defect in part.defects}


DATES = ("since", "before", "on", "sentsince", "sentbefore", "senton", "larger", "smaller")


def is_text(kind):
    return kind in ("body", "text")


# (name, reason, test of reading, kind, argument). The first that holds accepts.
RULES = [
    (
        "date",
        "a Date: field that is against the grammar is read by one, more leniently, and not by the other",
        lambda r, k, a: k.startswith("sent") and r.sent is None and r.field("date"),
    ),
    (
        "eight-bit word",
        "an encoded word must be ASCII (RFC 2047, 2); Lode decodes one with other octets, too",
        lambda r, k, a: re.search(rb"=\?[^?\s]+\?[bBqQ]\?[^?]*[\x80-\xff]", r.octets),
    ),
    (
        "broken structure",
        "Python reports the message as broken, and takes other stretches of it for its header and its parts",
        lambda r, k, a: k not in DATES and defects(r),
    ),
    (
        "other messages",
        "Python reads all message/*, of which Lode opens message/rfc822 alone: the others are no whole messages",
        lambda r, k, a: is_text(k) and re.search(rb"(?i)content-type:\s*message/(?!rfc822)", r.octets),
    ),
    (
        "uuencode",
        "Python decodes this encoding, which no standard knows; for Lode such a part is as it stands",
        lambda r, k, a: is_text(k) and re.search(rb"(?i)content-transfer-encoding:\s*(x-)?uu", r.octets),
    ),
    (
        "HTML",
        "what of HTML is text is read by other rules: where tags and entities are broken, and what is between them",
        lambda r, k, a: is_text(k) and any(re.search(r"[<&]", text) for text in r.html),
    ),
]


def compare(imap, mailbox, count, seed, rules, failures):
    exists = [line for line in imap.command(b"EXAMINE %s" % mailbox) if line.endswith(b" EXISTS")]
    if not int(exists[0].split()[1]):
        return 0, 0
    uids = imap.command(b"UID SEARCH ALL")[0].split()[2:]
    readings = []
    for begin in range(0, len(uids), 50):
        numbers = b",".join(uids[begin : begin + 50])
        readings += [Reading(item) for item in imap.fetch(numbers, b"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[])")]
    asked = queries(readings, count, random.Random(seed))
    for kind, argument in asked:
        reply = imap.command(b"UID SEARCH CHARSET UTF-8 " + key(kind, argument))
        got = {int(uid) for line in reply if line.startswith(b"* SEARCH") for uid in line.split()[2:]}
        for reading in readings:
            want = reading.meets(kind, argument)
            if want == (reading.uid in got):
                continue
            rule = next((name for name, _, test in RULES if test(reading, kind, argument)), None)
            if rule:
                rules[rule] = rules.get(rule, 0) + 1
            else:
                failures.append((mailbox.decode(), reading, kind, argument, want))
    return len(readings), len(asked)


def append_files(imap, corpus):
    """Appends the single messages, many with one command (RFC 3502): each command waits for the disk."""
    imap.command(b"CREATE Files")
    batch = []

    def send():
        if batch:
            literals = b"".join(b" {%d+}\r\n%s" % (len(octets), octets) for octets in batch)
            imap.command(b"APPEND Files" + literals)
            batch.clear()

    with open(os.path.join(corpus, "MANIFEST.tsv"), encoding="utf-8") as manifest:
        for line in manifest:
            path, kind = line.split("\t")[:2]
            if kind != "message" or not path.startswith("messages/"):
                continue
            with open(os.path.join(corpus, path), "rb") as file:
                octets = re.sub(rb"\r?\n", b"\r\n", file.read())
            if octets and b"\0" not in octets:
                batch.append(octets)
            if len(batch) == 40:
                send()
    send()


def main():
    sys.setrecursionlimit(40000)
    arguments = sys.argv[1:]
    is_full = "--full" in arguments
    host, port, user, password, corpus, *mailboxes = [argument for argument in arguments if argument != "--full"]
    imap = Imap(host, int(port), user, password)
    append_files(imap, corpus)
    rules, failures, messages, asked = {}, [], 0, 0
    for seed, mailbox in enumerate(["Files", *mailboxes]):
        some = compare(imap, mailbox.encode(), 20 if is_full else 12, seed, rules, failures)
        messages, asked = messages + some[0], asked + some[1]
    print(f"{messages} messages, {asked} searches")
    for name, reason, _ in RULES:
        if name in rules:
            print(f"accepted {rules[name]:4} × {name}: {reason}")
    for mailbox, reading, kind, argument, want in failures[:200]:
        subject = (reading.field("message-id") or reading.field("subject") or [""])[0]
        print(f"DIFFERS {mailbox} {reading.uid} {kind} {argument!r}: here {want}, there {not want}; {subject[:60]!r} {sorted(defects(reading))}")
    print(f"{len(failures)} differ")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
