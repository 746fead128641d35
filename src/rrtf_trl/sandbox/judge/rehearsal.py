"""Runs a problem's tests with its reference, and blind, to learn what they will ask; see :mod:`.trace`."""

from __future__ import annotations

import types
from collections.abc import Callable

from ..common.faults import BadTests, Fault
from .suites import Scope, Suite, class_names, defined_names
from .trace import Facts, Recorder, Trace, Unseen, common_start


def rehearse(suite: Suite, prepare: Callable[[], None]) -> Facts:
    """Run a suite with the reference in the program's place, and blind; see :mod:`.trace`.

    Args:
        suite: The tests.
        prepare: Puts all that chance depends on back to its start, as before every run.
    """
    reference = _reference(suite)
    classes = {name for name, kind in reference.items() if isinstance(kind, type)}
    functions = {name: reference.get(name) for name in suite.names}
    of_functions = all(value is None or isinstance(value, types.FunctionType) for value in functions.values())
    seeing = Recorder(classes)

    def with_reference(recorder: Recorder) -> int:
        prepare()
        return _play(suite, {
            name: recorder.function(name, value) if isinstance(value, types.FunctionType) else value
            for name, value in functions.items() if value is not None
        }, blind=False)  # fmt: skip

    changed: dict[str, list[int]] = {}
    if reference:
        passed = with_reference(seeing)
        # Only where its tests fail by value may a program change their arguments: it could change what they expect.
        if suite.keeps_arguments and seeing.changed and passed < suite.total:
            putting_back = Recorder(classes, put_back=True)
            if with_reference(putting_back) > passed:
                seeing, changed = putting_back, putting_back.changed
    blind = Recorder(classes)
    if of_functions:
        prepare()
        _play(suite, {name: blind.function(name, lambda *args, **kwargs: Unseen()) for name in functions}, blind=True)
    return Facts(
        frames=[] if changed else common_start(seeing.frames, blind.frames) if reference else blind.frames,
        changed=changed,
        plain={name for name, is_plain in seeing.answers.items() if is_plain},
        objects={name for name, is_plain in seeing.answers.items() if not is_plain},
        shared=seeing.shared,
        classes=classes,
    )


def trace_of(suite: Suite, facts: Callable[[], Facts], ahead: bool) -> Trace:
    """What a session needs to know of a suite; asks ahead only where that was rehearsed already."""
    changed = facts().changed if suite.keeps_arguments and suite.context.source else {}
    return Trace(facts().frames if ahead else [], facts, bool(suite.context.source), changed)


def trace_without_suite(context: str) -> Trace:
    """What a session needs to know where the tests are files, which are not rehearsed call by call."""
    facts = Facts(classes=set(class_names(context)), names=defined_names(context))
    return Trace([], lambda: facts, bool(context))


def _reference(suite: Suite) -> Scope:
    try:
        return suite.context.scope() if suite.context.source else {}
    except BadTests:
        return {}


def _play(suite: Suite, found: Scope, blind: bool) -> int:
    """Run the tests as far as they go, and return how many pass."""
    passed = 0
    if suite.must_define and suite.entry not in found:
        return passed
    try:
        for test in suite.tests(found, blind):
            try:
                test.run()
                passed += 1
            except AssertionError:
                continue
    except Fault:
        raise
    except BaseException:
        return passed
    return passed
