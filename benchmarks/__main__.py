"""All benchmarks, one after the other, and the page that tells of them. `python -m benchmarks`"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks import page
from benchmarks.report import HERE, RESULTS

MODULES = {name: f"benchmarks.{name.replace('-', '_')}" for name in page.NAMES}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog="What else is given goes to every benchmark.")
    parser.add_argument("--no-page", action="store_true", help="write no page: only benchmarks/results")
    options, given = parser.parse_known_args(argv)
    begun = time.monotonic()
    for name in page.NAMES:
        for suffix in (".json", ".svg"):
            # What is left of an earlier run would pass for a part of this one.
            (RESULTS / f"{name}{suffix}").unlink(missing_ok=True)
    failed = []
    for place, (name, module) in enumerate(MODULES.items(), start=1):
        minutes = (time.monotonic() - begun) / 60
        print(f"[{place} of {len(MODULES)}, after {minutes:.1f} minutes] {name}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, "-m", module, *given], cwd=HERE.parent, check=False).returncode:
            failed.append(name)
    print(f"all of it took {(time.monotonic() - begun) / 60:.1f} minutes", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; no page was written")
    return 0 if options.no_page else page.main(["--publish"])


if __name__ == "__main__":
    sys.exit(main())
