"""What importing the package costs."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, rrtf_trl; dir(rrtf_trl); print({'torch', 'transformers', 'trl'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_public_names_load_on_first_use() -> None:
    import rrtf_trl

    assert rrtf_trl.RRTFTrainer.__module__ == "rrtf_trl.training.trainer"
    assert rrtf_trl.RRTFConfig.__module__ == "rrtf_trl.training.config"
