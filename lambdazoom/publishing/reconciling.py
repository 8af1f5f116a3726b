"""Comparing what the source holds with what is known of it: two listings in one order, merged as they come; nothing is changed here.

The index's names say which version was looked at and what became of it (model/entries.py), so that only what differs costs more
than its part of two listings. Memory does not grow with the number of images: what was found goes to a temporary file.
"""

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

from lambdazoom.model import entries
from lambdazoom.model.entries import Entry, Mark
from lambdazoom.model.errors import NotFound, StorageError
from lambdazoom.model.keys import ImageKey, SourceObject, display_name, is_hidden
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.generations import LONGEST_RUN, DamagedPointer
from lambdazoom.publishing.workspace import Workspace

TOLD_EVERY = 1000  # images between two words to whoever watches

T = TypeVar("T")


class Finding(StrEnum):
    """What is not as it should be with an image."""

    MISSING = "missing"
    STALE = "stale"
    STALLED = "stalled"
    UNFINISHED = "unfinished"
    FAILED = "failed"
    METADATA = "metadata"
    LOST = "lost"
    RECIPE = "other recipe"
    UNTIDY = "untidy"
    ORPHANED = "orphaned"


MEANINGS = {
    Finding.MISSING: "in the source, but nothing is known of it",
    Finding.STALE: "another version is known than the source holds",
    Finding.STALLED: "a run began and was heard of no more",
    Finding.UNFINISHED: "failed in a way that may pass",
    Finding.FAILED: "can't be made as it is; --retry-failed tries again",
    Finding.METADATA: "published, but without metadata of the same version",
    Finding.LOST: "its descriptor or metadata is gone, or of another version than the index says",
    Finding.RECIPE: "published by another recipe; --recipe makes it anew",
    Finding.UNTIDY: "a crash left a list's entry too many",
    Finding.ORPHANED: "known, but gone from the source; --delete-orphans withdraws it",
}


@dataclass(frozen=True)
class Found:
    """One image with which something is not as it should be: `size` of its source in bytes, `names` of entries to look at."""

    finding: Finding
    key: str
    size: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """What the source holds under a key, and what the index says of it."""

    key: str
    source: SourceObject | None
    entries: tuple[Entry, ...]


