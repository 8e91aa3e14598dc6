// Writes the planes of one encoding, a root or a nested one, and settles what it turned out to be: an operand that is
// the same everywhere becomes a constant, a neutral constant nothing (R-LIN-5 to R-LIN-7). Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "convert/part_plan.h"
#include "convert/plane_writer.h"

namespace ingot {

class EncodingWriter {
 public:
  // Reserves the planes. `plan` must outlive this.
  EncodingWriter(OutputFile& file, RegionAllocator& allocator, const EncodingPlan& plan, bool nested, bool sha256);

  // Appends to the plane of that role, which `plan` must ask for if there are bytes.
  Status Append(PlaneRole role, ByteSpan bytes, size_t field = 0);
  // Packs and appends codes of a nested encoding, any number at a time.
  Status AppendCodes(std::span<const uint8_t> codes);
  Status Flush();

  struct Finished {
    Linear linear;
    std::vector<WrittenPlane> planes;  // those that are kept, in the order of PlanesOf(linear)
    std::vector<int> element_sizes;    // of them
  };
  // After Flush, once.
  Finished Finish();
  // The value of every element, if `finished` is a nested encoding that has only one.
  std::optional<float> SingleValue(const Finished& finished) const;

 private:
  Status PackPending(size_t count);

  const EncodingPlan* plan_;
  std::vector<PlaneSpec> specs_;
  std::vector<PlaneWriter> planes_;  // as specs_
  std::vector<uint8_t> pending_;     // codes of a nested encoding that do not fill a unit yet
  bool codes_equal_ = true;
  int first_code_ = -1;
};

// Without arrays over the groups there is one group.
void DropUnusedGroups(Linear& linear);

}  // namespace ingot
