// ingot inspect: what is in a file.
#include <algorithm>

#include "format/text.h"
#include "runtime/tensor_reader.h"
#include "tools/command.h"
#include "tools/hex_dump.h"
#include "tools/inspect_print.h"
#include "tools/model_json.h"
#include "tools/open_model.h"
#include "tools/output.h"
#include "tools/signals.h"
#include "tools/summary.h"
#include "tools/tensor_statistics.h"

namespace ingot {
namespace {

// Edits that make one text the other: insertions, deletions, exchanges.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "; did you mean 'a', 'b'?" with the names most like `wanted`, or nothing.
std::string Suggestion(const Model& model, std::string_view wanted) {
  constexpr size_t kLongest = 256, kShown = 3;
  std::vector<std::pair<size_t, uint32_t>> near;
  for (uint32_t i = 0; i < model.tensor_count() && near.size() < 100'000; ++i) {
    const std::string_view name = model.tensor(i).name;
    if (name.size() > kLongest || wanted.size() > kLongest) continue;
    if (name.find(wanted) != std::string_view::npos) {
      near.push_back({0, i});
    } else if (const size_t distance = Distance(name, wanted); distance <= 2 + wanted.size() / 5) {
      near.push_back({distance, i});
    }
  }
  std::sort(near.begin(), near.end());
  std::string text;
  for (size_t i = 0; i < std::min(near.size(), kShown); ++i) {
    text += fmt::format("{}'{}'", i == 0 ? "; did you mean " : ", ", Escape(model.tensor(near[i].second).name));
  }
  return text.empty() ? "" : text + "?";
}

Json TensorJson(const Model& model, const TensorRow& row) {
  const TensorRecord record = model.tensor(row.number);
  const Index& index = model.container_of(row.number).index();
  Json json{{"name", record.name},
            {"shape", record.shape()},
            {"dtype", InfoOf(static_cast<DType>(record.dtype)).name},
            {"encoding", row.encoding},
            {"kind", row.kind},
            {"bits_per_weight", row.bits_per_weight()},
            {"bytes", row.bytes},
            {"stored_bytes", row.stored_bytes},
            {"elements", row.elements}};
  if (row.alias) json["alias_of"] = row.alias_of;
  if (const uint32_t file = model.id(row.number).container; file > 0)
    json["shard"] = model.main().index().shard(file - 1).name;
  json["axis"] = record.axis;
  Json& parts = json["parts"] = Json::array();
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const PartRecord part = index.part(p);
    parts.push_back({{"extent", part.extent}, {"encoding", EncodingJson(index, part.encoding, record.dtype)}});
  }
  return json;
}

Json TallyJson(const Tally& tally) {
  return {{"tensors", tally.tensors},
          {"elements", tally.elements},
          {"bytes", tally.bytes},
          {"stored_bytes", tally.stored_bytes},
          {"bits_per_weight", tally.bits_per_weight()}};
}

Json TalliesJson(const std::map<std::string, Tally>& tallies) {
  Json json = Json::object();
  for (const auto& [name, tally] : tallies) json[name] = TallyJson(tally);
  return json;
}

// Everything but the tensors.
Json ModelJson(const Model& model, const Summary& summary) {
  const Header& header = model.main().header();
  const Index& index = model.main().index();
  Json json{{"file", model.main().path()},
            {"format_version", fmt::format("{}.{}", header.major, header.minor)},
            {"content_digest", DigestText(model.ContentDigest())},
            {"file_size", summary.file_bytes},
            {"generation", header.generation},
            {"alignment", header.alignment},
            {"required_features", header.required_features},
            {"optional_features", header.optional_features},
            {"index_bytes", summary.index_bytes},
            {"dead_bytes", summary.dead_bytes},
            {"bytes_after_end", summary.tail_bytes},
            {"tensor_count", summary.rows.size()},
            {"alias_count", summary.aliases},
            {"parameters", summary.all.elements},
            {"bits_per_weight", summary.all.bits_per_weight()},
            {"kinds", TalliesJson(summary.by_kind)},
            {"encodings", TalliesJson(summary.by_encoding)}};
  Json& metadata = json["metadata"] = Json::object();
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord record = index.metadata(i);
    metadata[std::string(record.key)] = MetadataJson(record);
  }
  Json& attachments = json["attachments"] = Json::array();
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const AttachmentRecord record = index.attachment(i);
    const bool empty = record.plane == kNoRecord;
    attachments.push_back({{"name", record.name},
                           {"bytes", empty ? 0 : index.plane(record.plane).size},
                           {"stored_bytes", empty ? 0 : index.stored_size(index.plane(record.plane))}});
  }
  Json& shards = json["shards"] = Json::array();
  for (uint32_t i = 0; i < index.count(Table::kShards); ++i) {
    const ShardRecord record = index.shard(i);
    shards.push_back({{"name", record.name},
                      {"bytes", model.containers()[i + 1]->file().size()},
                      {"names_digest", DigestText(record.names_digest)},
                      {"content_digest", DigestText(record.content_digest)}});
  }
  Json& sources = json["sources"] = Json::array();
  const uint64_t hashes = index.count(Table::kSha256);
  for (uint32_t i = 0; i < index.count(Table::kSources); ++i) {
    const SourceRecord record = index.source(i);
    Json source{{"name", record.name}, {"bytes", record.size}, {"hash", DigestText(record.hash)}};
    if (hashes > 0) source["sha256"] = ToHex(index.sha256(index.plane_count() + i));
    sources.push_back(std::move(source));
  }
  return json;
}

