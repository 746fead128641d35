"""`rrtf label` and its sub-commands as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.labelling import make_rows


def rrtf(folder: Path, *arguments: str, before: str = "") -> tuple[int, str]:
    code = f"import sys\n{before}\nfrom rrtf_trl.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "label", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def write_labels(folder: Path) -> None:
    rows = [
        {"prompt": f"p{i}", "responses": ["a", "b", "c"], "ranks": ranks, "annotator": who}
        for i in range(3)
        for who, ranks in (("alice", [1, 2, 3]), ("bob [x]", [1, 3, 2]))
    ]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_import_agreement_and_export(tmp_path: Path) -> None:
    write_labels(tmp_path)
    assert rrtf(tmp_path, "import", "mine.jsonl", "--into", "l.jsonl") == (0, "import: 6 labels into l.jsonl\n")
    status, said = rrtf(tmp_path, "import", "mine.jsonl", "--into", "l.jsonl")
    assert (status, said) == (0, "import: 0 labels into l.jsonl, 6 were in it already\n")
    status, said = rrtf(tmp_path, "agreement", "l.jsonl")
    assert status == 0
    assert "6 labels on 3 items, 3 of them by two people or more" in said
    assert "alice and bob [x]" in said
    assert "67%" in said
    status, said = rrtf(tmp_path, "agreement", "l.jsonl", "--json")
    assert json.loads(said)["between"][0]["agreement"] == pytest.approx(2 / 3)
    for to in ("trl", "csv", "label-studio-ranker", "argilla-ranking"):
        status, said = rrtf(tmp_path, "export", "l.jsonl", "--to", to, "--out", "out.txt")
        assert status == 0, said
        assert "rows to out.txt" in said
    assert (
        rrtf(tmp_path, "export", "l.jsonl", "--to", "trl", "--out", "p.jsonl", "--aggregation", "bradley_terry")[0]
        == 0
    )
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 6  # b and c tie


@pytest.mark.slow
def test_what_is_not_labelled_yet_can_go_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in make_rows(3)))
    status, said = rrtf(tmp_path, "export", "a.jsonl", "--to", "label-studio-ranker", "--out", "tasks.json")
    assert (status, said) == (0, "export: 3 rows to tasks.json\n")
    assert not (tmp_path / "a.labels.jsonl").exists()
    status, said = rrtf(tmp_path, "export", "a.jsonl", "--to", "trl", "--out", "p.jsonl")
    assert (status, said) == (1, "rrtf: there are no labels to export\n")


@pytest.mark.slow
def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n{"hello": 1}\n')
    status, said = rrtf(tmp_path, "import", "bad.jsonl", "--into", "l.jsonl")
    assert status == 1
    assert said.startswith("rrtf: bad.jsonl:2: a row with hello is no label")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "missing"),
    [(["a.jsonl"], "uvicorn"), (["a.jsonl"], "starlette"), (["agreement", "l.jsonl"], "krippendorff")],
)
def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, arguments: list[str], missing: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(make_rows(1)[0]) + "\n")
    write_labels(tmp_path)
    rrtf(tmp_path, "import", "mine.jsonl", "--into", "l.jsonl")
    status, said = rrtf(tmp_path, *arguments, before=f"sys.modules['{missing}'] = None")
    assert status == 1
    assert "is not installed: pip install 'rrtf-trl[label]'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments", [["--help"], ["export", "--help"], ["import", "--help"], ["agreement", "--help"]]
)
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys, rrtf_trl.cli as c\ntry: c.main(['label', *sys.argv[1:]])\nexcept SystemExit: pass\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "usage: rrtf label" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "transformers", "trl", "hydra", "numpy", "uvicorn", "starlette", "pygments", "scipy"}
