#include "convert/convert.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "convert/encoded_tensor.h"
#include "convert/file_finisher.h"
#include "convert/pipeline.h"
#include "convert/verify.h"
#include "format/checked.h"
#include "format/report.h"
#include "runtime/model.h"
#include "runtime/validate.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// kUsage if the target is a file of the source, or lies in its folder.
Status CheckTarget(const Source& source, const std::string& source_path, const std::string& target) {
  std::error_code error;
  for (const SourceFile& file : source.files()) {
    if (fs::equivalent(file.path, target, error))
      return Fail(ErrorCode::kUsage, "{}: the target is the source file {}", target, file.path);
  }
  if (!fs::is_directory(source_path, error)) return {};
  const fs::path folder = fs::weakly_canonical(fs::path(target), error).parent_path(),
                 inside = fs::canonical(source_path, error);
  const auto [end, rest] = std::mismatch(inside.begin(), inside.end(), folder.begin(), folder.end());
  if (end == inside.end())
    return Fail(ErrorCode::kUsage, "{}: the target lies in the source folder {}", target, source_path);
  return {};
}

// About the bytes of planes that a tensor will take.
uint64_t EstimateBytes(const SourceTensor& t, const Method& m) {
  if (m.kind == MethodKind::kKeep) return t.size;
  const uint64_t rows = MatrixRows(t), cols = MatrixCols(t);
  const uint64_t group = std::min(m.group_size == 0 ? cols : m.group_size, cols),
                 groups = m.group_size == Method::kPerTensor ? 0 : rows * CeilDiv(cols, group);
  const uint64_t codes = rows * CeilDiv(cols, kPackUnit) * 8 * static_cast<uint64_t>(m.bits);
  const uint64_t zeros = m.zero_point == ZeroPointKind::kInteger ? groups * static_cast<uint64_t>(m.bits) / 8
                         : m.zero_point == ZeroPointKind::kFloat ? 2 * groups
                                                                 : 0;
  return codes + groups * InfoOf(m.scale_dtype).size + zeros +
         static_cast<uint64_t>(static_cast<double>(rows * cols) * m.outlier_ratio * 4);
}

// The jobs of each shard: consecutive tensors whose planes are at most shard_size together (one tensor at least).
Result<std::vector<std::vector<Job>>> Distribute(const Source& source, const SelectorOptions& selection,
                                                 uint64_t shard_size) {
  auto selector = Selector::Make(selection);
  if (!selector) return Propagate(selector);
  std::vector<std::vector<Job>> shards(1);
  uint64_t bytes = 0;
  for (const SourceTensor& t : source.tensors()) {
    auto decision = selector->Decide(t);
    if (!decision) return Propagate(decision);
    const uint64_t own = EstimateBytes(t, decision->method);
    if (shard_size != 0 && !shards.back().empty() && bytes + own > shard_size) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back({&t, decision->method});
    bytes += own;
  }
  return shards;
}

// Shards are written one after the other, all under this name: what a killed conversion left is taken over by the next
// one, however many shards that has.
constexpr const char* kShardInWork = ".shard";

std::string ShardName(const std::string& target, size_t number, size_t count, const std::string& digest) {
  const std::string stem = target.ends_with(".ingot") ? target.substr(0, target.size() - 6) : target;
  return fmt::format("{}-{:05}-of-{:05}-{}.ingot", stem, number, count, digest.substr(0, 8));
}

// The file name as provenance may record it: what is not allowed in it becomes an underscore.
std::string SafeSourceName(std::string name) {
  if (IsSafeName(name, 1)) return name;
  for (char& c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F || c == '/' || c == '\\' || c == ':') c = '_';
  }
  return name.empty() ? "_" : name;
}

// What the source says that it was made from; nothing if it does not say all that is to be recorded.
std::optional<std::vector<SourceOrigin>> OriginsOf(const Source& source, bool sha256) {
  auto origins = source.origins();
  const auto lacks = [](const SourceOrigin& origin) { return !origin.sha256; };
  if (origins && sha256 && std::any_of(origins->begin(), origins->end(), lacks)) return std::nullopt;
  return origins;
}

bool KeepsEverything(const Recipe& recipe) {
  return std::all_of(recipe.rules.begin(), recipe.rules.end(),
                     [](const Rule& rule) { return rule.method.kind == MethodKind::kKeep; });
}

