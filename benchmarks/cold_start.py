"""What a cold start spends on imports: our doors, beside the libraries that they can't do without.

    python -m benchmarks.cold_start                              this environment's packages
    python -m benchmarks.cold_start TASK_ROOT BOTO3_FOLDER       an unpacked package, with the runtime's boto3 beside it

Each figure is the least of fresh processes that keep no bytecode of their own, as on Lambda's read-only disk; a process imports the
libraries, then the door, so that both meet the same machine. Run it with the Python that is deployed.
"""

import subprocess
import sys

ROUNDS = 11
ROUTES = {
    "an S3 event": (
        "import zappa.handler, boto3, obstore.store, obstore.auth.boto3, exiftool",
        "import app, lambdazoom.handler, lambdazoom.storage.s3",
    ),
    "a page": (
        "import zappa.handler, flask, boto3, obstore.store, obstore.auth.boto3, exiftool",
        "import app, lambdazoom.web.application, lambdazoom.storage.s3",
    ),
}
PROGRAM = """
import sys, time
sys.path[:0], sys.path[len(sys.path):] = {first!r}, {last!r}
started = time.process_time()
{libraries}
loaded = time.process_time()
{ours}
print(loaded - started, time.process_time() - loaded)
"""


def measure(route: str, folders: list[str], python: str = sys.executable) -> tuple[float, float]:
    """Seconds of processor time for a route's libraries, and for our door on top of them."""
    libraries, ours = ROUTES[route]
    program = PROGRAM.format(first=folders[:1], last=folders[1:], libraries=libraries, ours=ours)
    command = [python, "-B", *(["-I", "-S"] if folders else []), "-c", program]
    taken = [
        [float(each) for each in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()] for _ in range(ROUNDS)
    ]
    return min(libraries for libraries, _ in taken), min(ours for _, ours in taken)


def line(route: str, libraries: float, ours: float) -> str:
    """What was measured, in a line."""
    together = libraries + ours
    return f"{route:12} {1000 * together:4.0f} ms; its libraries alone {1000 * libraries:4.0f} ms: {together / libraries:.2f} times"


def main() -> None:
    for route in ROUTES:
        print(line(route, *measure(route, sys.argv[1:])))


if __name__ == "__main__":
    main()
