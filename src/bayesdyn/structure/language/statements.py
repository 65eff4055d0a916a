"""Statements of a model as read, each with its place in the model file."""

from dataclasses import dataclass, field

from bayesdyn.structure.language.parts import Definition, Path, ResidualPair, Varying, place


@dataclass(frozen=True)
class Placed[T]:
    """A statement's part and where it stands: line of the model file and column, both from 1.

    ``expanded``: it is one of the terms that a product with ``*`` stands for.
    """

    item: T
    line: int
    column: int
    word: str = ""
    expanded: bool = False

    @property
    def where(self) -> str:
        """The place, as messages name it."""
        return place(self.line, self.column)


@dataclass
class Statements:
    """All that the readable statements of a text say, in the order written; ``complete`` if all were.

    ``words`` are their names, labels included, each with its line and column.
    """

    paths: list[Placed[Path]] = field(default_factory=list)
    varying: list[Placed[Varying]] = field(default_factory=list)
    residuals: list[Placed[ResidualPair]] = field(default_factory=list)
    definitions: list[Placed[Definition]] = field(default_factory=list)
    words: list[tuple[str, int, int]] = field(default_factory=list)
    complete: bool = True