@dataclass
class Survey:
    """What a look found: how many images the source holds and the index knows, and each that differs. A context manager.

    `sizes` counts images and source bytes of each finding by the suffix of their names.
    """

    images: int = 0
    known: int = 0
    processing: int = 0
    counts: Counter[Finding] = field(default_factory=Counter)
    sizes: dict[Finding, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._spool = tempfile.TemporaryFile("w+", encoding="ascii", prefix="lambdazoom-")  # noqa: SIM115 (as long as we are)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._spool.close()

    def add(self, found: Found) -> None:
        """Count it, and keep it for `of`."""
        self.counts[found.finding] += 1
        suffix = suffix_of(found.key)
        sizes = self.sizes.setdefault(found.finding, {})
        images, size = sizes.get(suffix, (0, 0))
        sizes[suffix] = (images + 1, size + found.size)
        self._spool.write(json.dumps([found.finding, found.key, found.size, found.names]) + "\n")

    def of(self, findings: Iterable[Finding]) -> Iterator[Found]:
        """All that is one of these, in the order of the look; one at a time reads."""
        wanted = set(findings)
        self._spool.seek(0)
        for line in self._spool:
            finding, key, size, names = json.loads(line)
            if finding in wanted:
                yield Found(Finding(finding), key, size, tuple(names))


def suffix_of(key: str) -> str:
    """The suffix of a key's name, in small letters: ".jpg"; "" if it has none."""
    stem, dot, suffix = key.rpartition("/")[2].rpartition(".")
    return (dot + suffix).lower() if stem else ""


def survey(workspace: Workspace, told: Callable[[int], None] = lambda _: None, thorough: bool = False) -> Survey:
    """Compare the source with the index; `told` hears how many images were looked at. Raises StorageError.

    `thorough` does not take the index's word for what is published: it reads each descriptor and metadata document.
    """
    result = Survey()
    try:
        runs = _Runs(workspace, result)
        pairs = _look_at_all(_pairs(workspace, result), runs, workspace.settings.recipe.fingerprint, result, told)
        for pair in _lost(pairs, workspace) if thorough else pairs:
            if thorough and pair.source:
                result.add(Found(Finding.LOST, pair.key, pair.source.version.size))
        for found in runs.unmet():
            result.add(found)
        told(result.images)
    except BaseException:
        result.__exit__(None, None, None)
        raise
    return result


class _Runs:
    """The runs that are under way or were, by the list of active ones: as many as work at once, and as many as died."""

    def __init__(self, workspace: Workspace, result: Survey) -> None:
        self.alive: set[str] = set()
        self.dead: dict[str, tuple[str, ...]] = {}  # by key: what the lists' entries may be called
        self._met: set[str] = set()
        now = workspace.now()
        a_day_old = entries.listed_at("active", now - LONGEST_RUN)
        for name, record in catalog.all_listed("active", workspace.metadata):
            key = record.key if record else entries.key_of_record(entries.listed_record(name, "active"))
            if key is None:
                continue  # of a name that is too long, without a record: it can't be found out any more, and shows nowhere
            names = entries.in_all_lists(name, "active")
            if record is None:
                if name > a_day_old:  # whoever put a younger one may be about to write its record, which nothing else would lead to
                    result.add(Found(Finding.UNTIDY, key, names=names))
            elif record.is_alive(now):
                self.alive.add(key)
            else:
                self.dead[key] = names

    def met(self, key: str) -> tuple[str, ...]:
        """The entries of a dead run at this image, if there is one."""
        names = self.dead.get(key, ())
        if names:
            self._met.add(key)
        return names

    def unmet(self) -> Iterator[Found]:
        """Images of dead runs that neither the source nor the index knows."""
        for key in sorted(self.dead.keys() - self._met):
            yield Found(Finding.ORPHANED, key, names=self.dead[key])


def _look_at_all(pairs: Iterable[Pair], runs: _Runs, recipe: str, result: Survey, told: Callable[[int], None]) -> Iterator[Pair]:
    """Count what differs; the others, as far as they are published, come out again."""
    for pair in pairs:
        if result.images % TOLD_EVERY == 0:
            told(result.images)
        dead_run = runs.met(pair.key)
        if pair.key in runs.alive:
            result.processing += 1
            continue
        finding = _finding(pair, bool(dead_run), entries.recipe_hash(recipe))
        if finding:
            names = (*(entry.name for entry in pair.entries), *dead_run)
            result.add(Found(finding, pair.key, pair.source.version.size if pair.source else 0, names))
        elif pair.entries[0].mark.tiles == entries.PUBLISHED:
            yield pair


def _lost(pairs: Iterator[Pair], workspace: Workspace) -> Iterator[Pair]:
    """Those of which something is not there, or speaks of another version than the source's."""
    looked_at = workspace.zoom.each(lambda pair: (pair, _is_lost(pair, workspace)), pairs)
    return (pair for pair, is_lost in looked_at if is_lost)


def _is_lost(pair: Pair, workspace: Workspace) -> bool:
    image, current = ImageKey(pair.key), pair.source
    try:
        shown = generations.published(image, workspace.zoom)
    except DamagedPointer:
        return True
    described = documents.find(image, workspace.metadata)
    versions = (found.version for found in (shown, described) if found)
    # a listing tells no version ids
    told = [(version.etag, version.last_modified) for version in versions]
    return current is not None and told != [(current.version.etag, current.version.last_modified)] * 2


def _finding(pair: Pair, is_stalled: bool, recipe: str) -> Finding | None:
    if pair.source is None:
        return Finding.ORPHANED
    if is_stalled:
        return Finding.STALLED
    if not pair.entries:
        return Finding.MISSING
    matching = [entry.mark for entry in pair.entries if entry.mark.fingerprint == pair.source.version.fingerprint]
    if matching and len(pair.entries) > 1:
        return Finding.UNTIDY
    return _finding_of_mark(matching[0], recipe) if matching else _finding_of_others([entry.mark for entry in pair.entries])


def _finding_of_others(marks: list[Mark]) -> Finding:
    """What to call an image of which only other versions are known: one that could not even be looked at has no version."""
    return Finding.UNFINISHED if all(mark.tiles == entries.UNFINISHED for mark in marks) else Finding.STALE


def _finding_of_mark(mark: Mark, recipe: str) -> Finding | None:
    if mark.tiles == entries.IGNORED:
        return None
    if mark.tiles == entries.UNFINISHED:
        return Finding.UNFINISHED
    if mark.tiles == entries.FAILED or mark.metadata == entries.GIVEN_UP:
        return Finding.FAILED
    if mark.metadata == entries.OWED:
        return Finding.METADATA
    return Finding.RECIPE if mark.recipe != recipe else None


def _pairs(workspace: Workspace, result: Survey) -> Iterator[Pair]:
    def source() -> Iterator[SourceObject]:
        for found in workspace.source.list():
            if not is_hidden(found.key):
                result.images += 1
                yield found

    def index() -> Iterator[Entry]:
        yield from catalog.index(workspace.metadata)

    for pair in merged(source(), index()):
        if not pair.entries and entries.indexed(ImageKey(pair.key)) is None:
            pair = Pair(pair.key, pair.source, _aside(pair.key, workspace))
        result.known += bool(pair.entries)
        yield pair
    yield from _orphans_aside(workspace, result)


def merged(source: Iterable[SourceObject], index: Iterable[Entry]) -> Iterator[Pair]:
    """Both listings in one, by key; StorageError if either is not in the order of its keys, for then nothing can be concluded."""
    objects = _in_order(source, lambda found: found.key, "source")
    groups = itertools.groupby(_in_order(index, lambda entry: entry.key, "index"), lambda entry: entry.key)
    found = next(objects, None)
    group = next(groups, None)
    while found is not None or group is not None:
        if found is not None and (group is None or found.key < group[0]):
            yield Pair(found.key, found, ())
            found = next(objects, None)
        elif group is not None:
            is_same = found is not None and found.key == group[0]
            yield Pair(group[0], found if is_same else None, tuple(group[1]))
            found = next(objects, None) if is_same else found
            group = next(groups, None)


def _in_order(items: Iterable[T], key: Callable[[T], str], what: str) -> Iterator[T]:
    before = ""
    for item in items:
        if key(item) < before:
            names = f"{display_name(before)} before {display_name(key(item))}"
            raise StorageError(f"The listing of the {what} is not sorted ({names}), so the two can't be compared. Nothing was changed.")
        before = key(item)
        yield item


def _aside(key: str, workspace: Workspace) -> tuple[Entry, ...]:
    """What the index would say of an image whose name it can't bear: the record says it."""
    image = ImageKey(key)
    record = catalog.find(image, workspace.metadata)
    mark = catalog.mark_of(record) if record else None
    return (Entry(key, mark, entries.index_entry(image, mark)),) if mark else ()


def _orphans_aside(workspace: Workspace, result: Survey) -> Iterator[Pair]:
    for entry, _ in catalog.aside(workspace.metadata):
        if not entry.key:
            continue  # nothing tells any more of which image it spoke, and it shows nowhere
        try:
            workspace.source.head(entry.key)
        except NotFound:
            result.known += 1
            yield Pair(entry.key, None, (entry,))
