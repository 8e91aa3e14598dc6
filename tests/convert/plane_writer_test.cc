#include "convert/plane_writer.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>

#include "format/chunk.h"
#include "tests/support/image_builder.h"
#include "tests/support/sample_index.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {
namespace {

OutputFile Create(const TempDirectory& folder) {
  auto file = OutputFile::Create(folder / "x", true);
  REQUIRE(file);
  return std::move(*file);
}

Bytes ReadBack(const OutputFile& file, uint64_t offset, uint64_t size) {
  Bytes out(size);
  REQUIRE(file.ReadAt(offset, out));
  return out;
}

// The logical bytes of a plane, every hash checked.
Bytes Logical(const OutputFile& file, const WrittenPlane& plane) {
  Bytes out(plane.size);
  REQUIRE(plane.chunks.size() == (plane.size + kChunkSize - 1) / kChunkSize);
  if (!plane.frames.empty()) REQUIRE(plane.frames.size() == plane.chunks.size());
  FrameDecoder decoder;
  for (size_t i = 0; i < plane.chunks.size(); ++i) {
    const auto chunk =
        std::span(out).subspan(i * kChunkSize).first(std::min<uint64_t>(kChunkSize, plane.size - i * kChunkSize));
    if (plane.frames.empty()) {
      REQUIRE(file.ReadAt(plane.offset + i * kChunkSize, chunk));
    } else {
      const FrameRecord& frame = plane.frames[i];
      REQUIRE(decoder.Decode(frame, ReadBack(file, plane.offset + frame.offset, frame.size), chunk));
    }
    REQUIRE(CheckChunk(chunk, plane.chunks[i]));
  }
  return out;
}

uint64_t StoredEnd(const WrittenPlane& p) {
  return p.offset + (p.frames.empty() ? p.size : p.frames.back().offset + p.frames.back().size);
}

WrittenPlane WriteAll(PlaneWriter& writer, ByteSpan bytes, std::mt19937& random, size_t most) {
  while (!bytes.empty()) {
    const size_t piece = std::min<size_t>(bytes.size(), (random() % most + 1) * 8);
    REQUIRE(writer.Append(bytes.first(piece)));
    bytes = bytes.subspan(piece);
  }
  REQUIRE(writer.Flush());
  return writer.Finish();
}

TEST_CASE("regions begin at multiples of the alignment, without a hole") {
  RegionAllocator allocator(8192, 256);
  CHECK(allocator.Reserve(1) == 8192);
  CHECK(allocator.end() == 8193);
  CHECK(allocator.Reserve(256) == 8448);
  CHECK(allocator.Reserve(10) == 8704);
  allocator.Rewind(8448);
  CHECK(allocator.Reserve(0) == 8448);
  CHECK(RegionAllocator(8192, 4096).Reserve(5) == 8192);
  CHECK(RegionAllocator(8193, 4096).Reserve(5) == 12288);
}

TEST_CASE("whatever the pieces, the bytes and hashes of a plane are the same") {
  const TempDirectory folder;
  std::mt19937 random(1);
  for (uint64_t size :
       {uint64_t{1}, uint64_t{4096}, kChunkSize - 1, kChunkSize, kChunkSize + 1, 3 * kChunkSize + 803}) {
    const Bytes bytes = Pattern(size, 1);
    for (size_t most : {size_t{1} << 9, size_t{1} << 13, size_t{1} << 18, size_t{1} << 20}) {
      for (bool sha256 : {false, true}) {
        OutputFile file = Create(folder);
        RegionAllocator allocator(kHeaderSize, 256);
        PlaneWriter writer(file, allocator, size, 1, sha256);
        const WrittenPlane plane = WriteAll(writer, bytes, random, most);
        CHECK(plane.offset == kHeaderSize);
        CHECK(plane.size == size);
        CHECK(plane.frames.empty());
        CHECK(plane.sha256 == (sha256 ? Sha256Of(bytes) : Sha256{}));
        REQUIRE(Logical(file, plane) == bytes);
        CHECK(allocator.end() == kHeaderSize + size);
      }
    }
  }
}

TEST_CASE("whether all elements are equal, over all pieces") {
  const TempDirectory folder;
  OutputFile file = Create(folder);
  RegionAllocator allocator(kHeaderSize, 256);
  for (int size : {1, 2, 4, 8}) {
    const auto width = static_cast<size_t>(size);
    const Bytes element = Pattern(width, 5);
    Bytes bytes;
    for (int i = 0; i < 30; ++i) Append(bytes, ByteSpan(element));
    PlaneWriter writer(file, allocator, bytes.size() + width, size, false);
    CHECK(writer.element_size() == size);
    CHECK(writer.all_equal());
    REQUIRE(writer.Append({}));
    for (size_t at = 0; at < bytes.size(); at += 3 * width)
      REQUIRE(writer.Append(ByteSpan(bytes).subspan(at, 3 * width)));
    CHECK(writer.all_equal());
    CHECK(writer.appended() == bytes.size());
    CHECK(std::equal(element.begin(), element.end(), writer.first_element().begin()));
    Bytes other = element;
    other.back() ^= std::byte{0x80};
    REQUIRE(writer.Append(other));
    CHECK_FALSE(writer.all_equal());
  }
}

// Some planes, of which some are kept; the rest of the file must be zeros and the end right behind the last one.
struct Layout {
  std::vector<Bytes> contents;
  std::vector<int> element_sizes;
  std::vector<bool> kept;
};

void CheckSettled(const TempDirectory& folder, const Layout& layout, bool compress, bool expect_frames) {
  OutputFile file = Create(folder);
  RegionAllocator allocator(kHeaderSize + 100, 256);  // after something else
  const uint64_t start = allocator.end();
  std::mt19937 random(2);
  std::vector<PlaneWriter> writers;
  for (size_t i = 0; i < layout.contents.size(); ++i) {
    writers.emplace_back(file, allocator, layout.contents[i].size(), layout.element_sizes[i], true);
  }
  std::vector<WrittenPlane> planes(writers.size());
  std::vector<KeptPlane> kept;
  std::vector<size_t> numbers;
  for (size_t i = 0; i < writers.size(); ++i) {
    planes[i] = WriteAll(writers[i], layout.contents[i], random, 1 << 16);
    if (layout.kept[i]) kept.push_back({&planes[i], layout.element_sizes[i]}), numbers.push_back(i);
  }
  std::shuffle(kept.begin(), kept.end(), random);
  REQUIRE(SettlePlanes(file, allocator, start, kept, compress));

  uint64_t end = start, framed = 0;
  for (size_t i : numbers) {
    const WrittenPlane& p = planes[i];
    REQUIRE(p.offset == (end + 255) / 256 * 256);
    REQUIRE(ReadBack(file, end, p.offset - end) == Bytes(p.offset - end));
    REQUIRE(Logical(file, p) == layout.contents[i]);
    end = StoredEnd(p);
    framed += !p.frames.empty();
  }
  CHECK(allocator.end() == end);
  Bytes beyond(1);
  CHECK_FALSE(file.ReadAt(end, beyond));  // what was written there is cut off
  CHECK((framed != 0) == expect_frames);
}

TEST_CASE("planes move together where others were dropped") {
  const TempDirectory folder;
  const std::vector<Bytes> contents = {Pattern(1000, 1), Pattern(8, 2), Pattern(2 * kChunkSize + 64, 3),
                                       Pattern(256, 4), Pattern(3000, 5)};
  for (unsigned mask = 0; mask < 32; ++mask) {
    Layout layout{contents, {2, 8, 4, 1, 4}, {}};
    for (unsigned i = 0; i < 5; ++i) layout.kept.push_back((mask >> i & 1) != 0);
    CAPTURE(mask);
    CheckSettled(folder, layout, false, false);
  }
}

Bytes Compressible(uint64_t size, unsigned seed) {
  Bytes bytes = Pattern(size, seed);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 4 != 0) bytes[i] = std::byte{0x3F};
  }
  return bytes;
}

