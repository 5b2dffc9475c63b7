# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs the functions test_* of the calling module and reports as TAP."""
import sys
import time
import traceback


class Skip(Exception):
    """This machine does not have what the test needs; says what."""


def run(module):
    tests = [(n, f) for n, f in vars(module).items()
             if n.startswith("test_") and callable(f)]
    only = sys.argv[2:]
    tests = [t for t in tests if not only or t[0] in only]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for i, (name, f) in enumerate(tests, 1):
        start = time.monotonic()
        try:
            f()
            print(f"ok {i} - {name[5:]}"
                  f" # {time.monotonic() - start:.1f} s", flush=True)
        except Skip as e:
            print(f"ok {i} - {name[5:]} # SKIP {e}", flush=True)
        except BaseException:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print(f"not ok {i} - {name[5:]}", flush=True)
    sys.exit(failed > 0)
