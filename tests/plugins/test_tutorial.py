"""The tutorial, line by line, in a fresh environment; and what `rrtf plugins new` writes."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

from rrtf_trl.cli import main

# The plugins that are installed where these tests run have tests of their own.
OTHERS = ",".join(f"-{point.name}" for point in metadata.entry_points(group="rrtf_trl"))
ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "plugin-tutorial.md"
# The tutorial runs the quick start as it is; here it is the same run with fewer problems.
SMALL = "problems.train.limit=4 problems.heldout.limit=2 evaluation.n=1 evaluation.ks=[1] trainer.num_train_epochs=1"

# Strict, but for the types of what these packages do not import: of torch and others, which rrtf-trl does.
MYPY = """
[mypy]
strict = True
follow_imports = skip
[mypy-rrtf_trl.*,pluggy.*]
follow_imports = silent
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A new virtual environment that sees what is installed here, as if it had been installed there; no network."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    # `addsitedir` heeds the .pth files of these, by which an editable rrtf-trl is found.
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "here.pth").write_text("\n".join(lines) + "\n")
    for command, module in (("pip", "pip"), ("pytest", "pytest"), ("rrtf", "rrtf_trl.cli")):
        script = folder / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        "RRTF_PLUGINS": OTHERS,
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    done = []
    for written, language, text in re.findall(
        r"(?:`([\w./-]+)`:\n\n)?(?:<!-- [^\n]* -->\n)?```(sh|python|yaml)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL
    ):
        if language != "sh":
            assert (tmp_path / written).is_file(), written
            (tmp_path / written).write_text(text)
            continue
        for line in text.splitlines():
            output = shell(line + (f" {SMALL}" if line.startswith("rrtf run") else ""), tmp_path, environment)
            done.append((line, output))
    commands = [line for line, _ in done]
    assert commands[0] == "rrtf plugins new feedback mine"
    assert commands[-1] == "rrtf run 'feedback=[unit_tests,mine]'"
    outputs = dict(done)
    assert "12 passed" in outputs["pytest rrtf-feedback-mine"]
    assert re.search(
        r"^mine 0.1.0 +rrtf-feedback-mine +loaded\n +feedback: mine", outputs["rrtf plugins"], re.MULTILINE
    )
    assert re.search(r"feedback mine: \d+ judgements", outputs[commands[-1]])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("feedback", "in_parts"), ("sampler", "lines")])
def test_a_new_package_passes_its_own_tests(
    kind: str, name: str, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", kind, name, "--dir", str(tmp_path)]) == 0
    assert "a working package" in capsys.readouterr().out
    (package,) = tmp_path.glob(f"rrtf-{kind}-*")
    shell(f"pip install --quiet {package} && pytest -q {package}", tmp_path, environment)
    if kind == "feedback":  # the other differs in nothing that these look at
        (tmp_path / "mypy.ini").write_text(MYPY)
        strict = f"mypy --config-file {tmp_path / 'mypy.ini'}"
        for command in ("ruff check --isolated", "ruff format --check --isolated --line-length 119", strict):
            shell(f"{sys.executable} -m {command} {package}/src", tmp_path, environment)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("feedback", "unit_tests", "rrtf-trl already has the feedback 'unit_tests': choose another name"),
        ("sampler", "My-Own", "'My-Own' is not a valid name: use small letters, digits and _"),
        ("sampler", "there", "exists already: remove it, or choose another name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    kind: str, name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rrtf-sampler-there").mkdir()
    assert main(["plugins", "new", kind, name, "--dir", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
