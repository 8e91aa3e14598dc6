// The annotated hex dump of a file's header slots and index.
#pragma once

#include "format/status.h"
#include "runtime/file.h"

namespace ingot {

// Prints every field of both slots and of the index: offset, bytes, name and meaning. Runs of zero bytes are
// summarised, of each table the first records are shown. The bytes need not be valid: what does not lie in the file is
// said to. Errors: kIo.
Status PrintHexDump(const File& file);

}  // namespace ingot
