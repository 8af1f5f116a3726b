"""What became of an image, in one line for people; where it is printed is not known here, so that nothing is loaded that draws bars."""

from datetime import datetime

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, State


def summary(image: ImageKey, record: ImageRecord, now: datetime) -> str:
    """One line on what became of an image."""
    state = record.state(now)
    if state == State.PUBLISHED:
        line = f"{image.display}: {record.width:,} × {record.height:,} pixels, {record.tile_count:,} tiles, {record.seconds:.1f} s"
        return " ".join((line, *record.complaints))
    sentences = [*record.complaints, *record.remarks]
    if record.tiles and not sentences:
        sentences = [record.tiles.sentence]
    return f"{image.display}: {state}. {' '.join(sentences)}".rstrip()