TEST_CASE("planes that shrink become frames, others stay; nothing stale is left between them") {
  const TempDirectory folder;
  for (unsigned mask = 1; mask < 16; ++mask) {
    Layout layout{
        {Compressible(3 * kChunkSize + 4, 1), Pattern(5000, 2), Compressible(2000, 3), Pattern(kChunkSize + 16, 4)},
        {4, 2, 4, 1},
        {}};
    for (unsigned i = 0; i < 4; ++i) layout.kept.push_back((mask >> i & 1) != 0);
    CAPTURE(mask);
    CheckSettled(folder, layout, true, (mask & 5) != 0);
  }
}

TEST_CASE("a frame that is shorter than its plane, but not by a whole region, leaves no stale bytes") {
  const TempDirectory folder;
  // Of 250 bytes 200 are random: about 220 remain, and the next plane stays where it is.
  for (uint64_t size : {250, 255, 256, 300, 500, 511, 512, 513, 767}) {
    Bytes first(size, std::byte{0x77});
    const Bytes noise = Pattern(size * 8 / 10, 7);
    std::copy(noise.begin(), noise.end(), first.begin());
    CAPTURE(size);
    CheckSettled(folder, {{first, Pattern(1000, 8)}, {1, 2}, {true, true}}, true, true);
    CheckSettled(folder, {{Pattern(1000, 8), first}, {2, 1}, {true, true}}, true, true);
  }
}

TEST_CASE("compression is judged by samples of the whole plane") {
  const TempDirectory folder;
  Bytes late = Pattern(20 * kChunkSize, 9);  // compressible from the fifth chunk on
  std::fill(late.begin() + 5 * static_cast<std::ptrdiff_t>(kChunkSize), late.end(), std::byte{0});
  CheckSettled(folder, {{late}, {1}, {true}}, true, true);
  Bytes rare = Pattern(20 * kChunkSize, 10);  // one chunk in twenty is worth nothing
  std::fill_n(rare.begin(), kChunkSize / 2, std::byte{0});
  CheckSettled(folder, {{rare}, {1}, {true}}, true, false);
}

TEST_CASE("random planes, kept and compressed at random") {
  const TempDirectory folder;
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    Layout layout;
    bool compressible = false;
    const bool compress = random() % 2 != 0;
    for (unsigned i = 0; i < 1 + random() % 8; ++i) {
      const uint64_t size = 8 * (1 + random() % (random() % 10 == 0 ? 200000 : 400));
      const bool easy = random() % 2 != 0 && size >= 1000;
      layout.contents.push_back(easy ? Compressible(size, i) : Pattern(size, i));
      layout.element_sizes.push_back(1 << random() % 4);
      layout.kept.push_back(random() % 4 != 0);
      compressible |= easy && layout.kept.back();
    }
    CAPTURE(round);
    CheckSettled(folder, layout, compress, compress && compressible);
  }
}

}  // namespace
}  // namespace ingot::test
