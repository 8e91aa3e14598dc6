#include "format/chunk.h"

#include <fmt/format.h>
#define ZSTD_STATIC_LINKING_ONLY  // for ZSTD_getFrameHeader
#include <zstd.h>

#include <new>

namespace ingot {
namespace {

// With zstd -1 byte planes are smaller and faster than any higher level without them (bf16: 0.69 at 1.7 GB/s against
// 0.79 at 0.9).
constexpr int kZstdLevel = 1;

template <typename... Args>
tl::unexpected<ChunkFault> Fault(std::string_view rule, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<ChunkFault>(ChunkFault{rule, fmt::format(text, std::forward<Args>(args)...)});
}

// Byte k of element i goes to k * n + i.
template <int kWidth>
void ToBytePlanes(ByteSpan in, std::byte* out) {
  const size_t n = in.size() / kWidth;
  for (size_t i = 0; i < n; ++i) {
    for (int k = 0; k < kWidth; ++k) out[static_cast<size_t>(k) * n + i] = in[i * kWidth + static_cast<size_t>(k)];
  }
}

template <int kWidth>
void FromBytePlanes(const std::byte* in, std::span<std::byte> out) {
  const size_t n = out.size() / kWidth;
  for (size_t i = 0; i < n; ++i) {
    for (int k = 0; k < kWidth; ++k) out[i * kWidth + static_cast<size_t>(k)] = in[static_cast<size_t>(k) * n + i];
  }
}

ChunkResult<void> CheckFrameHeader(ByteSpan stored, size_t chunk_size) {
  ZSTD_frameHeader header;
  const size_t result = ZSTD_getFrameHeader(&header, stored.data(), stored.size());
  if (result != 0) return Fault("R-FRM-7", "no Zstandard frame header in {} bytes", stored.size());
  if (header.frameType != ZSTD_frame) return Fault("R-FRM-7", "a skippable frame");
  if (header.frameContentSize == ZSTD_CONTENTSIZE_UNKNOWN)
    return Fault("R-FRM-7", "the frame does not state its content size");
  if (header.frameContentSize != chunk_size) {
    return Fault("R-FRM-7", "the frame states {} bytes of content, the chunk has {}", header.frameContentSize,
                 chunk_size);
  }
  if (header.dictID != 0) return Fault("R-FRM-7", "the frame asks for dictionary {}", header.dictID);
  if (header.windowSize > kChunkSize)
    return Fault("R-FRM-7", "the frame needs a window of {} bytes, expected at most {}", header.windowSize, kChunkSize);
  const size_t size = ZSTD_findFrameCompressedSize(stored.data(), stored.size());
  if (ZSTD_isError(size) || size != stored.size())
    return Fault("R-FRM-7", "the {} stored bytes are not exactly one frame", stored.size());
  return {};
}

}  // namespace

struct FrameDecoder::State {
  State() : zstd(ZSTD_createDCtx()) {
    if (zstd == nullptr) throw std::bad_alloc();
  }
  ~State() { ZSTD_freeDCtx(zstd); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ZSTD_DCtx* zstd;
  std::vector<std::byte> scratch;
};

FrameDecoder::FrameDecoder() = default;
FrameDecoder::~FrameDecoder() = default;
FrameDecoder::FrameDecoder(FrameDecoder&&) noexcept = default;

ChunkResult<void> FrameDecoder::Decode(const FrameRecord& frame, ByteSpan stored, std::span<std::byte> out) {
  const uint64_t hash = Xxh3_64(stored);
  if (hash != frame.hash)
    return Fault("R-FRM-6", "the stored bytes have the hash {:016x}, expected {:016x}", hash, frame.hash);
  const auto method = static_cast<FrameMethod>(frame.method);
  if (method == FrameMethod::kStored) {
    std::memcpy(out.data(), stored.data(), out.size());
    return {};
  }
  if (auto header = CheckFrameHeader(stored, out.size()); !header) return header;
  if (!state_) state_ = std::make_unique<State>();
  std::byte* to = out.data();
  if (method != FrameMethod::kZstd) {
    state_->scratch.resize(out.size());
    to = state_->scratch.data();
  }
  const size_t got = ZSTD_decompressDCtx(state_->zstd, to, out.size(), stored.data(), stored.size());
  if (ZSTD_isError(got) || got != out.size()) {
    return Fault("R-FRM-7", "the frame does not decode: {}", ZSTD_isError(got) ? ZSTD_getErrorName(got) : "too short");
  }
  if (method == FrameMethod::kZstdPlanes2) FromBytePlanes<2>(to, out);
  if (method == FrameMethod::kZstdPlanes4) FromBytePlanes<4>(to, out);
  return {};
}

struct FrameEncoder::State {
  State() : zstd(ZSTD_createCCtx()) {
    if (zstd == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 20);
  }
  ~State() { ZSTD_freeCCtx(zstd); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::vector<std::byte> Compress(ByteSpan bytes) {
    std::vector<std::byte> out(ZSTD_compressBound(bytes.size()));
    const size_t size = ZSTD_compress2(zstd, out.data(), out.size(), bytes.data(), bytes.size());
    out.resize(ZSTD_isError(size) ? out.size() : size);  // an error leaves it larger than the chunk, so it is not taken
    return out;
  }

  ZSTD_CCtx* zstd;
  std::vector<std::byte> scratch;
};

FrameEncoder::FrameEncoder() : state_(std::make_unique<State>()) {}
FrameEncoder::~FrameEncoder() = default;
FrameEncoder::FrameEncoder(FrameEncoder&&) noexcept = default;

FrameEncoder::Frame FrameEncoder::Encode(ByteSpan chunk, int element_size) {
  Frame best{FrameMethod::kZstd, state_->Compress(chunk)};
  if ((element_size == 2 || element_size == 4) && chunk.size() % static_cast<size_t>(element_size) == 0) {
    state_->scratch.resize(chunk.size());
    if (element_size == 2) ToBytePlanes<2>(chunk, state_->scratch.data());
    if (element_size == 4) ToBytePlanes<4>(chunk, state_->scratch.data());
    std::vector<std::byte> planes = state_->Compress(state_->scratch);
    if (planes.size() < best.stored.size()) {
      best = {element_size == 2 ? FrameMethod::kZstdPlanes2 : FrameMethod::kZstdPlanes4, std::move(planes)};
    }
  }
  if (best.stored.size() > chunk.size() - chunk.size() / 20 || best.stored.size() >= chunk.size()) {
    best = {FrameMethod::kStored, std::vector<std::byte>(chunk.begin(), chunk.end())};
  }
  return best;
}

ChunkResult<void> CheckChunk(ByteSpan logical, const Hash128& expected) {
  return CompareHash(logical.size(), Xxh3_128(logical), expected);
}

ChunkResult<void> CompareHash(uint64_t size, const Hash128& hash, const Hash128& expected) {
  if (hash != expected)
    return Fault("R-CHK-1", "the {} bytes have the hash {}, expected {}", size, ToHex(hash), ToHex(expected));
  return {};
}

}  // namespace ingot
