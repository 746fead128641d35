"""Contamination that is planted must be found, whatever was done to hide it; what is not there must not."""

import ast
import copy
import dataclasses
import io
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rrtf_trl.cli import main
from rrtf_trl.errors import InputError, UserError
from rrtf_trl.pipeline.pipeline import Evaluation, Pipeline
from rrtf_trl.problems import Decontaminator, ProblemFile
from rrtf_trl.problems.decontamination import Index
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import AssertTests, CheckTests, Problem, to_json
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

DATA = os.environ.get("RRTF_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="RRTF_DATA_DIR does not name the folder of benchmark data")

PROMPT = '''def longest_common_run(first: str, second: str) -> int:
    """ Count the letters of the longest run of letters that stands in both strings.
    Runs may begin anywhere, and upper case letters differ from lower case ones.
    >>> longest_common_run("banana", "bandana")
    3
    """
'''
BODY = """    best = 0
    for start in range(len(first)):
        for end in range(start + 1, len(first) + 1):
            if first[start:end] in second:
                best = max(best, end - start)
    return best
"""
CHECK = """def check(candidate):
    assert candidate("banana", "bandana") == 3
    assert candidate("abc", "xyz") == 0
    assert candidate("storm", "storming") == 5
"""
ORIGINAL = Problem("bench/0", PROMPT, CheckTests(CHECK), "longest_common_run", PROMPT + BODY)
OTHER = AssertTests(["assert other(1) == 2"])


def index(*problems: Problem, **options: Any) -> Index:
    return Decontaminator(against=[], **options).index(problems)


def kinds(found: Index, problem: Problem) -> set[str]:
    return {match.kind for match in found.matches(problem)}


def renamed(code: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        code = re.sub(rf"\b{old}\b", new, code)
    return code


NAMES = {"first": "a", "second": "b", "start": "i", "end": "j", "best": "top", "longest_common_run": "overlap"}
TRANSLATED = PROMPT.replace(
    PROMPT.split('"""')[1], " Zähle die Buchstaben der längsten Folge, die in beiden Zeichenketten vorkommt.\n    "
)
PROSE = (
    "You are a careful engineer. Please count the letters of the longest run of letters that stands in both strings. "
    "RUNS MAY BEGIN ANYWHERE, and upper case letters differ from lower case ones! Thank you."
)

PLANTED = {
    "as it is": (ORIGINAL, {"ngram", "signature", "ast", "tests"}),
    "reformatted": (
        dataclasses.replace(ORIGINAL, prompt=PROMPT.replace("    ", "\t").replace(" of", "  of").upper()),
        {"ngram", "signature", "ast", "tests"},
    ),
    "variables and function renamed": (
        Problem("t", renamed(PROMPT, NAMES), OTHER, "overlap", renamed(PROMPT + BODY, NAMES)),
        {"ngram", "ast"},
    ),
    "docstring translated": (
        Problem("t", TRANSLATED, OTHER, "longest_common_run", TRANSLATED + BODY),
        {"signature", "ast"},
    ),
    "docstring translated and all renamed": (
        Problem("t", renamed(TRANSLATED, NAMES), OTHER, "overlap", renamed(TRANSLATED + BODY, NAMES)),
        {"ast"},
    ),
    "only the tests are the same": (
        Problem("t", "Zähle.", AssertTests(re.findall(r"assert .*", CHECK.replace("candidate", "zahl"))), "zahl"),
        {"tests"},
    ),
    "prose inside other prose": (Problem("t", PROSE, OTHER, "other"), {"ngram"}),
    "a chat message": (Problem("t", [{"role": "user", "content": PROSE}], OTHER, "other"), {"ngram"}),
    "camel case": (
        Problem("t", "Zähle.", OTHER, "longestCommonRun", "def longestCommonRun(x, y): pass"),
        {"signature"},
    ),
    "types, decorator, docstring and comments added": (
        Problem(
            "t", "Zähle.", OTHER, "z", "@cache\ndef z(first: str, second: str) -> int:\n    '''Doc.'''\n# hi\n" + BODY
        ),
        {"ast"},
    ),
    "a method of a class": (
        Problem("t", "Zähle.", OTHER, "z", "class Z:\n" + re.sub("^", "    ", PROMPT + BODY, flags=re.MULTILINE)),
        {"ast"},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    problem, expected = PLANTED[name]
    assert kinds(index(ORIGINAL), problem) == expected


@pytest.mark.parametrize(
    "problem",
    [
        Problem(
            "t", "Count the letters of a string.", OTHER, "count_letters", "def count_letters(s):\n    return len(s)\n"
        ),
        Problem("t", "Return the longest run.", OTHER, "solve", "def solve(first, second):\n    return 3\n"),
        Problem("t", "Add one.", AssertTests(["assert f('abc', 'xyz') == 0"]), "f"),
        Problem("t", "x", OTHER, None, "not python ("),
        Problem("t", "def broken(:", OTHER, "broken", None),
        Problem(
            "t",
            "x",
            AssertTests(["assert f() == " + "1 + " * 3000 + "1"]),
            "f",
            f"def f():\n    return {'1 + ' * 3000}1",
        ),
        Problem("t", "longest_common_run of numbers", OTHER, "longest_common_run", "def longest_common_run(x): pass"),
    ],
)
def test_what_is_not_there_is_not_found(problem: Problem) -> None:
    assert kinds(index(ORIGINAL), problem) == set()


def test_a_match_tells_where_and_why() -> None:
    (match,) = index(ORIGINAL, kinds=["tests"]).matches(PLANTED["only the tests are the same"][0])
    assert match.to_json() == {
        "task_id": "t",
        "benchmark": "heldout",
        "benchmark_task_id": "bench/0",
        "kind": "tests",
        "score": 2.0,
        "evidence": "_function_('banana', 'bandana') == 3",
    }


def test_a_name_that_many_share_or_that_says_nothing_is_no_evidence() -> None:
    many = [dataclasses.replace(ORIGINAL, task_id=str(i)) for i in range(4)]
    assert "signature" not in kinds(index(*many), ORIGINAL)
    plain = dataclasses.replace(
        ORIGINAL, entry_point="solution", prompt=PROMPT.replace("longest_common_run", "solution")
    )
    assert "signature" not in kinds(index(plain), plain)


@pytest.mark.parametrize("options", [{"kinds": ["smell"]}, {"n": 0}, {"overlap": 0.0}, {"shared_tests": 0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Decontaminator(**options)


def test_benchmarks_are_found_by_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RRTF_DATA_DIR", raising=False)
    assert Decontaminator().index().missing == ["humaneval", "mbpp"]
    file = tmp_path / "MBPP_sanitized.jsonl"
    file.write_text(json.dumps(to_json(ORIGINAL)) + "\n")
    monkeypatch.setenv("RRTF_DATA_DIR", str(tmp_path))
    found = Decontaminator().index()
    assert (dict(found.names), found.missing) == ({"mbpp": 1}, ["humaneval"])
    assert dict(Decontaminator(against=[str(file)]).index().names) == {str(file): 1}
    with pytest.raises(UserError, match="neither a file nor one of humaneval, mbpp"):
        Decontaminator(against=["humanevel"]).index()


def test_the_embedded_problems_are_left_as_they_are() -> None:
    quickstart = Decontaminator(kinds=["signature", "ast"], against=[]).index(exercises("heldout", 200))
    assert not [match for problem in exercises("train", 256) for match in quickstart.matches(problem)]


# -- On the benchmarks themselves ---------------------------------------------------------------------------


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names.get(node.arg, node.arg))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.name = self.names.get(node.name, node.name)
        return node


def disguised(problem: Problem) -> Problem:
    """Every name is another, the layout is the compiler's, the docstring says something else, the tests are gone."""
    tree = ast.parse(str(problem.reference))
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names = {name: f"v{i}" for i, name in enumerate(sorted(bound))}
    code = ast.unparse(_Rename(names).visit(copy.deepcopy(tree)))
    return Problem("t", "Etwas ganz anderes.", OTHER, names[str(problem.entry_point)], code)


@pytest.mark.slow
@needs_data
def test_disguised_copies_of_humaneval_are_found_by_their_shape() -> None:
    benchmark = list(ProblemFile(Path(str(DATA)) / "HumanEval.jsonl.gz"))
    found = Decontaminator(against=["humaneval"]).index()
    hits = Counter(
        match.kind
        for problem in benchmark
        for match in found.matches(disguised(problem))
        if match.benchmark_task_id == problem.task_id
    )
    # The others are one-liners, of fewer than 30 nodes.
    assert hits["ast"] > 125
    assert hits.total() == hits["ast"]


@needs_data
def test_paraphrased_layouts_of_humaneval_are_found_by_their_words() -> None:
    benchmark = list(ProblemFile(Path(str(DATA)) / "HumanEval.jsonl.gz"))
    found = Decontaminator(against=["humaneval"], kinds=["ngram"]).index()
    hits = 0
    for problem in benchmark:
        text = max(re.findall(r'(?:"""|\'\'\')(.*?)(?:"""|\'\'\')', str(problem.prompt), re.DOTALL), key=len)
        text = " ".join(text.split(">>>")[0].upper().split())
        prose = Problem("t", f"As a first exercise: {text} Good luck with it!", OTHER, "other")
        hits += any(match.benchmark_task_id == problem.task_id for match in found.matches(prose))
    assert hits >= 150  # the others have four telling words or fewer


@pytest.mark.slow
@needs_data
def test_mbpp_against_humaneval_finds_four_that_are_the_same_task() -> None:
    """Each was read: decimal to binary twice, positive numbers of a list, the largest number of a list."""
    found = Decontaminator(against=["humaneval"]).index()
    matches = [m for p in ProblemFile(Path(str(DATA)) / "mbpp-001-600.jsonl.gz") for m in found.matches(p)]
    assert {(match.task_id, match.benchmark_task_id) for match in matches} == {
        ("MBPP/33", "HumanEval/79"),
        ("MBPP/99", "HumanEval/79"),
        ("MBPP/313", "HumanEval/30"),
        ("MBPP/517", "HumanEval/35"),
    }


# -- The command, and the pipeline's step -------------------------------------------------------------------


def write(path: Path, *problems: Problem) -> Path:
    path.write_text("".join(json.dumps(to_json(problem)) + "\n" for problem in problems))
    return path


CLEAN = [Problem(f"clean/{i}", f"Add {i} to x.", OTHER, "other") for i in range(3)]


def test_the_command_keeps_removes_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = dataclasses.replace(PLANTED["variables and function renamed"][0], task_id="hidden")
    problems = write(tmp_path / "p.jsonl", *CLEAN, hidden)
    benchmark = write(tmp_path / "b.jsonl", ORIGINAL)
    arguments = ["--problems", str(problems), "--against", str(benchmark), "--out", str(tmp_path / "clean.jsonl")]
    assert main(["decontaminate", *arguments]) == 0
    assert [p.task_id for p in ProblemFile(tmp_path / "clean.jsonl")] == [p.task_id for p in CLEAN]
    rows = [json.loads(line) for line in (tmp_path / "clean.contaminated.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["kind"]) for row in rows] == [("hidden", "ngram"), ("hidden", "ast")]
    assert "1 of 4 problems removed (1 by ngram, 1 by ast), 3 kept" in capsys.readouterr().out
    assert main(["decontaminate", *arguments, "--kinds", "tests", "--report", str(tmp_path / "r")]) == 0
    assert "0 of 4 problems removed, 4 kept" in capsys.readouterr().out
    assert (tmp_path / "r").read_text() == ""


def test_the_command_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RRTF_DATA_DIR", raising=False)
    problems = write(tmp_path / "p.jsonl", *CLEAN)
    for against, message in (
        ("humaneval", "no file of humaneval: set RRTF_DATA_DIR"),
        ("nowhere.jsonl", "nowhere.jsonl is neither a file nor one of"),
    ):
        status = main(
            ["decontaminate", "--problems", str(problems), "--against", against, "--out", str(tmp_path / "o")]
        )
        assert status == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "o").exists()


def pipeline(tmp_path: Path, train: list[Problem], decontaminator: Decontaminator | None) -> Pipeline:
    return Pipeline(
        folder=RunFolder(tmp_path / "run"),
        store=Store(tmp_path / "store.sqlite"),
        problems={"train": train, "heldout": [ORIGINAL]},
        samplers={},
        feedback={},
        ranking=Ranking(),
        model="base",
        train=lambda folder: [],
        train_key="key",
        evaluation=Evaluation(lambda **_: None, {}),  # type: ignore[arg-type,return-value]
        console=Console(file=io.StringIO(), soft_wrap=True),
        decontaminator=decontaminator,
    )


def test_training_problems_that_are_held_out_are_left_out_before_anything_is_drawn(tmp_path: Path) -> None:
    twin = dataclasses.replace(ORIGINAL, task_id="twin")
    run = pipeline(tmp_path, [*CLEAN, twin], Decontaminator(against=[]))
    run.run("problems")
    assert [p.task_id for p in run.folder.problems("problems.jsonl")] == [p.task_id for p in CLEAN]
    kinds_found = [row["kind"] for row in run.folder.read_jsonl("contaminated.jsonl")]
    assert kinds_found == ["ngram", "signature", "ast", "tests"]
    output = run.console.file.getvalue()  # type: ignore[attr-defined]
    assert "decontaminate: 1 problems left out of training: they are in heldout; see" in output
    assert "problems: 3 to train on, 1 held out" in output
    assert run.folder.stage("problems")["contaminated"] == 1
    with pytest.raises(InputError, match="every problem is held out or in a benchmark"):
        pipeline(tmp_path, [twin], Decontaminator(against=[])).run("problems")
    with pytest.raises(InputError, match="has a prompt that is in the training problems too"):
        pipeline(tmp_path, [*CLEAN, twin], None).run("problems")
