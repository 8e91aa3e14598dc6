// Compiled by the host's compiler: it launches kernels by their addresses. no_device.cc takes its place without CUDA.
#ifdef INGOT_HAS_CUDA
#include "kernels/cuda/product_device.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product_kernels.h"

#ifdef INGOT_HAS_CUBLASLT
#include <cublasLt.h>
#endif

namespace ingot::cuda {
namespace {

Status CheckRequest(const MatrixView& matrix, const ProductRequest& request) {
  if (request.x_type != DType::kF16 && request.x_type != DType::kBF16)
    return Fail(ErrorCode::kUsage, "activations in {}, not F16 or BF16", InfoOf(request.x_type).name);
  return CheckSlice(matrix, request.slice);
}

}  // namespace

Status MultiplyOnDevice(const Device& device, const MatrixView& matrix, const ProductRequest& request, void* stream) {
  if (const Status checked = CheckRequest(matrix, request); !checked) return checked;
  const CurrentDevice current(device.index);
  if (const Status chosen = CheckCall(device, "choosing the device", current.error()); !chosen) return chosen;
  for (ProductStep& step : PlanProduct(matrix, request, device)) {
    const bool arranges = step.kernel < ProductKernel::kTiles;
    const void* const function = arranges ? reinterpret_cast<const void*>(ArrangeFunctionFor(step))
                                          : reinterpret_cast<const void*>(ProductFunctionFor(step));
    void* const parameters = arranges ? static_cast<void*>(&step.arrange) : &step.product;
    const Status started = Launch(device, function, {step.grid, step.block, step.shared_bytes}, parameters, stream);
    if (!started) return started;
  }
  return {};
}

#ifdef INGOT_HAS_CUBLASLT
namespace {

Status Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  const ErrorCode code = status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kMemory : ErrorCode::kDevice;
  return Fail(code, "cuBLASLt: {}: {}", what, cublasLtGetStatusString(status));
}

// What a product is described by; freed with it. Matrices are column-major there: W by rows is its transpose.
class Description {
 public:
  Description() = default;
  Description(const Description&) = delete;
  ~Description() {
    for (cublasLtMatrixLayout_t layout : {w_, x_, y_}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
    if (product_ != nullptr) cublasLtMatmulDescDestroy(product_);
    if (preference_ != nullptr) cublasLtMatmulPreferenceDestroy(preference_);
  }
  Status Make(cudaDataType type, uint64_t rows, uint64_t columns, const ProductRequest& r) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const auto ld = [](uint64_t stride) { return static_cast<int64_t>(stride); };
    const cublasStatus_t made[] = {
        cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        cublasLtMatrixLayoutCreate(&w_, type, columns, rows, ld(columns)),
        cublasLtMatrixLayoutCreate(&x_, type, columns, r.x_rows, ld(r.x_stride)),
        cublasLtMatrixLayoutCreate(&y_, CUDA_R_32F, rows, r.x_rows, ld(r.y_stride)),
    };
    for (cublasStatus_t status : made) {
      if (const Status checked = Check(status, "describing a product"); !checked) return checked;
    }
    return Check(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
                 "describing a product");
  }
  Status Run(cublasLtHandle_t handle, const void* w, const ProductRequest& r, float* y, cudaStream_t stream) {
    const float alpha = 1.0f, beta = r.add ? 1.0f : 0.0f;
    cublasLtMatmulHeuristicResult_t best;
    if (const Status found = Choose(handle, w, r.x, y, best); !found) return found;
    return Check(
        cublasLtMatmul(handle, product_, &alpha, w, w_, r.x, x_, &beta, y, y_, y, y_, &best.algo, nullptr, 0, stream),
        "multiplying");
  }

 private:
  // An algorithm without a workspace for the alignment that these addresses have.
  Status Choose(cublasLtHandle_t handle, const void* w, const void* x, const void* y,
                cublasLtMatmulHeuristicResult_t& best) {
    if (preference_ == nullptr) {
      const Status made = Check(cublasLtMatmulPreferenceCreate(&preference_), "choosing an algorithm");
      if (!made) return made;
    }
    const std::pair<cublasLtMatmulPreferenceAttributes_t, const void*> alignments[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, w},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y}};
    for (const auto& [attribute, at] : alignments) {
      const auto address = reinterpret_cast<uintptr_t>(at);
      const uint32_t alignment = address % 256 == 0 ? 256 : static_cast<uint32_t>(address & (~address + 1));
      const Status set =
          Check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &alignment, sizeof alignment),
                "choosing an algorithm");
      if (!set) return set;
    }
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, product_, w_, x_, y_, y_, preference_, 1, &best, &found);
    return Check(status == CUBLAS_STATUS_SUCCESS && found == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : status,
                 "choosing an algorithm");
  }

  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace

Result<LibraryProducts> LibraryProducts::Make(const Device& device) {
  const CurrentDevice current(device.index);
  cublasLtHandle_t handle = nullptr;
  if (const Status made = Check(cublasLtCreate(&handle), "starting it"); !made) return Propagate(made);
  LibraryProducts products;
  products.device_ = device;
  products.handle_ = {handle, [](void* h) { cublasLtDestroy(static_cast<cublasLtHandle_t>(h)); }};
  return products;
}

Status LibraryProducts::Multiply(const MatrixView& matrix, const ProductRequest& request, void* panel,
                                 uint64_t panel_bytes, void* stream) const {
  if (const Status checked = CheckRequest(matrix, request); !checked) return checked;
  const CurrentDevice current(device_.index);
  if (const Status chosen = CheckCall(device_, "choosing the device", current.error()); !chosen) return chosen;
  const MatrixSlice& slice = request.slice;
  if (request.x_rows == 0 || slice.rows == 0 || slice.columns == 0) return {};
  const uint64_t at_once = std::min(slice.rows, panel_bytes / (2 * slice.columns));
  if (at_once == 0) return Fail(ErrorCode::kUsage, "cuBLASLt: no room for one row of {} columns", slice.columns);
  const cudaDataType type = request.x_type == DType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
  for (uint64_t row = 0; row < slice.rows; row += at_once) {
    const uint64_t rows = std::min(at_once, slice.rows - row);
    const MatrixSlice part = {slice.row + row, rows, slice.column, slice.columns};
    const Status decoded = DecodeOnDevice(device_, matrix, part, request.x_type, panel, slice.columns, stream);
    if (!decoded) return decoded;
    Description description;
    if (const Status made = description.Make(type, rows, slice.columns, request); !made) return made;
    const Status done = description.Run(static_cast<cublasLtHandle_t>(handle_.get()), panel, request, request.y + row,
                                        static_cast<cudaStream_t>(stream));
    if (!done) return done;
  }
  return {};
}

#else

Result<LibraryProducts> LibraryProducts::Make(const Device&) {
  return Fail(ErrorCode::kUnsupported, "CUDA: this build of Ingot is without cuBLASLt");
}

Status LibraryProducts::Multiply(const MatrixView&, const ProductRequest&, void*, uint64_t, void*) const {
  return Propagate(Make(device_));
}

#endif

}  // namespace ingot::cuda
#endif  // INGOT_HAS_CUDA
