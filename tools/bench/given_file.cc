// What is measured on a file of the user's: its own tensors, those of one encoding together.
#include <fmt/format.h>

#include <algorithm>

#include "format/dtype.h"
#include "runtime/loaded_model.h"
#include "tools/bench/file_groups.h"
#include "tools/bench/file_work.h"
#include "tools/bench/sections.h"
#include "tools/bench/synthetic.h"
#include "tools/open_model.h"

namespace ingot::bench {
namespace {

// The tensors of a group, open with some number of threads.
class OpenGroup {
 public:
  static Result<OpenGroup> Create(const std::string& path, const Group& group, int threads) {
    LoadOptions options;
    options.threads = threads;
    const auto model = LoadedModel::Open(path, options);
    if (!model) return Propagate(model);
    OpenGroup open;
    for (uint32_t number : group.tensors) {
      auto view = (*model)->OpenTensor(number);
      if (!view) return Propagate(view);
      if ((*view)->CanDecode() && (*view)->whole().columns > 0) open.views_.push_back(std::move(*view));
    }
    return open;
  }

  bool empty() const { return views_.empty(); }
  const std::vector<std::shared_ptr<const TensorView>>& views() const { return views_; }
  uint64_t values() const {
    return Sum([](const MatrixSlice& whole) { return RowsToDecode(whole) * whole.columns; });
  }
  uint64_t rows() const {
    return Sum([](const MatrixSlice& whole) { return whole.rows; });
  }
  uint64_t columns() const {
    uint64_t most = 0;
    for (const auto& view : views_) most = std::max(most, view->whole().columns);
    return most;
  }

  // All of it, one tensor after the other; rows of a tensor that is larger than memory should be are left out.
  Status Decode(DType type, std::byte* out) const {
    for (const auto& view : views_) {
      MatrixSlice slice = view->whole();
      slice.rows = RowsToDecode(slice);
      if (auto done = view->Decode(slice, type, out, slice.columns); !done) return done;
      out += slice.rows * slice.columns * InfoOf(type).size;
    }
    return {};
  }
  Status Multiply(const Product& product) const {
    Product own = product;
    for (const auto& view : views_) {
      const MatrixSlice whole = view->whole();
      own.x_stride = whole.columns, own.y_stride = whole.rows;
      if (auto done = view->Multiply(whole, own); !done) return done;
      own.y += whole.rows * own.x_rows;
    }
    return {};
  }

