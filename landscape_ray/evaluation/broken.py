"""Whether a text is language at all: what far from the origin is left of a model often is not.

A definition by form alone, of any language and tokenizer: no dictionary, no second model, the same answer for the same
text for ever. It sees loops and scrambled characters. It does not see well-spelled nonsense; a judge or the perplexity
of given texts does. docs/benchmarks.md has the measured rates behind the thresholds.
"""

import itertools
import re
import unicodedata

__all__ = ["is_broken"]

LOOP_CHARS = 16
"""Length of the substrings that are counted: about three words of English. Shorter ones recur in any long text."""
MAX_REPEATED = 0.5
"""Largest share of substrings that stood in the text before: more than half is a loop, or a table of links."""
MAX_MALFORMED_CHARS = 1 / 200
"""Language has no malformed characters; one in a long answer is a slip, one in every three lines is not."""
MAX_MALFORMED_WORDS, MIN_MALFORMED_WORDS = 0.3, 3
"""Programs and product names have capitals inside words too, but not in every third word."""

WORD = re.compile(r"[^\W_]+")
CAPITAL_INSIDE = re.compile("[a-z][A-Z]")
UNUSUAL = re.compile(r"[^ -~\t\n\r]")
"""A character that is worth a look."""
REPLACEMENT = "\ufffd"
"""What stands for bytes that are no character."""
# Scripts that do not meet inside a word. Others do: Japanese writes three, and Latin letters before its own.
SEPARATE_SCRIPTS = {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "DEVANAGARI"}


def is_broken(text: str) -> bool:
    """Tell whether a completion is no language.

    It is broken if and only if one of these holds:

    - It has no letter and no digit.
    - It is a loop: of all substrings of 16 characters of its words, joined by single spaces, more than half stood in
      it before.
    - At least one in 200 of its characters is malformed: a control character other than tab and line breaks, a code
      point that is no character, or the replacement of bytes that are none. Replacements at the very end do not
      count: there the limit of tokens may have cut a character in two.
    - More than 0.3 of its words, and at least three, are malformed: letters of two scripts that do not meet in words,
      or a capital after a small letter.
    """
    words = WORD.findall(text)
    if not words:
        return True
    num_malformed = sum(map(_is_malformed, words))
    return (
        _repeated_share(" ".join(words)) > MAX_REPEATED
        or _malformed_characters_share(text) >= MAX_MALFORMED_CHARS
        or (num_malformed >= MIN_MALFORMED_WORDS and num_malformed > MAX_MALFORMED_WORDS * len(words))
    )


def _repeated_share(text: str) -> float:
    """Return the share of substrings that are not the first of their kind; 0 in a text with none."""
    substrings = [text[start : start + LOOP_CHARS] for start in range(len(text) - LOOP_CHARS + 1)]
    return 1 - len(set(substrings)) / len(substrings) if substrings else 0.0


def _malformed_characters_share(text: str) -> float:
    suspects: list[str] = [
        c for c in UNUSUAL.findall(text.rstrip(REPLACEMENT)) if c == REPLACEMENT or not c.isprintable()
    ]
    # Odd spaces and joiners are not printable either, but language has them.
    return sum(c == REPLACEMENT or unicodedata.category(c) in {"Cc", "Cn", "Co"} for c in suspects) / len(text)


def _is_malformed(word: str) -> bool:
    if word.isascii():  # the usual case, fast
        return CAPITAL_INSIDE.search(word) is not None
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()}
    capital_inside = any(a.islower() and b.isupper() for a, b in itertools.pairwise(word))
    return capital_inside or len(scripts & SEPARATE_SCRIPTS) > 1
