#include "runtime/device/tensor_upload.h"

#include <algorithm>
#include <cstring>

#include "format/checked.h"

namespace ingot {
namespace {

constexpr uint64_t kCacheLine = 64;

}  // namespace

Result<std::unique_ptr<TensorUpload>> TensorUpload::Open(PlaneStore& store, uint32_t tensor,
                                                         const std::optional<MatrixSlice>& slice,
                                                         const std::shared_ptr<Device>& device,
                                                         const DeviceAllocator& allocator) {
  std::unique_ptr<TensorUpload> upload(new TensorUpload(store));
  if (auto prepared = upload->Prepare(tensor, slice, device, allocator); !prepared) return Propagate(prepared);
  upload->PlanJobs();
  return upload;
}

Status TensorUpload::Prepare(uint32_t tensor, const std::optional<MatrixSlice>& slice,
                             const std::shared_ptr<Device>& device, const DeviceAllocator& allocator) {
  PlaneStore::Options options;
  options.map = false;
  options.verify = store_.verifies();
  cache_ = std::make_unique<ChunkCache>(0);
  auto indices = PlaneStore::Open(store_.shared_container(), options, *cache_, nullptr);
  if (!indices) return Propagate(indices);
  indices_ = std::move(*indices);
  auto view = TensorView::Open(*indices_, tensor, nullptr);
  if (!view) return Propagate(view);
  view_ = std::move(*view);
  const MatrixSlice wanted = slice.value_or(view_->whole());
  auto layout = DeviceLayout::Make(*view_, wanted);
  if (!layout) return Propagate(layout);
  layout_ = std::move(*layout);
  DeviceMemory memory;
  if (layout_.size() > 0) {
    auto allocated = DeviceMemory::Allocate(device, allocator, layout_.size());
    if (!allocated) return Fail(allocated.error().code, "{}: {}", Name(), allocated.error().message);
    memory = std::move(*allocated);
  }
  memory_ = memory.data();
  auto made = DeviceTensor::Make(*view_, wanted, layout_, device, std::move(memory));
  if (!made) return Propagate(made);
  tensor_ = std::move(*made);
  return {};
}

// Chunks and parts of checked copies, as many in a job as fit into a slot: a job has one event, however small they are.
void TensorUpload::PlanJobs() {
  uint64_t filled = kSlotBytes;
  layout_.ForWindows([&](const PlaneWindow& window) {
    const uint64_t first = window.block.offset / kChunkSize * kChunkSize;
    for (uint64_t at = first; at < window.block.end(); at += kChunkSize) {
      const uint64_t size = std::min(kChunkSize, window.plane_size - at);
      uint64_t bytes = 0;
      ForCopies(window, at, size, [&](const WindowCopy& copy) { bytes += copy.size * copy.rows; });
      if (bytes == 0) continue;  // between two rows
      if (size > kSlotBytes - filled) {
        jobs_.emplace_back();
        filled = 0;
      }
      jobs_.back().pieces.push_back({&window, at, size});
      jobs_.back().bytes += bytes;
      filled = std::min(kSlotBytes, filled + CeilDiv(size, kCacheLine) * kCacheLine);
    }
  });
}

Status TensorUpload::Fill(size_t job, FrameDecoder& decoder, std::byte* slot, std::vector<DeviceCopy>& copies,
                          UploadCounts& counts) const {
  for (const Piece& piece : jobs_[job].pieces) {
    const PlaneWindow& window = *piece.window;
    if (window.checked != nullptr) {
      std::memcpy(slot, window.checked + piece.offset, piece.size);
      counts.checked += piece.size;
    } else {
      const auto hashed = store_.CopyChunk(window.block.plane, piece.offset / kChunkSize, decoder, {slot, piece.size});
      if (!hashed) return Propagate(hashed);
      counts.copied += piece.size;
      if (*hashed) counts.hashed += piece.size;
    }
    ForCopies(window, piece.offset, piece.size, [&](const WindowCopy& copy) {
      copies.push_back({memory_ + copy.to, slot + copy.from, copy.size, copy.rows, copy.to_pitch, copy.from_pitch});
      counts.uploaded += copy.size * copy.rows;
      ++counts.copies;
    });
    slot += CeilDiv(piece.size, kCacheLine) * kCacheLine;
  }
  return {};
}

}  // namespace ingot
