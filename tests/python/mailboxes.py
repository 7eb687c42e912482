"""Splits mbox files and compares them with mailboxes: HOST PORT USER PASSWORD [--append] MAILBOX=FILE...

With --append the messages are appended first (for servers that have not imported the files). Message bytes must come back
octet for octet after this normalisation, on both sides: CRLF is LF, and `>From ` at the start of a line loses all its `>`.
"""

import re
import sys

from wire import Imap

# A separator begins the file or follows an empty line, and carries a date as asctime writes it.
SEPARATOR = re.compile(
    rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[ ,][^\n]*\d[^\n]*\n"
)


def split(octets):
    """The messages of an mbox, without separators and the empty line before each."""
    found = list(SEPARATOR.finditer(octets)) or list(re.finditer(rb"\AFrom [^\n]*\n", octets))
    ends = [match.start() for match in found[1:]] + [len(octets)]
    for match, end in zip(found, ends):
        message = octets[match.end() : end]
        for tail in (b"\r\n", b"\n"):
            if message.endswith(b"\n" + tail) or message == tail:
                message = message[: -len(tail)]
                break
        yield message


def normal(octets):
    octets = octets.replace(b"\r\n", b"\n")
    return re.sub(rb"(?m)^>+(?=From )", b"", octets)


def compare(imap, mailbox, path, append):
    with open(path, "rb") as file:
        messages = list(split(file.read()))
    if append:
        imap.command(b"CREATE %s" % mailbox)
        for message in messages:
            imap.append(mailbox, message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") or b"\r\n")
    exists = [line for line in imap.command(b"EXAMINE %s" % mailbox) if line.endswith(b" EXISTS")]
    count = int(exists[0].split()[1])
    faults = []
    if count != len(messages):
        faults.append(f"{len(messages)} messages in the file, {count} in the mailbox")
    ends = 0
    uids = sorted(int(item[b"UID"]) for item in imap.fetch(b"1:*", b"(UID)")) if count else []
    for begin in range(0, count, 50):
        some = uids[begin : begin + 50]
        numbers = b",".join(b"%d" % uid for uid in some)
        for place, item in enumerate(imap.fetch(numbers, b"(UID RFC822.SIZE BODY.PEEK[])"), begin):
            body = item[b"BODY[]"]
            if int(item[b"RFC822.SIZE"]) != len(body):
                faults.append(f"message {place + 1}: RFC822.SIZE {item[b'RFC822.SIZE']}, {len(body)} octets")
            if place >= len(messages):
                continue
            want, got = normal(messages[place]), normal(body)
            if want == got:
                continue
            if want.rstrip(b"\n") == got.rstrip(b"\n"):
                ends += 1
                continue
            at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
            faults.append(f"message {place + 1}: octet {at}: {want[at - 40:at + 40]!r} became {got[at - 40:at + 40]!r}")
    print(f"{mailbox.decode()}: {count} messages, {ends} differ in empty lines at the end, {len(faults)} faults")
    for fault in faults[:10]:
        print(f"  {fault}")
    return not faults and ends * 100 <= count


def main():
    arguments = sys.argv[1:]
    host, port, user, password = arguments[:4]
    append = "--append" in arguments
    imap = Imap(host, int(port), user, password)
    good = True
    for pair in arguments[4:]:
        if "=" in pair:
            mailbox, path = pair.split("=", 1)
            good = compare(imap, mailbox.encode(), path, append) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