class Conversion {
 public:
  Conversion(const Source& source, const std::string& target, const ConvertOptions& options)
      : source_(source),
        target_(target),
        options_(options),
        origins_(OriginsOf(source, options.sha256)),
        hasher_(source, options.sha256 || source.has_sha256(), !origins_) {
    options_.sha256 = options.sha256 || source.has_sha256();
  }
  // Shards that got their names before something failed are removed again.
  ~Conversion() {
    if (done_) return;
    for (const std::string& path : named_) unlink(path.c_str());
  }

  Result<ConvertResult> Run() {
    const auto start = std::chrono::steady_clock::now();
    auto distributed = Distribute(source_, options_.selection, options_.shard_size);
    if (!distributed) return Propagate(distributed);
    const std::vector<std::vector<Job>>& shards = *distributed;
    auto file = OutputFile::Create(target_, options_.force);
    if (!file) return Propagate(file);
    if (shards.size() == 1) (void)OutputFile::Create(target_ + kShardInWork, true);  // opened and given up: it is gone
    const std::set<std::string> old_shards = ShardsOf(target_);
    for (const SourceTensor& t : source_.tensors()) totals_.total_bytes += t.size;

    IndexBuilder builder;
    RegionAllocator allocator(kHeaderSize, options_.alignment);
    if (shards.size() == 1) {
      if (auto done = Stream(shards[0], *file, allocator, builder); !done) return Propagate(done);
    }
    for (size_t i = 0; shards.size() > 1 && i < shards.size(); ++i) {
      if (auto done = WriteShard(shards[i], i + 1, shards.size(), builder); !done) return Propagate(done);
    }
    if (auto done = Describe(*file, allocator, builder); !done) return Propagate(done);
    auto finished = FinishFile(*file, allocator, builder, options_.alignment);
    if (!finished) return Propagate(finished);
    result_.file_bytes += finished->bytes;
    result_.content_digest = finished->content_digest;
    if (auto done = Commit(*file, shards.size() == 1 ? shards[0] : std::vector<Job>{}); !done) return Propagate(done);
    done_ = true;
    RemoveOldShards(old_shards);
    if (shards.size() > 1) {
      auto model = Model::Open(target_);
      if (!model) return Propagate(model);
      result_.content_digest = (*model)->ContentDigest();
    }
    for (const auto& jobs : shards) {
      for (const Job& job : jobs) {
        const bool kept = job.method.kind == MethodKind::kKeep;
        result_.quantized += !kept;
        result_.imported += kept && job.tensor->encoded != nullptr && job.tensor->encoded->is_quantized();
      }
    }
    result_.tensors = source_.tensors().size();
    result_.source_bytes = totals_.total_bytes;
    result_.inexact_outliers = totals_.inexact_outliers;
    result_.seconds = SecondsSince(start);
    return result_;
  }

 private:
  Status Stream(const std::vector<Job>& jobs, OutputFile& file, RegionAllocator& allocator, IndexBuilder& builder) {
    TensorSink sink{file, allocator, builder, options_.compress, options_.sha256, {}};
    builder.RecordSha256(options_.sha256);
    return RunPipeline(source_, jobs, options_, hasher_, sink, totals_);
  }

  Status WriteShard(const std::vector<Job>& jobs, size_t number, size_t count, IndexBuilder& manifest) {
    auto file = OutputFile::Create(target_ + kShardInWork, true);
    if (!file) return Propagate(file);
    IndexBuilder builder;
    RegionAllocator allocator(kHeaderSize, options_.alignment);
    if (auto done = Stream(jobs, *file, allocator, builder); !done) return done;
    builder.SetMetadata("ingot.generator", MetadataValue::String(GeneratorName()));
    auto finished = FinishFile(*file, allocator, builder, options_.alignment);
    if (!finished) return Propagate(finished);
    // Named after the content: a set of shards that is there already stays whole until its manifest is replaced.
    file->SetTarget(ShardName(target_, number, count, ToHex(finished->content_digest)));
    const bool existed = access(file->target().c_str(), F_OK) == 0;
    if (existed && !options_.force) return Fail(ErrorCode::kUsage, "{}: exists; --force replaces it", file->target());
    if (auto done = Commit(*file, jobs); !done) return done;
    if (!existed) named_.push_back(file->target());
    result_.file_bytes += finished->bytes;
    manifest.AddShard(file->target().substr(FolderOf(target_).size()), finished->names_digest,
                      finished->content_digest);
    return {};
  }

