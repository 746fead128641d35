"""The judge's alarm knows when it has interrupted an import, which leaves a module half loaded."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rrtf_trl.sandbox.common.faults import Fault, Limits
from rrtf_trl.sandbox.judge.alarm import Alarm


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm(0, Limits(100.0, 100.0, 1 << 20, 1), lambda: None, lambda: None)
    yield alarm
    alarm.clear()


def _spin() -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


def _import_slowly() -> None:
    importlib.import_module("half_loaded_module")


@pytest.mark.parametrize(("work", "interrupted"), [(_spin, False), (_import_slowly, True)])
def test_it_knows_what_it_interrupted(
    alarm: Alarm, work: Callable[[], None], interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_loaded_module.py").write_text("import time\nend = time.monotonic() + 30\n"
                                                    "while time.monotonic() < end:\n    pass\n")  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    alarm.set(0.3, lambda fault: fault)
    with pytest.raises(Fault, match="no answer in time"):
        work()
    alarm.clear()
    sys.modules.pop("half_loaded_module", None)
    assert alarm.interrupted_import is interrupted
