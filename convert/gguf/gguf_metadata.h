// The metadata of a GGUF file: its types map one to one onto those of Ingot (spec/FORMAT.md, section 7).
#pragma once

#include "convert/gguf/gguf_cursor.h"
#include "convert/source.h"

namespace ingot {

// Reads `count` keys and values; sorted by key. All values are checked: strings are UTF-8, bools 0 or 1, keys unique.
Status ReadGgufMetadata(GgufCursor& cursor, uint64_t count, SourceMetadata& metadata);

}  // namespace ingot
