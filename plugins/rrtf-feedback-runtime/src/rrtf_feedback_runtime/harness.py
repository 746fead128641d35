"""The function that measures a candidate in the sandbox; its source text is sent there.

It shares a process with the candidate, which could falsify the measurement. But the candidate has passed its tests
before, in another process where it could not cheat; it can only gain a better place among passing candidates.
"""

from typing import Any  # in quotes below, because the sent text has no imports


def measure(mode: str, source: str, entry: str, kind: str, tests: "Any") -> str:
    """Return ``WORK PEAK``: instructions, or time in millionths of a reference loop's; and peak memory in bytes."""
    import sys
    import time
    import tracemalloc

    names: dict[str, object] = {"__name__": "candidate"}
    exec(compile(source, "<candidate>", "exec"), names)
    if kind == "cases":
        calls = [(case["args"], case.get("kwargs") or {}) for case in tests]

        def run() -> None:
            function: Any = names[entry]
            for args, kwargs in calls:
                function(*args, **kwargs)
    else:
        text = tests if kind == "asserts" else tests + "\ncheck(" + entry + ")\n"
        program = compile(text, "<tests>", "exec")

        def run() -> None:
            exec(program, dict(names))

    def instructions() -> int:
        count = 0

        def within(frame: "Any", event: str, arg: object) -> "Any":
            nonlocal count
            count += event == "opcode"
            return within

        def entered(frame: "Any", event: str, arg: object) -> "Any":
            if frame.f_code.co_filename != "<candidate>":
                return None
            frame.f_trace_opcodes = True
            return within

        sys.settrace(entered)
        try:
            run()
        finally:
            sys.settrace(None)
        return count

    def loop() -> int:
        total = 0
        for number in range(2000):
            total += number
        return total

    def seconds(work: "Any", times: int) -> float:
        start = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - start) / times

    def ratio() -> int:
        run()
        times = max(1, min(10000, int(0.02 / max(seconds(run, 1), 1e-7))))
        ratios = sorted(seconds(run, times) / max(seconds(loop, 200), 1e-9) for _ in range(5))
        return int(1e6 * ratios[2])

    work = instructions() if mode == "instructions" else ratio()
    tracemalloc.start()
    run()
    return str(work) + " " + str(tracemalloc.get_traced_memory()[1])
