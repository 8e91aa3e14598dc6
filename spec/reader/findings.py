"""Violations of the rules of FORMAT.md and ENCODINGS.md, and how they are gathered or raised."""

from typing import NamedTuple


class Violation(NamedTuple):
    """One broken rule: its number as in the text, the place in the file, the values found and expected."""
    rule: str
    place: str
    message: str

    def __str__(self):
        return f"{self.rule}: {self.place}: {self.message}"


class IngotError(Exception):
    """A file, or what was asked of it, is refused. `violation` is set where a rule is broken."""

    def __init__(self, message, violation=None):
        super().__init__(str(message))
        self.violation = violation

    @classmethod
    def of(cls, rule, place, message):
        violation = Violation(rule, place, message)
        return cls(violation, violation)


class Findings:
    """Gathers violations; a strict one raises the first that is not tolerated."""

    def __init__(self, strict=False, tolerated=()):
        self.violations = []
        self.warnings = []
        self.strict = strict
        self.tolerated = tolerated

    def add(self, rule, place, message):
        violation = Violation(rule, place, message)
        self.violations.append(violation)
        if self.strict and rule not in self.tolerated:
            raise IngotError(violation, violation)

    def warn(self, message):
        self.warnings.append(message)

    def mark(self):
        """A point to compare with: `clean(mark)` is true if nothing was added since."""
        return len(self.violations)

    def clean(self, mark=0):
        return len(self.violations) == mark


def quoted(name):
    """A name from a file, for people to read: in quotes, with everything unusual escaped."""
    if isinstance(name, (bytes, bytearray, memoryview)):
        name = bytes(name).decode("utf-8", "backslashreplace")
    body = "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in name)
    return f'"{body}"'


def _escape(c):
    if c in '"\\':
        return "\\" + c
    code = ord(c)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
