#include "format/chunk.h"

#include <doctest/doctest.h>
#include <zstd.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace ingot {
namespace {

using Bytes = std::vector<std::byte>;

FrameRecord RecordOf(const Bytes& stored, FrameMethod method) {
  return {0, static_cast<uint32_t>(stored.size()), static_cast<uint8_t>(method), Xxh3_64(stored)};
}

// The rule that the frame breaks, or "" if it decodes to `expected`.
std::string Decode(const Bytes& stored, FrameMethod method, const Bytes& expected) {
  FrameDecoder decoder;
  Bytes out(expected.size(), std::byte{0xEE});
  const auto decoded = decoder.Decode(RecordOf(stored, method), stored, out);
  if (!decoded) {
    CHECK_FALSE(decoded.error().message.empty());
    return std::string(decoded.error().rule);
  }
  return out == expected ? "" : "other bytes";
}

enum class Kind { kZeros, kText, kFloats, kHalfs, kRandom };

Bytes Data(Kind kind, size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::normal_distribution<float> normal;
  Bytes out(size);
  for (size_t i = 0; i < size; ++i) {
    if (kind == Kind::kText) out[i] = static_cast<std::byte>("the quick brown fox "[i % 20]);
    if (kind == Kind::kRandom) out[i] = static_cast<std::byte>(random());
  }
  for (size_t i = 0; kind == Kind::kFloats && i + 4 <= size; i += 4) Store(out.data() + i, normal(random));
  for (size_t i = 0; kind == Kind::kHalfs && i + 2 <= size; i += 2) Store(out.data() + i, F32ToBF16(normal(random)));
  return out;
}

TEST_CASE("what is encoded comes back: all kinds of data, sizes and element sizes") {
  FrameEncoder encoder;
  std::map<FrameMethod, int> methods;
  for (Kind kind : {Kind::kZeros, Kind::kText, Kind::kFloats, Kind::kHalfs, Kind::kRandom}) {
    for (size_t size :
         {1, 2, 3, 4, 5, 8, 63, 64, 255, 256, 1000, 4095, 65536, 65537, 100002, 1048574, 1048575, 1048576}) {
      const Bytes chunk = Data(kind, size);
      for (int element_size : {1, 2, 4, 8}) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(size);
        CAPTURE(element_size);
        const FrameEncoder::Frame frame = encoder.Encode(chunk, element_size);
        ++methods[frame.method];
        if (frame.method == FrameMethod::kStored) {
          REQUIRE(frame.stored == chunk);
        } else {
          REQUIRE(frame.stored.size() < chunk.size());
          REQUIRE(frame.stored.size() <= chunk.size() - chunk.size() / 20);
        }
        if (frame.method == FrameMethod::kZstdPlanes2) REQUIRE((element_size == 2 && size % 2 == 0));
        if (frame.method == FrameMethod::kZstdPlanes4) REQUIRE((element_size == 4 && size % 4 == 0));
        REQUIRE(Decode(frame.stored, frame.method, chunk) == "");
      }
      if (kind == Kind::kRandom) CHECK(encoder.Encode(chunk, 2).method == FrameMethod::kStored);
    }
  }
  CHECK(methods.size() == 4);
  CHECK(encoder.Encode(Data(Kind::kFloats, 1 << 20), 4).method == FrameMethod::kZstdPlanes4);
  CHECK(encoder.Encode(Data(Kind::kHalfs, 1 << 20), 2).method == FrameMethod::kZstdPlanes2);
  CHECK(encoder.Encode(Data(Kind::kText, 1 << 20), 1).method == FrameMethod::kZstd);
}

// A frame by zstd itself, with parameters of the caller's choice.
Bytes Compress(const Bytes& bytes, const std::vector<std::pair<ZSTD_cParameter, int>>& parameters) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  for (const auto& [parameter, value] : parameters)
    REQUIRE_FALSE(ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)));
  Bytes out(ZSTD_compressBound(bytes.size()));
  const size_t size = ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size());
  ZSTD_freeCCtx(context);
  REQUIRE_FALSE(ZSTD_isError(size));
  out.resize(size);
  return out;
}

// Written as a stream whose size is not known in front, so that the frame has a window of its own.
Bytes CompressAsStream(const Bytes& bytes, int window_log, bool pledge) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  if (pledge) ZSTD_CCtx_setPledgedSrcSize(context, bytes.size());
  Bytes out(ZSTD_compressBound(bytes.size()) + 1000);
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  for (size_t half : {size_t{0}, bytes.size() / 2}) {
    ZSTD_inBuffer from{bytes.data() + half, half == 0 ? bytes.size() / 2 : bytes.size() - half, 0};
    REQUIRE_FALSE(ZSTD_isError(ZSTD_compressStream2(context, &to, &from, half == 0 ? ZSTD_e_flush : ZSTD_e_end)));
  }
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

TEST_CASE("byte planes: byte k of element i is at k * n + i") {
  const Bytes chunk = Data(Kind::kFloats, 64);
  for (size_t width : {2, 4}) {
    const size_t n = chunk.size() / width;
    Bytes planes(chunk.size());
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < width; ++k) planes[k * n + i] = chunk[i * width + k];
    }
    const auto method = width == 2 ? FrameMethod::kZstdPlanes2 : FrameMethod::kZstdPlanes4;
    CHECK(Decode(Compress(planes, {}), method, chunk) == "");
    CHECK(Decode(Compress(chunk, {}), method, chunk) == "other bytes");
  }
}

