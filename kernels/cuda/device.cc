// Compiled by the host's compiler: it launches kernels by their addresses. no_device.cc takes its place without CUDA.
#ifdef INGOT_HAS_CUDA
#include "kernels/cuda/device.h"

#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/launch.h"

namespace ingot::cuda {
namespace {

constexpr int kOldest = 75;

Status CheckType(DType type) {
  if (type <= DType::kBF16) return {};
  return Fail(ErrorCode::kUsage, "decoding gives F32, F16 or BF16, not {}", InfoOf(type).name);
}

Status Run(const Device& device, std::vector<DecodeStep> steps, void* stream) {
  const CurrentDevice current(device.index);
  if (const Status chosen = CheckCall(device, "choosing the device", current.error()); !chosen) return chosen;
  for (DecodeStep& step : steps) {
    const auto* const function = reinterpret_cast<const void*>(FunctionFor(step));
    const Status started = Launch(device, function, {step.grid, step.block, step.shared_bytes}, &step.params, stream);
    if (!started) return started;
  }
  return {};
}

}  // namespace

// The call's own error is taken back, so that the process does not find it where it looks for its own; one that was
// there before stays.
Status CheckCall(const Device& device, const char* what, cudaError_t error) {
  if (error == cudaSuccess) return {};
  if (cudaPeekAtLastError() == error) (void)cudaGetLastError();
  return Fail(error == cudaErrorMemoryAllocation ? ErrorCode::kMemory : ErrorCode::kDevice, "cuda:{} ({}): {}: {} ({})",
              device.index, device.name, what, cudaGetErrorString(error), cudaGetErrorName(error));
}

Status Launch(const Device& device, const void* function, const LaunchShape& shape, void* parameters, void* stream) {
  constexpr uint32_t kAlwaysThere = 48 << 10;  // shared memory
  if (function == nullptr)
    return Fail(ErrorCode::kUnsupported, "cuda:{} ({}): there is no kernel for this", device.index, device.name);
  if (shape.shared_bytes > kAlwaysThere) {
    const cudaError_t error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shape.shared_bytes));
    if (const Status asked = CheckCall(device, "asking for shared memory", error); !asked) return asked;
  }
  void* arguments[] = {parameters};
  return CheckCall(device, "starting a kernel",
                   cudaLaunchKernel(function, dim3(shape.grid), dim3(shape.block), arguments, shape.shared_bytes,
                                    static_cast<cudaStream_t>(stream)));
}

Result<int> CountDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess && cudaPeekAtLastError() == error) (void)cudaGetLastError();
  if (error == cudaErrorInsufficientDriver)
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no NVIDIA driver, or it is too old for this build");
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no device");
  if (error != cudaSuccess)
    return Fail(ErrorCode::kDevice, "CUDA: looking for devices: {} ({})", cudaGetErrorString(error),
                cudaGetErrorName(error));
  return count;
}

Result<Device> OpenDevice(int index) {
  const Result<int> count = CountDevices();
  if (!count) return Propagate(count);
  if (index < 0 || index >= *count)
    return Fail(ErrorCode::kUnsupported, "CUDA: there is no device {}, the last one is {}", index, *count - 1);
  Device device;
  device.index = index;
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (const Status read = CheckCall(device, "reading its properties", error); !read) return Propagate(read);
  device.name = properties.name;
  device.multiprocessors = static_cast<uint32_t>(properties.multiProcessorCount);
  device.shared_bytes = static_cast<uint32_t>(properties.sharedMemPerBlockOptin);
  device.architecture = properties.major * 10 + properties.minor;
  if (device.architecture < kOldest)
    return Fail(ErrorCode::kUnsupported, "CUDA: device {} ({}) is an sm_{}; the oldest that is supported is sm_{}",
                index, device.name, device.architecture, kOldest);
  return device;
}

Status DecodeOnDevice(const Device& device, const MatrixView& matrix, const MatrixSlice& slice, DType type, void* out,
                      uint64_t stride, void* stream) {
  if (const Status checked = CheckSlice(matrix, slice); !checked) return checked;
  if (stride < slice.columns && slice.rows > 1)
    return Fail(ErrorCode::kUsage, "rows of {} columns, {} elements apart", slice.columns, stride);
  if (const Status checked = CheckType(type); !checked) return checked;
  return Run(device, PlanDecode(matrix, slice, type, out, stride, device.multiprocessors), stream);
}

Status DecodeOnDevice(const Device& device, const MatrixView& matrix, uint64_t first, uint64_t count, DType type,
                      void* out, void* stream) {
  const uint64_t all = matrix.rows * matrix.columns;
  if (first > all || count > all - first)
    return Fail(ErrorCode::kUsage, "elements {} to {} of a matrix of {}", first, first + count, all);
  if (const Status checked = CheckType(type); !checked) return checked;
  return Run(device, PlanDecode(matrix, first, count, type, out, device.multiprocessors), stream);
}

}  // namespace ingot::cuda
#endif  // INGOT_HAS_CUDA
