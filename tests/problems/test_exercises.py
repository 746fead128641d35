"""The exercises: their split, their tests, their English, and the documents made of them."""

from __future__ import annotations

import ast
import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from rrtf_trl.problems.exercises import Level, Split, documents, exercises, number_parts, word_parts
from rrtf_trl.problems.exercises.answers import STYLES, body, slip
from rrtf_trl.problems.exercises.composition import ROLES, Composition, Exercise, compositions
from rrtf_trl.problems.exercises.grammar import Kind, Part
from rrtf_trl.records import CaseTests, Problem, content_hash, to_json


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    """Some of either split, at each level."""
    easy = [*exercises("train", 300), *exercises("heldout", 300)]
    hard = [*exercises("train", 150, level=2), *exercises("heldout", 150, level=3)]
    return easy + hard


def run(program: str, problem: Problem) -> list[bool]:
    """Return which cases of a problem a program passes."""
    namespace: dict[str, Any] = {}
    exec(program, namespace)
    assert isinstance(problem.tests, CaseTests)
    passed = []
    for case in problem.tests.cases:
        try:
            got = json.loads(json.dumps(namespace["solve"](*json.loads(json.dumps(case["args"])))))
        except Exception:
            passed.append(False)
        else:
            inexact = isinstance(got, float) or isinstance(case["expected"], float)
            passed.append(got == (pytest.approx(case["expected"], abs=1e-6) if inexact else case["expected"]))
    return passed


def composition_of(problem: Problem) -> Composition:
    """Return the composition that a problem was made of, found in the tables by the names in its metadata."""
    names = {role: problem.metadata[role] for role in ROLES if role in problem.metadata}
    kind: Kind = "word" if names["source"] in {part.name for part in word_parts.SOURCES} else "number"
    tables = {"number": number_parts, "word": word_parts}

    def find(parts: tuple[Part, ...], role: str) -> Part:
        (found,) = [part for part in parts if part.name == names[role]]
        return found

    chain: list[Any] = [find(tables[kind].SOURCES, "source"), find(tables[kind].FILTERS, "filter")]
    chain.append(find(tables[kind].MAPS, "map"))
    harder: dict[str, Part] = {}
    if "second_filter" in names:
        harder["second_filter"] = find(tables[kind].FILTERS, "second_filter")
    gives = chain[-1].gives
    if "second_map" in names:
        harder["second_map"] = find(tables[gives].MAPS, "second_map")
        gives = harder["second_map"].gives
    reductions = tuple(part for part in (*number_parts.REDUCTIONS, *word_parts.REDUCTIONS) if part.takes == gives)
    return Composition(kind, *chain, find(reductions, "reduction"), **harder)


def exercise_of(problem: Problem) -> Exercise:
    """Return the exercise that a problem was made of."""
    composition = composition_of(problem)
    constants: dict[str, dict[str, Any]] = {role: {} for role in composition.parts}
    for role, k in problem.metadata["constants"].items():
        constants[role] = {"k": k} if isinstance(k, str) else {"k": k, "j": k - 1, "m": k + 4}
    return Exercise(composition, constants, str(problem.prompt))


# -- The split --------------------------------------------------------------------------------------------


def test_no_composition_is_in_both_splits() -> None:
    train = {tuple(composition.names.values()) for composition in compositions("train")}
    heldout = {tuple(composition.names.values()) for composition in compositions("heldout")}
    assert not train & heldout
    total = len(train) + len(heldout)
    assert total == len(compositions("train")) + len(compositions("heldout")) > 20_000
    assert 0.18 < len(heldout) / total < 0.22


@pytest.mark.slow
def test_every_problem_is_of_the_split_that_was_asked_for(problems: list[Problem]) -> None:
    heldout = {tuple(c.names.values()) for c in compositions("heldout")}
    for problem in problems:
        composition = composition_of(problem)
        assert composition.split == problem.metadata["split"]
        if len(composition.parts) == 4:
            assert (tuple(composition.names.values()) in heldout) == (composition.split == "heldout")


