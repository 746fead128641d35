"""What a wheel carries: it must run without the clone that it was built from."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rrtf_trl
from rrtf_trl.plugins.folders import config_dir

REPOSITORY = Path(rrtf_trl.__file__).parents[2]
needs_clone = pytest.mark.skipif(
    not (REPOSITORY / "pyproject.toml").is_file(), reason="rrtf-trl is not installed from a clone"
)


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
@needs_clone
def test_a_wheel_brings_its_configuration_and_its_policy(unpacked_wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked_wheel)}
    code = (
        "import rrtf_trl, sys; from rrtf_trl.plugins.folders import config_dir; "
        "from rrtf_trl.assets import model_path; "
        "print(rrtf_trl.__file__, config_dir(), model_path('embedded'), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    paths = [Path(line) for line in done.stdout.split()]
    assert all(path.is_relative_to(unpacked_wheel) for path in paths)
    assert (paths[1] / "experiment" / "quickstart.yaml").is_file()
    assert (paths[2] / "model.safetensors").stat().st_size > 1_000_000
    assert (unpacked_wheel / "rrtf_trl" / "py.typed").is_file()
    for room, name in (("feedback/teacher", "grade"), ("samplers", "answer"), ("problems/evolution", "evolve")):
        assert (unpacked_wheel / "rrtf_trl" / room / "prompts" / f"{name}.jinja").is_file()
    page = unpacked_wheel / "rrtf_trl" / "labeling" / "page"
    assert {path.suffix for path in page.iterdir()} == {".css", ".jinja", ".js", ".svg"}
    shown = subprocess.run(
        [sys.executable, "-m", "rrtf_trl.cli", "run", "--cfg", "job"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "name: quickstart" in shown.stdout


@needs_clone
def test_a_clone_finds_its_own_configuration() -> None:
    assert config_dir() == REPOSITORY / "conf"


@needs_clone
def test_every_file_of_a_group_is_named_in_the_docs() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    for path in (REPOSITORY / "conf").glob("*/*.yaml"):
        assert f"`{path.parent.name}`" in page, path
        assert path.stem in page, path


def test_public_names_load_and_unknown_ones_do_not() -> None:
    for name in rrtf_trl.__all__:
        assert getattr(rrtf_trl, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'RRFTTrainer'"):
        _ = rrtf_trl.RRFTTrainer
