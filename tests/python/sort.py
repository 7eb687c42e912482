"""Compares SORT and THREAD with a second reading of RFC 5256, 5957 and 5051: HOST PORT USER PASSWORD CORPUS MBOX...

The messages of CORPUS/messages make one mailbox, those of each MBOX another. What a message is sorted and threaded by is read here from its
header and its ENVELOPE, once more and slowly, and every order and every thread is compared. With --sample only some messages are looked at.

Headers of broken mail may be read in more than one way. A message that is not where the second reading has it is accepted only by a line of
sort_accepted.txt (message, key, reason); messages that are accepted for DATE or SUBJECT are left out of the threads. `date` and `subject` are what THREAD uses of them.
"""

import bisect
import codecs
import datetime
import email.utils
import os
import re
import sys
import unicodedata
from functools import cmp_to_key

from mailboxes import split
from wire import Imap, nil

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"]


# RFC 5051


def casemap(text):
    """The octets that i;unicode-casemap compares."""
    prepared = []
    for character in text:
        title = character.title()
        # UnicodeData.txt has titlecase of one character alone; others are in SpecialCasing.txt.
        prepared.append(unicodedata.normalize("NFKD", title if len(title) == 1 else character))
    return "".join(prepared).encode("utf-8", "surrogatepass")


# RFC 2047, as lenient as mail needs it


def decoded(octets, charset=None):
    if charset is None:
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            return "".join(one(octet) for octet in octets)
    return octets.decode(charset, "replace")


