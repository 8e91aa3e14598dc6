// ingot bench: how fast this machine decodes, multiplies, opens and verifies, as shares of what its memory and
// arithmetic can do.
#include <fmt/ranges.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "kernels/targets.h"
#include "runtime/progress.h"
#include "tools/bench/sections.h"
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

using MakeTasks = std::vector<Task> (*)(const Bench&);
constexpr std::pair<const char*, MakeTasks> kSections[] = {
    {"yardsticks", &bench::YardstickTasks},
    {"decode", &bench::DecodeTasks},
    {"gemv", &bench::GemvTasks},
    {"gemm", &bench::GemmTasks},
    {"open", &bench::OpenTasks},
    {"verify", &bench::VerifyTasks},
};

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

Result<std::vector<Task>> TasksOf(const BenchArguments& options, const Bench& bench) {
  std::vector<Task> tasks;
  for (const auto& section : kSections) {
    const bool own = options.file.empty() || section.second == &bench::YardstickTasks;
    if (!own || !Wants(options, section.first)) continue;
    for (Task& task : section.second(bench)) tasks.push_back(std::move(task));
  }
  if (options.file.empty()) return tasks;
  auto more = bench::FileTasks(bench, options.file, [&](const std::string& name) { return Wants(options, name); });
  if (!more) return more;
  for (Task& task : *more) tasks.push_back(std::move(task));
  return tasks;
}

Json ToJson(const BenchArguments& options, const Bench& bench) {
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
          {"device", options.device},
          {"quick", options.quick},
          {"file", options.file.empty() ? Json(nullptr) : Json(options.file)},
          {"figures", figures}};
}

// Distinct texts in the order in which they came.
class Names {
 public:
  size_t Place(const std::string& name) {
    const auto at = static_cast<size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
    if (at == names_.size()) names_.push_back(name);
    return at;
  }
  const std::vector<std::string>& all() const { return names_; }

 private:
  std::vector<std::string> names_;
};

std::string CellText(const Figure& f) {
  return fmt::format("{:.{}f}{:>9}", f.share, f.share < 10 ? 2 : 1,
                     fmt::format("({:.{}f})", f.value, f.value < 10 ? 2 : 1));
}

// A line for each row of a section, a cell for each column: the share, and the value in brackets.
void PrintSection(const std::string& section, const std::vector<Figure>& all) {
  Names rows, columns, yardsticks;
  std::map<std::pair<size_t, size_t>, std::string> cells;
  std::string unit;
  for (const Figure& f : all) {
    if (f.section != section) continue;
    if (unit.empty()) unit = f.unit;
    const size_t row = rows.Place(f.unit == unit ? f.row : f.row + ", " + f.unit);
    cells[{row, columns.Place(f.column)}] = CellText(f);
    yardsticks.Place(f.yardstick);
  }
  size_t width = 0;
  for (const std::string& row : rows.all()) width = std::max(width, row.size());
  Print("\n{}: share of {} ({})\n", Bold(section), fmt::join(yardsticks.all(), "; "), unit);
  Print("{:{}}", "", width + 2);
  for (const std::string& column : columns.all()) Print("  {:>19}", column);
  for (size_t r = 0; r < rows.all().size(); ++r) {
    Print("\n  {:{}}", WithoutControls(rows.all()[r]), width);
    for (size_t c = 0; c < columns.all().size(); ++c) Print("  {:>19}", cells[{r, c}]);
  }
  Print("\n");
}

void PrintTables(const Bench& bench) {
  Print("{}, {}, target {}, {}\n", CpuModel(), Counted(std::thread::hardware_concurrency(), "core"), ActiveTarget(),
        bench::ThreadsText(bench.thread_counts().back()));
  if (bench.quick()) Print("--quick: small data and short windows; these figures say nothing about speed\n");
  Names sections;
  for (const Figure& f : bench.figures()) sections.Place(f.section);
  for (const std::string& section : sections.all()) PrintSection(section, bench.figures());
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
    "With FILE: the same of its tensors, those of one encoding together; of many the first 128 MiB.\n"
    "--json: {\"figures\": [{\"section\", \"name\", \"row\", \"column\", \"value\", \"unit\", \"yardstick\", "
    "\"yardstick_value\", "
    "\"share\"}, ...]}\n"
    "and cpu, cores, threads, target, version, quick, file.";

Result<int> RunBench(const BenchArguments& options) {
  if (options.device == "cuda")
    return Fail(ErrorCode::kUsage, "--device cuda: this build of ingot has no CUDA, only cpu");
  Bench bench(options.quick, tbb::this_task_arena::max_concurrency());
  const auto tasks = TasksOf(options, bench);
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
    Write(Dump(ToJson(options, bench)) + "\n");
  } else {
    PrintTables(bench);
  }
  return kExitFine;
}

}  // namespace ingot
