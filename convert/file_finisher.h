// The end of writing a file: its index and its header slots.
#pragma once

#include <memory>

#include "convert/byte_source.h"
#include "convert/plane_writer.h"
#include "format/header.h"
#include "format/index.h"
#include "format/index_builder.h"
#include "runtime/output_file.h"

namespace ingot {

struct FinishedFile {
  uint64_t bytes = 0;
  Hash128 names_digest, content_digest;  // of the file's own tensors
};

// Writes the index behind the last region, two equal slots of generation 1, and cuts the file to its length. The index
// is read back through the validation pass; a violation (a mistake of this program) is an error.
Result<FinishedFile> FinishFile(OutputFile& file, RegionAllocator& allocator, const IndexBuilder& builder,
                                uint32_t alignment);

// Appends the bytes of a file as a plane. An empty one has no plane: size 0.
Result<WrittenPlane> WriteAttachment(OutputFile& file, RegionAllocator& allocator, const ByteSource& source,
                                     bool compress, bool sha256);

}  // namespace ingot
