// From encoded blocks to planes in the file and records in the index: the serial half of the conversion of one tensor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
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

  // Tensors by what they hold, to find tied ones: a later tensor with equal planes becomes an alias of the first.
  struct Original {
    std::string name;
    std::vector<std::pair<uint64_t, uint64_t>> ranges;  // offset and size of raw planes
  };
  std::map<Hash128, Original> originals;
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
    std::vector<PlaneWriter> planes;        // as `specs`
    std::vector<PlaneWriter> zero_planes;   // of the nested zero-points
    std::vector<uint8_t> pending_zeros;     // not yet a whole unit
    bool zeros_equal = true;
    int first_zero = -1;
    uint64_t outliers = 0;                  // so far
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
  Result<bool> BecomeAlias(const std::vector<Finished>& parts, const std::vector<WrittenPlane*>& planes);
  void RememberRanges(const std::vector<WrittenPlane*>& planes);

  TensorSink& sink_;
  const SourceTensor& tensor_;
  std::shared_ptr<const TensorEncoder> encoder_;
  uint64_t start_;  // of the tensor's regions
  std::vector<Part> parts_;
  std::vector<PlaneWriter> raw_;
  TensorSink::Original* original_ = nullptr;  // this tensor's own entry, if it is the first of its kind
};

}  // namespace ingot
