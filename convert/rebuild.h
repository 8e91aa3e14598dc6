// An index builder that holds what a file's index holds, to write it again with changes.
#pragma once

#include <functional>

#include "format/index.h"
#include "format/index_builder.h"

namespace ingot {

// The plane of a record, as a builder takes it.
WrittenPlane PlaneFrom(const Index& index, uint32_t plane);

// Copies every record but dead ranges into `builder`. `place` gives the offset at which a plane will lie (its own,
// unless the file is rewritten). The index must have been validated and must not be of a newer minor version, whose
// tables this one does not know.
void CopyRecords(const Index& index, const std::function<uint64_t(uint32_t plane)>& place, IndexBuilder& builder);

}  // namespace ingot
