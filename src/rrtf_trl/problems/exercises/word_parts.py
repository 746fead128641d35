"""The tables of parts for exercises about words.

A map may turn words into numbers ("the lengths of the words"); the reductions of :mod:`.number_parts` then
apply.
"""

from __future__ import annotations

from .grammar import COUNTS, LETTERS, Part

SOURCES = (
    Part("word_list", ("words in ws",), "ws", signature="ws"),
    Part("text", ("words in text",), "text.split()", {'text.split(" ")': 12, "text": 6}, signature="text"),
)

FILTERS = (
    Part("all", ("the {items}",), ""),
    Part(
        "longer",
        ("the {items} that are longer than {k} letters", "the {items} with more than {k} letters"),
        "len(w) > {k}",
        {"len(w) >= {k}": 24},
        (2, 3, 4, 5),
    ),
    Part(
        "length_at_least",
        ("the {items} with at least {k} letters", "the {items} that have {k} letters or more"),
        "len(w) >= {k}",
        {"len(w) > {k}": 58},
        (2, 3, 4, 5),
    ),
    Part("length_is", ("the {items} with exactly {k} letters",), "len(w) == {k}", {"len(w) > {k}": 12}, (2, 3, 4, 5)),
    Part(
        "starts",
        ("the {items} that start with '{k}'", "the {items} that begin with '{k}'"),
        'w.startswith("{k}")',
        {'w[0] == "{k}"': 30},
        LETTERS,
    ),
    Part(
        "ends",
        ("the {items} that end with '{k}'", "the {items} that end in '{k}'"),
        'w.endswith("{k}")',
        {'w[-1] == "{k}"': 30},
        LETTERS,
    ),
    Part("contains", ("the {items} that contain '{k}'",), '"{k}" in w', {'"{k}" == w': 15}, LETTERS),
    Part("lacks", ("the {items} that do not contain '{k}'",), '"{k}" not in w', {'"{k}" in w': 18}, LETTERS),
    Part(
        "vowel",
        ("the {items} that start with a vowel",),
        'w and w[0] in "aeiou"',
        {'w[0] in "aeiou"': 46, 'w[:1] in "aeiou"': 12},
    ),
    Part("capital", ("the {items} that start with a capital letter",), "w[:1].isupper()", {"w.isupper()": 30}),
    Part("palindrome", ("the {items} that are palindromes",), "w == w[::-1]", {"w[:1] == w[-1:]": 24}),
    Part("last", ("the last {k} {items}",), "{items}[-{k}:]", {"{items}[{k}:]": 60}, COUNTS),
)

MAPS = (
    Part("same", ("{these}",), "w", gives="word"),
    Part("upper", ("the upper-case forms of {these}",), "w.upper()", {"w.title()": 12}, gives="word"),
    Part("lower", ("the lower-case forms of {these}",), "w.lower()", {"w.upper()": 8}, gives="word"),
    Part("reverse", ("the reversals of {these}",), "w[::-1]", {"w[:-1]": 15, "reversed(w)": 12}, gives="word"),
    Part("initial", ("the first letters of {these}",), "w[:1]", {"w[0]": 58}, gives="word"),
    Part("final", ("the last letters of {these}",), "w[-1:]", {"w[-1]": 30}, gives="word"),
    Part(
        "without_first",
        ("the results of dropping the first letter from each of {these}",),
        "w[1:]",
        {"w[:-1]": 21},
        gives="word",
    ),
    Part(
        "without_last",
        ("the results of dropping the last letter from each of {these}",),
        "w[:-1]",
        {"w[1:]": 24},
        gives="word",
    ),
    Part("twice", ("the twofold repetitions of {these}",), "w + w", {"w ** 2": 15}, gives="word"),
    Part("prefix", ("the first {k} letters of {these}",), "w[:{k}]", {"w[{k}:]": 27}, COUNTS, gives="word"),
    Part(
        "replace",
        ("the results of replacing '{k}' with 'x' in {these}",),
        'w.replace("{k}", "x")',
        {'w.replace("x", "{k}")': 18},
        LETTERS,
        gives="word",
    ),
    Part("length", ("the lengths of {these}",), "len(w)", {"len(w) - 1": 12}),
    Part(
        "vowels",
        ("the numbers of vowels in {these}",),
        'sum(c in "aeiou" for c in w)',
        {'sum(c not in "aeiou" for c in w)': 24},
    ),
    Part("letters", ("the numbers of distinct letters in {these}",), "len(set(w))", {"len(w)": 56}),
)

REDUCTIONS = (
    Part("list", ("the list of {these}", "a list of {these}"), "return ys", {"return sorted(ys)": 8}, takes="word"),
    Part("alphabetical", ("the sorted list of {these}",), "return sorted(ys)", {"return ys.sort()": 21}, takes="word"),
    Part(
        "reversed",
        ("the list, in reverse order, of {these}",),
        "return ys[::-1]",
        {"return reversed(ys)": 15, "return ys[:-1]": 9},
        takes="word",
    ),
    Part(
        "spaced",
        ("the space-separated string of {these}",),
        'return " ".join(ys)',
        {'return "".join(ys)': 12},
        takes="word",
    ),
    Part(
        "commas",
        ("the comma-separated string of {these}, without spaces",),
        'return ",".join(ys)',
        {'return ", ".join(ys)': 56},
        takes="word",
    ),
    Part(
        "concatenated", ("the concatenation of {these}",), 'return "".join(ys)', {"return sum(ys)": 18}, takes="word"
    ),
    Part(
        "longest",
        ("the longest of {these}, the first on a tie, or '' if there are none",),
        'return max(ys, key=len, default="")',
        {"return max(ys, key=len)": 50, 'return max(ys, default="")': 8},
        takes="word",
    ),
    Part(
        "shortest",
        ("the shortest of {these}, the first on a tie, or '' if there are none",),
        'return min(ys, key=len, default="")',
        {"return min(ys, key=len)": 36},
        takes="word",
    ),
    Part(
        "distinct",
        ("the number of distinct strings among {these}",),
        "return len(set(ys))",
        {"return len(ys)": 15},
        takes="word",
    ),
    Part(
        "total_length",
        ("the total length of {these}",),
        "return sum(len(y) for y in ys)",
        {"return len(ys)": 22},
        takes="word",
    ),
    Part(
        "tail",
        ("the list of the last {k} of {these}",),
        "return ys[-{k}:]",
        {"return ys[{k}:]": 60},
        COUNTS,
        takes="word",
    ),
)
