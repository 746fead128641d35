"""Our extraction of programs beside EvalPlus' `sanitize` and LiveCodeBench's last fence.

Runs the corpus of `tests/programs/responses` through each, and judges what comes out by the tests of its tasks, in
this process: the programs were written for the corpus.

    pip install -e '.[dev]' && pip install --no-deps evalplus==0.3.1 && pip install tree_sitter tree_sitter_python
    python benchmarks/extraction.py
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from programs.responses import CASES, Case, solves  # type: ignore[import-not-found]
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.programs.thoughts import without_thoughts

GROUPS = ["fences", "blocks", "stdio", "bodies", "plain", "thoughts"]


def ours(case: Case) -> str:
    return extract_code(case.response, case.prompt, case.entry_point).code


def last_fence(case: Case) -> str:
    """Do what LiveCodeBench's `extract_code` does: return what is between the last two lines with a fence.

    Of a base model's response it is all, which follows the prompt. Thoughts are cut first, as its servers do.
    """
    text = without_thoughts(case.response)
    if isinstance(case.prompt, str) and "```" not in text:
        return case.prompt + text
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def evalplus_sanitize() -> Callable[[Case], str] | None:
    """EvalPlus' `sanitize`, as its code generation calls it: a base model's text follows the prompt."""
    try:
        from evalplus.sanitize import sanitize
    except ImportError as error:
        print(f"without EvalPlus ({error}); see the docstring for what to install", file=sys.stderr)
        return None

    def sanitized(case: Case) -> str:
        text = without_thoughts(case.response)
        continued = isinstance(case.prompt, str) and "```" not in text
        entry_point = case.entry_point.partition(".")[0] if case.entry_point else None
        return str(sanitize(case.prompt + text if continued else text, entry_point))

    return sanitized


def tree(code: str) -> str:
    try:
        return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError):
        return code.strip()


def grade(case: Case, code: str) -> str:
    """Return ``right``, ``fails`` (a right answer that would be judged as failed), or ``invents`` (the reverse)."""
    passes = solves(code, case.entry_point)
    should = case.program is not None and solves(case.program, case.entry_point)
    if passes == should:
        return "right"
    return "fails" if should else "invents"


def main() -> None:
    warnings.simplefilter("ignore")
    rules: dict[str, Callable[[Case], str]] = {"ours": ours, "LiveCodeBench's last fence": last_fence}
    if sanitize := evalplus_sanitize():
        rules["EvalPlus' sanitize"] = sanitize
    groups = {id(case): name for name in GROUPS for case in _group(name)}
    totals: dict[tuple[str, str], Counter[str]] = {}
    rows = []
    for case in CASES:
        grades = []
        for name, rule in rules.items():
            try:
                grades.append(grade(case, rule(case)))
            except Exception as error:
                grades.append(f"raises {type(error).__name__}")
            totals.setdefault((groups[id(case)], name), Counter())[grades[-1].partition(" ")[0]] += 1
        if set(grades) != {"right"}:
            rows.append(
                f"| {groups[id(case)]} | {case.family} | {case.kind.replace('<', '&lt;')} | {' | '.join(grades)} |"
            )
    print(f"| of {len(CASES)} responses: right / fails / invents | {' | '.join(rules)} |")
    print("| --- |" + " --- |" * len(rules))
    for group in [*GROUPS, "all"]:
        cells = []
        for name in rules:
            counts = sum((c for (g, n), c in totals.items() if n == name and group in (g, "all")), Counter[str]())
            raised = f" ({counts['raises']} raise)" if counts["raises"] else ""
            cells.append(f"{counts['right']} / {counts['fails']} / {counts['invents']}{raised}")
        print(f"| {group} | {' | '.join(cells)} |")
    print(f"\n| group | family | kind | {' | '.join(rules)} |")
    print("| --- | --- | --- |" + " --- |" * len(rules))
    print("\n".join(rows))


def _group(name: str) -> list[Case]:
    module = sys.modules[f"programs.responses.{name}"]
    return list(getattr(module, name.upper()))


if __name__ == "__main__":
    main()