// The document with its tensors written one by one: the whole of it would be large in memory.
void PrintDocument(const Json& model, const std::vector<Json>& extra, const Model& tensors_of,
                   const std::vector<const TensorRow*>& rows) {
  std::string head = Dump(model);
  head.pop_back();
  Write(head + ",\n\"tensors\":[");
  for (size_t i = 0; i < rows.size(); ++i) {
    Json tensor = TensorJson(tensors_of, *rows[i]);
    if (i < extra.size()) tensor["statistics"] = extra[i];
    Write((i == 0 ? "\n" : ",\n") + Dump(tensor));
  }
  Write("\n]}\n");
}

bool CanRead(const TensorRow& row) { return row.kind != "foreign" && row.kind != "unknown" && row.kind != "mixed"; }

Result<int> InspectTensor(const Model& model, const Summary& summary, const InspectArguments& options) {
  const auto number = model.Find(*options.tensor);
  if (!number) {
    return Fail(ErrorCode::kUsage, "{}: no tensor is called '{}'{}", options.file, Escape(*options.tensor),
                Suggestion(model, *options.tensor));
  }
  const TensorRow& row = summary.rows[*number];
  std::optional<TensorStatistics> statistics;
  if (CanRead(row) || model.tensor(*number).part_count > 1) {
    const auto reader = TensorReader::Open(model, *number);
    if (reader) {
      auto figures = StatisticsOf(*reader, [] { return !StopRequested(); });
      if (!figures) return Propagate(figures);
      statistics = std::move(*figures);
    } else if (CanRead(row)) {
      return Propagate(reader);
    }
  }
  if (options.json) {
    std::vector<Json> extra;
    if (statistics) extra.push_back(ToJson(*statistics));
    PrintDocument(ModelJson(model, summary), extra, model, {&row});
  } else {
    PrintTensor(model, row, statistics ? &*statistics : nullptr);
  }
  return kExitFine;
}

// The dump comes first, also of a file that is bad; then what is wrong with it.
Result<int> InspectBytes(const InspectArguments& options) {
  const auto file = File::OpenForReading(options.file);
  if (!file) return Propagate(file);
  if (auto printed = PrintHexDump(*file); !printed) return Propagate(printed);
  const auto opened = Container::Open(options.file);
  if (!opened) return Propagate(opened);
  return kExitFine;
}

}  // namespace

Result<int> RunInspect(const InspectArguments& options) {
  if (options.bytes) return InspectBytes(options);
  const auto opened = OpenModel(options.file);
  if (!opened) return Propagate(opened);
  const Model& model = **opened;
  const Summary summary = Summarize(model);
  if (options.tensor) return InspectTensor(model, summary, options);
  if (!options.json) {
    PrintModel(model, summary);
    return kExitFine;
  }
  std::vector<const TensorRow*> rows;
  for (const TensorRow& row : summary.rows) rows.push_back(&row);
  PrintDocument(ModelJson(model, summary), {}, model, rows);
  return kExitFine;
}

}  // namespace ingot