def one(octet):
    try:
        return bytes([octet]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(octet)


WORD = re.compile(rb"=\?([\x21-\x3e\x40-\x7e]+?)(?:\*[^?]*)?\?([bBqQ])\?(.*?)\?=", re.S)
NAMES = {"gb2312": "gb18030", "gbk": "gb18030", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "iso-8859-1": "cp1252", "us-ascii": None, "ascii": None,
         "unicode-1-1-utf-7": "utf-7", "shift_jis": "cp932", "iso-8859-8-i": "iso-8859-8", "windows-874": "cp874", "utf8": "utf-8", "iso-8859-9": "cp1254"}


def known(charset):
    charset = charset.decode("latin-1").lower()
    charset = NAMES.get(charset, charset)
    if charset is None:
        return True, None
    try:
        codecs.lookup(charset)
        return True, charset
    except LookupError:
        return False, None


def unencode(kind, text):
    if kind in b"qQ":
        text = text.replace(b"_", b" ")
        return re.sub(rb"=([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), text)
    bits, count, out = 0, 0, bytearray()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for octet in text:
        value = alphabet.find(octet)
        if value < 0:
            continue
        bits, count = (bits << 6 | value) & 0xFFFFFF, count + 6
        if count >= 8:
            count -= 8
            out.append(bits >> count & 255)
    return bytes(out)


def header_text(raw):
    """The text of an unfolded field."""
    pieces, at = [], 0  # (is a word, charset, octets)
    for match in WORD.finditer(raw):
        is_known, charset = known(match[1].split(b"*")[0])
        is_clean = match[2] in b"qQ" or re.fullmatch(rb"[A-Za-z0-9+/=\s]*", match[3])
        if match.start() < at or not is_known or not is_clean or b"=?" in match[3]:
            continue
        between = raw[at : match.start()]
        if between and not (pieces and pieces[-1][0] and not between.strip()):
            pieces.append((False, None, between))
        octets = unencode(match[2], match[3])
        if pieces and pieces[-1][0] and pieces[-1][1] == charset:
            # A character may be cut between two words.
            pieces[-1] = (True, charset, pieces[-1][2] + octets)
        else:
            pieces.append((True, charset, octets))
        at = match.end()
    pieces.append((False, None, raw[at:]))
    return "".join(decoded(octets, charset) for _, charset, octets in pieces)


# RFC 5256, 2.1

BLOB = r"\[[^\[\]]*\] *"
LEADER = re.compile(rf"(?:{BLOB})*(?:re|fwd?) *(?:{BLOB})?:", re.I | re.A)


def base_subject(text):
    """The base subject, and whether it marks a reply or forward."""
    text = re.sub(r"[\t\r\n]", " ", text[:4000])
    text = re.sub(" +", " ", text)
    is_reply = False
    while True:
        while True:
            if text.endswith(" "):
                text = text[:-1]
            elif text[-5:].lower() == "(fwd)":
                text, is_reply = text[:-5], True
            else:
                break
        while True:
            leader, blob = LEADER.match(text), re.match(BLOB, text)
            if text.startswith(" "):
                text = text[1:]
            elif leader:
                text, is_reply = text[leader.end() :], True
            elif blob and text[blob.end() :]:
                text = text[blob.end() :]
            else:
                break
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text, is_reply = text[5:-1], True
        else:
            return text, is_reply


# Headers


def fields(header):
    """Names in lower case and raw values."""
    for line in re.findall(rb"[^\n]*\n(?:[ \t][^\n]*\n)*", header):
        name, colon, value = line.partition(b":")
        if colon and not re.search(rb"[^\x21-\x7e]", name.rstrip(b" \t")):
            yield name.rstrip(b" \t").lower(), re.sub(rb"\r?\n", b"", value).strip(b" \t\r\n\f")


def ids(value):
    """Valid Message-IDs without quotes."""
    found = re.findall(rb"<([^<>]*)>", value)
    found = [re.sub(rb'[\x00-\x20"\\\x7f]', b"", id) for id in found]
    return [id for id in found if re.fullmatch(rb"[^@]+@.+", id, re.S)]


def instant(text):
    parsed = email.utils.parsedate_tz(text.decode("latin-1"))
    if not parsed:
        return None
    try:
        return int(datetime.datetime(*parsed[:6], tzinfo=datetime.timezone.utc).timestamp()) - (parsed[9] or 0)
    except (ValueError, OverflowError):
        return None


class Message:
    """What RFC 5256 wants to know of a message."""

    def __init__(self, name, item, seq):
        header = {}
        for field, value in fields(item[b"BODY[HEADER]"]):
            header.setdefault(field, []).append(value)
        first = lambda field: header.get(field, [b""])[0]
        self.name, self.seq, self.uid = name, seq, int(item[b"UID"])
        self.size = int(item[b"RFC822.SIZE"])
        self.arrival = instant(item[b"INTERNALDATE"].replace(b"-", b" "))
        sent = instant(first(b"date"))
        self.date = self.arrival if sent is None else sent
        base, self.is_reply = base_subject(header_text(first(b"subject")))
        self.subject = casemap(base)
        own = ids(first(b"message-id"))
        self.id = own[0] if own else None
        self.references = [id for value in header.get(b"references", []) for id in ids(value)]
        if not self.references:
            self.references = [id for value in header.get(b"in-reply-to", []) for id in ids(value)][:1]
        envelope = item[b"ENVELOPE"]
        self.mailboxes, self.displays = {}, {}
        for field, place in (("FROM", 2), ("TO", 5), ("CC", 6)):
            addresses = nil(envelope[place]) or []
            self.mailboxes[field] = casemap(header_text(nil(addresses[0][2]) or b"")) if addresses else b""
            self.displays[field] = casemap(display(addresses[0])) if addresses else b""

    def key(self, name):
        if name in ("FROM", "TO", "CC"):
            return self.mailboxes[name]
        if name.startswith("DISPLAY"):
            return self.displays[name[7:]]
        return getattr(self, name.lower())


def display(address):
    """RFC 5957, 3."""
    name, _, mailbox, host = [nil(part) for part in address]
    text = header_text(name or b"")
    if text:
        return text
    if mailbox is not None and host is not None:
        return header_text(mailbox) + "@" + header_text(host)
    return header_text(mailbox or b"")


# RFC 5256, THREAD


class Node:
    def __init__(self, message=None):
        self.message, self.parent, self.children = message, None, []

    def link(self, child):
        """Makes child a child, unless that makes a loop."""
        above = self
        while above:
            if above is child:
                return
            above = above.parent
        child.parent = self
        self.children.append(child)

    def unlink(self):
        if self.parent:
            self.parent.children.remove(self)
            self.parent = None

    def first(self):
        return self if self.message else min(self.children, key=Node.order)

    def order(self):
        message = self.first().message
        return message.date, message.seq


def references(messages):
    # 1
    table = {}
    for message in messages:
        node = table.get(message.id) if message.id else None
        if node is None or node.message:
            node = Node()
            table[message.id if message.id and message.id not in table else object()] = node
        node.message = message
        # (A)
        before = None
        for id in message.references:
            here = table.setdefault(id, Node())
            if before and not here.parent:
                before.link(here)
            before = here
        # (B)
        node.unlink()
        if before:
            before.link(node)
    # 2
    roots = [node for node in table.values() if not node.parent]
    # 3
    roots = prune(roots)
    # 4
    roots.sort(key=Node.order)
    # 5
    subjects = {}
    for node in roots:
        subject = node.first().message.subject
        there = subjects.get(subject)
        if not subject:
            continue
        if there is None or there.message and (not node.message or there.message.is_reply and not node.message.is_reply):
            subjects[subject] = node
    kept = list(roots)
    for node in roots:
        subject = node.first().message.subject
        if not subject or subjects[subject] is node:
            continue
        there = subjects[subject]
        kept.remove(node)
        if not there.message and not node.message:
            there.children += node.children
        elif not there.message or node.message and node.message.is_reply and not there.message.is_reply:
            there.children.append(node)
        else:
            dummy = Node()
            dummy.children = [there, node]
            kept[kept.index(there)] = dummy
            subjects[subject] = dummy
    # 6
    for node in kept:
        deep_sort(node)
    return sorted(kept, key=Node.order)


def prune(siblings):
    """Dummies below each of these, and below them, taken out; the same for the siblings, which are at the top."""
    order, stack = [], list(siblings)
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.children
    for node in reversed(order):
        node.children = [kept for child in node.children for kept in ([child] if child.message else child.children)]
    top = []
    for node in siblings:
        top += [node] if node.message or len(node.children) > 1 else node.children
    return top


def deep_sort(node):
    stack = [node]
    while stack:
        node = stack.pop()
        node.children.sort(key=Node.order)
        stack += node.children


def ordered_subject(messages):
    by_subject = {}
    for message in sorted(messages, key=lambda message: (message.subject, message.date, message.seq)):
        by_subject.setdefault(message.subject, []).append(Node(message))
    for thread in by_subject.values():
        thread[0].children = thread[1:]
    return sorted((thread[0] for thread in by_subject.values()), key=Node.order)


def written(node):
    out, stack = [], [("open", node)]
    while stack:
        what, node = stack.pop()
        if what == "close":
            out.append(")")
            continue
        out.append("(" if what == "open" else " ")
        if what == "open":
            stack.append(("close", None))
        if node.message:
            out.append(str(node.message.uid))
        if node.message and len(node.children) == 1:
            stack.append(("next", node.children[0]))
        elif node.children:
            if node.message:
                out.append(" ")
            stack += [("open", child) for child in reversed(node.children)]
    return "".join(out)


def top_level(reply):
    """The threads of a reply."""
    threads, depth, begin = [], 0, 0
    for at, octet in enumerate(reply):
        if octet == "(":
            if depth == 0:
                begin = at
            depth += 1
        elif octet == ")":
            depth -= 1
            if depth == 0:
                threads.append(reply[begin : at + 1])
    return threads


# The comparison


def outliers(order, key):
    """Those that must be taken out of an order so that it ascends: all but a longest ascending part."""
    tails, places, before = [], [], []
    for place, message in enumerate(order):
        rank = bisect.bisect_right(tails, key(message))
        before.append(places[rank - 1] if rank else None)
        tails[rank:rank + 1], places[rank:rank + 1] = [key(message)], [place]
    at, kept = (places[-1] if places else None), set()
    while at is not None:
        kept.add(at)
        at = before[at]
    return [message for place, message in enumerate(order) if place not in kept]


class Comparison:
    def __init__(self, imap):
        self.imap, self.accepted, self.used = imap, accepted_lines(), {}
        self.failures, self.counts = [], {"messages": 0, "orders": 0, "threads": 0}

    def is_accepted(self, message, key):
        for line in self.accepted:
            if line[0] == message.name and key in line[1].split(","):
                self.used[line] = self.used.get(line, 0) + 1
                return True
        return False

    def numbers(self, command, reply):
        for line in self.imap.command(command):
            if line.startswith(b"* " + reply):
                return line[len(reply) + 2 :].decode("ascii")
        raise RuntimeError(f"{command}: no {reply} reply")

    def mailbox(self, mailbox, messages):
        """Appends (name, octets), and compares every order and thread."""
        self.imap.command(b"CREATE %s" % mailbox)
        for _, octets in messages:
            self.imap.append(mailbox, octets)
        self.imap.command(b"SELECT %s" % mailbox)
        found = []
        for begin in range(0, len(messages), 500):
            items = self.imap.fetch(b"%d:%d" % (begin + 1, begin + 500), b"(UID INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[HEADER])")
            found += [Message(messages[begin + place][0], item, begin + place + 1) for place, item in enumerate(items)]
        self.counts["messages"] += len(found)
        self.orders(found)
        left_out = [m for m in found if self.is_accepted(m, "date") or self.is_accepted(m, "subject") or self.is_accepted(m, "references")]
        kept = [m for m in found if m not in left_out]
        criteria = b"NOT UID " + b",".join(b"%d" % m.uid for m in left_out) if left_out else b"ALL"
        for algorithm, threads in ((b"ORDEREDSUBJECT", ordered_subject), (b"REFERENCES", references)):
            want = [written(node) for node in threads(kept)]
            got = top_level(self.numbers(b"UID THREAD %s UTF-8 %s" % (algorithm, criteria), b"THREAD"))
            self.counts["threads"] += len(want)
            if want != got:
                missing = [thread for thread in want if thread not in set(got)][:4]
                other = [thread for thread in got if thread not in set(want)][:4]
                self.failures.append(f"{mailbox.decode()} {algorithm.decode()}: {len(want)} and {len(got)} threads\n   want {missing}\n   got  {other}"[:3000])
                uids = {int(uid) for thread in missing + other for uid in re.findall(r"\d+", thread)}
                for m in kept:
                    if m.uid in uids and len(uids) < 60:
                        self.failures.append(f"   {m.uid} {m.name} date {m.date} {m.subject[:60]} {m.is_reply} {m.id} < {m.references}"[:400])

    def orders(self, found):
        by_uid = {message.uid: message for message in found}
        single = [(key,) for key in KEYS]
        several = [("SUBJECT", "DATE"), ("FROM", "SUBJECT", "SIZE"), ("DISPLAYTO", "CC", "ARRIVAL")]
        for keys in single + several:
            for reverse in (False, True):
                self.counts["orders"] += 1
                criteria = " ".join(("REVERSE " if reverse and place == 0 else "") + key for place, key in enumerate(keys))
                got = [by_uid[int(uid)] for uid in self.numbers(f"UID SORT ({criteria}) UTF-8 ALL".encode(), b"SORT").split()]
                if sorted(m.uid for m in got) != sorted(by_uid):
                    self.failures.append(f"SORT ({criteria}): other messages than there are")
                    continue

                def compare(one, other):
                    for place, key in enumerate(keys):
                        left, right = one.key(key), other.key(key)
                        if left != right:
                            return -1 if (left < right) != (reverse and place == 0) else 1
                    return one.seq - other.seq

                for message in outliers(got, cmp_to_key(compare)):
                    if not any(self.is_accepted(message, key.lower()) for key in keys):
                        values = [message.key(key) for key in keys]
                        self.failures.append(f"SORT ({criteria}): {message.name} has {values!r}"[:400])


def accepted_lines():
    with open(os.path.join(HERE, "sort_accepted.txt"), encoding="utf-8") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file if line.strip() and not line.startswith("#")]


def main():
    arguments = sys.argv[1:]
    sample = "--sample" in arguments
    host, port, user, password, corpus, *mboxes = [argument for argument in arguments if argument != "--sample"]
    imap = Imap(host, int(port), user, password)
    comparison = Comparison(imap)
    files = []
    for folder, _, names in sorted(os.walk(os.path.join(corpus, "messages"))):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), corpus)
            with open(os.path.join(corpus, path), "rb") as file:
                octets = re.sub(rb"\r?\n", b"\r\n", file.read())
            # A message begins with a field; what does not is something that a test suite expects.
            if octets and b"\0" not in octets and re.match(rb"(From [^\n]*\n)?[!-9;-~]+[ \t]*:", octets):
                files.append((path, octets))
    comparison.mailbox(b"Messages", files[::3] if sample else files)
    for path in mboxes:
        with open(path, "rb") as file:
            messages = [re.sub(rb"\r?\n", b"\r\n", octets) for octets in split(file.read())]
        name = os.path.basename(path)
        some = [(f"{name}#{place}", octets) for place, octets in enumerate(messages) if octets and b"\0" not in octets]
        comparison.mailbox(re.sub(rb"[^A-Za-z0-9-]", b"-", name.encode()), some[:1000] if sample else some)
    print(comparison.counts)
    for line in comparison.accepted:
        print(f"accepted {comparison.used.get(line, 0):3} × {line[0]} {line[1]}: {line[2]}")
    for failure in comparison.failures[:200]:
        print("DIFFERS", failure)
    sys.exit(1 if comparison.failures else 0)


if __name__ == "__main__":
    main()
