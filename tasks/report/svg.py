"""How is a picture written down? As SVG elements that are well-formed by construction, whatever the ids hold."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, tostring

from markupsafe import Markup

from tasks.report.plain import one_line


def element(tag: str, attributes: Mapping[str, str], *children: Element, text: str = "") -> Element:
    """Return an element with ``children``; ``text`` from outside is made printable first."""
    made = Element(tag, dict(attributes))
    if text:
        made.text = one_line(text)
    made.extend(children)
    return made


def picture(width: float, height: float, description: str, *children: Element, style: str = "") -> Element:
    """Return the root element of a picture that scales with the page.

    Args:
        width: of the drawing, in its own units.
        height: likewise.
        description: what a person who cannot see it should know.
        children: what it shows.
        style: class of the style sheet.
    """
    attributes = {
        "viewBox": f"0 0 {at(width)} {at(height)}",
        "role": "img",
        "aria-label": one_line(description),
    }
    return element("svg", attributes | ({"class": style} if style else {}), *children)


def label(x: float, y: float, text: str, style: str = "", *, end: str = "") -> Element:
    """Return a piece of text at ``x``, ``y`` (its baseline).

    Args:
        x: where it is anchored.
        y: its baseline.
        text: what it says.
        style: class of the style sheet.
        end: ``middle`` or ``end`` if ``x`` is not its beginning.
    """
    attributes = {"x": at(x), "y": at(y)}
    if style:
        attributes["class"] = style
    if end:
        attributes["text-anchor"] = end
    return element("text", attributes, text=text)


def box(x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0.0) -> Element:
    """Return a rectangle of class ``style``."""
    attributes = {"class": style, "x": at(x), "y": at(y), "width": at(width), "height": at(height)}
    if round_by:
        attributes["rx"] = at(round_by)
    return element("rect", attributes)


def tile(x: float, y: float, width: float, height: float) -> str:
    """Return a rectangle as a piece of a path."""
    return f"M{at(x)} {at(y)}h{at(width)}v{at(height)}h{at(-width)}z"


def at(number: float) -> str:
    """Return a coordinate in as few characters as a tenth of a unit needs."""
    text = f"{number:.1f}"
    return text[:-2] if text.endswith(".0") else text


def fitted(text: str, width: float, size: float) -> str:
    """Return ``text``, cut with an ellipsis to what fits ``width`` in letters of ``size``."""
    room = max(1, int(width / (0.58 * size)))
    safe = one_line(text)
    return safe if len(safe) <= room else f"{safe[: room - 1]}…"


def markup(root: Element) -> Markup:
    """Return the picture as text for a page; element trees escape what they are given."""
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - written by an XML serialiser, see above
