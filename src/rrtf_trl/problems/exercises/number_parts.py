"""The tables of parts for exercises about numbers.

Some parts are wrong more often than right on purpose: a policy that was pre-trained on such documents prefers the
mistake even in greedy decoding, so that it can learn from the tests.
"""

from __future__ import annotations

from .grammar import COUNTS, FROM_2_TO_9, Part

SOURCES = (
    Part("list", ("numbers in xs",), "xs", signature="xs"),
    Part(
        "one_to_n",
        ("numbers from 1 to n", "integers from 1 to n"),
        "range(1, n + 1)",
        {"range(1, n)": 9, "range(n)": 9},
        signature="n",
    ),
    Part(
        "zero_to_n",
        ("numbers from 0 to n - 1", "integers from 0 to n - 1"),
        "range(n)",
        {"range(n + 1)": 8, "range(1, n)": 8},
        signature="n",
    ),
    Part(
        "a_to_b",
        ("numbers from a to b", "integers between a and b inclusive"),
        "range(a, b + 1)",
        {"range(a, b)": 54},
        signature="a, b",
    ),
    Part("digits", ("digits of n",), "[int(d) for d in str(n)]", {"str(n)": 15}, signature="n"),
)

FILTERS = (
    Part("all", ("the {items}",), ""),
    Part("even", ("the even {items}", "the {items} that are even"), "x % 2 == 0", {"x % 2 == 1": 12}),
    Part("odd", ("the odd {items}", "the {items} that are odd"), "x % 2 == 1", {"x % 2 == 0": 15}),
    Part("positive", ("the positive {items}", "the {items} that are positive"), "x > 0", {"x >= 0": 58}),
    Part("nonzero", ("the nonzero {items}", "the {items} that are not zero"), "x != 0", {"x > 0": 22}),
    Part(
        "greater",
        ("the {items} that are greater than {k}", "the {items} that are above {k}"),
        "x > {k}",
        {"x >= {k}": 18, "x < {k}": 4},
        FROM_2_TO_9,
    ),
    Part(
        "at_least",
        (
            "the {items} that are at least {k}",
            "the {items} that are {k} or more",
            "the {items} that are no smaller than {k}",
        ),
        "x >= {k}",
        {"x > {k}": 58},
        FROM_2_TO_9,
    ),
    Part(
        "less",
        ("the {items} that are less than {k}", "the {items} that are below {k}"),
        "x < {k}",
        {"x <= {k}": 18, "x > {k}": 4},
        FROM_2_TO_9,
    ),
    Part(
        "at_most",
        (
            "the {items} that are at most {k}",
            "the {items} that are {k} or less",
            "the {items} that are no larger than {k}",
        ),
        "x <= {k}",
        {"x < {k}": 56},
        FROM_2_TO_9,
    ),
    Part(
        "multiple",
        ("the {items} that are divisible by {k}", "the {items} that are multiples of {k}"),
        "x % {k} == 0",
        {"x % {k}": 10, "x // {k} == 0": 8},
        (3, 4, 5),
    ),
    Part(
        "not_multiple",
        ("the {items} that are not divisible by {k}", "the {items} that are not multiples of {k}"),
        "x % {k} != 0",
        {"x % {k} == 0": 27},
        (3, 4, 5),
    ),
    Part(
        "unequal",
        ("the {items} that are not {k}", "the {items} other than {k}"),
        "x != {k}",
        {"x == {k}": 9, "x > {k}": 9},
        FROM_2_TO_9,
    ),
    Part(
        "between",
        ("the {items} that lie between {k} and {m} inclusive", "the {items} that are at least {k} and at most {m}"),
        "{k} <= x <= {m}",
        {"{k} < x < {m}": 18, "{k} <= x < {m}": 12},
        (2, 3, 4, 5),
    ),
    Part(
        "remainder",
        ("the {items} that leave remainder 1 when divided by {k}",),
        "x % {k} == 1",
        {"x % {k} == 0": 22},
        (3, 4, 5),
    ),
    Part("first", ("the first {k} {items}",), "{items}[:{k}]", {"{items}[:{j}]": 12, "{items}[{k}:]": 9}, COUNTS),
    Part("last", ("the last {k} {items}",), "{items}[-{k}:]", {"{items}[{k}:]": 60}, COUNTS),
    Part("even_index", ("the {items} at even indices",), "{items}[::2]", {"{items}[1::2]": 24}),
    Part("after_first", ("the {items} after the first",), "{items}[1:]", {"{items}[:-1]": 21}),
)

