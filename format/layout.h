// The numbers of spec/FORMAT.md: places, sizes, limits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ingot {

inline constexpr std::array<unsigned char, 8> kMagic = {0x89, 'I', 'N', 'G', 'O', 'T', '\r', '\n'};
inline constexpr uint16_t kMajor = 0;
inline constexpr uint16_t kMinor = 1;

inline constexpr uint64_t kSlotSize = 4096;
inline constexpr uint64_t kHeaderSize = 2 * kSlotSize;
inline constexpr uint32_t kMinAlignment = 64;
inline constexpr uint32_t kMaxAlignment = 2u << 20;
inline constexpr uint32_t kDefaultAlignment = 256;

inline constexpr uint64_t kChunkSize = 1u << 20;
inline constexpr uint64_t kMaxIndexSize = 1u << 30;

inline constexpr uint64_t kFeatureShards = 1u << 0;
inline constexpr uint64_t kFeatureZstd = 1u << 1;
inline constexpr uint64_t kKnownFeatures = kFeatureShards | kFeatureZstd;

inline constexpr uint32_t kNoRecord = 0xFFFFFFFF;  // no frame, no plane

inline constexpr int kMaxRank = 8;
inline constexpr uint32_t kMaxNameSize = 4096;
inline constexpr uint64_t kMaxMatrixSize = uint64_t{1} << 48;      // R * C of a linear encoding
inline constexpr uint64_t kMaxIndexedColumns = uint64_t{1} << 32;  // C with a permutation or outliers

// The tables of the index. The numbers are those of the directory.
enum class Table : uint32_t {
  kHeap = 1,
  kTensors = 2,
  kParts = 3,
  kEncodings = 4,
  kPlanes = 5,
  kChunks = 6,
  kFrames = 7,
  kMetadata = 8,
  kAttachments = 9,
  kShards = 10,
  kSources = 11,
  kDeadRanges = 12,
  kSha256 = 13,
};

struct TableInfo {
  Table table;
  const char* name;
  uint32_t record_size;
  uint64_t most;  // records
};

inline constexpr std::array<TableInfo, 13> kTables = {{
    {Table::kHeap, "heap", 1, uint64_t{1} << 30},
    {Table::kTensors, "tensors", 20, uint64_t{1} << 20},
    {Table::kParts, "parts", 12, uint64_t{1} << 21},
    {Table::kEncodings, "encodings", 16, uint64_t{1} << 22},
    {Table::kPlanes, "planes", 24, uint64_t{1} << 22},
    {Table::kChunks, "chunks", 16, uint64_t{1} << 26},
    {Table::kFrames, "frames", 24, uint64_t{1} << 25},
    {Table::kMetadata, "metadata", 12, uint64_t{1} << 16},
    {Table::kAttachments, "attachments", 12, 1024},
    {Table::kShards, "shards", 40, uint64_t{1} << 16},
    {Table::kSources, "sources", 32, uint64_t{1} << 16},
    {Table::kDeadRanges, "dead ranges", 16, uint64_t{1} << 16},
    {Table::kSha256, "sha256", 32, uint64_t{1} << 23},
}};

inline constexpr uint64_t kIndexHeadSize = 8;
inline constexpr uint64_t kDirectoryEntrySize = 24;

}  // namespace ingot
