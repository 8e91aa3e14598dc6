#include "tools/bench/side_by_side/ggml_side.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <ggml-alloc.h>
#include <ggml-cpu.h>
#include <gguf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "tools/bench/side_by_side/ingot_side.h"

namespace side {
namespace {

// The buffers in which ggml lays weights out for this processor; null if it has none.
ggml_backend_buffer_type_t RepackBuffers() {
  ggml_backend_reg_t cpu = ggml_backend_cpu_reg();
  const auto extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(cpu, "ggml_backend_dev_get_extra_bufts"));
  if (extra == nullptr) return nullptr;
  for (auto* type = extra(ggml_backend_reg_dev_get(cpu, 0)); type != nullptr && *type != nullptr; ++type) {
    if (std::strcmp(ggml_backend_buft_name(*type), "CPU_REPACK") == 0) return *type;
  }
  return nullptr;
}

}  // namespace

GgmlTensor::GgmlTensor(const std::string& path, const std::string& name, int copies) {
  ggml_context* tensors = nullptr;
  gguf_context* file = gguf_init_from_file(path.c_str(), {true, &tensors});
  const int64_t number = file == nullptr ? -1 : gguf_find_tensor(file, name.c_str());
  if (number < 0) Fail(path + ": no tensor " + name);
  const ggml_tensor* tensor = ggml_get_tensor(tensors, name.c_str());
  type_ = tensor->type, bytes_ = ggml_nbytes(tensor);
  columns_ = static_cast<uint64_t>(tensor->ne[0]), rows_ = static_cast<uint64_t>(tensor->ne[1]);
  const auto offset = static_cast<off_t>(gguf_get_data_offset(file) + gguf_get_tensor_offset(file, number));
  const int descriptor = open(path.c_str(), O_RDONLY);
  for (int i = 0; i < copies; ++i) {
    auto* memory = static_cast<char*>(HugeMemory(bytes_));
    for (size_t at = 0; at < bytes_;) {
      const ssize_t got = pread(descriptor, memory + at, bytes_ - at, offset + static_cast<off_t>(at));
      if (got <= 0) Fail(path + ": cannot be read");
      at += static_cast<size_t>(got);
    }
    copies_.push_back(memory);
  }
  close(descriptor);
  gguf_free(file);
  ggml_free(tensors);
}

RowFunction RowFunctionOf(ggml_type type) { return ggml_get_type_traits(type)->to_float; }

RowFunction RowFunctionOf(ggml_type type, const char* library) {
  // A copy of its own: what it calls, it finds in itself.
  void* other = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (other == nullptr) Fail(dlerror());
  const auto traits = reinterpret_cast<decltype(&ggml_get_type_traits)>(dlsym(other, "ggml_get_type_traits"));
  if (traits == nullptr || traits == &ggml_get_type_traits) Fail(std::string(library) + ": not another ggml");
  return traits(type)->to_float;
}

GgmlProducts::GgmlProducts(const GgmlTensor& w, const float* x, uint64_t batch, int threads, bool repack) {
  ggml_backend_buffer_type_t buffers = repack ? RepackBuffers() : ggml_backend_cpu_buffer_type();
  if (buffers == nullptr) return;
  const auto copies = static_cast<size_t>(w.copies());
  const auto columns = static_cast<int64_t>(w.columns()), rows = static_cast<int64_t>(w.rows());
  weights_ = ggml_init({ggml_tensor_overhead() * (copies + 4), nullptr, true});
  nodes_ = ggml_init(
      {ggml_tensor_overhead() * (2 * copies + 16) + ggml_graph_overhead_custom(copies + 16, false), nullptr, true});
  for (size_t i = 0; i < copies; ++i) w_.push_back(ggml_new_tensor_2d(weights_, w.type(), columns, rows));
  weight_memory_ = ggml_backend_alloc_ctx_tensors_from_buft(weights_, buffers);
  cpu_ = ggml_backend_cpu_init();
  ggml_backend_cpu_set_n_threads(cpu_, threads);
  x_ = ggml_new_tensor_2d(nodes_, GGML_TYPE_F32, columns, static_cast<int64_t>(batch));
  graph_ = ggml_new_graph_custom(nodes_, copies + 16, false);
  possible_ = weight_memory_ != nullptr;
  for (ggml_tensor* weights : w_) {
    ggml_tensor* y = ggml_mul_mat(nodes_, weights, x_);
    if (y_ == nullptr) y_ = y;
    possible_ = possible_ && ggml_backend_supports_op(cpu_, y);
    ggml_build_forward_expand(graph_, y);
  }
  node_memory_ = ggml_backend_alloc_ctx_tensors_from_buft(nodes_, ggml_backend_cpu_buffer_type());
  possible_ = possible_ && node_memory_ != nullptr && (!repack || w_[0]->extra != nullptr);
  if (possible_) Load(w, x);
}

void GgmlProducts::Load(const GgmlTensor& w, const float* x) {
  madvise(ggml_backend_buffer_get_base(weight_memory_), ggml_backend_buffer_get_size(weight_memory_), MADV_HUGEPAGE);
  for (size_t i = 0; i < w_.size(); ++i) ggml_backend_tensor_set(w_[i], w.data(static_cast<int>(i)), 0, w.bytes());
  ggml_backend_tensor_set(x_, x, 0, ggml_nbytes(x_));
}

GgmlProducts::~GgmlProducts() {
  if (node_memory_ != nullptr) ggml_backend_buffer_free(node_memory_);
  if (weight_memory_ != nullptr) ggml_backend_buffer_free(weight_memory_);
  if (cpu_ != nullptr) ggml_backend_free(cpu_);
  if (nodes_ != nullptr) ggml_free(nodes_);
  if (weights_ != nullptr) ggml_free(weights_);
}

void GgmlProducts::Run() const {
  if (ggml_backend_graph_compute(cpu_, graph_) != GGML_STATUS_SUCCESS) Fail("ggml cannot multiply");
}

std::vector<float> GgmlProducts::Result() const {
  Run();
  std::vector<float> y(static_cast<size_t>(ggml_nelements(y_)));
  ggml_backend_tensor_get(y_, y.data(), 0, 4 * y.size());
  return y;
}

}  // namespace side