def test_every_part_is_met_in_training() -> None:
    def parts(split: Split) -> set[tuple[str, str]]:
        return {item for c in compositions(split) for item in c.names.items()}

    assert parts("heldout") <= parts("train")


def test_documents_hold_no_held_out_prompt() -> None:
    written = {prompt for prompt, _ in documents(5000)}
    rng = random.Random(1)
    # Without constants and with one phrase a part, a composition has few prompts: all of them are tried.
    for composition in rng.sample(compositions("heldout"), 2000):
        assert Exercise.draw(composition, rng).prompt not in written


# -- Determinism and limits -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_problems_and_a_smaller_limit_their_beginning() -> None:
    first = [to_json(problem) for problem in exercises("train", 40, seed=3)]
    assert first == [to_json(problem) for problem in exercises("train", 40, seed=3)]
    assert first[:10] == [to_json(problem) for problem in exercises("train", 10, seed=3)]
    assert first != [to_json(problem) for problem in exercises("train", 40, seed=4)]
    assert list(documents(20, seed=1)) == list(documents(20, seed=1)) != list(documents(20, seed=2))


@pytest.mark.slow
def test_another_process_gives_the_same_problems_and_needs_no_torch() -> None:
    code = (
        "import sys; from rrtf_trl.problems.exercises import exercises; from rrtf_trl.records import *;"
        "print(content_hash([to_json(p) for p in exercises('heldout', 20)]));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == content_hash([to_json(problem) for problem in exercises("heldout", 20)])


def test_prompts_and_ids_are_unique(problems: list[Problem]) -> None:
    assert len({str(problem.prompt) for problem in problems}) == len(problems)
    assert len({problem.task_id for problem in problems}) == len(problems)


@pytest.mark.parametrize("limit", [-1, 1_000_000])
def test_an_impossible_limit_is_refused_at_once(limit: int) -> None:
    available = len(compositions("heldout"))
    with pytest.raises(ValueError, match=f"limit: the heldout split has 0 to {available} exercises, got {limit}"):
        exercises("heldout", limit)


@pytest.mark.parametrize("limit", [None, -1])
def test_a_harder_level_needs_a_limit(limit: int | None) -> None:
    with pytest.raises(ValueError, match=f"limit: say how many exercises of the train split at level 2, got {limit}"):
        exercises("train", limit, level=2)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="level: expected one of 1, 2, 3, got 4"):
        exercises("train", 1, level=4)  # type: ignore[arg-type]


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split: expected one of train, heldout, got 'test'"):
        exercises("test")  # type: ignore[arg-type]


def test_no_limit_goes_on() -> None:
    assert len(list(itertools.islice(exercises("train"), 5))) == 5
    assert list(exercises("train", 0)) == []


@pytest.mark.parametrize(("level", "parts"), [(1, 4), (2, 5), (3, 6)])
def test_a_level_has_its_parts_and_keeps_its_order(level: Level, parts: int) -> None:
    some = list(exercises("heldout", 30, seed=5, level=level))
    assert {len(composition_of(problem).parts) for problem in some} == {parts}
    assert some[:10] == list(exercises("heldout", 10, seed=5, level=level))
    split = {composition_of(problem).split for problem in some}
    assert split == {"heldout"}


def test_documents_of_several_levels_keep_to_the_training_split() -> None:
    written = list(documents(300, levels=(1, 2, 3)))
    assert written == list(documents(300, levels=(1, 2, 3)))
    prompts = {prompt for prompt, _ in written}
    assert not prompts & {str(problem.prompt) for problem in exercises("heldout", 300, level=3)}
    assert max(map(len, prompts)) > max(len(prompt) for prompt, _ in documents(300))


# -- The problems -----------------------------------------------------------------------------------------


def test_every_reference_passes_its_cases(problems: list[Problem]) -> None:
    for problem in problems:
        assert all(run(str(problem.reference), problem)), problem.reference


