// One tensor of an open model as a matrix: slices of it are decoded, multiplied, read and verified, and nothing but
// what they need is touched.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "format/status.h"
#include "kernels/product.h"
#include "runtime/part_layout.h"
#include "runtime/plane_store.h"
#include "runtime/slice_planes.h"

namespace ingot {

// Thread-safe. The store must outlive it.
class TensorView {
 public:
  // Reads no plane but those that hold indices, which are checked in full. kBadInput, kIo, kMemory. Slices are decoded
  // and multiplied in `arenas`; without them, decoding stays on the calling thread.
  static Result<std::unique_ptr<TensorView>> Open(PlaneStore& store, uint32_t tensor, ArenaPool* arenas);

  const TensorRecord& record() const { return record_; }
  const std::string& description() const { return description_; }  // "linear 4-bit g128 s F16"
  DType dtype() const { return static_cast<DType>(record_.dtype); }

  // The last dimension, and the product of all others; 1 by 1 for a scalar.
  const PartLayout& layout() const { return layout_; }
  MatrixSlice whole() const { return {0, layout_.rows(), 0, layout_.columns()}; }
  // A slice that starts and ends at multiples of them (or at the end) needs nothing that another such slice needs,
  // whole chunks aside.
  uint64_t slice_rows() const { return slice_rows_; }
  uint64_t slice_columns() const { return slice_columns_; }

  // "FILE: tensor 'NAME'" for messages.
  std::string Name() const;

  // Whether all parts are raw, so that Read gives their elements.
  bool is_raw() const { return raw_; }
  // Success, or kUnsupported, naming file, tensor and encoding: whether each part's encoding is raw or linear, and
  // whether, as far as it is raw, it has values in f32, too.
  Status CanRead() const;
  Status CanDecode() const;

  // Makes all of it usable until the view is gone. Before anything else is done with it.
  Status Hold();

  // All of these: the slice lies in the matrix; nothing is written if a chunk fails. Decode and Multiply: CanDecode.
  // To kF32, kF16 or kBF16; strides count elements and are at least the slice's columns.
  Status Decode(const MatrixSlice& slice, DType type, void* out, uint64_t stride) const;
  // As they are stored. kUnsupported if there is a part that is not raw.
  Status Read(const MatrixSlice& slice, void* out, uint64_t stride) const;
  Status Multiply(const MatrixSlice& slice, const Product& product) const;
  Status Verify(const MatrixSlice& slice) const;
  void Prefetch(const MatrixSlice& slice) const;

  // Calls `emit` for the bytes of planes that a slice needs, part by part, but for the planes that hold indices: those
  // are used whole. A part of a kind that is not known is used whole, too.
  void ForBlocks(const MatrixSlice& slice, const EmitBlock& emit) const;

  // One part: an encoding and its children. Neither raw nor linear: foreign or unknown.
  struct Part {
    uint32_t encoding = 0;  // in the index
    uint64_t extent = 0;    // along the axis
    bool raw = false, linear = false;
    bool aligned = false;                 // the view of a linear one is its matrix
    const std::byte* elements = nullptr;  // of a raw one
    EncodedMatrix matrix;                 // of a linear one
    EncodingPlanes own;
    std::vector<EncodingPlanes> children;
  };
  const std::vector<Part>& parts() const { return parts_; }

  // All of a plane of encoding `child` (0 the part's own, then its children) of part `part`, usable from now on until
  // the view is gone. The numbers must be there.
  Result<ByteSpan> Plane(uint32_t part, uint32_t child, uint32_t plane) const;

 private:
  TensorView(PlaneStore& store, uint32_t tensor, ArenaPool* arenas);
  Status AddPart(const PartRecord& record, uint64_t columns);
  Result<std::vector<ByteSpan>> Locate(uint32_t encoding, EncodingPlanes& planes);
  Status CheckIndices(const Part& part);
  void SetSliceUnits();
  MatrixSlice UnitOf(const Part& part, uint64_t rows, uint64_t columns) const;

  void ForRanges(const MatrixSlice& slice, const EmitRange& emit) const;
  void ForPartBlocks(const PartLayout::Piece& piece, const EmitBlock& emit) const;
  Result<ChunkPins> Use(const MatrixSlice& slice, bool always) const;
  // body(slice) for one slice after the other, rows of `slice` each, all that it needs being there.
  Status InWindows(const MatrixSlice& slice, bool always, const std::function<void(const MatrixSlice&)>& body) const;
  void DecodeBlock(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride, bool stream) const;
  void DecodeInParallel(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride, bool stream) const;
  void MultiplyPieces(const MatrixSlice& slice, const Product& product) const;

  PlaneStore& store_;
  ArenaPool* const arenas_;
  const TensorRecord record_;
  const PartLayout layout_;
  std::string description_;
  uint64_t slice_rows_ = 1, slice_columns_ = 1;
  bool raw_ = true, permuted_ = false;
  uint64_t framed_bytes_ = 0;  // of planes that are decompressed
  std::vector<Part> parts_;
  std::vector<ChunkPins> index_pins_;
  std::optional<ChunkPins> all_pins_;  // if it is held
  mutable std::mutex mutex_;           // of what follows
  mutable std::vector<ChunkPins> plane_pins_;
  mutable std::vector<uint32_t> pinned_planes_;
};

}  // namespace ingot
