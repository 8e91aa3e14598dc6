// ingot validate: every byte of files against the rules of the format.
#include "runtime/validate.h"

#include <algorithm>

#include "format/text.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace ingot {
namespace {

struct Outcome {
  std::string file;
  Result<Validation> result;
  double seconds = 0;

  int exit_code() const {
    if (!result) return ExitCodeOf(result.error().code);
    return result->valid() ? kExitFine : kExitNo;
  }
  double rate() const { return seconds > 0 ? static_cast<double>(result->bytes) / 1e9 / seconds : 0; }
};

Outcome Check(const std::string& file, const ValidateArguments& options) {
  Progress progress("validating", options.quiet || options.json);
  ValidateOptions how;
  how.structure_only = options.structure_only;
  how.progress = progress.fn();
  Outcome outcome{file, ValidateFile(file, how)};
  outcome.seconds = progress.seconds();
  return outcome;
}

void PrintOutcome(const Outcome& outcome, const ValidateArguments& options) {
  const std::string file = WithoutControls(outcome.file);
  if (!outcome.result) {
    Complain(outcome.result.error().message);
    return;
  }
  const Validation& validation = *outcome.result;
  for (const Violation& v : validation.violations) {
    Print("{}: {}: {}{}{}\n", file, Red(v.rule), WithoutControls(v.place), v.place.empty() ? "" : ": ",
          WithoutControls(v.message));
  }
  if (options.quiet && validation.valid()) return;
  for (const std::string& warning : validation.warnings) Print("{}: warning: {}\n", file, WithoutControls(warning));
  if (!validation.valid()) {
    Print("{}: {}: {}{}\n", file, Bold("not valid"), Counted(validation.violations.size(), "violation"),
          validation.complete ? "" : " (there are more; the list was cut)");
    return;
  }
  const std::string how = options.structure_only
                              ? "structure only"
                              : fmt::format("{} of planes in {:.2f} s, {:.2f} GB/s", HumanBytes(validation.bytes),
                                            outcome.seconds, outcome.rate());
  const std::string warnings = validation.warnings.empty() ? "" : ", " + Counted(validation.warnings.size(), "warning");
  Print("{}: {} ({}{})\n", file, Green("valid"), how, warnings);
}

Json ToJson(const Outcome& outcome) {
  Json json{{"file", outcome.file}};
  if (!outcome.result) {
    json["valid"] = nullptr;
    json["error"] = outcome.result.error().message;
    return json;
  }
  const Validation& validation = *outcome.result;
  json["valid"] = validation.valid();
  json["violations"] = Json::array();
  for (const Violation& v : validation.violations) {
    json["violations"].push_back({{"rule", v.rule}, {"place", v.place}, {"message", v.message}});
  }
  json["complete"] = validation.complete;
  json["warnings"] = validation.warnings;
  json["bytes"] = validation.bytes;
  json["seconds"] = outcome.seconds;
  json["gb_per_second"] = outcome.rate();
  return json;
}

}  // namespace

Result<int> RunValidate(const ValidateArguments& options) {
  int code = kExitFine;
  size_t valid = 0;
  Json files = Json::array();
  for (const std::string& file : options.files) {
    const Outcome outcome = Check(file, options);
    if (!outcome.result && outcome.result.error().code == ErrorCode::kInterrupted) return Propagate(outcome.result);
    code = std::max(code, outcome.exit_code());
    valid += outcome.exit_code() == kExitFine;
    if (options.json) {
      files.push_back(ToJson(outcome));
    } else {
      PrintOutcome(outcome, options);
    }
  }
  if (options.json) {
    const Json json{
        {"structure_only", options.structure_only}, {"valid", valid == options.files.size()}, {"files", files}};
    Write(Dump(json) + "\n");
  } else if (options.files.size() > 1 && !options.quiet) {
    Print("{}: {} valid, {} not\n", Counted(options.files.size(), "file"), valid, options.files.size() - valid);
  }
  return code;
}

}  // namespace ingot