 private:
  static uint64_t RowsToDecode(const MatrixSlice& whole) {
    return std::min(whole.rows, std::max<uint64_t>(1, 2 * Group::kEnoughValues / whole.columns));
  }
  template <typename Count>
  uint64_t Sum(const Count& count) const {
    uint64_t sum = 0;
    for (const auto& view : views_) sum += count(view->whole());
    return sum;
  }
  std::vector<std::shared_ptr<const TensorView>> views_;
};

Task DecodeGroup(const std::string& path, const Group& group) {
  return [=](Bench& bench) -> Status {
    for (int threads : bench.thread_counts()) {
      const auto open = OpenGroup::Create(path, group, threads);
      if (!open) return Propagate(open);
      if (open->empty() || open->values() == 0) return {};
      const Memory out(open->values() * 4);
      Status failed;
      for (const auto& [type, name] : {std::pair{DType::kF32, "f32"}, {DType::kF16, "f16"}, {DType::kBF16, "bf16"}}) {
        const size_t bytes = open->values() * InfoOf(type).size;
        const auto decode = [&, to = type] {
          if (auto done = open->Decode(to, out.data()); !done) failed = done;
        };
        bench.AddRate(
            {"decode", group.encoding, OnThreads(name, threads), "memset of as many bytes, " + ThreadsText(threads)},
            {static_cast<double>(bytes), decode}, Memset(out.data(), bytes, Team(threads)));
        if (!failed) return failed;
      }
    }
    return {};
  };
}

// `batch` rows of activations.
Status MultiplyGroup(Bench& bench, const OpenGroup& open, const Group& group, uint64_t batch, int threads) {
  std::vector<float> x(batch * open.columns()), y(batch * open.rows());
  Words words(3);
  for (float& value : x) value = words.Between(-1, 1);
  const Memory packed(std::max<size_t>(group.bytes, 1 << 20));
  const Team team(threads);
  constexpr std::pair<Precision, const char*> kPrecisions[] = {
      {Precision::kInt8, "int8"}, {Precision::kInt16, "int16"}, {Precision::kF32, "f32"}};
  Status failed;
  for (const auto& precision : kPrecisions) {
    const Product product{x.data(), batch, 0, y.data(), 0, precision.first, 6.0f, false};
    const auto multiply = [&] {
      if (auto done = open.Multiply(product); !done) failed = done;
    };
    const std::string column = OnThreads(precision.second, threads);
    if (batch == 1) {
      bench.AddRate(
          {"products, 1 row", group.encoding, column, "8-stream read of as many bytes, " + ThreadsText(threads)},
          {static_cast<double>(group.bytes), multiply}, EightStreamRead(packed.data(), packed.size(), team));
    } else {
      const double operations = 2.0 * static_cast<double>(group.values) * static_cast<double>(batch);
      bench.AddRate({"products, many rows", fmt::format("{}, {} rows", group.encoding, batch), column,
                     "f32 multiply-adds, " + ThreadsText(threads)},
                    {operations, multiply}, FmaPeak(team), "GFLOP/s");
    }
    if (!failed) return failed;
  }
  return {};
}

Task MultiplyGroups(const std::string& path, const Group& group, uint64_t batch) {
  return [=](Bench& bench) -> Status {
    for (int threads : bench.thread_counts()) {
      const auto open = OpenGroup::Create(path, group, threads);
      if (!open) return Propagate(open);
      if (open->views().size() != group.tensors.size() || group.values == 0) return {};  // some cannot be multiplied
      if (auto done = MultiplyGroup(bench, *open, group, batch, threads); !done) return done;
    }
    return {};
  };
}

// The smallest tensor with real values; empty if there is none.
Result<std::string> SmallestTensor(const std::string& path, const Model& model) {
  LoadOptions options;
  options.threads = 1;
  const auto loaded = LoadedModel::Open(path, options);
  if (!loaded) return Propagate(loaded);
  std::string name;
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const PartLayout layout(model.container_of(i).index(), model.tensor(i));
    const uint64_t values = layout.rows() * layout.columns();
    if (values >= least || values == 0) continue;
    const auto view = (*loaded)->OpenTensor(i);
    if (!view) return Propagate(view);
    if ((*view)->CanDecode()) least = values, name = model.tensor(i).name;
  }
  return name;
}

}  // namespace

Result<std::vector<Task>> FileTasks(const Bench&, const std::string& path,
                                    const std::function<bool(const std::string& section)>& wanted) {
  const auto model = OpenModel(path);
  if (!model) return Propagate(model);
  std::vector<Task> tasks;
  const std::vector<Group> groups = GroupsOf(**model);
  if (wanted("decode")) {
    for (const Group& group : groups) tasks.push_back(DecodeGroup(path, group));
  }
  for (uint64_t batch : {1, 32, 512}) {
    if (!wanted(batch == 1 ? "gemv" : "gemm")) continue;
    for (const Group& group : groups) tasks.push_back(MultiplyGroups(path, group, batch));
  }
  uint64_t bytes = 0;
  for (const auto& container : (*model)->containers()) {
    for (uint32_t p = 0; p < container->index().plane_count(); ++p) bytes += container->index().plane(p).size;
  }
  const auto smallest = SmallestTensor(path, **model);
  if (!smallest) return Propagate(smallest);
  const std::string row = fmt::format("{} tensors", (*model)->tensor_count());
  if (wanted("open") && !smallest->empty())
    tasks.push_back([=, name = *smallest](Bench& bench) { return MeasureOpen(bench, path, row, name); });
  if (wanted("verify") && bytes > 0)
    tasks.push_back([=](Bench& bench) {
      return MeasureVerify(bench, path, fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)), bytes);
    });
  return tasks;
}

}  // namespace ingot::bench
