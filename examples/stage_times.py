"""A plugin that watches a run: how much processor time each stage took, as a section of the report.

It adds itself to this process, and then runs the quick start. Run it: `python examples/stage_times.py`.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rrtf_trl import hookimpl
from rrtf_trl.plugins.hookspecs import Targets
from rrtf_trl.report import Section
from rrtf_trl.storage.run_folder import RunFolder

RRTF_CONTRACT = 1
FILE = "stage_times.json"

_started: dict[str, float] = {}


@hookimpl
def rrtf_stage_started(stage: str) -> None:
    """Note when it began."""
    _started[stage] = time.process_time()


@hookimpl
def rrtf_stage_ended(stage: str, run: RunFolder, facts: Mapping[str, Any], error: BaseException | None) -> None:
    """Keep what it took in the run's folder, with what was measured before."""
    if error is None and facts:
        spent = {"processor": time.process_time() - _started[stage], "wall": facts["seconds"]}
        run.write_json(FILE, {**(run.read_json(FILE) or {}), stage: spent})


@hookimpl
def rrtf_report_sections() -> Targets:
    """Show them."""
    return {"stage_times": section}


def section(run: RunFolder) -> Section | None:
    """Return the stages with their processor time, or nothing where none was measured."""
    times = run.read_json(FILE)
    if not times:
        return None
    told = (f"{stage} {spent['processor']:.1f} s of {spent['wall']:.1f} s" for stage, spent in times.items())
    return Section("Processor time", "; ".join(told))


if __name__ == "__main__":
    from rrtf_trl.cli.run import run_application
    from rrtf_trl.plugins import register

    register(sys.modules[__name__], "stage_times")
    sys.exit(run_application("run", sys.argv[1:]))
