// The lookup of codes in a codebook by the lanes of a warp.
#pragma once

#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// m(q) for the codes of a warp: a codebook of up to 32 entries lies in its registers, a larger one in shared memory, a
// copy for each lane, so that no two lanes ever wait for a bank.
template <int kBits>
struct Codebook {
  static constexpr uint32_t kEntries = 1u << kBits;
  static constexpr bool kInShared = kBits > 5;
  static constexpr uint32_t kSharedBytes = kInShared ? kEntries * kWarp * 4 : 0;

  bool present;
  uint32_t entry;
  uint32_t* table;

  // By all threads of the block.
  INGOT_DEVICE Codebook(const void* codebook, uint32_t* shared)
      : present(codebook != nullptr), entry(0), table(shared) {
    if (!present) return;
    const uint32_t lane = ThreadIndex() % kWarp;
    if constexpr (kInShared) {
      for (uint32_t i = ThreadIndex() / kWarp; i < kEntries; i += BlockSize() / kWarp)
        StoreShared(table + i * kWarp + lane, LoadGlobal<uint32_t>(Bytes(codebook, 4 * i)));
      BlockBarrier();
    } else {
      entry = LoadGlobal<uint32_t>(Bytes(codebook, 4 * (lane % kEntries)));
    }
  }
  // By all lanes of the warp.
  INGOT_DEVICE float At(uint32_t code) const {
    if constexpr (kInShared) return AsFloat(LoadShared(table + code * kWarp + ThreadIndex() % kWarp));
    return AsFloat(Shuffle(entry, code));
  }
};

}  // namespace ingot::cuda
