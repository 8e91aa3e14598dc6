// Indexes that are damaged in every place: never a crash, and what is accepted can be read (a sanitizer build sees
// every byte too many).
#include <doctest/doctest.h>

#include <memory>

#include "tests/support/dump_index.h"
#include "tests/support/sample_index.h"

namespace ingot::test {
namespace {

// Reads every byte that the records of a valid index point at.
uint64_t Touch(const Index& index) {
  uint64_t sum = Digests(index).second.low;
  for (uint32_t i = 0; i < index.tensor_count(); ++i)
    sum += index.FindTensor(index.tensor(i).name).value() + index.IsAlias(i);
  for (uint32_t i = 0; i < index.plane_count(); ++i) sum += index.stored_size(index.plane(i));
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i)
    sum += Xxh3_64(AsBytes(index.metadata(i).key)) + Xxh3_64(index.metadata(i).value);
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) sum += Xxh3_64(AsBytes(index.attachment(i).name));
  for (uint32_t i = 0; i < index.count(Table::kSources); ++i) sum += Xxh3_64(AsBytes(index.source(i).name));
  for (uint32_t i = 0; i < index.count(Table::kSha256); ++i) sum += Xxh3_64(index.sha256(i));
  return sum;
}

// Opens bytes that lie in memory of exactly their size. Whatever may be used afterwards is used.
bool Survives(ByteSpan bytes, Header header, size_t* accepted) {
  const auto owner = std::make_shared<Bytes>(bytes.begin(), bytes.end());
  header.index_size = bytes.size();
  Report report;
  Index::Soundness sound;
  const auto index = Index::Open({owner, *owner}, header, report, &sound);
  if (!index) return !report.ok();
  if (report.ok()) {
    ++*accepted;
    return Touch(*index) != 0;
  }
  for (uint32_t i = 0; sound.planes && i < index->plane_count(); ++i) index->stored_size(index->plane(i));
  if (sound.tensors) DumpOthers(*index);
  for (const Violation& v : report.violations()) {
    if (!v.rule.starts_with("R-") || v.place.empty() || v.message.empty()) return false;
  }
  return true;
}

struct Original {
  Header header;
  Bytes index;
};

Original Make(const SampleOptions& options) {
  SampleIndex sample(options);
  Original out;
  const Bytes image = sample.Build(out.header);
  const auto begin = image.begin() + static_cast<std::ptrdiff_t>(out.header.index_offset);
  out.index.assign(begin, begin + static_cast<std::ptrdiff_t>(out.header.index_size));
  return out;
}

TEST_CASE("every byte of an index changed") {
  const Original original = Make({.compress = true});
  size_t accepted = 0, lost = 0, changes = 0;
  REQUIRE(Survives(original.index, original.header, &accepted));
  REQUIRE(accepted == 1);
  Bytes bytes = original.index;
  for (std::byte& byte : bytes) {
    const std::byte before = byte;
    for (std::byte value :
         {before ^ std::byte{1}, before ^ std::byte{0x10}, before ^ std::byte{0x80}, std::byte{0}, std::byte{0xFF}}) {
      byte = value;
      ++changes;
      lost += !Survives(bytes, original.header, &accepted);
    }
    byte = before;
  }
  CHECK(lost == 0);
  CHECK(accepted > changes / 10);  // hashes, texts and values are free: the hash of the index finds those
  CHECK(accepted < changes * 3 / 4);
}

TEST_CASE("every word of an index replaced by huge numbers") {
  const Original original = Make({.compress = true});
  size_t accepted = 0, lost = 0;
  for (size_t at = 0; at + 8 <= original.index.size(); at += 4) {
    for (uint64_t value : {UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{0xFFFFFFFF}}) {
      Bytes bytes = original.index;
      Store(bytes.data() + at, value);
      lost += !Survives(bytes, original.header, &accepted);
    }
  }
  CHECK(lost == 0);
}

TEST_CASE("every truncation of an index, and bytes after it") {
  for (bool provenance : {false, true}) {
    const Original original = Make({.provenance = provenance});
    size_t accepted = 0, lost = 0;
    for (size_t size = 0; size < original.index.size(); ++size)
      lost += !Survives(ByteSpan(original.index).first(size), original.header, &accepted);
    Bytes longer = original.index;
    for (int i = 0; i < 16; ++i) {
      longer.push_back(std::byte{0});
      lost += !Survives(longer, original.header, &accepted);
    }
    CHECK(lost == 0);
    CHECK(accepted == 0);
  }
}

}  // namespace
}  // namespace ingot::test
