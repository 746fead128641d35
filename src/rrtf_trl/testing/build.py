"""Builds the object of a configuration group's choice, as a run does."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from rrtf_trl.errors import UserError
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir

_SEVERAL = ("sampler", "feedback")  # groups with several choices at once


def build_choice(group: str, choice: str, **options: Any) -> Any:
    """Build the object that ``GROUP/CHOICE.yaml`` describes.

    Args:
        group: ``sampler``, ``feedback``, ``ranking`` or ``executor``.
        choice: The name of the file.
        options: Values that replace those of the file; other names are refused.

    Raises:
        AssertionError: If no plugin registered the name, or the file builds another class.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.utils import get_object, instantiate
    from omegaconf import OmegaConf

    from rrtf_trl.config import search_path

    search_path.install()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        several = group in _SEVERAL
        config = compose("config", overrides=[f"{group}=[{choice}]" if several else f"{group}={choice}"])
    node = config[group][choice] if several else config[group]
    for name, value in options.items():
        OmegaConf.update(node, name, value, merge=False)
    registered = plugins().registered(group)
    faults = [fault.cause for plugin in plugins().all for fault in plugin.faults]
    assert choice in registered, f"no plugin has registered the {group} {choice!r}; {faults or 'none has a fault'}"
    target = get_object(node["_target_"])
    assert registered[choice].load() is target, f"{group}/{choice}.yaml builds another object than the registered one"
    return instantiate(node, _convert_="all")


class Contract:
    """Base class of the suites for choices of a configuration group.

    Args:
        group: The configuration group.
        choice: The name of the choice; a subclass sets it.
        options: Options that replace those of the file, if a test cannot use them.
        wrong_options: Sets of options that must be refused, with a message that names one of them.
    """

    group: str
    choice: str
    options: dict[str, Any] = {}  # noqa: RUF012  (it is read only)
    wrong_options: tuple[dict[str, Any], ...] = ()

    def build(self, **options: Any) -> Any:
        """Return a new object under test. Override it if the configuration is not enough."""
        return build_choice(self.group, self.choice, **{**self.options, **options})

    def test_wrong_options_are_refused_by_name(self) -> None:
        """An error comes before any work, and names the wrong option."""
        for wrong in self.wrong_options:
            with pytest.raises(Exception) as caught:  # noqa: PT011  (its kind is looked at below)
                self.build(**wrong)
            cause = caught.value.__cause__ or caught.value  # Hydra wraps what a constructor raises
            assert isinstance(cause, ValueError | TypeError | UserError), repr(cause)
            assert any(name in str(cause) for name in wrong), f"{cause} names none of {', '.join(wrong)}"


def assert_plain_json(value: Any) -> None:
    """Fail if a value is not the same after JSON."""
    assert json.loads(json.dumps(value)) == value, f"{value!r} is not plain JSON"


def pickled(value: Any) -> Any:
    """Return a copy by pickle, as another process gets it."""
    return pickle.loads(pickle.dumps(value))
