"""An IMAP client and reader of replies for the comparisons: no line limit, no interpretation."""

import re
import socket


class Imap:
    """One logged-in connection."""

    def __init__(self, host, port, user, password):
        self.socket = socket.create_connection((host, port), timeout=120)
        self.file = self.socket.makefile("rb")
        self.next = 0
        self.file.readline()
        self.command(b"LOGIN %s %s" % (user.encode(), password.encode()))

    def response(self):
        """One reply with its literals in place."""
        whole = b""
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError(f"closed after {whole[-200:]!r}")
            whole += line
            announced = re.search(rb"\{(\d+)\}\r\n$", line)
            if not announced:
                return whole[:-2]
            whole += self.file.read(int(announced[1]))

    def send(self, command):
        self.next += 1
        tag = b"p%d" % self.next
        self.socket.sendall(tag + b" " + command)
        return tag

    def finish(self, tag):
        untagged = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                if not line.startswith(tag + b" OK"):
                    raise RuntimeError(line.decode("latin-1"))
                return untagged, line
            untagged.append(line)

    def command(self, command):
        return self.finish(self.send(command + b"\r\n"))[0]

    def append(self, mailbox, message):
        """Appends; the UID."""
        tag = self.send(b"APPEND %s {%d}\r\n" % (mailbox, len(message)))
        line = self.response()
        while line.startswith(b"* "):
            line = self.response()
        if not line.startswith(b"+"):
            raise RuntimeError(line.decode("latin-1"))
        self.socket.sendall(message + b"\r\n")
        _, tagged = self.finish(tag)
        return int(re.search(rb"APPENDUID \d+ (\d+)", tagged)[1])

    def fetch(self, numbers, items):
        """FETCH by UID: a dictionary of items for each message, in order."""
        found = []
        for line in self.command(b"UID FETCH %s %s" % (numbers, items)):
            values = parse(line)
            if len(values) > 3 and values[2].upper() == b"FETCH":
                pairs = values[3]
                found.append({pairs[i].upper(): pairs[i + 1] for i in range(0, len(pairs), 2)})
        return found


class Atom(bytes):
    """An atom, to tell NIL from "NIL"."""


def parse(line):
    """A reply as nested lists of bytes and Atoms."""
    at, end, stack = 0, len(line), [[]]
    while at < end:
        octet = line[at : at + 1]
        if octet == b" ":
            at += 1
        elif octet == b"(":
            stack.append([])
            at += 1
        elif octet == b")":
            inner = stack.pop()
            stack[-1].append(inner)
            at += 1
        elif octet == b'"':
            match = QUOTED.match(line, at)
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", match[1]))
            at = match.end()
        elif octet == b"{":
            match = LITERAL.match(line, at)
            begin = match.end()
            at = begin + int(match[1])
            stack[-1].append(line[begin:at])
        else:
            begin, depth = at, 0
            while at < end:
                octet = line[at : at + 1]
                if octet == b"[":
                    depth += 1
                elif octet == b"]":
                    depth -= 1
                elif depth == 0 and octet in b" ()":
                    break
                at += 1
            stack[-1].append(Atom(line[begin:at]))
    if len(stack) != 1:
        raise ValueError(f"unbalanced: {line[:200]!r}")
    return stack[0]


QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S)
LITERAL = re.compile(rb"\{(\d+)\}\r\n")


def nil(value):
    """None for NIL."""
    return None if isinstance(value, Atom) and value.upper() == b"NIL" else value
