"""`rrtf doctor`: show what this machine can do, and what to install for the rest."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rrtf_trl import __version__


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    argparse.ArgumentParser(prog="rrtf doctor", description="Show what this machine can do.").parse_args(arguments)
    return doctor()


def doctor() -> int:
    """Print a table; return 0 if a quick start can run on this machine, else 1."""
    table = Table("what", "found", "note", title=f"rrtf-trl {__version__}")
    ok = True
    table.add_row("Python", platform.python_version(), platform.platform())
    table.add_row("processor cores", str(os.cpu_count()), "checks and sampling use all of them")
    free = shutil.disk_usage(".").free / 2**30
    table.add_row("free disk here", f"{free:.1f} GiB", "" if free > 1 else "[red]a run needs some hundred MiB[/]")
    for name, extra in (
        ("torch", None),
        ("transformers", None),
        ("trl", None),
        ("peft", "peft"),
        ("bitsandbytes", "bnb"),
        ("openai", "openai"),
    ):
        ok &= _add_package(table, name, extra)
    _add_accelerator(table)
    ok &= _add_sandbox(table)
    Console().print(table)
    return 0 if ok else 1


def _add_package(table: Table, name: str, extra: str | None) -> bool:
    if importlib.util.find_spec(name) is not None:
        table.add_row(name, importlib.metadata.version(name), "")
        return True
    if extra is not None:
        table.add_row(name, "not installed", f"pip install 'rrtf-trl\\[{extra}]'")
        return True
    table.add_row(name, "[red]missing[/]", f"pip install {name}")
    return False


def _add_accelerator(table: Table) -> None:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            table.add_row(f"GPU {index}", gpu.name, f"{gpu.total_memory / 2**30:.0f} GiB")
    else:
        build = "this torch is a CPU build" if torch.version.cuda is None else "no driver or no card"
        table.add_row("GPU", "none", f"{build}; the quick start needs none")


def _add_sandbox(table: Table) -> bool:
    from rrtf_trl.records import CaseTests
    from rrtf_trl.sandbox import Job, Sandbox, SandboxUnavailable, describe_isolation

    found = describe_isolation()
    shown = found["tier"] if found["tier"] != "none" else "[red]none[/]"
    table.add_row("sandbox: tier", str(shown), str(found["isolation"] or "untrusted programs are not run here"))
    why = found["namespaces_reason"]
    table.add_row("sandbox: namespaces", "yes" if found["namespaces"] else "no", str(why))
    version = found["landlock"]
    table.add_row(
        "sandbox: Landlock", f"version {version}" if version else "no", "" if version else "needs Linux 5.13"
    )
    table.add_row("sandbox: call filter", "yes" if found["seccomp"] else "no", "for x86_64 and aarch64")
    if found["advice"]:
        table.add_row("sandbox: advice", "", str(found["advice"]))
    tests = CaseTests(cases=[{"args": [2], "expected": 4}])
    job = Job(job_id="doctor", code="def f(x):\n    return x * x\n", tests=tests, entry_point="f")
    try:
        with Sandbox(workers=1) as sandbox:
            outcome = next(iter(sandbox.run_many([job])))
    except SandboxUnavailable as error:
        table.add_row("sandbox check", "[red]refused[/]", str(error))
        return False
    works = outcome.state == "passed"
    table.add_row("sandbox check", "works" if works else f"[red]{outcome.state}[/]", outcome.message)
    return works
