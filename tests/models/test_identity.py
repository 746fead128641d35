import shutil
from pathlib import Path

import pytest

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.models.identity import model_identity

POLICY = model_path("embedded")


def test_the_identity_follows_the_weights_and_not_the_folder(tmp_path: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "copy")
    assert model_identity(str(tmp_path / "copy")) == model_identity(POLICY)
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    assert model_identity(str(tmp_path / "copy")) != model_identity(POLICY)


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model '.*/none' is no folder here, and no hub has it"):
        model_identity(str(tmp_path / "none"))
