// The subcommands of `ingot`: what each is given, and what it does; one file each. commands.cc reads it from the
// command line. They return an exit code, or the error that main prints.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "convert/recipe.h"
#include "format/status.h"

namespace ingot {

// Exit codes beside those of ErrorCode.
inline constexpr int kExitFine = 0;
inline constexpr int kExitNo = 1;  // the answer is no: not valid, differs

struct ConvertArguments {
  std::string source, target;
  std::string preset, recipe_file;
  MethodOptions method;
  std::string shard_size, include, exclude;
  ConvertOptions convert;
  bool requantize = false, dry_run = false, quiet = false, json = false;
  std::optional<int> threads;
};

struct DiffArguments {
  std::string a, b;
  bool json = false;
  bool quiet = false;
  std::optional<int> threads;
};

struct EditArguments {
  std::string file;
  std::vector<std::string> set, remove, attach, detach;
  bool compact = false, quiet = false, json = false;
};

struct ExportArguments {
  std::string file, target;
  std::optional<std::string> format, dtype, include;
  bool requantize = false;
  bool force = false;
  bool quiet = false;
  std::optional<int> threads;
};

struct InspectArguments {
  std::string file;
  std::optional<std::string> tensor;
  bool bytes = false;
  bool json = false;
  std::optional<int> threads;
};

struct ValidateArguments {
  std::vector<std::string> files;
  bool structure_only = false;
  bool json = false;
  bool quiet = false;
  std::optional<int> threads;
};

struct BenchArguments {
  std::string file;
  std::string device = "cpu";
  std::vector<std::string> only;  // sections; none: all
  bool quick = false, json = false, quiet = false;
  std::optional<int> threads;
};

struct PresetsArguments {
  bool json = false;
};

Result<int> RunConvert(ConvertArguments arguments);
Result<int> RunInspect(const InspectArguments& arguments);
Result<int> RunValidate(const ValidateArguments& arguments);
Result<int> RunExport(const ExportArguments& arguments);
Result<int> RunDiff(const DiffArguments& arguments);
Result<int> RunEdit(const EditArguments& arguments);
Result<int> RunPresets(const PresetsArguments& arguments);
Result<int> RunBench(const BenchArguments& arguments);

extern const char* const kBenchHelp;

}  // namespace ingot
