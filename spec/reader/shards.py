"""The shards of a manifest (FORMAT.md, section 8): R-SHD-4 to 7."""

import os

from container import TOLERATED, load
from digests import content_digest, names_digest
from findings import Findings, quoted
from header import File
from names import is_safe
from xxh3 import hash_text


def check_shards(container, found, check_more):
    """The containers of the shards that are there and valid, with R-SHD-4 to 7 checked.

    `check_more(container, findings)` does what is to be checked of a shard beyond its structure.
    """
    folder, opened = os.path.dirname(container.file.path), []
    try:
        for name, names, content in container.shards:
            if not is_safe(name, 1):
                continue                    # R-SHD-2: never opened
            place = f"shard {quoted(name)}"
            shard = _open_shard(os.path.join(os.fsencode(folder), name), place, found, check_more)
            if shard is not None:
                opened.append((name, shard))
                _check_digests(shard, place, names, content, found)
        _check_twice(opened, found)
    except BaseException:
        for _, shard in opened:
            shard.file.close()
        raise
    return [shard for _, shard in opened]


def _open_shard(path, place, found, check_more):
    """R-SHD-4 for one shard."""
    try:
        file = File(path)
    except OSError as error:
        found.add("R-SHD-4", place, f"the file cannot be opened: {error.strerror}")
        return None
    try:
        shard, problem = _read_shard(file, found.strict, check_more)
    except BaseException:
        file.close()
        raise
    if problem is None:
        return shard
    file.close()
    found.add("R-SHD-4", place, problem)
    return None


def _read_shard(file, reading, check_more):
    """(the container, None), or (None, why it is not a valid file without shards)."""
    inner = Findings()
    shard = load(file, inner)
    if shard is not None and inner.clean():
        check_more(shard, inner)
    broken = [v for v in inner.violations if not (reading and v.rule in TOLERATED)]
    if broken or shard is None:
        broken = broken or inner.violations
        return None, f"the file is not valid, {len(broken)} violations, the first: {broken[0]}"
    if shard.shards:
        return None, f"the file has {len(shard.shards)} shards itself"
    return shard, None


def _check_digests(shard, place, names, content, found):
    """R-SHD-5 and R-SHD-6."""
    tensors = shard.tensors.tensors
    actual = names_digest([t.name for t in tensors])
    if actual != names:
        found.add("R-SHD-5", place, f"its names digest is {hash_text(actual)}, the manifest has {hash_text(names)}")
        return
    actual = content_digest((shard, t) for t in tensors)
    if actual != content:
        found.add("R-SHD-6", place, f"its content digest is {hash_text(actual)}, the manifest has {hash_text(content)}")


def _check_twice(opened, found):
    """R-SHD-7."""
    owner = {}
    for name, shard in opened:
        for tensor in shard.tensors.tensors:
            first = owner.setdefault(tensor.name, name)
            if first != name:
                found.add("R-SHD-7", tensor.place, f"it is in the shards {quoted(first)} and {quoted(name)}")
