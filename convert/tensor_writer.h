// From encoded blocks to planes in the file and records in the index: the serial half of the conversion of one tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "convert/plane_writer.h"
#include "convert/tensor_encoder.h"
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

// Writes one tensor, block after block. Blocks come in the order of their rows.
class TensorWriter {
 public:
  // `encoder`: null for a tensor that is kept as it is.
  TensorWriter(TensorSink& sink, const SourceTensor& tensor, std::shared_ptr<const TensorEncoder> encoder);

  Status AppendRaw(ByteSpan bytes);
  Status Append(const EncodedBlock& block);
  // Drops operands that are the same everywhere, settles the planes and adds the records.
  Status Finish();

 private:
  struct Part {
    const PartPlan* plan;
    std::vector<PlaneSpec> specs;
    std::vector<PlaneWriter> planes;       // as `specs`
    std::vector<PlaneWriter> zero_planes;  // of the nested zero-points
    std::vector<uint8_t> pending_zeros;    // not yet a whole unit
    bool zeros_equal = true;
    int first_zero = -1;
    uint64_t outliers = 0;  // so far
  };
  struct Finished {
    Linear linear;
    std::vector<WrittenPlane> planes, zero_planes;
  };

  Status StartPart(const PartPlan& plan);
  PlaneWriter* PlaneOf(Part& part, PlaneRole role, size_t field = 0);
  Status AppendPart(Part& part, const EncodedPart& block);
  Status AppendZeros(Part& part, const std::vector<uint8_t>& codes);
  Status PackZeros(Part& part, size_t count);
  Status FlushAll();
  Finished FinishPart(Part& part, std::vector<KeptPlane>& kept);
  uint64_t ContentKey(const std::vector<Finished>& parts, const std::vector<KeptPlane>& planes) const;
  Result<bool> BecomeAlias(uint64_t key, uint64_t offset);

  TensorSink& sink_;
  const SourceTensor& tensor_;
  std::shared_ptr<const TensorEncoder> encoder_;
  uint64_t start_;  // of the tensor's regions
  std::vector<Part> parts_;
  std::vector<PlaneWriter> raw_;
};

}  // namespace ingot
