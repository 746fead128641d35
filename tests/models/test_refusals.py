"""Chat templates that refuse messages, in their own words or by tripping over them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from rrtf_trl.assets import EMBEDDED, model_path
from rrtf_trl.errors import UserError
from rrtf_trl.models.refusals import check_prompts
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers.candidates import encode_prompts
from rrtf_trl.training.tokens import tokenize_row
from support.warm_python import python

USER = {"role": "user", "content": "Write inc."}
SYSTEM = {"role": "system", "content": "Be terse."}
TURNS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% endfor %}"
)
REFUSED = [
    (NO_SYSTEM + TURNS, [SYSTEM, USER], "System role not supported"),
    (ALTERNATE + TURNS, [USER, USER], "Conversation roles must alternate user/assistant"),
    ("{{ messages[0].tool.name }}", [USER], "has no attribute 'tool'"),
    ("{{ strftime_later('%d') }}" + TURNS, [USER], "'strftime_later' is undefined"),
    (TURNS, [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "can only concatenate str"),
    ("{% for m in messages %}", [USER], "Unexpected end of template"),
]


def tokenizer(template: str | None) -> Any:
    found = AutoTokenizer.from_pretrained(model_path(EMBEDDED))
    found.chat_template = template
    return found


def problem(prompt: Any, task_id: str = "a/0") -> Problem:
    return Problem(task_id, prompt, CaseTests([{"args": [1], "expected": 2}]), "inc")


@pytest.mark.parametrize(("template", "prompt", "words"), REFUSED)
def test_a_refusal_is_told_with_the_row_and_the_templates_words(
    template: str, prompt: Any, words: str, tmp_path: Path
) -> None:
    refusing = tokenizer(template)
    refusing.save_pretrained(tmp_path)
    problems = [problem("def f():\n"), problem(prompt, "a/1")]
    with pytest.raises(UserError) as error:
        check_prompts(problems, str(tmp_path))
    assert str(error.value).startswith("problem a/1 (row 1): the model's chat template refuses it: ")
    with pytest.raises(UserError) as drawn:
        encode_prompts(problems, refusing, "m", None)
    assert str(drawn.value).startswith("problem a/1: the model's chat template refuses it: ")
    row = {"prompt": prompt, "chosen": [{"role": "assistant", "content": "a"}], "rejected": "b"}
    with pytest.raises(UserError) as trained:
        tokenize_row({**row, "rejected": [{"role": "assistant", "content": "b"}]}, 7, refusing)
    assert str(trained.value).startswith("Row 7: the model's chat template refuses it: ")
    for caught in (error, drawn, trained):
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_a_template_takes_and_what_needs_none_pass(tmp_path: Path) -> None:
    tokenizer(NO_SYSTEM + TURNS).save_pretrained(tmp_path)
    check_prompts([problem([USER]), problem("def f():\n")], str(tmp_path))
    check_prompts([problem("def f():\n")], "no/such-model")
    check_prompts([problem([USER])], str(tmp_path / "none"))  # the model's own error tells more
    with pytest.raises(
        UserError, match=r"problem a/0 \(row 0\): the prompt is chat messages, but .* no chat template"
    ):
        check_prompts([problem([USER])], model_path(EMBEDDED))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "sample", "trl-train"])
def test_the_command_line_tells_it_before_any_work(command: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in Path(model_path(EMBEDDED)).iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    tokenizer(NO_SYSTEM + TURNS).save_pretrained(model)
    row = {
        "task_id": "a/0",
        "prompt": [SYSTEM, USER],
        "entry_point": "inc",
        "reference": "def inc(x):\n    return x + 1\n",
    }
    row["tests"] = {"kind": "cases", "cases": [{"args": [1], "expected": 2}]}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "h.jsonl").write_text(json.dumps({**row, "task_id": "b/0", "prompt": [USER]}) + "\n")
    answers = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": [SYSTEM, USER], **answers}) + "\n")
    problems = [
        "problems=files",
        "problems.train.path=p.jsonl",
        "problems.heldout.path=h.jsonl",
        "decontamination=none",
    ]
    flags = (
        "--model_name_or_path model --dataset_name rows.jsonl --output_dir out --use_cpu --bf16 false --max_steps 1"
    )
    arguments = {
        "evaluate": ["benchmark=p.jsonl", "model=./model"],
        "sample": ["model=./model", *problems],
        "trl-train": [*flags.split(), "--report_to", "none"],
    }
    done = subprocess.run(
        [python(), "-m", "rrtf_trl.cli", command, *arguments[command]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
    )
    assert done.returncode == 1
    told = done.stderr.strip().splitlines()[-1]
    where = "rrtf trl-train: Row 0" if command == "trl-train" else "rrtf: problem a/0 (row 0)"
    assert told == f"{where}: the model's chat template refuses it: System role not supported"
    assert "Traceback" not in done.stderr


def test_a_template_is_checked_with_the_variables_that_sampling_has(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_path(EMBEDDED))
    tokenizer.chat_template = "{{ raise_exception('say how') if style is not defined }}{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="say how"):
        check_prompts([problem([USER])], str(tmp_path))
    check_prompts([problem([USER])], str(tmp_path), {"style": "terse"})
