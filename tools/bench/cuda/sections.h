// The sections of `ingot bench --device cuda`. Each gives its tasks in the order of its table.
#pragma once

#include "tools/bench/cuda/gpu_work.h"

namespace ingot::bench {

// Copies on the device, by the driver and by a kernel; copies to it; multiply-adds of tensor cores.
std::vector<Task> GpuYardstickTasks(const Bench& bench, const GpuBenchPtr& gpu);
// From a mapped file in the page cache onto the device, verified or not.
std::vector<Task> GpuUploadTasks(const Bench& bench, const GpuBenchPtr& gpu);
// To f16: every width and group size.
std::vector<Task> GpuDecodeTasks(const Bench& bench, const GpuBenchPtr& gpu);
// Products with 1 to 16, and with 32 to 512 rows of activations; matrices larger than the caches.
std::vector<Task> GpuGemvTasks(const Bench& bench, const GpuBenchPtr& gpu);
std::vector<Task> GpuGemmTasks(const Bench& bench, const GpuBenchPtr& gpu);

// The same of what is in a file: the sections of these names, those that `wanted` is true for.
Result<std::vector<Task>> GpuFileTasks(const Bench& bench, const GpuBenchPtr& gpu, const std::string& path,
                                       const std::function<bool(const std::string& section)>& wanted);

// Uploading all tensors of a file with so many bytes of planes.
Status MeasureUpload(Bench& into, const GpuBenchPtr& gpu, const std::string& path, const std::string& row,
                     uint64_t bytes);

}  // namespace ingot::bench
