"""Which image comes before or after another in a list; decided when somebody turns there, for a page of one image needs no index."""

from bisect import bisect_left

from lambdazoom.model.entries import key_of_record, list_entry, listed_record
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing.search import NEWEST, Index
from lambdazoom.web.listing import Wanted


def neighbour(record: ImageRecord, wanted: Wanted, step: int, index: Index) -> ImageKey | None:
    """The image `step` places on (1 or -1) in the list that is wanted, round its ends; None if there is no other.

    From an image that the list does not have, the way leads to its beginning. One whose name is too long to tell its key is passed over.
    """
    found = index.find(wanted.words, wanted.sort)
    listing = list_entry(record.image, "newest", record.seen_at).removeprefix(NEWEST)
    at = bisect_left(index.listings, listing)
    is_known = at < len(index) and index.listings[at] == listing and at in found
    start = found.index(at) if is_known else (-1 if step > 0 else 0)
    for count in range(1, len(found) + 1):
        name = index.listings[found[(start + step * count) % len(found)]]
        key = key_of_record(listed_record(NEWEST + name, "newest"))
        if key is not None:
            return ImageKey(key)
    return None
