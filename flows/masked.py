"""How is a text freed of secrets before anybody logs or shows it? By what they look like, and by the environment.

A pattern cannot know every secret. So nothing that is secret is logged on purpose, and this is the second line: user
and password of an address, values after words such as ``password=``, keys that say what they are, and every value of
the environment whose name says that it is secret. A password that holds ``/``, ``?`` or ``#`` as they are cannot be
told from a port and a path with an @: both are masked up to the last @.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

MASK = "***"
LEAST = 6
"""Letters of a value of the environment that is searched for; a shorter one would mask half of every line."""

_WORD = "(?:password|passwd|passphrase|secret|token|(?:api|access|private)[_-]?key|auth[_-]?string|credentials?)"
_SCHEME = r"[a-z][a-z0-9+.\-]{0,30}://"  # bounded: else each letter of a long word is read to the word's end
_MOST = 1024  # letters of a raw password: a line of many addresses is not read to its end for each of them
_USER = re.compile(
    rf"({_SCHEME})(?:[^\s/?#'\"<>:@]*:[^\s'\"<>]{{0,{_MOST}}}|[^\s/?#'\"<>]*)@",
    re.IGNORECASE,
)
_SAYS = r"\\*[\"']?\s*[=:]\s*"
_QUOTED = r"b?(?P<deep>\\*)(?P<quote>[\"'])(?:(?!(?<!\\)(?P=deep)(?P=quote)).)*(?:(?P=deep)(?P=quote))?"
"""To the quote that is escaped as often as the first one; to the end, where a cut took it."""
_FACT = r"(?!(?:expected|missing|required|must|not|none|null|unset|true|false)[.:]?(?:[\s,;)}\]]|$))"
"""What is said of a secret and is none: ``password: expected a string``."""
_LOGIN = r"(?:bearer|basic|token|api-?key|key|negotiate|digest|ntlm|hawk|aws4-hmac-sha256)\s+"
_WORDS = r"[^\s\"',;&)}\]]+"
_NAMED = rf"(?:{_WORD}|secret[_-]?key)(?![a-z]|[_.\-](?:variable|file|path|name)s?(?![\w.\-]))"
_VALUE = re.compile(  # a name is looked through once, from its first letter: what is tried at every word is quadratic
    rf"((?<![\w.\-])(?=[\w.\-]*?{_NAMED})[\w.\-]+{_SAYS}){_FACT}(?:{_QUOTED}|(?:{_LOGIN})?{_WORDS})",
    re.IGNORECASE | re.DOTALL,
)
_PAIR = r"[\w\-]+=(?:\"[^\"]*\"|[^\s\"',;]*)"
_OTHER = r"[a-z][\w\-]*\s+(?=[^\s\"',;]{16}|[^\s\"',;]{0,15}\d)"  # a scheme we do not know, before what may be a key
_HEADER = re.compile(
    rf"(authorization{_SAYS}){_FACT}(?:{_QUOTED}|(?:{_LOGIN}|{_OTHER})?(?:{_PAIR}(?:,\s*{_PAIR})*|[^\s\"',;]+))",
    re.IGNORECASE | re.DOTALL,
)
_BEARER = re.compile(r"(\bbearer\s+)[A-Za-z0-9+/._~=\-]{8,}", re.IGNORECASE)
_KEY = re.compile(r"\b(?:pnu|pnb|ghp|gho|glpat|xox[abp]|AKIA)[_\-]?[A-Za-z0-9_\-]{12,}")
_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_NAME = re.compile(_WORD, re.IGNORECASE)
_ADDRESS = re.compile(rf"{_SCHEME}[^\s/?#:@]*:([^\s/?#]*)@", re.IGNORECASE)
_RAW = re.compile(rf"{_SCHEME}[^\s/?#:@]*:(\S{{0,{_MOST}}})@", re.IGNORECASE)
_WHOLE = frozenset({"QUANTUMFLOW_NOTIFY_URL", "QUANTUMFLOW_WEBHOOK_URL"})
"""Addresses that are secrets as a whole: whoever has one may post to it."""


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` with everything that is, or looks like, a secret replaced by :data:`MASK`.

    Args:
        text: of an error, a record or an address.
        secrets: values that must not appear, the longest first; :func:`secrets_of` finds them.
    """
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = _BLOCK.sub(MASK, text)
    text = _USER.sub(rf"\g<1>{MASK}@", text)
    text = _HEADER.sub(rf"\g<1>{MASK}", text)
    text = _VALUE.sub(rf"\g<1>{MASK}", text)
    text = _BEARER.sub(rf"\g<1>{MASK}", text)
    return _KEY.sub(MASK, text)


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of ``environment`` that must not appear anywhere, the longest first.

    Of ``user:password`` the password counts by itself too, and so does the password of an address.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if name in _WHOLE or _NAME.search(name):
            found |= {value, value.partition(":")[2]}
        for password in (*_ADDRESS.findall(value), *_RAW.findall(value)):
            found |= {password, unquote(password)}
    return tuple(sorted((each for each in found if len(each) >= LEAST), key=lambda each: (-len(each), each)))
