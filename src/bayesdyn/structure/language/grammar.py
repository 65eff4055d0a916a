"""The grammar of ``paths``: lavaan's operators, lme4's groups and a lag.

Statements are told apart first and parsed one by one, so that one bad line does not hide the next fault.
"""

import re
from collections.abc import Iterator
from functools import cache

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from bayesdyn.structure.language.expression import Misfit
from bayesdyn.structure.language.words import sentence

GRAMMAR = r"""
?start: regression | residual | definition

regression: names TILDE item (PLUS item)*
residual: names TILDES names
definition: NAME DEFINES EXPRESSION
names: target (PLUS target)*
?target: NAME | FUNCTION LPAR NAME RPAR    -> spread

?item: path | group
path: [NUMBER STAR] product
    | NUMBER                               -> constant
group: LPAR effect (PLUS effect)* BAR NAME [(SLASH | COLON) NAME] RPAR
?effect: product | NUMBER

product: term (STAR term)*
term: factor (COLON factor)*
factor: NAME                               -> now
      | CONTRAST                           -> contrast
      | FUNCTION LPAR (NAME | CONTRAST) [COMMA (NAME | NUMBER)] RPAR  -> call

TILDES: "~~"
TILDE: "~"
DEFINES: ":="
PLUS: "+"
STAR: "*"
COLON: ":"
SLASH: "/"
BAR: "|"
COMMA: ","
LPAR: "("
RPAR: ")"
FUNCTION.2: /(lag|mean)(?=\s*\()|[^\W\d]\w*(?=\()/
CONTRAST.2: /[^\W\d]\w*\[[^\[\]()#"\\~\n]+\]/
NAME: /[^\W\d]\w*/
NUMBER: /-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
EXPRESSION.-1: /\S[\s\S]*/
%ignore /\s+/
"""

_SYMBOLS = {
    "TILDE": "~",
    "TILDES": "~~",
    "DEFINES": ":=",
    "PLUS": "+",
    "STAR": "*",
    "COLON": ":",
    "SLASH": "/",
    "BAR": "|",
    "COMMA": ",",
    "LPAR": "(",
    "RPAR": ")",
    "NAME": "a name",
    "NUMBER": "a number",
    "EXPRESSION": "an expression",
    "$END": "the end of the statement",
}
# By the beginning of the unexpected word; longer beginnings first.
_INSTEAD = {
    "=~": "Latent factors are not written here: the measures say how scores were measured",
    "=": "A path is written ~, a residual covariance ~~, a definition :=",
    "<-": "A path is written ~",
    "<~": "A path is written ~",
    "-": "A path is left out by 0*x",
    "||": "Write a single |: effects of one group are correlated",
    "^": "Write a product with :, e.g. empathy:empathy",
    "...": "Write every term out",
}
_TARGET = r"[^\W\d]\w*(\(\s*\w+\s*\))?"
_STARTS = re.compile(rf"^\s*{_TARGET}(\s*\+\s*{_TARGET})*\s*(~|:=)")
_JOINS_BEFORE = re.compile(r"^\s*([-+*/:|),~<>=]|(and|or)\b)")
_JOINS_AFTER = re.compile(r"([-+*/:|(,~<>=]|\b(and|or|not))\s*$")
_OPERATOR = re.compile(r"~|:=")
_WORD = re.compile(r"\w+|[^\w\s()]+|[()]")


def parse_statement(source: str) -> Tree[Token] | Misfit:
    """Parse one statement; where it has no reading, say at which character and what could stand there."""
    try:
        return _parser().parse(source)
    except UnexpectedInput as error:
        return _misfit(source, error)


@cache
def _parser() -> Lark:
    return Lark(
        GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=False
    )


def split_statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the number, from 0, of its first line; comments are cut, columns kept."""
    current: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n")):
        line = raw.partition("#")[0].rstrip()
        so_far = "\n".join(current)
        if current and line and not _goes_on(so_far, line):
            yield start, so_far.rstrip()
            current = []
        if current or line.strip():
            start = start if current else number
            current.append(line)
    if current:
        yield start, "\n".join(current).rstrip()


def _goes_on(so_far: str, line: str) -> bool:
    if _STARTS.match(line) and _OPERATOR.search(so_far):
        return False
    waiting = so_far.count("(") > so_far.count(")") or _JOINS_AFTER.search(so_far)
    return bool(waiting or _JOINS_BEFORE.match(line))


def _misfit(source: str, error: UnexpectedInput) -> Misfit:
    expected: set[str] = set()
    offset = error.pos_in_stream or 0
    if isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
        ended = error.token.type == "$END"
    else:
        ended = isinstance(error, UnexpectedEOF)
        expected = set(error.allowed or ()) if isinstance(error, UnexpectedCharacters) else expected
    last = _WORD.findall(source)[-1]
    if ended:
        offset = source.rindex(last)
    elif offset and source[offset - 1] == source[offset] and not source[offset].isalnum():
        offset -= 1  # the second half of a doubled sign such as ||
    match = _WORD.match(source, offset)
    word = match.group() if match else source[offset : offset + 1]
    what = f"the statement ends after {last!r}" if ended else f"unexpected {word!r}"
    wanted = sorted(_SYMBOLS[name] for name in expected if name in _SYMBOLS)
    hint = "" if ended else next((_INSTEAD[key] for key in _INSTEAD if word.startswith(key)), "")
    known = f"Here can stand {_listed(wanted)}" if wanted else ""
    return Misfit(offset, what, sentence(f"{hint}." if hint else "", known))


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