  // Attachments, metadata and sources: what the main file says of the whole.
  Status Describe(OutputFile& file, RegionAllocator& allocator, IndexBuilder& builder) {
    for (size_t i = 0; i < source_.attachments().size(); ++i) {
      const auto bytes = source_.OpenAttachment(i);
      if (!bytes) return Propagate(bytes);
      auto plane = WriteAttachment(file, allocator, *bytes, options_.compress, options_.sha256);
      if (!plane) return Propagate(plane);
      builder.AddAttachment(source_.attachments()[i].name, *plane);
    }
    // Of a file that is only copied, its own recipe says how it was made.
    const std::string recipe_key = "ingot.recipe", prefix = source_.metadata_prefix();
    builder.SetMetadata(recipe_key, MetadataValue::String(RecipeToJson(options_.selection.recipe)));
    for (const auto& [key, value] : source_.metadata()) {
      if (prefix.size() + key.size() > kMaxNameSize)
        return Fail(ErrorCode::kBadInput, "{}: metadata key '{}' of {} bytes is too long", source_.files().front().path,
                    Escape(key), key.size());
      if (prefix + key != recipe_key || KeepsEverything(options_.selection.recipe))
        builder.SetMetadata(prefix + key, value);
    }
    builder.SetMetadata("ingot.generator", MetadataValue::String(GeneratorName()));
    builder.RecordSha256(options_.sha256);
    for (const SourceOrigin& o : origins_.value_or(std::vector<SourceOrigin>{}))
      builder.AddSource(o.name, o.size, o.hash, o.sha256.value_or(Sha256{}));
    auto digests = hasher_.Finish();
    if (!digests) return Propagate(digests);
    for (size_t i = 0; i < digests->size(); ++i) {
      const SourceFile& f = source_.files()[i];
      builder.AddSource(SafeSourceName(f.name), f.size, (*digests)[i].hash, (*digests)[i].sha256);
    }
    return {};
  }

  // `jobs`: of the tensors in the file.
  Status Commit(OutputFile& file, const std::vector<Job>& jobs) {
    if (options_.verify) {
      auto checked = ValidateFile(file.partial(), {.structure_only = false, .progress = {}});
      if (!checked) return Propagate(checked);
      // A manifest's shards are looked for beside it under its own name; all its other rules count.
      for (const Violation& v : checked->violations)
        return Fail(ErrorCode::kIo, "the written file is damaged: {}", TextOf(file.target(), v));
      if (!jobs.empty()) {
        const auto compared = VerifyTensors(file.partial(), file.target(), source_, jobs, {});
        if (!compared) return Propagate(compared);
        result_.verified += *compared;
      }
    }
    if (auto done = file.Commit(); !done) return done;
    result_.sync_seconds += file.sync_seconds();
    result_.files.push_back(file.target());
    return {};
  }

  // The shards of a manifest that is about to be replaced.
  std::set<std::string> ShardsOf(const std::string& path) {
    std::set<std::string> names;
    std::error_code error;
    if (!fs::exists(path, error)) return names;
    if (auto old = Container::Open(path)) {
      for (uint32_t i = 0; i < (*old)->index().count(Table::kShards); ++i) names.emplace((*old)->index().shard(i).name);
    }
    return names;
  }

  void RemoveOldShards(const std::set<std::string>& old) {
    const std::string folder = FolderOf(target_);
    for (const std::string& name : old) {
      const std::string path = folder + name;
      std::error_code error;
      const bool read = std::any_of(source_.files().begin(), source_.files().end(),
                                    [&](const SourceFile& file) { return fs::equivalent(file.path, path, error); });
      if (!read && std::find(result_.files.begin(), result_.files.end(), path) == result_.files.end())
        unlink(path.c_str());
    }
  }

  const Source& source_;
  const std::string& target_;
  ConvertOptions options_;
  std::optional<std::vector<SourceOrigin>> origins_;  // if they stand for the source's own files
  SourceHasher hasher_;
  PipelineTotals totals_;
  ConvertResult result_;
  std::vector<std::string> named_;
  bool done_ = false;
};

}  // namespace

std::string GeneratorName() { return "ingot 0.1.0"; }

Result<std::vector<PlannedTensor>> PlanConversion(const Source& source, const SelectorOptions& selection) {
  auto selector = Selector::Make(selection);
  if (!selector) return Propagate(selector);
  std::vector<PlannedTensor> plan;
  for (const SourceTensor& t : source.tensors()) {
    auto decision = selector->Decide(t);
    if (!decision) return Propagate(decision);
    plan.push_back({t.name, t.dtype, t.shape, decision->method, decision->reason, t.size});
  }
  return plan;
}

Result<ConvertResult> Convert(const Source& source, const std::string& source_path, const std::string& target,
                              const ConvertOptions& options) {
  if (auto fits = CheckTarget(source, source_path, target); !fits) return Propagate(fits);
  return Conversion(source, target, options).Run();
}

}  // namespace ingot
