// ingot validate: every byte of files against the rules of the format.
#include "runtime/validate.h"

#include <algorithm>
#include <memory>

#include "format/text.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/threads.h"

namespace ingot {
namespace {

struct Options {
  std::vector<std::string> files;
  bool structure_only = false;
  bool json = false;
  bool quiet = false;
  std::optional<int> threads;
};

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

Outcome Check(const std::string& file, const Options& options) {
  Progress progress("validating", options.quiet || options.json);
  ValidateOptions how;
  how.structure_only = options.structure_only;
  how.progress = progress.fn();
  Outcome outcome{file, ValidateFile(file, how)};
  outcome.seconds = progress.seconds();
  return outcome;
}

void PrintOutcome(const Outcome& outcome, const Options& options) {
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

Result<int> RunValidate(const Options& options) {
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

}  // namespace

void AddValidate(CLI::App& app, Runner& runner) {
  CLI::App* command = app.add_subcommand("validate", "Check files against every rule of the format");
  auto options = std::make_shared<Options>();
  command->add_option("FILE", options->files, ".ingot files; the shards of a manifest are checked with it")->required();
  command->add_flag("--structure-only", options->structure_only, "only header and index: no plane is read");
  command->add_flag("--json", options->json, "one JSON document on standard output");
  command->add_flag("--quiet", options->quiet, "print only what is wrong");
  AddThreadsOption(command, options->threads);
  command->footer(
      "Prints every violation with the number of its rule (spec/FORMAT.md, spec/ENCODINGS.md), the place and the "
      "values.\n"
      "Exit code 0 if all files are valid, 1 if one is not, 4 if one cannot be read.");
  runner.Add(command, [options] { return WithThreads(options->threads, [&] { return RunValidate(*options); }); });
}

}  // namespace ingot
