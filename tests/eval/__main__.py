"""`make eval`: how often the classifier, the search and the answers are right, table after table."""

import subprocess
import sys

NAMES = ("photos", "search", "questions")


def main() -> int:
    codes = []
    for name in sys.argv[1:] or NAMES:
        print(f"\n## {name}\n", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", f"tests.eval.{name}"], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