TEST_CASE("the hash of a frame is checked first") {
  FrameDecoder decoder;
  const Bytes chunk = Data(Kind::kText, 1000), good = Compress(chunk, {});
  Bytes out(chunk.size());
  for (FrameMethod method : {FrameMethod::kStored, FrameMethod::kZstd}) {
    const Bytes& stored = method == FrameMethod::kStored ? chunk : good;
    FrameRecord record = RecordOf(stored, method);
    REQUIRE(decoder.Decode(record, stored, out));
    for (size_t at = 0; at < stored.size(); ++at) {
      Bytes damaged = stored;
      damaged[at] ^= std::byte{0x10};
      const auto decoded = decoder.Decode(record, damaged, out);
      REQUIRE_FALSE(decoded);
      REQUIRE(decoded.error().rule == "R-FRM-6");
    }
    record.hash ^= 1;
    CHECK(decoder.Decode(record, stored, out).error().rule == "R-FRM-6");
  }
}

TEST_CASE("everything that a frame must not be") {
  const Bytes chunk = Data(Kind::kText, 100000);
  const Bytes good = Compress(chunk, {});
  REQUIRE(Decode(good, FrameMethod::kZstd, chunk) == "");
  const auto refused = [&](const Bytes& stored) { return Decode(stored, FrameMethod::kZstd, chunk) == "R-FRM-7"; };
  CHECK(refused(Compress(chunk, {{ZSTD_c_contentSizeFlag, 0}})));
  CHECK(refused(CompressAsStream(chunk, 20, false)));  // no content size
  CHECK(Decode(CompressAsStream(chunk, 20, true), FrameMethod::kZstd, chunk) == "");
  CHECK(refused(CompressAsStream(chunk, 21, true)) == false);  // the content is the window
  CHECK(refused(Compress(Bytes(chunk.begin(), chunk.end() - 1), {})));
  CHECK(refused(Compress(Data(Kind::kText, 100001), {})));

  Bytes trailing = good;
  trailing.push_back(std::byte{0});
  CHECK(refused(trailing));
  Bytes twice = good;
  Append(twice, ByteSpan(good));
  CHECK(refused(twice));
  Bytes empty_frame = good;
  Append(empty_frame, ByteSpan(Compress({}, {})));
  CHECK(refused(empty_frame));

  Bytes skippable;
  Append(skippable, uint32_t{0x184D2A50});
  Append(skippable, uint32_t{4});
  Append(skippable, uint32_t{0});
  CHECK(refused(skippable));
  Bytes after = good, before = skippable;
  Append(after, ByteSpan(skippable));
  Append(before, ByteSpan(good));
  CHECK(refused(after));
  CHECK(refused(before));

  for (size_t size = 0; size < good.size(); ++size)
    REQUIRE(refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}));
  CHECK(refused(Bytes(100)));
  CHECK(refused(chunk));
}

TEST_CASE("a window above 1 MiB is refused, even where the chunk is right") {
  // A header without the single-segment flag, made by hand: magic, descriptor (8 bytes of content size), window, size;
  // then a raw block.
  const Bytes chunk = Data(Kind::kText, 1000);
  const auto frame = [&](int window_descriptor, int dictionary) {
    Bytes out;
    Append(out, uint32_t{0xFD2FB528});
    out.push_back(static_cast<std::byte>(0xC0 | (dictionary != 0)));
    out.push_back(static_cast<std::byte>(window_descriptor));
    if (dictionary != 0) out.push_back(static_cast<std::byte>(dictionary));
    Append(out, uint64_t{chunk.size()});
    const auto block = static_cast<uint32_t>(chunk.size() << 3 | 1);
    for (int shift : {0, 8, 16}) out.push_back(static_cast<std::byte>(block >> shift));
    Append(out, ByteSpan(chunk));
    return out;
  };
  CHECK(Decode(frame(10 << 3, 0), FrameMethod::kZstd, chunk) == "");               // 2^20
  CHECK(Decode(frame((9 << 3) | 7, 0), FrameMethod::kZstd, chunk) == "");          // just below
  CHECK(Decode(frame((10 << 3) | 1, 0), FrameMethod::kZstd, chunk) == "R-FRM-7");  // 2^20 + 2^17
  CHECK(Decode(frame(11 << 3, 0), FrameMethod::kZstd, chunk) == "R-FRM-7");
  CHECK(Decode(frame(10 << 3, 5), FrameMethod::kZstd, chunk) == "R-FRM-7");  // a dictionary
}

TEST_CASE("frames with damaged content and a right hash never crash, and decode or break R-FRM-7") {
  for (Kind kind : {Kind::kText, Kind::kFloats}) {
    const Bytes chunk = Data(kind, 400);
    const Bytes good = Compress(chunk, {});
    size_t refused = 0, others = 0;
    for (size_t at = 0; at < good.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        Bytes damaged = good;
        damaged[at] ^= static_cast<std::byte>(1 << bit);
        const std::string rule = Decode(damaged, FrameMethod::kZstd, chunk);
        refused += rule == "R-FRM-7";
        others += rule != "R-FRM-7" && rule != "other bytes" && rule != "";
      }
    }
    CHECK(refused > 50);
    CHECK(others == 0);
  }
}

TEST_CASE("the hash of a chunk") {
  Bytes chunk = Data(Kind::kRandom, 1000);
  const Hash128 hash = Xxh3_128(chunk);
  CHECK(CheckChunk(chunk, hash));
  chunk[999] ^= std::byte{1};
  const auto checked = CheckChunk(chunk, hash);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().rule == "R-CHK-1");
}

}  // namespace
}  // namespace ingot
