"""Tests for plugins: fixtures, and suites that every sampler, feedback source, executor, reader and loss must pass.

In the plugin's ``tests/conftest.py``::

    pytest_plugins = ["rrtf_trl.testing"]

and in a test file::

    from rrtf_trl.testing import FeedbackContract

    class TestMine(FeedbackContract):
        choice = "mine"
        wrong_options = ({"longest": 0},)

The suites build the object under test from its configuration, as ``rrtf run feedback=[unit_tests,mine]`` does. So they
also check that the plugin is installed and registers the name, and that its configuration file fits its class.
The built-in ones pass them too. Needs pytest: ``pip install 'rrtf-trl[testing]'``.
"""

from .build import build_choice
from .executor import ExecutorContract
from .feedback import FeedbackContract
from .fixtures import candidates, problems, run_rrtf
from .loss import LossContract
from .reader import ProblemReaderContract
from .sampler import SamplerContract

__all__ = [
    "ExecutorContract",
    "FeedbackContract",
    "LossContract",
    "ProblemReaderContract",
    "SamplerContract",
    "build_choice",
    "candidates",
    "problems",
    "run_rrtf",
]
