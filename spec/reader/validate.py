"""Validation: all rules of FORMAT.md and ENCODINGS.md on one file (and the shards of a manifest)."""

import hashlib

from container import linear_data, load
from findings import Findings, IngotError
from header import File
from layout import LINEAR, PLANES, SHA256
from planes import read_chunk
from shards import check_shards


def validate(path, structure_only=False):
    """All violations that can be found. `structure_only` leaves out what needs the bytes of planes to be read."""
    return examine(path, structure_only).violations


def examine(path, structure_only=False):
    """The same with warnings: Findings."""
    found, file = Findings(), File(path)
    try:
        container = load(file, found)
        if container is not None:
            _check_contents(container, found, structure_only)
    finally:
        file.close()
    return found


def _check_contents(container, found, structure_only):
    if not structure_only:
        check_data(container, found)
    if container.shards:
        more = (lambda shard, inner: None) if structure_only else check_data
        for shard in check_shards(container, found, more):
            shard.file.close()


def check_data(container, found):
    """The rules that need the bytes of planes: R-FRM-6 and 7, R-CHK-1, R-SHA-2, those on values of linear encodings."""
    if container.planes.planes is None:
        return
    check = _DataCheck(container, found)
    for number in container.roots or ():
        root = container.encodings[number]
        if root.kind == LINEAR and root.sound and all(child.sound for child in root.children):
            check.linear(root)
    for number in range(len(container.planes.planes)):
        if number not in check.seen:
            check.plane(number, "", False)


class _DataCheck:
    """Goes through the planes of a file, each once."""

    def __init__(self, container, found):
        self.container, self.found = container, found
        self.seen = set()
        self.places = _plane_places(container)

    def linear(self, root):
        """All planes of a linear encoding, then its values, if all planes were good."""
        try:
            data = linear_data(root, self._good_plane)
        except IngotError:
            return
        place = self.places.get(root.number, f"encoding {root.number}")
        for rule, where, message in data.problems():
            self.found.add(rule, f"{place}, {where}", message)

    def _good_plane(self, number, what):
        data = self.plane(number, f" ({what})", True)
        if data is None:
            raise IngotError(f"plane {number} is damaged")
        return data

    def plane(self, number, what, keep):
        """Checks all chunks of a plane and its SHA-256; its bytes if it is good and they are wanted."""
        self.seen.add(number)
        if number in self.container.planes.bad:
            return None
        plane = self.container.planes.planes[number]
        place, mark = self.places.get((number,), "") + f"plane {number}{what}", self.found.mark()
        pieces, digest = [], hashlib.sha256()
        for i in range(plane.chunks):
            try:
                data = read_chunk(self.container, plane, i, place)
            except IngotError as error:
                self._add(error, place)
                continue
            digest.update(data)
            if keep:
                pieces.append(data)
        if not self.found.clean(mark):
            return None
        self._check_sha(number, digest.digest(), place)
        return b"".join(pieces)

    def _add(self, error, place):
        """A violation, or bytes that are not in the file any more."""
        if error.violation is None:
            self.found.add("R-FILE-2", place, str(error))
        else:
            self.found.add(*error.violation)

    def _check_sha(self, number, actual, place):
        """R-SHA-2."""
        index = self.container.index
        if index.count(SHA256) < index.count(PLANES) or not index.count(SHA256):
            return
        stored = bytes(index[SHA256][number]["hash"])
        if stored != actual:
            self.found.add("R-SHA-2", place, f"its SHA-256 is {actual.hex()}, the table has {stored.hex()}")


def _plane_places(container):
    """Names of places: of a root encoding by its number, of a plane by a tuple of its number."""
    places = {}
    if container.tensors is None or container.roots is None:
        return places
    table = container.tensors
    for part, number in enumerate(container.roots):
        owner = table.owner.get(part)
        if owner is None or table.parts[part][1] != number:
            continue
        root, place = container.encodings[number], table.tensors[owner].place
        places[number] = place
        for encoding in root.children + [root]:
            for plane in encoding.planes:
                places[plane,] = place + ", "
    return places
