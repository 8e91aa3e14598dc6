// Models: opening, describing, verifying, memory.
#include "runtime/abi/abi.h"
#include "runtime/threads.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

tl::expected<LoadOptions, Failure> OptionsOf(const ingot_open_options* theirs) {
  LoadOptions options;
  if (theirs == nullptr) return options;
  if (auto checked = CheckStruct(theirs, "options"); !checked) return tl::unexpected(checked.error());
  const ingot_open_options ours = TakeIn(theirs);
  if (ours.access > INGOT_ACCESS_COPY) return Refuse(INGOT_E_ARGUMENT, "options->access is {}", ours.access);
  if (ours.verify > INGOT_VERIFY_OFF) return Refuse(INGOT_E_ARGUMENT, "options->verify is {}", ours.verify);
  if (ours.threads > static_cast<uint32_t>(kMostThreads))
    return Refuse(INGOT_E_ARGUMENT, "options->threads is {}, at most {} are used", ours.threads, kMostThreads);
  if (ours.reserved != 0) return Refuse(INGOT_E_ARGUMENT, "options->reserved is {}, must be 0", ours.reserved);
  options.map = ours.access == INGOT_ACCESS_MAP;
  options.verify = static_cast<VerifyMode>(ours.verify);
  options.threads = static_cast<int>(ours.threads);
  options.cache_bytes = ours.cache_bytes;
  return options;
}

void PutBigEndian(uint64_t value, uint8_t* out) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<uint8_t>(value >> (56 - 8 * i));
}

ingot_model_info Describe(LoadedModel& loaded) {
  const Model& model = loaded.model();
  const Index& index = model.main().index();
  auto info = Blank<ingot_model_info>();
  info.format_major = model.main().header().major;
  info.format_minor = model.main().header().minor;
  info.file_count = static_cast<uint32_t>(model.containers().size());
  info.tensor_count = model.tensor_count();
  info.metadata_count = static_cast<uint32_t>(index.count(Table::kMetadata));
  info.attachment_count = static_cast<uint32_t>(index.count(Table::kAttachments));
  for (const auto& container : model.containers()) info.file_bytes += container->file().size();
  const Hash128 digest = loaded.ContentDigest();
  PutBigEndian(digest.high, info.content_digest);
  PutBigEndian(digest.low, info.content_digest + 8);
  return info;
}

}  // namespace

extern "C" {

ingot_status ingot_model_open(const char* path, const ingot_open_options* options, ingot_model** out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{path, "path"}, {out, "out"}}); !there) return there;
    const auto how = OptionsOf(options);
    if (!how) return tl::unexpected(how.error());
    if (auto target = EnsureTarget(); !target) return Pass(target);
    auto loaded = LoadedModel::Open(path, *how);
    if (!loaded) return Pass(loaded);
    *out = new ingot_model(std::move(*loaded));
    return {};
  });
}

ingot_model* ingot_model_retain(ingot_model* model) {
  if (model != nullptr) model->references.fetch_add(1, std::memory_order_relaxed);
  return model;
}

void ingot_model_release(ingot_model* model) {
  if (model != nullptr && model->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete model;
}

ingot_status ingot_model_describe(const ingot_model* model, ingot_model_info* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    HandOut(Describe(*model->loaded), out);
    return {};
  });
}

ingot_status ingot_model_verify(const ingot_model* model, ingot_progress progress, void* user) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    ProgressFn report;
    if (progress != nullptr) report = [&](uint64_t done, uint64_t total) { return progress(user, done, total) == 0; };
    if (auto verified = model->loaded->Verify(report); !verified) return Pass(verified);
    return {};
  });
}

ingot_status ingot_model_memory(const ingot_model* model, ingot_memory_info* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const LoadedModel::Memory memory = model->loaded->MemoryInUse();
    auto info = Blank<ingot_memory_info>();
    info.mapped_bytes = memory.mapped;
    info.resident_bytes = memory.resident;
    info.private_bytes = memory.private_bytes;
    info.cache_bytes = memory.cache;
    info.cache_limit = memory.cache_limit;
    info.verified_bytes = memory.verified;
    HandOut(info, out);
    return {};
  });
}

}  // extern "C"
