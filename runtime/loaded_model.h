// An open model whose tensors can be used: what the C interface hands out as ingot_model.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/model.h"
#include "runtime/tensor_view.h"

namespace ingot {

enum class VerifyMode : uint8_t { kLazy = 0, kOpen = 1, kOff = 2 };

struct LoadOptions {
  bool map = true;  // false, or the environment variable INGOT_NO_MMAP: everything is read by pread
  VerifyMode verify = VerifyMode::kLazy;
  int threads = 0;           // 0: INGOT_THREADS, else one for each processor
  uint64_t cache_bytes = 0;  // of decompressed chunks that nothing uses; 0: 256 MiB
};

// Thread-safe. Views hold the model alive.
class LoadedModel : public std::enable_shared_from_this<LoadedModel> {
 public:
  // Model::Open, and with VerifyMode::kOpen Verify. Errors as theirs; kUsage for a bad INGOT_THREADS.
  static Result<std::shared_ptr<LoadedModel>> Open(const std::string& path, const LoadOptions& options);

  const Model& model() const { return *model_; }
  // That of a container, by its number.
  PlaneStore& store(uint32_t container) { return *stores_[container]; }
  int threads() const { return arenas_.threads(); }

  Result<std::shared_ptr<const TensorView>> OpenTensor(uint32_t number);

  // The bytes of an attachment of the main file into `out`, which has its size; verified.
  Status ReadAttachment(uint32_t number, std::span<std::byte> out);
  uint64_t AttachmentSize(uint32_t number) const;

  // Verifies all chunks of all files that were not yet. The first one that fails: kBadInput or kIo. kInterrupted.
  Status Verify(const ProgressFn& progress);

  Hash128 ContentDigest();  // computed once

  struct Memory {
    uint64_t mapped = 0, resident = 0, private_bytes = 0, cache = 0, cache_limit = 0, verified = 0;
  };
  Memory MemoryInUse() const;

 private:
  LoadedModel(std::shared_ptr<const Model> model, int threads, uint64_t cache_bytes)
      : model_(std::move(model)), arenas_(threads), cache_(cache_bytes) {}

  std::shared_ptr<const Model> model_;
  ArenaPool arenas_;
  ChunkCache cache_;
  std::vector<std::unique_ptr<PlaneStore>> stores_;  // of the containers, in their order
  std::mutex mutex_;
  std::optional<Hash128> digest_;
};

}  // namespace ingot
