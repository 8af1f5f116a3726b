"""What a cold start spends on imports: our doors, beside the libraries that they can't do without.

    python -m benchmarks.cold_start                              this environment's packages
    python -m benchmarks.cold_start TASK_ROOT BOTO3_FOLDER       an unpacked package, with the runtime's boto3 beside it

Each figure is the median of fresh processes that keep no bytecode of their own, as on Lambda's read-only disk; the kinds take turns.
Run it with the Python that is deployed.
"""

import subprocess
import sys
from statistics import median

ROUNDS = 11
ROUTES = {
    "an S3 event": (
        "import zappa.handler, boto3, obstore.store, PIL.Image, PIL.ImageCms, PIL.TiffImagePlugin, exiftool",
        "import zappa.handler, app, lambdazoom.handler, lambdazoom.storage.s3",
    ),
    "a page": (
        "import zappa.handler, flask, boto3, obstore.store, exiftool",
        "import zappa.handler, app, lambdazoom.storage.s3; app.application()",
    ),
}
PROGRAM = """
import sys, time
sys.path[:0], sys.path[len(sys.path):] = {first!r}, {last!r}
started = time.process_time()
{imports}
print(time.process_time() - started)
"""


def seconds(imports: str, folders: list[str]) -> float:
    """The processor time that one fresh process spends on these imports: other work on the machine disturbs it least."""
    isolated = ["-I", "-S"] if folders else []
    program = PROGRAM.format(first=folders[:1], last=folders[1:], imports=imports)
    done = subprocess.run([sys.executable, "-B", *isolated, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    folders = sys.argv[1:]
    kinds = [imports for route in ROUTES.values() for imports in route]
    taken: dict[str, list[float]] = {imports: [] for imports in kinds}
    for _ in range(ROUNDS):
        for imports in kinds:
            taken[imports].append(seconds(imports, folders))
    for name, (libraries, ours) in ROUTES.items():
        alone, together = median(taken[libraries]), median(taken[ours])
        print(f"{name:12} {1000 * together:4.0f} ms; its libraries alone {1000 * alone:4.0f} ms: {together / alone:.2f} times")


if __name__ == "__main__":
    main()
