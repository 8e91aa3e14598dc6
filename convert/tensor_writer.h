// From encoded blocks to planes in the file and records in the index: the serial half of the conversion of one tensor.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "convert/encoding_writer.h"
#include "convert/part_plan.h"
#include "convert/plane_writer.h"
#include "convert/source.h"
#include "format/index_builder.h"

namespace ingot {

// The file that tensors are written to, and what has been written so far. Not thread-safe.
struct TensorSink {
  OutputFile& file;
  RegionAllocator& allocator;
  IndexBuilder& index;
  bool compress = false;
  bool sha256 = false;

  // Tensors by what they hold, to find tied ones: a later tensor with equal planes becomes an alias of the first. Equal
  // tensors have planes of equal sizes in the same order, so their regions are equal byte for byte.
  struct Original {
    uint32_t tensor;  // its number in `index`
    uint64_t offset;  // of its first plane
    uint64_t size;    // to the end of its last one
  };
  std::unordered_map<uint64_t, Original> originals;
};

// Writes one tensor, block after block. Blocks come in order.
class TensorWriter {
 public:
  // Reserves the planes. `tensor` and `plan` must outlive this.
  TensorWriter(TensorSink& sink, const SourceTensor& tensor, const TensorPlan& plan);

  // For a plan without parts: the next bytes of its planes, one after the other.
  Status AppendBytes(ByteSpan bytes);
  // What the next block adds to each part, in order; to the planes of a plan without parts, if it has none.
  Status Append(const std::vector<EncodedPart>& block);
  // Drops operands that are the same everywhere, settles the planes and adds the records.
  Status Finish();

 private:
  struct Part {
    const PartPlan* plan;
    EncodingWriter root;
    std::array<std::optional<EncodingWriter>, kGroupOperands> nested;
    bool started = false;
    uint64_t outliers = 0;  // so far
  };
  struct Finished {
    EncodingWriter::Finished root;
    std::vector<EncodingWriter::Finished> nested;  // in order, those that are left
  };

  Status StartPart(Part& part);
  Status AppendPart(Part& part, const EncodedPart& block);
  Status FlushAll();
  Finished FinishPart(Part& part);
  uint64_t ContentKey(const std::vector<Finished>& parts, const std::vector<KeptPlane>& planes) const;
  Result<bool> BecomeAlias(uint64_t key, uint64_t offset);
  void AddRecords(const std::vector<Finished>& parts, const std::vector<WrittenPlane>& planes, uint64_t key,
                  uint64_t offset);
  std::vector<IndexBuilder::Part> AddVerbatim(const std::vector<WrittenPlane>& planes);

  TensorSink& sink_;
  const SourceTensor& tensor_;
  const TensorPlan& plan_;
  uint64_t start_;  // of the tensor's regions
  std::vector<Part> parts_;
  std::vector<VerbatimEncoding::Plane> verbatim_;  // the planes of a plan without parts
  std::vector<PlaneWriter> planes_;                // as verbatim_
  size_t current_ = 0;                             // the one that bytes are appended to
};

}  // namespace ingot
