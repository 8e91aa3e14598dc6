// A GPU as it is measured: the runtime's device, its clock, and the work of yardsticks. OpenGpu gives NVIDIA's; the
// tests have one that is emulated, so that every figure is at least once computed without a GPU.
#pragma once

#include <memory>
#include <utility>

#include "runtime/device/device.h"
#include "tools/bench/race.h"

namespace ingot::bench {

// All work is enqueued on the device's default stream. Not thread-safe.
class Gpu {
 public:
  explicit Gpu(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  virtual ~Gpu() = default;

  const std::shared_ptr<Device>& device() const { return device_; }

  // Seconds by the device's own clock that what `work` enqueues takes.
  virtual double Seconds(const std::function<void()>& work) = 0;
  // A copy on the device, by its driver.
  virtual Status Copy(std::byte* to, const std::byte* from, uint64_t size) = 0;
  // A kernel that reads and writes 16 bytes a thread; size: a multiple of 4096.
  virtual Status CopyByKernel(std::byte* to, const std::byte* from, uint64_t size) = 0;
  // f16 multiply-adds of tensor cores, in registers: TileOperations(blocks, rounds) operations. `out`: a float for each
  // of 256 threads of a block.
  virtual Status MultiplyTiles(uint32_t blocks, uint32_t rounds, float* out) = 0;

 private:
  const std::shared_ptr<Device> device_;
};

// Errors as of OpenCudaDevice.
Result<std::shared_ptr<Gpu>> OpenGpu(int number);

}  // namespace ingot::bench
