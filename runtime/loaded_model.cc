#include "runtime/loaded_model.h"

#include <tbb/info.h>

#include <cstring>

namespace ingot {
namespace {

constexpr uint64_t kDefaultCache = uint64_t{256} << 20;

Result<int> ThreadsOf(int asked) {
  if (asked > 0) return asked;
  auto environment = ThreadsFromEnvironment();
  if (!environment) return Propagate(environment);
  return environment->value_or(tbb::info::default_concurrency());
}

}  // namespace

Result<std::shared_ptr<LoadedModel>> LoadedModel::Open(const std::string& path, const LoadOptions& options) {
  const auto threads = ThreadsOf(options.threads);
  if (!threads) return Propagate(threads);
  ArenaPool arenas(*threads);
  auto model = arenas.Run([&] { return Model::Open(path); });
  if (!model) return Propagate(model);
  const uint64_t cache_bytes = options.cache_bytes == 0 ? kDefaultCache : options.cache_bytes;
  std::shared_ptr<LoadedModel> loaded(new LoadedModel(std::move(*model), *threads, cache_bytes));
  PlaneStore::Options how;
  how.map = options.map;
  how.verify = options.verify != VerifyMode::kOff;
  how.huge_pages = true;
  for (const auto& container : loaded->model_->containers()) {
    auto store = PlaneStore::Open(container, how, loaded->cache_, &loaded->arenas_);
    if (!store) return Propagate(store);
    loaded->stores_.push_back(std::move(*store));
  }
  if (options.verify == VerifyMode::kOpen) {
    if (auto verified = loaded->Verify({}); !verified) return Propagate(verified);
  }
  return loaded;
}

Result<std::shared_ptr<const TensorView>> LoadedModel::OpenTensor(uint32_t number) {
  const Model::TensorId id = model_->id(number);
  auto view = TensorView::Open(*stores_[id.container], id.tensor, &arenas_);
  if (!view) return Propagate(view);
  // The view and the model that it looks at, as one.
  struct Held {
    std::shared_ptr<LoadedModel> model;
    std::unique_ptr<TensorView> view;
  };
  const auto held = std::make_shared<Held>(Held{shared_from_this(), std::move(*view)});
  return std::shared_ptr<const TensorView>(held, held->view.get());
}

uint64_t LoadedModel::AttachmentSize(uint32_t number) const {
  const Index& index = model_->main().index();
  const uint32_t plane = index.attachment(number).plane;
  return plane == kNoRecord ? 0 : index.plane(plane).size;
}

Status LoadedModel::ReadAttachment(uint32_t number, std::span<std::byte> out) {
  const uint32_t plane = model_->main().index().attachment(number).plane;
  if (plane == kNoRecord) return {};
  PlaneStore& store = *stores_.front();
  const auto at = store.AddressOf(plane, false);
  if (!at) return Propagate(at);
  const PlaneRange range = {plane, false, 0, out.size()};
  const auto pins = store.Use({&range, 1}, true);
  if (!pins) return Propagate(pins);
  std::memcpy(out.data(), *at, out.size());
  return {};
}

Status LoadedModel::Verify(const ProgressFn& progress) {
  uint64_t total = 0, before = 0;
  for (const auto& store : stores_) total += store->stored_bytes();
  for (const auto& store : stores_) {
    const auto report = [&](uint64_t done, uint64_t) { return KeepGoing(progress, before + done, total); };
    if (auto verified = store->VerifyAll(report); !verified) return verified;
    before += store->stored_bytes();
  }
  return {};
}

Hash128 LoadedModel::ContentDigest() {
  const std::lock_guard lock(mutex_);
  if (!digest_) digest_ = model_->ContentDigest();
  return *digest_;
}

LoadedModel::Memory LoadedModel::MemoryInUse() const {
  Memory memory;
  for (size_t i = 0; i < stores_.size(); ++i) {
    const PlaneStore& store = *stores_[i];
    memory.mapped += store.mapped_bytes();
    memory.resident += store.resident_bytes();
    memory.private_bytes += store.private_bytes() + model_->containers()[i]->index().bytes().size();
    memory.verified += store.verified_bytes();
  }
  memory.cache = cache_.bytes();
  memory.cache_limit = cache_.limit();
  return memory;
}

}  // namespace ingot
