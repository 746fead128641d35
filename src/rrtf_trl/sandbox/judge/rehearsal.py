"""Runs a problem's tests with its reference, and blind, to learn which calls they make; see :mod:`.trace`."""

from __future__ import annotations

import types
from collections.abc import Callable

from ..common.faults import BadTests, Fault
from .suites import Scope, Suite, class_names, defined_names
from .trace import Facts, Recorder, Trace, Unseen, common_start


def rehearse(suite: Suite, prepare: Callable[[], None]) -> Facts:
    """Run a suite with the reference in place of the program, and blind; see :mod:`.trace`.

    Args:
        suite: The tests.
        prepare: Seeds random numbers, as before each program.
    """
    reference = _reference(suite)
    classes = {name for name, kind in reference.items() if isinstance(kind, type)}
    functions = {name: reference.get(name) for name in suite.names}
    of_functions = all(value is None or isinstance(value, types.FunctionType) for value in functions.values())
    seeing = Recorder(classes)

    def with_reference(recorder: Recorder) -> int:
        prepare()
        return _run(suite, {
            name: recorder.function(name, value) if isinstance(value, types.FunctionType) else value
            for name, value in functions.items() if value is not None
        }, blind=False)  # fmt: skip

    changed: dict[str, list[int]] = {}
    if reference:
        passed = with_reference(seeing)
        # Programs may change arguments only if the tests fail otherwise: they could change expected values.
        if suite.keeps_arguments and seeing.changed and passed < suite.total:
            in_place = Recorder(classes, put_back=True)
            if with_reference(in_place) > passed:
                seeing, changed = in_place, in_place.changed
    blind = Recorder(classes)
    if of_functions:
        prepare()
        _run(suite, {name: blind.function(name, lambda *args, **kwargs: Unseen()) for name in functions}, blind=True)
    return Facts(
        frames=[] if changed else common_start(seeing.frames, blind.frames) if reference else blind.frames,
        changed=changed,
        plain={name for name, is_plain in seeing.answers.items() if is_plain},
        objects={name for name, is_plain in seeing.answers.items() if not is_plain},
        shared=seeing.shared,
        classes=classes,
    )


def trace_of(suite: Suite, facts: Callable[[], Facts], ahead: bool) -> Trace:
    """Return the trace of a suite; ``ahead`` says whether it was rehearsed, so that its calls can be sent ahead."""
    changed = facts().changed if suite.keeps_arguments and suite.context.source else {}
    return Trace(facts().frames if ahead else [], facts, bool(suite.context.source), changed)


def trace_without_suite(context: str) -> Trace:
    """Return the trace of pytest files, which are not rehearsed."""
    facts = Facts(classes=set(class_names(context)), names=defined_names(context))
    return Trace([], lambda: facts, bool(context))


def _reference(suite: Suite) -> Scope:
    try:
        return suite.context.scope() if suite.context.source else {}
    except BadTests:
        return {}


def _run(suite: Suite, found: Scope, blind: bool) -> int:
    """Run the tests up to the first exception other than a failed assertion; return how many pass."""
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
