"""Compares ENVELOPE and BODYSTRUCTURE with what Python's email package reads: HOST PORT USER PASSWORD CORPUS [MBOX...].

Every message file under messages/ and synthetic/, and every message of the mboxes, is appended (CRLF line ends), read back octet for
octet, and its structure compared field by field. Two independent parsers will not agree on broken mail; a difference is accepted only by a rule of
`RULES` (with its reason) or by a line of structure_accepted.txt (path, field or pattern, reason). Rules that accept are counted and printed.
A message may take 5 seconds at most.
"""

import email
import email.policy
import email.utils
import fnmatch
import os
import re
import sys
import time

from mailboxes import split
from wire import Atom, Imap, nil

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_SECONDS = 5.0
TOKEN = re.compile(r"""\s*([^\s;/()<>@,:\\"\[\]?=]+)""")


def text(value):
    """A header value for comparison: unfolded, runs of white space as one space."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    value = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return " ".join(value.split())


def raw(message, name):
    """The first header field of that name, as its octets in text."""
    for key, value in message._headers:
        if key.lower() == name:
            return str(value)
    return None


def raw_addresses(message, name):
    """All header fields of that name, as one: where RFC 5322 allows one, some mail has two, and neither is the better one."""
    values = [str(value) for key, value in message._headers if key.lower() == name]
    return ", ".join(value for value in values if value.strip()) or None


class Differences:
    """Collects what differs in one message."""

    def __init__(self):
        self.found = []

    def check(self, field, want, got):
        if want != got:
            self.found.append((field, want, got))


def addresses(value):
    """(mailbox, host) in lower case of the addresses of a header."""
    pairs = []
    for _, address in email.utils.getaddresses([text(value)] if value else []):
        if address:
            mailbox, _, host = address.rpartition("@") if "@" in address else (address, "", "")
            pairs.append((mailbox.strip('"').lower(), host.lower()))
    return pairs


def wire_addresses(value):
    """The same from an ENVELOPE; group markers (no host) are passed over."""
    pairs = []
    for entry in nil(value) or []:
        mailbox, host = nil(entry[2]), nil(entry[3])
        if host is not None and mailbox is not None:
            pairs.append((mailbox.decode("utf-8", "surrogateescape").strip('"').lower(), host.decode("utf-8", "surrogateescape").lower()))
    return pairs


def envelope(message, wire, where, differences):
    for index, name in ((0, "date"), (1, "subject"), (8, "in-reply-to"), (9, "message-id")):
        differences.check(f"{where}{name}", text(raw(message, name)), text(nil(wire[index])))
    for index, name in ((2, "from"), (5, "to"), (6, "cc"), (7, "bcc")):
        differences.check(f"{where}{name}", addresses(raw_addresses(message, name)), wire_addresses(wire[index]))
    # RFC 3501, 7.4.2: Sender and Reply-To default to From.
    for index, name in ((3, "sender"), (4, "reply-to")):
        value = raw_addresses(message, name)
        want = addresses(value) or addresses(raw_addresses(message, "from"))
        differences.check(f"{where}{name}", want, wire_addresses(wire[index]))


def parameters(value):
    pairs = nil(value) or []
    return {pairs[i].decode("latin-1").lower(): pairs[i + 1] for i in range(0, len(pairs), 2)}


def payload_octets(part):
    # get_payload() would decode by the charset; the attribute is what was read.
    payload = part._payload
    if not isinstance(payload, str):
        return b""
    octets = payload.encode("ascii", "surrogateescape")
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def structure(part, wire, where, differences):
    """Walks both trees together, without recursion: mail may nest thousands deep."""
    todo = [(part, wire, where)]
    while todo:
        part, wire, where = todo.pop()
        multipart = isinstance(wire[0], list)
        want = part.get_content_maintype() == "multipart" and part.is_multipart()
        differences.check(f"{where}is-multipart", want, multipart)
        if want != multipart:
            continue
        if multipart:
            children = [value for value in wire if isinstance(value, list)]
            count = next((i for i, value in enumerate(wire) if not isinstance(value, list)), len(wire))
            children = wire[:count]
            differences.check(f"{where}subtype", part.get_content_subtype(), wire[count].decode("latin-1").lower())
            differences.check(f"{where}parts", len(part.get_payload()), len(children))
            if len(wire) > count + 1:
                boundary = parameters(wire[count + 1]).get("boundary")
                differences.check(f"{where}boundary", text(part.get_boundary()), text(boundary).rstrip())
            for number, (one, other) in enumerate(zip(part.get_payload(), children), 1):
                todo.append((one, other, f"{where}{number}."))
            continue
        maintype, subtype = (value.decode("latin-1").lower() for value in wire[:2])
        differences.check(f"{where}type", part.get_content_type(), f"{maintype}/{subtype}")
        # RFC 2045, section 6.1: the value is one token; what follows it is not part of it.
        token = TOKEN.match(str(part.get("content-transfer-encoding") or "7bit").lower())
        encoding = token[1] if token else "7bit"
        differences.check(f"{where}encoding", text(encoding), text(nil(wire[5])).lower())
        differences.check(f"{where}id", text(raw(part, "content-id")), text(nil(wire[3])))
        differences.check(f"{where}description", text(raw(part, "content-description")), text(nil(wire[4])))
        charset = parameters(wire[2]).get("charset")
        if maintype == "text" and part.get_param("charset") is not None:
            differences.check(f"{where}charset", text(part.get_param("charset")).lower(), text(charset).lower())
        if (maintype, subtype) == ("message", "rfc822") and len(wire) > 9 and isinstance(wire[8], list):
            if part.is_multipart():
                envelope(part.get_payload(0), wire[7], where, differences)
                todo.append((part.get_payload(0), wire[8], f"{where}0."))
            continue
        if part.is_multipart():
            continue
        octets = payload_octets(part)
        differences.check(f"{where}size", len(octets), int(wire[6]))
        if maintype == "text":
            # A last line without its end counts for one parser and not for the other.
            lines = octets.count(b"\n")
            got = int(wire[7])
            if not (got == lines + 1 and not octets.endswith(b"\n")):
                differences.check(f"{where}lines", lines, got)


def defects(message):
    return {type(defect).__name__ for part in message.walk() for defect in part.defects}


# (name, reason, test of (octets, message, field)). Order matters: the first that holds accepts.
RULES = [
    ("bare CR", "Python ends a line at a bare CR, RFC 5322 does not", lambda o, m, f: re.search(rb"\r(?!\n)", o)),
    ("control octets", "Python's str.splitlines also ends lines at VT, FF and the separators", lambda o, m, f: re.search(rb"[\x0b\x0c\x1c-\x1e\x85]", o.split(b"\r\n\r\n")[0])),
    ("defective multipart", "Python reports the multipart as broken and keeps it as text", lambda o, m, f: defects(m) & {"NoBoundaryInMultipartDefect", "StartBoundaryNotFoundDefect", "MultipartInvariantViolationDefect"}),
    ("missing close", "without a closing boundary Python counts the last line end differently", lambda o, m, f: "CloseBoundaryNotFoundDefect" in defects(m) and re.search(r"(size|lines|parts)$", f)),
    ("broken header", "Python ends the header at the first line that is no field", lambda o, m, f: defects(m) & {"MissingHeaderBodySeparatorDefect", "FirstHeaderLineIsContinuationDefect", "MisplacedEnvelopeHeaderDefect", "MalformedHeaderDefect"}),
    ("invalid encoding on multipart", "Python does not descend into a multipart with a transfer encoding", lambda o, m, f: "InvalidMultipartContentTransferEncodingDefect" in defects(m)),
    ("digest", "the default type in multipart/digest is message/rfc822 only where no type is given", lambda o, m, f: b"multipart/digest" in o.lower() and f.endswith("type")),
    ("delivery status", "Python splits message/delivery-status into blocks of fields", lambda o, m, f: b"message/delivery-status" in o.lower() and re.search(r"(multipart|size|lines|type)$", f)),
    ("partial message", "Python parses message/* other than rfc822 as messages too", lambda o, m, f: re.search(rb"(?i)content-type:\s*message/(?!rfc822|delivery-status)", o)),
    ("odd addresses", "Python's address parser is lenient in other places than RFC 5322's obsolete grammar", lambda o, m, f: re.search(r"(from|to|cc|bcc|sender|reply-to)$", f)),
    ("eight-bit header", "octets above 127 in a header have no defined charset", lambda o, m, f: re.search(rb"[\x80-\xff]", o) and re.search(r"(subject|description|charset|date|id)$", f)),
    ("encoded parameter", "RFC 2231 parameters are decoded by one and not by the other", lambda o, m, f: re.search(rb"(?i)(charset|boundary)\*", o) and re.search(r"(charset|boundary|parts)$", f)),
    ("comment in a structured field", "comments in MIME fields are dropped by one and kept by the other", lambda o, m, f: re.search(rb"(?im)^content-[a-z-]+:[^\r\n]*\(", o) and re.search(r"(encoding|charset|type|boundary|parts|multipart)$", f)),
]


def accepted_lines():
    path = os.path.join(HERE, "structure_accepted.txt")
    accepted = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    name, field, reason = line.rstrip("\n").split("\t")
                    accepted[(name, field)] = reason
    return accepted


def messages(corpus, mboxes):
    """Names and octets of all messages."""
    for path in files(corpus):
        with open(os.path.join(corpus, path), "rb") as file:
            yield path, file.read()
    for path in mboxes:
        with open(path, "rb") as file:
            for number, octets in enumerate(split(file.read()), 1):
                yield f"{os.path.basename(path)}#{number}", octets


def files(corpus):
    with open(os.path.join(corpus, "MANIFEST.tsv"), encoding="utf-8") as manifest:
        for line in manifest:
            path, kind = line.split("\t")[:2]
            if kind == "message" and path.startswith(("messages/", "synthetic/")):
                yield path


def main():
    sys.setrecursionlimit(40000)
    host, port, user, password, corpus, *mboxes = sys.argv[1:]
    imap = Imap(host, int(port), user, password)
    imap.command(b"CREATE Structure")
    accepted, used, rules = accepted_lines(), set(), {}
    count, failures, skipped = 0, [], []
    for path, octets in messages(corpus, mboxes):
        octets = re.sub(rb"\r?\n", b"\r\n", octets)
        if not octets or b"\0" in octets:
            skipped.append(path)
            continue
        begin = time.monotonic()
        uid = imap.append(b"Structure", octets)
        if count == 0:
            imap.command(b"SELECT Structure")
        item = imap.fetch(b"%d" % uid, b"(ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])")[0]
        took = time.monotonic() - begin
        count += 1
        if took > LIMIT_SECONDS:
            failures.append((path, "time", f"at most {LIMIT_SECONDS} s", f"{took:.1f} s"))
        if item[b"BODY[]"] != octets or int(item[b"RFC822.SIZE"]) != len(octets):
            failures.append((path, "octets", f"{len(octets)} octets", f"others, or other size {len(item[b'BODY[]'])}"))
        try:
            message = email.message_from_bytes(octets, policy=email.policy.compat32)
            differences = Differences()
            envelope(message, item[b"ENVELOPE"], "", differences)
            structure(message, item[b"BODYSTRUCTURE"], "", differences)
            found = differences.found
        except RecursionError:
            skipped.append(path)
            continue
        for field, want, got in found:
            known = next((key for key in accepted if key[0] == path and fnmatch.fnmatchcase(field, key[1])), None)
            if known:
                used.add(known)
                continue
            rule = next((name for name, _, test in RULES if test(octets, message, field)), None)
            if rule:
                rules[rule] = rules.get(rule, 0) + 1
            else:
                failures.append((path, field, want, got))
    print(f"{count} messages; not compared (NUL, empty, or too deep for Python): {len(skipped)}")
    for name, reason, _ in RULES:
        if name in rules:
            print(f"accepted {rules[name]:4} × {name}: {reason}")
    for path, field, want, got in failures:
        print(f"DIFFERS {path}\t{field}\n   want {str(want)[:300]!r}\n   got  {str(got)[:300]!r}")
    for path, field in sorted(set(accepted) - used):
        print(f"note: {path} {field} no longer differs")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
