"""One invocation of a function, as Lambda's runtime makes it: the last line on stdout is the answer.

python -I -S lambda_boot.py TASK_ROOT BOTO3_FOLDER HANDLER < event.json
"""

import importlib
import json
import os
import sys
import time
import traceback


class Context:
    """What Lambda hands to a function beside the event, as far as anybody asks."""

    def __init__(self) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = "00000000-0000-0000-0000-000000000000"
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{self.function_name}"
        self._end = time.monotonic() + float(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"])

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - time.monotonic()) * 1000)


def main() -> int:
    task_root, boto3_folder, handler = sys.argv[1:]
    sys.path[:0] = [task_root]
    sys.path.append(boto3_folder)
    os.chdir(task_root)
    module, _, name = handler.rpartition(".")
    try:
        started = time.perf_counter()
        function = getattr(importlib.import_module(module), name)
        imported = time.perf_counter()
        answer = function(json.load(sys.stdin), Context())
        ended = time.perf_counter()
    except BaseException as error:  # noqa: BLE001 (as Lambda does)
        traceback.print_exc()
        sys.stdout.write("\n" + json.dumps({"errorMessage": str(error), "errorType": type(error).__name__}) + "\n")
        return 1
    sys.stderr.write(f"REPORT init {1000 * (imported - started):.0f} ms, invocation {1000 * (ended - imported):.0f} ms\n")
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
