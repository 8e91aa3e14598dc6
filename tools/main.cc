// The `ingot` command: reads the command line, runs the subcommand and turns its outcome into an exit code.
#include <fmt/format.h>

#include <exception>
#include <new>
#include <string>

#include "kernels/targets.h"
#include "tools/command.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/signals.h"
#include "tools/version.h"

namespace ingot {
namespace {

constexpr const char* kDescription =
    "Ingot: a container for quantized neural-network weights.\n"
    "Converts, inspects, checks, compares and exports .ingot files.";

constexpr const char* kFooter =
    "Examples:\n"
    "  ingot convert checkpoint/ model.ingot --preset int4-g128\n"
    "  ingot inspect model.ingot                      what is in it\n"
    "  ingot inspect model.ingot --tensor lm_head.weight\n"
    "  ingot validate model.ingot                     check every byte against the format\n"
    "  ingot diff checkpoint/ model.ingot             how far each tensor is from the original\n"
    "  ingot export model.ingot out/                  back to safetensors\n"
    "`ingot COMMAND --help` explains the options of a command.\n"
    "\n"
    "Exit codes:\n"
    "  0    fine\n"
    "  1    the answer is no (validate: a file is not valid; diff: something differs)\n"
    "  2    the command line is wrong\n"
    "  3    bad input: the bytes of a file are not what they claim to be, or not supported\n"
    "  4    input or output failed: a missing file, a full disk\n"
    "  130  interrupted\n"
    "\n"
    "Environment:\n"
    "  INGOT_THREADS  number of threads (default: all cores)\n"
    "  INGOT_TARGET   SIMD target by Highway's name: scalar, sse4, avx2, avx3, ...\n"
    "  NO_COLOR       no colours on a terminal";

int ReportError(const Error& error) {
  Complain(error.message);
  return ExitCodeOf(error.code);
}

// Wrong command lines; also the help and the version, which CLI11 treats as such.
int ReportParse(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr) {
      Write(std::string(error.what()) + "\n");
    } else {
      Write(app.help());  // of the subcommand that was asked for
    }
    return kExitFine;
  }
  const auto chosen = app.get_subcommands();
  const std::string command = chosen.empty() ? "ingot" : "ingot " + chosen.back()->get_name();
  Complain(fmt::format("{}\nTry '{} --help'.", error.what(), command));
  return static_cast<int>(ErrorCode::kUsage);
}

int RunCommand(int argc, char** argv) {
  CLI::App app(kDescription, "ingot");
  app.footer(kFooter);
  app.set_version_flag("--version", fmt::format("ingot {}", kVersion));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Runner runner;
  AddCommands(app, runner);
  const auto is_named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_named).empty()) {
    return ReportError({ErrorCode::kUsage, fmt::format("there is no command '{}'\nTry 'ingot --help'.", argv[1])});
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportParse(app, error);
  }
  if (auto target = SetTargetFromEnvironment(); !target) return ReportError(target.error());
  const auto code = runner.Run();
  return code ? *code : ReportError(code.error());
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  using namespace ingot;
  SetUpProcess();
  int code = 0;
  try {
    code = RunCommand(argc, argv);
  } catch (const std::bad_alloc&) {
    code = ReportError(Error{ErrorCode::kIo, "out of memory"});
  } catch (const std::exception& error) {
    code = ReportError(Error{ErrorCode::kIo, error.what()});
  }
  if (auto flushed = FlushOutput(); !flushed) {
    const int lost = ReportError(flushed.error());
    if (code == kExitFine || code == kExitNo) code = lost;
  }
  return code;
}
