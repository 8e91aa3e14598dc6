// Files of newer minor versions: longer records, longer payloads, more tables, more features are read; in a file of
// this version the same bytes are refused.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/dump_index.h"
#include "tests/support/sample_index.h"

namespace ingot::test {
namespace {

// Writes an index again with `extra` more bytes in each record of the tables that `grows` picks, and with tables of
// other kinds.
struct Rewriter {
  std::function<bool(Table)> grows = [](Table) { return false; };
  uint32_t extra = 0;
  std::vector<std::pair<uint32_t, Bytes>> new_tables;  // kind, bytes

  Bytes operator()(ByteSpan index) const {
    struct Entry {
      uint32_t kind, record_size;
      uint64_t count;
      Bytes bytes;
    };
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < Load<uint32_t>(index.data()); ++i) {
      const std::byte* at = index.data() + kIndexHeadSize + kDirectoryEntrySize * i;
      Entry e{Load<uint32_t>(at), Load<uint32_t>(at + 4), Load<uint64_t>(at + 16), {}};
      const uint32_t more = grows(static_cast<Table>(e.kind)) ? extra : 0;
      for (uint64_t r = 0; r < e.count; ++r) {
        Append(e.bytes, index.subspan(Load<uint64_t>(at + 8) + r * e.record_size, e.record_size));
        e.bytes.resize(e.bytes.size() + more, std::byte{0xAB});
      }
      e.record_size += more;
      entries.push_back(std::move(e));
    }
    for (const auto& [kind, bytes] : new_tables) entries.push_back({kind, 1, bytes.size(), bytes});

    Bytes out;
    Append(out, static_cast<uint32_t>(entries.size()));
    Append(out, uint32_t{0});
    uint64_t at = kIndexHeadSize + kDirectoryEntrySize * entries.size();
    for (const Entry& e : entries) {
      at = (at + 7) / 8 * 8;
      Append(out, e.kind);
      Append(out, e.record_size);
      Append(out, at);
      Append(out, e.count);
      at += e.bytes.size();
    }
    for (const Entry& e : entries) {
      out.resize((out.size() + 7) / 8 * 8);
      Append(out, ByteSpan(e.bytes));
    }
    return out;
  }
};

// The rules that the index breaks in a file of the given minor version, and what it says if it breaks none.
struct Outcome {
  std::vector<std::string> rules;
  std::string dump;
};

Outcome Open(const Bytes& bytes, Header header, uint16_t minor) {
  header.minor = minor;
  header.file_end += bytes.size() - header.index_size;
  header.index_size = bytes.size();
  const auto owner = std::make_shared<Bytes>(bytes);
  Report report;
  const auto index = Index::Open({owner, *owner}, header, report);
  Outcome out;
  for (const Violation& v : report.violations()) out.rules.emplace_back(v.rule);
  if (report.ok()) out.dump = Dump(*index);
  return out;
}

struct Fixture {
  Fixture() {
    SampleIndex sample({.compress = true});
    const Bytes image = sample.Build(header);
    const auto begin = image.begin() + static_cast<std::ptrdiff_t>(header.index_offset);
    index.assign(begin, begin + static_cast<std::ptrdiff_t>(header.index_size));
    dump = Open(index, header, kMinor).dump;
    REQUIRE_FALSE(dump.empty());
  }
  Header header;
  Bytes index;
  std::string dump;
};

TEST_CASE("longer records: ignored in a newer file, refused in one of this version") {
  const Fixture f;
  for (const TableInfo& info : kTables) {
    if (info.table == Table::kHeap || info.table == Table::kShards) continue;
    for (uint32_t extra : {1u, 8u, 100u}) {
      CAPTURE(std::string(info.name));
      CAPTURE(extra);
      const Bytes grown = Rewriter{[&](Table t) { return t == info.table; }, extra, {}}(f.index);
      REQUIRE(grown != f.index);
      CHECK(Open(grown, f.header, kMinor + 1).dump == f.dump);
      CHECK(Open(grown, f.header, kMinor).rules == std::vector<std::string>{"R-IDX-3"});
    }
  }
  const Bytes all = Rewriter{[](Table t) { return t != Table::kHeap; }, 12, {}}(f.index);
  CHECK(Open(all, f.header, kMinor + 1).dump == f.dump);
  CHECK(Open(all, f.header, 65535).dump == f.dump);
}

TEST_CASE("the heap has bytes, not records: it never grows") {
  const Fixture f;
  const Bytes grown = Rewriter{[](Table t) { return t == Table::kHeap; }, 1, {}}(f.index);
  for (uint16_t minor : {kMinor, uint16_t{9}})
    CHECK(Open(grown, f.header, minor).rules == std::vector<std::string>{"R-IDX-3"});
}

TEST_CASE("shorter records are refused in every version") {
  const Fixture f;
  for (const TableInfo& info : kTables) {
    Bytes bytes = f.index;
    for (uint32_t i = 0; i < Load<uint32_t>(bytes.data()); ++i) {
      std::byte* at = bytes.data() + kIndexHeadSize + kDirectoryEntrySize * i;
      if (Load<uint32_t>(at) == static_cast<uint32_t>(info.table)) Store(at + 4, info.record_size - 1);
    }
    if (bytes == f.index) continue;
    for (uint16_t minor : {kMinor, uint16_t{2}})
      CHECK(Open(bytes, f.header, minor).rules == std::vector<std::string>{"R-IDX-3"});
  }
}

TEST_CASE("unknown tables: skipped in a newer file, refused in one of this version") {
  const Fixture f;
  const Bytes more = Rewriter{[](Table) { return false; }, 0, {{14, Pattern(30, 1)}, {1000, Pattern(1, 2)}}}(f.index);
  CHECK(Open(more, f.header, kMinor + 1).dump == f.dump);
  CHECK(Open(more, f.header, kMinor).rules == std::vector<std::string>{"R-IDX-2"});
}

TEST_CASE("longer payloads: ignored in a newer file, refused in one of this version") {
  for (EncodingKind kind : {EncodingKind::kLinear, EncodingKind::kRaw}) {
    ImageBuilder image;
    IndexBuilder builder;
    const Linear l = SampleIndex::PartLinear(9);
    const bool linear = kind == EncodingKind::kLinear;
    Bytes payload = linear ? EncodeLinear(l) : Bytes{};
    payload.resize(payload.size() + 8, std::byte{0xAB});
    const auto planes =
        linear ? AddPlanes(image, RandomPlanes(l, false, 1)) : std::vector<WrittenPlane>{image.Add(Pattern(72, 1))};
    builder.AddTensor("t", DType::kF32, std::vector<uint64_t>{2, 9}, 0,
                      {{2, builder.AddEncoding(kind, payload, planes)}});
    const Bytes file = image.Finish(builder);
    for (uint16_t minor : {kMinor, uint16_t{2}}) {
      Header header = image.header();
      header.minor = minor;
      Report report;
      OpenIndex(file, header, report);
      CHECK(report.ok() == (minor != kMinor));
      if (!report.ok()) CHECK(report.violations().front().rule == "R-ENC-4");
    }
  }
}

}  // namespace
}  // namespace ingot::test
