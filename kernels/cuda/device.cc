// Compiled by the host's compiler: it launches kernels by their addresses. no_device.cc takes its place without CUDA.
#ifdef INGOT_HAS_CUDA
#include "kernels/cuda/device.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/decode_plan.h"

namespace ingot::cuda {
namespace {

constexpr int kOldest = 75;

Status Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  const ErrorCode code = error == cudaErrorMemoryAllocation ? ErrorCode::kMemory : ErrorCode::kUnsupported;
  return Fail(code, "CUDA: {}: {}", what, cudaGetErrorString(error));
}

}  // namespace

Result<Device> OpenDevice(int index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver)
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no NVIDIA driver, or it is too old for this build");
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no device");
  if (const Status checked = Check(error, "looking for devices"); !checked) return Propagate(checked);
  if (index < 0 || index >= count)
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no device {}, the last one is {}", index, count - 1);
  cudaDeviceProp properties;
  if (const Status checked = Check(cudaGetDeviceProperties(&properties, index), "reading a device's properties");
      !checked)
    return Propagate(checked);
  Device device;
  device.index = index;
  device.name = properties.name;
  device.multiprocessors = static_cast<uint32_t>(properties.multiProcessorCount);
  device.architecture = properties.major * 10 + properties.minor;
  if (device.architecture < kOldest)
    return Fail(ErrorCode::kUnsupported, "CUDA: device {} ({}) is an sm_{}; the oldest that is supported is sm_{}",
                index, device.name, device.architecture, kOldest);
  return device;
}

Status DecodeOnDevice(const Device& device, const MatrixView& matrix, uint64_t first, uint64_t count, DType type,
                      void* out, void* stream) {
  const uint64_t all = matrix.rows * matrix.columns;
  if (first > all || count > all - first)
    return Fail(ErrorCode::kUsage, "elements {} to {} of a matrix of {}", first, first + count, all);
  if (type > DType::kBF16) return Fail(ErrorCode::kUsage, "decoding gives F32, F16 or BF16, not {}", InfoOf(type).name);
  if (const Status checked = Check(cudaSetDevice(device.index), "choosing a device"); !checked) return checked;
  for (DecodeStep& step : PlanDecode(matrix, first, count, type, out, device.multiprocessors)) {
    const DecodeFunction function = FunctionFor(step);
    if (function == nullptr) return Fail(ErrorCode::kUnsupported, "CUDA: no kernel for an encoding");
    void* arguments[] = {&step.params};
    const cudaError_t error =
        cudaLaunchKernel(reinterpret_cast<const void*>(function), dim3(step.grid), dim3(step.block), arguments,
                         step.shared_bytes, static_cast<cudaStream_t>(stream));
    if (const Status checked = Check(error, "starting a kernel"); !checked) return checked;
  }
  return {};
}

}  // namespace ingot::cuda
#endif  // INGOT_HAS_CUDA
