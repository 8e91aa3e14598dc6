"""Planes, chunks, frames: their tables, the regions of the file, reading chunks (FORMAT.md, sections 1, 4 and 11)."""

from typing import NamedTuple, Optional

import numpy as np

import zstd
from findings import Findings, IngotError
from layout import CHUNK, CHUNKS, DEAD, FRAMES, HEADER_END, NONE32, PLANES, ceil_div
from xxh3 import hash_text, xxh3_64, xxh3_128

MAX_WINDOW = 1 << 20


class Plane(NamedTuple):
    """A plane record; `frames` are (offset, size, method, hash), None for a plane that is stored raw."""
    number: int
    offset: int
    size: int
    first_chunk: int
    frames: Optional[list]

    @property
    def chunks(self):
        return ceil_div(self.size, CHUNK)

    @property
    def stored(self):
        return self.frames[-1][0] + self.frames[-1][1] if self.frames else 0 if self.frames is not None else self.size

    def chunk_size(self, i):
        return min(CHUNK, self.size - i * CHUNK)


class Planes:
    """What is known of the planes after their checks. `bad` are the numbers of planes whose bytes cannot be read."""

    def __init__(self, planes, sizes, bad):
        self.planes = planes        # None: the chunks or frames do not tile, nothing can be said
        self.sizes = sizes          # None, or an entry None: not to be trusted
        self.bad = bad

    @property
    def placed(self):
        """True if every plane lies where its record says, as far as it is known."""
        return self.planes is not None and not self.bad


def check_planes(index, header, found):
    """R-PLN-1 to 4 and R-FRM-1 to 5."""
    rows = index.rows(PLANES)
    bad = {i for i, row in enumerate(rows) if row[1] == 0}
    for i in sorted(bad):
        found.add("R-PLN-1", f"plane {i}", "the size is 0, expected at least 1")
    sizes = [row[1] for row in rows]
    tiled = Findings() if bad else found            # after R-PLN-1 the numbers of chunks mean nothing
    if not _tile(rows, 2, index.count(CHUNKS), "R-PLN-3", "chunk", tiled):
        return Planes(None, None, bad)
    framed = [(row if row[3] != NONE32 else None) for row in rows]
    if not _tile(framed, 3, index.count(FRAMES), "R-PLN-4", "frame", found):
        return Planes(None, None, bad)
    planes = [_plane(index, i, row) for i, row in enumerate(rows)]
    for plane in planes:
        if plane.frames is not None and plane.number not in bad and not _check_frames(plane, found):
            bad.add(plane.number)
    before = None
    for plane in planes:
        if plane.number in bad:
            continue
        good = _check_place(plane, before, header, found)
        if not good:
            bad.update((plane.number, before.number) if before else (plane.number,))
        if good or (before and plane.offset < before.offset):
            before = plane
    sizes = [None if i in bad else size for i, size in enumerate(sizes)]
    return Planes(planes, sizes, bad)


def _plane(index, i, row):
    offset, size, first_chunk, first_frame = row
    frames = None
    if first_frame != NONE32:
        records = index[FRAMES][first_frame:first_frame + ceil_div(size, CHUNK)].tolist()
        frames = [(at, stored, method, digest) for at, stored, method, _, digest in records]
    return Plane(i, offset, size, first_chunk, frames)


def _tile(rows, field, total, rule, what, found):
    """R-PLN-3 and R-PLN-4: runs of chunks or frames follow each other and fill their table."""
    end = 0
    for i, row in enumerate(rows):
        if row is None:
            continue
        if row[field] != end:
            found.add(rule, f"plane {i}", f"the first {what} is {row[field]}, expected {end}")
            return False
        end += ceil_div(row[1], CHUNK)
        if end > total:
            found.add(rule, f"plane {i}", f"the {what}s of its {row[1]} bytes end at {end}, the table at {total}")
            return False
    if end != total:
        found.add(rule, "planes", f"the {what}s of the last plane end at {end}, the table at {total}")
    return end == total


def _check_frames(plane, found):
    """R-FRM-1 to 5 for one framed plane; false if its bytes cannot be read."""
    mark, end = found.mark(), 0
    for i, (offset, size, method, _) in enumerate(plane.frames):
        place, chunk = f"plane {plane.number}, frame {i}", plane.chunk_size(i)
        if offset != end:
            found.add("R-FRM-2", place, f"the offset is {offset}, expected {end}")
            return False
        end += size
        if method > 3:
            found.add("R-FRM-1", place, f"the method is {method}, expected at most 3")
        elif method == 0 and size != chunk:
            found.add("R-FRM-3", place, f"the size is {size}, expected that of the chunk, {chunk}")
        elif method != 0 and not 1 <= size < chunk:
            found.add("R-FRM-3", place, f"the size is {size}, expected at least 1 and less than the chunk's {chunk}")
        elif method > 1 and chunk % (2 * method - 2):
            found.add("R-FRM-5", place, f"the chunk has {chunk} bytes, not a multiple of {2 * method - 2}")
    if found.clean(mark) and not any(method for _, _, method, _ in plane.frames):
        found.add("R-FRM-4", f"plane {plane.number}", "all frames have the method 0")
    return found.clean(mark)


