"""How is XML from outside read without giving it any power? No document types, no entities, bounded depth."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from data.readers.dump import Dump

MAX_CHARACTERS = 4 << 20
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element with the line it starts on; text between elements is left out, since no format here uses it."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list["Element"] = field(default_factory=list)

    def walk(self, inside: tuple["Element", ...] = ()) -> Iterator[tuple["Element", tuple["Element", ...]]]:
        """Yield this element and all beneath it in document order, each with those around it, outermost first."""
        yield self, inside
        for child in self.children:
            yield from child.walk((*inside, self))


class _Forbidden(Exception):
    """The document asks for something that a topology never needs."""


def read_xml(dump: Dump) -> Element:
    """Return the root element.

    Raises:
        BadSource: not well-formed, a DOCTYPE or ENTITY, nested too deeply, or too large.
    """
    dump.refuse_above(MAX_CHARACTERS)
    open_elements: list[Element] = []
    roots: list[Element] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_elements) >= MAX_DEPTH:
            raise _Forbidden(f"more than {MAX_DEPTH} elements inside one another")
        element = Element(tag, attributes, parser.CurrentLineNumber)
        (open_elements[-1].children if open_elements else roots).append(element)
        open_elements.append(element)

    def end(_tag: str) -> None:
        open_elements.pop()

    def forbid(*_declared: object) -> None:
        raise _Forbidden("DOCTYPE or ENTITY")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = forbid
    parser.EntityDeclHandler = forbid
    try:
        parser.Parse(dump.text.encode(), True)
    except _Forbidden as error:
        found = f"{error} in line {parser.CurrentLineNumber}"
        raise dump.refused("plain elements and attributes", found) from None
    except expat.ExpatError as error:
        raise dump.refused("well-formed XML", str(error)) from None
    return roots[0]
