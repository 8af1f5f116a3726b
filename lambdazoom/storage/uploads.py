"""The mass of tiles on its way to a bucket, on threads of ours."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from queue import Queue

from lambdazoom.storage.base import Headers, Writer

UPLOADS = 32  # under way at once; as many wait their turn, then callers wait


@contextmanager
def uploading(put: Writer) -> Iterator[Writer]:
    """A writer that returns before its object is stored; when the context ends well, all are. `put` stores one."""
    uploads = _Uploads(put)
    try:
        yield uploads.submit
    except BaseException:
        uploads.end(is_wanted=False)
        raise
    uploads.end()
    uploads.raise_failure()


class _Uploads:
    """Objects on their way: bounded, and the first failure is kept for the caller.

    Threads and a queue, for an executor's futures take as much time as the uploads themselves.
    """

    def __init__(self, put: Writer) -> None:
        self._put = put
        self._context = copy_context()  # so that its requests count for whom we work for
        self._waiting = Queue[tuple[str, bytes, Headers] | None](UPLOADS)
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_wanted = True
        self._failure: BaseException | None = None

    def submit(self, name: str, data: bytes, headers: Headers) -> None:
        """Upload soon; wait if too many are under way."""
        self.raise_failure()
        self._waiting.put((name, data, headers))
        if len(self._threads) < UPLOADS and not self._waiting.empty():
            self._start_another()

    def raise_failure(self) -> None:
        """Raise what went wrong first, if anything did."""
        if self._failure:
            raise self._failure

    def end(self, is_wanted: bool = True) -> None:
        """Wait for what is under way, and for what waits if that is still wanted; no thread is left behind."""
        self._is_wanted = is_wanted
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _start_another(self) -> None:
        with self._starting:
            if len(self._threads) == UPLOADS:
                return
            thread = threading.Thread(target=self._context.copy().run, args=(self._upload_all,), name=f"upload_{len(self._threads)}")
            try:
                thread.start()
            except RuntimeError as error:  # there is no room for one thread more
                if not self._threads:
                    self._waiting.get()  # else whoever waits for room would wait for ever
                    raise MemoryError(str(error)) from error
            else:
                self._threads.append(thread)

    def _upload_all(self) -> None:
        while each := self._waiting.get():
            if self._is_wanted and not self._failure:
                self._upload(*each)

    def _upload(self, name: str, data: bytes, headers: Headers) -> None:
        try:
            self._put(name, data, headers)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the caller gets it)
            self._failure = self._failure or error
