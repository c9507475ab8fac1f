"""What a standard demands beyond its XSD: code lists, Schematron, characters, attachments.

Each stage is a module of its own with ``check(document, knowledge, …) -> list[Finding]``: pure, at most ``most`` findings,
no value of the document in any of them. knowledge: what is read from the package once, never per message. The severity of a
finding is the standard's; a package that only warns (``stages`` in its manifest) lowers it afterwards.
"""

from typing import Final

MOST: Final = 50