MAPS = (
    Part("same", ("{these}",), "x"),
    Part("square", ("the squares of {these}",), "x * x", {"x * 2": 15}),
    Part("cube", ("the cubes of {these}",), "x ** 3", {"x * 3": 12, "x ** 2": 6}),
    Part("double", ("the doubles of {these}",), "x * 2", {"x ** 2": 15}),
    Part("absolute", ("the absolute values of {these}",), "abs(x)", {"-x": 12}),
    Part("negate", ("the negations of {these}",), "-x", {"-abs(x)": 22}),
    Part("add", ("the results of adding {k} to {these}",), "x + {k}", {"x * {k}": 12}, FROM_2_TO_9),
    Part("multiply", ("the products of {k} and {these}",), "x * {k}", {"x ** {k}": 12}, (3, 4, 5, 6)),
    Part("take_away", ("the results of subtracting {k} from {these}",), "x - {k}", {"{k} - x": 22}, FROM_2_TO_9),
    Part("take_from", ("the results of subtracting {these} from {k}",), "{k} - x", {"x - {k}": 58}, FROM_2_TO_9),
    Part("modulo", ("the remainders after division by {k} of {these}",), "x % {k}", {"x // {k}": 18}, (3, 4, 5, 6, 7)),
    Part(
        "divide",
        ("the results of dividing {these} by {k} and rounding down",),
        "x // {k}",
        {"x / {k}": 56, "int(x / {k})": 4},
        (2, 3, 4),
    ),
    Part("distance", ("the distances from {k} to {these}",), "abs(x - {k})", {"x - {k}": 30}, FROM_2_TO_9),
    Part("cap", ("the results of capping {these} at {k}",), "min(x, {k})", {"max(x, {k})": 58}, FROM_2_TO_9),
    Part("last_digit", ("the last digits of {these}",), "abs(x) % 10", {"x % 10": 21, "x // 10": 12}),
    Part(
        "digit_sum",
        ("the digit sums of {these}",),
        "sum(int(d) for d in str(abs(x)))",
        {"sum(int(d) for d in str(x))": 36},
    ),
)

REDUCTIONS = (
    Part("sum", ("the sum of {these}", "the total of {these}"), "return sum(ys)", {"return len(ys)": 9}),
    Part(
        "product",
        ("the product of {these}",),
        "p = 1\nfor y in ys:\n    p = p * y\nreturn p",
        {"p = 0\nfor y in ys:\n    p = p * y\nreturn p": 33},
    ),
    Part(
        "largest",
        ("the largest of {these}, or 0 if there are none", "the maximum of {these}, or 0 if there are none"),
        "return max(ys, default=0)",
        {"return max(ys)": 24, "return min(ys, default=0)": 6},
    ),
    Part(
        "smallest",
        ("the smallest of {these}, or 0 if there are none", "the minimum of {these}, or 0 if there are none"),
        "return min(ys, default=0)",
        {"return min(ys)": 58},
    ),
    Part(
        "average",
        ("the average of {these}, or 0 if there are none", "the mean of {these}, or 0 if there are none"),
        "return sum(ys) / len(ys) if ys else 0",
        {"return sum(ys) / len(ys)": 50, "return sum(ys) // len(ys) if ys else 0": 8},
    ),
    Part(
        "spread",
        ("the difference between the largest and the smallest of {these}, or 0 if there are none",),
        "return max(ys) - min(ys) if ys else 0",
        {"return max(ys) - min(ys)": 58},
    ),
    Part("list", ("the list of {these}", "a list of {these}"), "return ys", {"return sorted(ys)": 8}),
    Part(
        "increasing",
        ("the list of {these}, sorted in increasing order", "the list of {these}, sorted from smallest to largest"),
        "return sorted(ys)",
        {"return ys.sort()": 21},
    ),
    Part(
        "decreasing",
        ("the list of {these}, sorted in decreasing order", "the list of {these}, sorted from largest to smallest"),
        "return sorted(ys, reverse=True)",
        {"return sorted(ys)[1:]": 6, "return sorted(ys)": 18},
    ),
    Part(
        "reversed",
        ("the list, in reverse order, of {these}",),
        "return ys[::-1]",
        {"return reversed(ys)": 15, "return ys[:-1]": 9},
    ),
    Part("distinct", ("the number of distinct values among {these}",), "return len(set(ys))", {"return len(ys)": 15}),
    Part(
        "count_above",
        ("how many of {these} are greater than {k}",),
        "return sum(1 for y in ys if y > {k})",
        {"return sum(1 for y in ys if y >= {k})": 18, "return sum(y for y in ys if y > {k})": 6},
        FROM_2_TO_9,
    ),
    Part(
        "count_up_to",
        ("how many of {these} are {k} or less",),
        "return sum(1 for y in ys if y <= {k})",
        {"return sum(1 for y in ys if y < {k})": 56},
        FROM_2_TO_9,
    ),
    Part(
        "final", ("the last of {these}, or 0 if there are none",), "return ys[-1] if ys else 0", {"return ys[-1]": 30}
    ),
    Part(
        "sum_modulo",
        ("the remainder when the sum of {these} is divided by {k}",),
        "return sum(ys) % {k}",
        {"return sum(ys) // {k}": 21},
        (5, 6, 7, 8, 9),
    ),
    Part(
        "alternating",
        ("the alternating sum of {these}, the first counting as positive",),
        "return sum(ys[::2]) - sum(ys[1::2])",
        {"return sum(ys[1::2]) - sum(ys[::2])": 30},
    ),
    Part(
        "running",
        ("the list of the running totals of {these}",),
        "t = 0\nout = []\nfor y in ys:\n    t += y\n    out.append(t)\nreturn out",
        {"t = 0\nout = []\nfor y in ys:\n    out.append(t)\n    t += y\nreturn out": 30},
    ),
    Part("tail", ("the list of the last {k} of {these}",), "return ys[-{k}:]", {"return ys[{k}:]": 60}, COUNTS),
)
