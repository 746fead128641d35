"""What the system call filters let through, found by running the BPF that ships, for both architectures."""

from __future__ import annotations

import importlib.util
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl.sandbox.isolation.seccomp

ROOT = Path(__file__).parents[3]
FILTERS = Path(rrtf_trl.sandbox.isolation.seccomp.__file__).parent / "filters"
ALLOW, KILL, EPERM, ENOSYS, EAGAIN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026, 0x0005000B
NO_EFFECT = 0x00050000
"""An error of number 0: the call is not made, and succeeds."""
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
VARIANTS = ("namespaces", "landlock", "bare")


def builder() -> Any:
    path = ROOT / "scripts/build_seccomp.py"
    specification = importlib.util.spec_from_file_location("build_seccomp", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """A classic BPF machine, as far as these filters need one."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("<HBBI", program))
    place = accumulator = 0
    while True:
        code, true, false, value = lines[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += true if holds else false


@pytest.fixture(params=[(name, variant) for name in ARCHITECTURES for variant in VARIANTS], ids="-".join)
def filtered(request: pytest.FixtureRequest) -> tuple[str, str, bytes]:
    name, variant = request.param
    return name, variant, (FILTERS / f"{name}-{variant}.bpf").read_bytes()


def test_what_ships_is_what_the_script_builds() -> None:
    command = [sys.executable, str(ROOT / "scripts/build_seccomp.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_another_architecture_is_killed(filtered: tuple[str, str, bytes]) -> None:
    name, _, program = filtered
    for other in (*(set(ARCHITECTURES.values()) - {ARCHITECTURES[name]}), 0x40000003, 0x40000028, 0):  # i386, arm
        assert {run(program, other, number) for number in range(500)} == {KILL}
    if name == "x86_64":
        assert {run(program, ARCHITECTURES[name], 0x40000000 + number) for number in range(600)} == {KILL}


def test_only_what_is_named_is_allowed(filtered: tuple[str, str, bytes]) -> None:
    name, variant, program = filtered
    build = builder()
    column = list(ARCHITECTURES).index(name)
    tables = build.ALLOWED + (build.ALLOWED_INSIDE if variant == "namespaces" else "")
    allowed = {numbers[column] for numbers in build.calls(tables)} - {None}
    decided = {**build.BY_ARGUMENT, **({} if variant == "namespaces" else build.BY_ARGUMENT_OUTSIDE)}
    special = {numbers[column] for numbers, _, _ in decided.values()} | {
        build.CLONE[column],
        build.SOCKETPAIR[column],
        build.GETSOCKOPT[column],
        build.FUTEX[column],
        build.STATX[column],
        435,
    }
    special |= {build.OPEN[column], build.OPENAT[column]} - {None}
    for number in range(1000):
        if number in special - allowed:
            continue
        expected = ALLOW if number in allowed else EPERM if number <= build.NEWEST else ENOSYS
        assert run(program, ARCHITECTURES[name], number) == expected, number
    assert not {101, 165, 272, 308, 321, 323, 425, 426, 427, 298, 41, 310, 311} & allowed or name != "x86_64"


def test_arguments_that_decide(filtered: tuple[str, str, bytes]) -> None:
    name, variant, program = filtered
    build, architecture = builder(), ARCHITECTURES[name]
    column = list(ARCHITECTURES).index(name)
    decided = {**build.BY_ARGUMENT, **({} if variant == "namespaces" else build.BY_ARGUMENT_OUTSIDE)}
    for call, (numbers, argument, values) in decided.items():
        nothing = build.NO_EFFECT.get(call, [])
        both = [*values, *nothing]
        for value in (*both, *(v + 1 for v in both), *(v ^ 0x80 for v in both), 2**31, 9, 22, 0x5412, 0x541C):
            arguments = [77] * 6
            arguments[argument] = value
            expected = ALLOW if value in values else NO_EFFECT if value in nothing else EPERM
            assert run(program, architecture, numbers[column], *arguments) == expected, (numbers, value)
    for family, kind in ((1, 1), (1, 0x80801), (1, 2), (1, 5), (2, 1), (1, 3), (16, 3), (40, 1)):
        expected = ALLOW if family == 1 and kind & 0xF == 1 else EPERM
        assert run(program, architecture, build.SOCKETPAIR[column], family, kind) == expected
    for level, option in ((1, 3), (1, 4), (1, 39), (1, 57), (1, 17), (1, 77), (6, 3), (0, 4)):
        expected = ALLOW if level == 1 and option in (3, 4, 39) else EPERM
        assert run(program, architecture, build.GETSOCKOPT[column], 5, level, option) == expected
    assert run(program, architecture, build.STATX[column]) == ENOSYS
    for operation, answer in ((0, EAGAIN), (0x109, EAGAIN), (1, NO_EFFECT), (10, NO_EFFECT), (3, EPERM), (6, EPERM)):
        for private in (0, 0x80):
            expected = ALLOW if private or variant == "namespaces" else answer
            assert run(program, architecture, build.FUTEX[column], 0x1000, operation | private) == expected
    thread, fork = 0x3D0F00, 0x1200011  # what the C library's pthread_create and fork ask for
    assert run(program, architecture, build.CLONE[column], thread) == ALLOW
    assert run(program, architecture, build.CLONE[column], fork) == (ALLOW if variant == "namespaces" else EPERM)
    for bit in (7, 17, 25, 26, 27, 28, 29, 30):
        for flags in (1 << bit | 17, 1 << bit | thread):
            assert run(program, architecture, build.CLONE[column], flags) == EPERM
    assert run(program, architecture, 435) == ENOSYS
    for numbers, place in ((build.OPEN, 1), (build.OPENAT, 2)):
        if numbers[column] is None:
            continue
        for flags in (
            0,
            os.O_CLOEXEC,
            os.O_WRONLY,
            os.O_RDWR,
            os.O_CREAT | os.O_WRONLY,
            os.O_TRUNC,
            os.O_TRUNC | os.O_WRONLY,
        ):
            arguments = [0] * 6
            arguments[place] = flags
            reading = flags in (0, os.O_CLOEXEC)
            fine = {"namespaces": True, "landlock": flags != os.O_TRUNC, "bare": reading}[variant]
            assert (run(program, architecture, numbers[column], *arguments) == ALLOW) is fine, (variant, flags)


def test_the_numbers_are_the_kernels() -> None:
    headers = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h")
    if not all(os.path.exists(header) for header in headers):
        pytest.skip("the kernel's headers are not installed")
    tables = []
    for header in headers:
        found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
        tables.append({name: int(number) for name, number in found})
    tables[1]["newfstatat"] = tables[1]["fstatat"]
    build = builder()
    words = (build.ALLOWED + build.ALLOWED_INSIDE).split()
    for at in range(0, len(words), 3):
        name, *numbers = words[at : at + 3]
        for table, number in zip(tables, numbers, strict=True):
            if number == "-":
                assert name not in table, name
            elif name in table:  # older headers lack the newest calls
                assert table[name] == int(number), name
