"""A judge with scripted opinions, behind a real server."""

import json
import re
from pathlib import Path
from typing import Any

from rrtf_trl.chat import ChatClient
from rrtf_trl.feedback import Teacher
from rrtf_trl.records import AssertTests, Candidate, Judgement, Problem
from support.scripted_server import Body, ScriptedServer

PROBLEM = Problem("t/0", "Write f that adds one.", AssertTests(["assert f(1) == 2"]), "f")
BEST, GOOD, FAIR, POOR = ("def f(x):\n    return x + 1  # 9\n", "# 7\n", "# 5\n", "# 2\n")


def candidates(*codes: str, model: str = "policy") -> list[Candidate]:
    fields = ("student", model, {}, "stop")
    return [Candidate(f"{model}{i}", "t/0", code, code, *fields) for i, code in enumerate(codes)]  # type: ignore[arg-type]


def shown(body: Body) -> dict[str, str]:
    """The answers that a prompt shows, by label; found by the marks, as the judge would."""
    text = next(message["content"] for message in body["messages"] if message["role"] == "user")
    mark = re.search(r"^(===\w+===) TASK$", text, re.MULTILINE)
    assert mark is not None
    blocks = re.findall(rf"^{mark[1]} ANSWER ?(\w*)\n(.*?)\n{mark[1]} END", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def worth(code: str) -> int:
    return int(re.findall(r"# (\d+)", code)[-1])


def fair_judge(body: Body, before: int = 0) -> str:
    """An unbiased judge: each answer is worth the number in its comment."""
    answers = {label: worth(code) for label, code in shown(body).items()}
    text = body["messages"][1]["content"]
    if text.startswith("Grade"):
        return json.dumps({"reason": "so it is", "score": answers[""]})
    if text.startswith("Compare"):
        a, b = answers["A"], answers["B"]
        return json.dumps({"reason": "so it is", "winner": "A" if a > b else "B" if b > a else "tie"})
    values = sorted(set(answers.values()), reverse=True)
    groups = [[label for label, value in answers.items() if value == level] for level in values]
    return json.dumps({"reason": "so it is", "ranking": groups})


def teacher(server: ScriptedServer, mode: str = "grade", cache: Path | None = None, **options: Any) -> Teacher:
    client = ChatClient(model="judge", base_url=server.url, cache=cache, **options.pop("client", {}))
    return Teacher(client, mode=mode, **options)  # type: ignore[arg-type]


def judge(source: Teacher, *codes: str, problem: Problem = PROBLEM) -> list[Judgement]:
    items = candidates(*codes)
    found = {j.candidate_id: j for j in source.judge((problem, candidate) for candidate in items)}
    assert len(found) == len(items)
    return [found[candidate.candidate_id] for candidate in items]
