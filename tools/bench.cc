// ingot bench: how fast this machine decodes, multiplies, opens and verifies, as shares of what its memory and
// arithmetic can do.
#include <tbb/task_arena.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <thread>

#include "kernels/targets.h"
#include "runtime/progress.h"
#include "tools/bench/cuda/sections.h"
#include "tools/bench/sections.h"
#include "tools/bench/tables.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/version.h"

namespace ingot {
namespace {

using bench::Bench;
using bench::Figure;
using bench::Task;

bool Wants(const BenchArguments& options, const std::string& section) {
  return options.only.empty() || std::find(options.only.begin(), options.only.end(), section) != options.only.end();
}

// On a CPU and on a GPU; null: there is none.
struct Section {
  const char* name;
  std::vector<Task> (*cpu)(const Bench&);
  std::vector<Task> (*gpu)(const Bench&, const bench::GpuBenchPtr&);
};
constexpr Section kSections[] = {
    {"yardsticks", &bench::YardstickTasks, &bench::GpuYardstickTasks},
    {"upload", nullptr, &bench::GpuUploadTasks},
    {"decode", &bench::DecodeTasks, &bench::GpuDecodeTasks},
    {"gemv", &bench::GemvTasks, &bench::GpuGemvTasks},
    {"gemm", &bench::GemmTasks, &bench::GpuGemmTasks},
    {"open", &bench::OpenTasks, nullptr},
    {"verify", &bench::VerifyTasks, nullptr},
};

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

// `gpu`: null for the CPU.
Result<std::vector<Task>> TasksOf(const BenchArguments& options, const Bench& bench, const bench::GpuBenchPtr& gpu) {
  std::vector<Task> tasks;
  const auto add = [&](std::vector<Task>&& more) {
    for (Task& task : more) tasks.push_back(std::move(task));
  };
  for (const Section& section : kSections) {
    const bool own = options.file.empty() || section.cpu == &bench::YardstickTasks;
    if (!Wants(options, section.name)) continue;
    if (gpu != nullptr ? section.gpu == nullptr : section.cpu == nullptr) {
      if (options.only.empty()) continue;
      return Fail(ErrorCode::kUsage, "--only {}: there is no such section with --device {}", section.name,
                  options.device);
    }
    if (own) add(gpu != nullptr ? section.gpu(bench, gpu) : section.cpu(bench));
  }
  if (options.file.empty()) return tasks;
  const auto wanted = [&](const std::string& name) { return Wants(options, name); };
  auto more = gpu != nullptr ? bench::GpuFileTasks(bench, gpu, options.file, wanted)
                             : bench::FileTasks(bench, options.file, wanted);
  if (!more) return more;
  add(std::move(*more));
  return tasks;
}

// "cpu", or a GPU's name.
std::string DeviceName(const bench::GpuBenchPtr& gpu) {
  return gpu == nullptr ? "cpu" : WithoutControls(gpu->device().info().name);
}

Json ToJson(const BenchArguments& options, const Bench& bench, const bench::GpuBenchPtr& gpu) {
  Json figures = Json::array();
  for (const Figure& f : bench.figures()) {
    figures.push_back({{"section", f.section},
                       {"name", f.name()},
                       {"row", f.row},
                       {"column", f.column},
                       {"value", f.value},
                       {"unit", f.unit},
                       {"yardstick", f.yardstick},
                       {"yardstick_value", f.yardstick_value},
                       {"share", f.share}});
  }
  return {{"version", kVersion},
          {"cpu", CpuModel()},
          {"cores", std::thread::hardware_concurrency()},
          {"threads", bench.thread_counts().back()},
          {"target", ActiveTarget()},
          {"device", DeviceName(gpu)},
          {"quick", options.quick},
          {"file", options.file.empty() ? Json(nullptr) : Json(options.file)},
          {"figures", figures}};
}

void PrintTables(const Bench& bench, const bench::GpuBenchPtr& gpu) {
  Print("{}, {}, target {}, {}\n", CpuModel(), Counted(std::thread::hardware_concurrency(), "core"), ActiveTarget(),
        bench::ThreadsText(bench.thread_counts().back()));
  if (gpu != nullptr) {
    const DeviceInfo& info = gpu->device().info();
    Print("{}, sm_{}, {}\n", DeviceName(gpu), info.architecture, Counted(info.multiprocessors, "multiprocessor"));
  }
  if (bench.quick()) Print("--quick: small data and short windows; these figures say nothing about speed\n");
  bench::PrintSections(bench.figures());
}

// Nothing: the CPU.
Result<std::optional<int>> GpuNumber(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  int number = 0;
  const char* const end = device.data() + device.size();
  if (device.starts_with("cuda:")) {
    const auto [at, error] = std::from_chars(device.data() + 5, end, number);
    if (error == std::errc() && at == end && number >= 0) return number;
  }
  return Fail(ErrorCode::kUsage, "--device is '{}', must be cpu, cuda or cuda:N", device);
}

// Null for the CPU.
Result<bench::GpuBenchPtr> OpenDevice(const BenchArguments& options) {
  const auto number = GpuNumber(options.device);
  if (!number) return Propagate(number);
  if (!number->has_value()) return nullptr;
  auto gpu = bench::OpenGpu(**number);
  if (!gpu) return Propagate(gpu);
  return bench::GpuBench::Make(*gpu, options.quick ? 64 << 10 : 256 << 20);
}

}  // namespace

const char* const kBenchHelp =
    "Every figure is a share of a yardstick that is measured in the same process, in turns with it: 1.00 is as fast "
    "as\n"
    "the machine can do this. Of both the best of many short windows counts, so that other programs on the machine\n"
    "disturb little. G is 1e9. Without FILE weights are made up, in memory and in temporary files (TMPDIR):\n"
    "  yardsticks  memset, memcpy, a memory read of eight streams at once (as fast as memory is read), and f32\n"
    "              multiply-adds in registers, each on one thread and on all\n"
    "  decode      1 to 8 bits and NF4 in groups of 16 to 128 columns and whole rows, f16 scales and integer "
    "zero-points,\n"
    "              to f32, f16 and bf16 on one thread; beside memset of as many bytes. In cache: 16 K values; out of "
    "cache:\n"
    "              64 M values, written past the caches. Several threads: beside the same on one\n"
    "  gemv        products with one row of 4096 activations, 128 MiB of weights from memory, activations rounded to 8 "
    "bits,\n"
    "              to 16, or f32 as they are; bytes are the packed ones, beside a memory read of them\n"
    "  gemm        products of 4096 by 4096 weights with 32 and 512 rows of activations, f32, int8 and LLM.int8 (0.5 % "
    "of\n"
    "              the columns in f32); beside the f32 multiply-adds\n"
    "  open        opening a file of raw tensors of 32 values, header and index validated, and reading one tensor, by "
    "a\n"
    "              mapping or with reads; beside reading header and index and nothing more\n"
    "  verify      every byte of 256 MiB in the page cache, when a program opens the file, and by `ingot validate`;\n"
    "              beside the memory read. What was written in larger pieces lies in larger pages, which are mapped "
    "faster:\n"
    "              files that were copied are like the first row, files that were read from disk may be like the "
    "second\n"
    "With --device cuda (or cuda:N) of a GPU, by its own clock, the median of the windows; matrices are larger than "
    "its caches:\n"
    "  yardsticks  copies on the device, each byte counted as read and as written, and f16 multiply-adds of tensor "
    "cores\n"
    "  upload      256 MiB from the page cache, every chunk hashed on its way or not; beside copies from pinned "
    "memory\n"
    "  decode      the same encodings to f16, 128 M values; bytes read and written beside the copy's\n"
    "  gemv        1 to 16 rows of activations in f16 and bf16, rounded to 8 bits, and by LLM.int8; bytes beside the "
    "copy's\n"
    "  gemm        32 to 512 rows; beside the multiply-adds\n"
    "With FILE: the same of its tensors, those of one encoding together; of many the first 128 MiB.\n"
    "--json: {\"figures\": [{\"section\", \"name\", \"row\", \"column\", \"value\", \"unit\", \"yardstick\", "
    "\"yardstick_value\", "
    "\"share\"}, ...]}\n"
    "and cpu, cores, threads, target, version, quick, file, device (a GPU's name).";

Result<int> RunBench(const BenchArguments& options) {
  const auto gpu = OpenDevice(options);
  if (!gpu) return Propagate(gpu);
  Bench bench(options.quick, tbb::this_task_arena::max_concurrency());
  const auto tasks = TasksOf(options, bench, *gpu);
  if (!tasks) return Propagate(tasks);
  {
    Progress progress("measuring", options.quiet || options.json, Progress::Of::kSteps);
    const ProgressFn report = progress.fn();
    for (size_t i = 0; i < tasks->size(); ++i) {
      if (!report(i, tasks->size())) return Interrupted();
      if (auto done = (*tasks)[i](bench); !done) return Propagate(done);
    }
    if (!report(tasks->size(), tasks->size())) return Interrupted();
  }
  if (options.json) {
    Write(Dump(ToJson(options, bench, *gpu)) + "\n");
  } else {
    PrintTables(bench, *gpu);
  }
  return kExitFine;
}

}  // namespace ingot