def test_cases_are_many_varied_and_include_empty_and_single_inputs(problems: list[Problem]) -> None:
    empty = {"xs": [[]], "ws": [[]], "text": [""], "n": [0], "a, b": [3, 2]}
    for problem in problems:
        assert isinstance(problem.tests, CaseTests)
        cases = problem.tests.cases
        assert 10 <= len(cases) <= 14
        assert len({json.dumps(case["expected"]) for case in cases}) >= 4
        signature = re.search(r"def solve\((.*)\):\n$", str(problem.prompt))
        assert signature
        assert empty[signature[1]] in [case["args"] for case in cases]
        if signature[1] in ("xs", "ws"):
            assert any(len(case["args"][0]) == 1 for case in cases)


def test_problems_survive_json(problems: list[Problem]) -> None:
    for problem in problems:
        assert Problem.from_json(json.loads(json.dumps(to_json(problem)))) == problem


def test_the_prompt_is_an_instruction_then_the_signature(problems: list[Problem]) -> None:
    for problem in problems:
        prompt = str(problem.prompt)
        match = re.fullmatch(r'"""Return ([^\n]+)\."""\ndef solve\([a-z, ]+\):\n', prompt)
        assert match, prompt
        assert str(problem.reference).startswith(prompt + "    ")
        said = match[1]
        assert not re.search(r"  |,,|[{}|]| ,|\bthe the\b", said), said
        assert said.startswith(("the ", "a list", "how many ")), said


# -- Right and wrong answers ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_styles_differ_and_agree(problems: list[Problem]) -> None:
    for problem in problems:
        exercise = exercise_of(problem)
        programs = {
            exercise.prompt + body(exercise.right_code(), exercise.composition.kind, style) for style in STYLES
        }
        assert problem.reference in programs
        assert len(programs) >= 2
        assert all(all(run(program, problem)) for program in programs)


# The more parts, the more often one hides another's mistake: absolute values of what was not negated.
@pytest.mark.slow
@pytest.mark.parametrize(("level", "share"), [(1, 0.85), (2, 0.8), (3, 0.75)])
def test_wrong_answers_usually_fail_the_tests(level: Level, share: float) -> None:
    verdicts: Counter[bool] = Counter()
    for problem in [*exercises("train", 300, level=level), *exercises("heldout", 300, level=level)]:
        exercise = exercise_of(problem)
        for role, part in exercise.composition.parts.items():
            for wrong in part.wrong:
                filled = wrong.format(items="{items}", **exercise.constants[role])
                code = exercise.right_code() | {role: filled}
                program = exercise.prompt + body(code, exercise.composition.kind, "staged")
                verdicts[all(run(program, problem))] += 1
    assert verdicts[False] / verdicts.total() > share


def test_documents_are_python_but_for_the_slips() -> None:
    broken = 0
    for prompt, answer in documents(1000):
        assert answer.startswith("    ")
        assert answer.endswith("\n")
        try:
            ast.parse(prompt + answer)
        except SyntaxError:
            broken += 1
    assert 10 < broken < 80


def test_slips_change_an_answer_in_one_place() -> None:
    text = "    ys = []\n    for x in xs:\n        if x > 0:\n            ys.append(x)\n    return sum(ys)\n"
    rng = random.Random(0)
    assert {slip(text, rng) for _ in range(100)} == {
        text.replace("return ", ""),
        text.replace("for x in xs:", "for x in xs"),
        text.replace("sum(ys)", "sum(ys"),
        text.replace("    return", "        return"),
        text.replace("sum(ys)", "sum(zs)"),
    }


def test_percentages_of_mistakes_sum_to_at_most_a_hundred() -> None:
    with pytest.raises(ValueError, match="the percentages of the mistakes of 'odd' sum to more than 100"):
        Part("odd", ("the odd {noun} {where}",), "x % 2 == 1", {"x % 2 == 0": 110})
