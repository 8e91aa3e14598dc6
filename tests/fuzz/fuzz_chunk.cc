// The input is one frame: its method and chunk size (four bytes), then the stored bytes. The hash is made right, so
// that the decoder sees them. What decodes is encoded and decoded again.

#include <algorithm>
#include <memory>
#include <span>

#include "format/chunk.h"
#include "format/layout.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

// Decodes into memory of exactly the size of the chunk, so that a sanitizer sees a byte too many.
bool Decode(FrameDecoder& decoder, uint8_t method, ByteSpan stored, std::span<std::byte> out) {
  const FrameRecord frame = {0, static_cast<uint32_t>(stored.size()), method, Xxh3_64(stored)};
  return decoder.Decode(frame, stored, out).has_value();
}

void RoundTrip(FrameDecoder& decoder, ByteSpan chunk, int element_size) {
  FrameEncoder encoder;
  const FrameEncoder::Frame frame = encoder.Encode(chunk, element_size);
  const std::unique_ptr<std::byte[]> again(new std::byte[chunk.size()]);
  const std::span<std::byte> out(again.get(), chunk.size());
  Require(frame.stored.size() <= chunk.size());
  Require(Decode(decoder, static_cast<uint8_t>(frame.method), frame.stored, out));
  Require(std::equal(out.begin(), out.end(), chunk.begin()));
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  if (size < 5) return 0;
  const ByteSpan input(reinterpret_cast<const std::byte*>(data), size);
  const uint32_t head = Load<uint32_t>(input.data());
  const uint8_t method = head & 3;
  const ByteSpan stored = input.subspan(4);
  // What R-FRM-3 and R-FRM-5 leave possible.
  const uint32_t width = method < 2 ? 1 : method == 2 ? 2 : 4;
  uint64_t chunk_size = method == 0 ? stored.size() : (head >> 2) % (kChunkSize + 1) / width * width;
  if (chunk_size < 1 || chunk_size > kChunkSize) return 0;

  static FrameDecoder decoder;
  const std::unique_ptr<std::byte[]> chunk(new std::byte[chunk_size]);
  const std::span<std::byte> out(chunk.get(), chunk_size);
  if (Decode(decoder, method, stored, out) && chunk_size <= 65536) RoundTrip(decoder, out, static_cast<int>(width));

  // A hash that is not that of the bytes: refused, whatever they are.
  const FrameRecord wrong = {0, static_cast<uint32_t>(stored.size()), method, Xxh3_64(stored) + 1};
  const auto refused = decoder.Decode(wrong, stored, out);
  Require(!refused && refused.error().rule == "R-FRM-6");
  return 0;
}
