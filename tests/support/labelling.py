"""Items, labels and a real server in its own process, for the tests of labelling."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rrtf_trl.labeling.items import Item, ItemCandidate
from rrtf_trl.labeling.labels import Label
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem, to_json
from rrtf_trl.storage.run_folder import RunFolder

HEAD = "def f(x):\n"
PROMPT = 'def double(x):\n    """Return twice x."""\n'
TEXTS = ["    return 2 * x\n", "    return x + x\n", "    return x * x\n", "    return None\n"]


def make_item(texts: list[str] = TEXTS, prompt: Any = PROMPT, task_id: str | None = "t/0", **fields: Any) -> Item:
    return Item.create(prompt, [ItemCandidate.create(prompt, text, **fields) for text in texts], task_id)


def make_label(ranks: list[int | None], annotator: str = "alice", item: Item | None = None, **fields: Any) -> Label:
    """Return a label that ranks the answers in the order of ``TEXTS``."""
    item = item or make_item(TEXTS[: len(ranks)])
    by_text = {answer.text: answer.answer_id for answer in item.answers}
    given = {by_text[text]: rank for text, rank in zip(TEXTS, ranks, strict=False) if rank is not None}
    return Label(item, annotator, given, **fields)


class Page:
    """`rrtf label` in a process of its own, that can be killed and started again."""

    def __init__(self, source: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.source = source
        self.options = options
        self.env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.port = 0
        self.output: list[str] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def labels(self) -> Path:
        return self.source.with_name(self.source.name.replace(".jsonl", ".labels.jsonl"))

    def start(self) -> None:
        command = [sys.executable, "-m", "rrtf_trl.cli", "label", str(self.source), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *self.options], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            found = re.search(r"open https?://\S+?:(\d+)/", line)
            if found:
                self.port = int(found[1])
                return
        raise AssertionError("".join(self.output))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> str:
        """End the server as Ctrl-C does; return what it said."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=20)
        return "".join(self.output) + rest

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Make a request as the page does; ``headers`` replace or add to what a browser sends."""
        sent = {"Host": f"127.0.0.1:{self.port}", "Origin": self.url, "Content-Type": "application/json"}
        sent = {name: value for name, value in {**sent, **(headers or {})}.items() if value}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            text = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, text, sent)
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode()
        finally:
            connection.close()

    def act(self, name: str, key: str, do: str, item: str | None = None, **more: Any) -> tuple[int, dict[str, Any]]:
        status, _, text = self.request("POST", f"/as/{name}/act", {"id": key, "do": do, "item": item, **more})
        return status, json.loads(text)

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.labels.read_text().splitlines()]


def make_rows(count: int, k: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "task_id": f"t/{i}",
            "prompt": f"def f{i}(x):\n",
            "responses": [f"    return x + {j} * {i}\n" for j in range(k)],
            "sources": ["teacher", *["student"] * (k - 1)],
        }
        for i in range(count)
    ]


def make_run(folder: Path, answers: list[tuple[str, str, str, str]], judged: bool = True) -> Path:
    """Write a run's files with one problem; ``answers`` are (body, source, finish reason, state)."""
    run = RunFolder(folder)
    problem = Problem("t/0", HEAD, CaseTests([{"args": [1], "expected": 2}]), "f")
    made = [
        Candidate.create(
            task_id="t/0",
            response=body if body.startswith("  ") else f"Sure:\n```python\n{HEAD}{body}```",
            code=HEAD + body,
            source=source,
            model=f"model of {source}",
            sampling={"index": i},
            finish_reason=finish,
        )
        for i, (body, source, finish, _) in enumerate(answers)
    ]
    run.write_jsonl("problems.jsonl", [to_json(problem)])
    run.write_jsonl("candidates.jsonl", map(to_json, made))
    if judged:
        verdicts = []
        for candidate, (_, _, _, state) in zip(made, answers, strict=True):
            detail = {"passed": 1, "total": 2, "message": "f(1) is 3"}
            verdicts.append(Judgement(candidate.candidate_id, "unit_tests", state, 0.5, detail))  # type: ignore[arg-type]
            verdicts.append(Judgement(candidate.candidate_id, "human", None, None, {"abstained": "why"}))
        run.write_jsonl("judgements.jsonl", map(to_json, verdicts))
    return folder