def _check_place(plane, before, header, found):
    """R-PLN-2 for one plane."""
    place, offset = f"plane {plane.number}", plane.offset
    if offset % header.alignment or offset < HEADER_END:
        found.add("R-PLN-2", place, f"the offset is {offset}, expected a multiple of {header.alignment} from 8192 on")
    elif before is not None and offset < before.offset:
        found.add("R-PLN-2", place, f"the offset {offset} is before that of the plane before, {before.offset}")
    elif offset + plane.stored > header.file_end:
        found.add("R-PLN-2", place, f"ends at {offset + plane.stored}, after file_end {header.file_end}")
    else:
        return True
    return False


def check_dead(index, found):
    """R-DEAD-1; true if it holds."""
    mark, before = found.mark(), 0
    for i, (offset, size) in enumerate(index.rows(DEAD)):
        if size < 1:
            found.add("R-DEAD-1", f"dead range {i}", "the size is 0, expected at least 1")
        elif offset < before:
            found.add("R-DEAD-1", f"dead range {i}", f"the offset {offset} is before that of the one before, {before}")
        before = offset
    return found.clean(mark)


def check_regions(file, header, index, planes, found):
    """R-FILE-3 and R-FILE-4: planes, index and dead ranges tile the file, with zeros between them.

    "The first starts at 8192" is read as align(8192), which differs for alignments of more than 8192.
    """
    regions = [(p.offset, p.stored, f"plane {p.number}", p.number) for p in planes.planes]
    regions += [(offset, size, f"dead range {i}", -1) for i, (offset, size) in enumerate(index.rows(DEAD))]
    regions.append((header.index_offset, header.index_size, "index", -1))
    regions.sort()
    end, before, gaps = HEADER_END, "the header", []
    for at, (offset, size, name, _) in enumerate(regions):
        if offset != header.align(end):
            found.add("R-FILE-3", name, f"starts at {offset}, expected {header.align(end)} after {before}")
            planes.bad.update(region[3] for region in regions[max(at - 1, 0):])
            return
        gaps.append((end, offset, name))
        end, before = offset + size, name
    if end != header.file_end:
        found.add("R-FILE-3", before, f"is the last region and ends at {end}, expected file_end {header.file_end}")
        return
    for low, high, name in gaps:
        data = file.read(low, high - low)
        if any(data):
            at = low + next(i for i, byte in enumerate(data) if byte)
            found.add("R-FILE-4", name, f"the byte {at} before it is 0x{data[at - low]:02x}, expected 0")


# ---- reading ----

def read_chunk(container, plane, i, place):
    """The logical bytes of a chunk, with its hashes checked: R-FRM-6, R-FRM-7 and R-CHK-1."""
    size = plane.chunk_size(i)
    place = f"{place}, chunk {i}"
    if plane.frames is None:
        data = container.file.read(plane.offset + i * CHUNK, size)
    else:
        data = _read_frame(container.file, plane, plane.frames[i], size, place)
    stored, actual = bytes(container.index[CHUNKS][plane.first_chunk + i]["hash"]), xxh3_128(data)
    if stored != actual:
        raise IngotError.of("R-CHK-1", place, f"its hash is {hash_text(actual)}, the table has {hash_text(stored)}")
    return data


def _read_frame(file, plane, frame, chunk, place):
    offset, size, method, stored_hash = frame
    stored = file.read(plane.offset + offset, size)
    actual = xxh3_64(stored)
    if actual != stored_hash:
        message = f"the hash of its frame is {actual:016x}, the table has {stored_hash:016x}"
        raise IngotError.of("R-FRM-6", place, message)
    if method == 0:
        return stored
    try:
        data = _unpack(stored, chunk)
    except zstd.ZstdError as error:
        raise IngotError.of("R-FRM-7", place, str(error)) from None
    if method == 1:
        return data
    return np.frombuffer(data, np.uint8).reshape(2 * method - 2, -1).T.tobytes()


def _unpack(stored, chunk):
    """Decodes one Zstandard frame as R-FRM-7 wants it."""
    head = zstd.frame_header(stored)
    if head.content_size is None:
        raise zstd.ZstdError("the frame does not state its content size")
    if head.content_size != chunk:
        raise zstd.ZstdError(f"the frame states a content of {head.content_size} bytes, the chunk has {chunk}")
    if head.dictionary:
        raise zstd.ZstdError(f"the frame asks for the dictionary {head.dictionary}")
    if head.window_size > MAX_WINDOW:
        raise zstd.ZstdError(f"the frame needs a window of {head.window_size} bytes, more than {MAX_WINDOW}")
    data, used = zstd.decode_frame(stored, chunk)
    if used != len(stored):
        raise zstd.ZstdError(f"{len(stored) - used} bytes follow the frame")
    return data


def read_plane(container, number, place):
    """All logical bytes of a plane, checked. They are put together only after each chunk was there."""
    plane = container.planes.planes[number]
    return b"".join(read_chunk(container, plane, i, place) for i in range(plane.chunks))
