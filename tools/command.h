// How the subcommands of `ingot` hang together: one file each, which adds itself to the application.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <utility>

#include "format/status.h"

namespace ingot {

// Exit codes beside those of ErrorCode.
inline constexpr int kExitFine = 0;
inline constexpr int kExitNo = 1;  // the answer is no: not valid, differs

// Remembers what the chosen subcommand does, until the whole command line has been read. Not thread-safe.
class Runner {
 public:
  // Returns the exit code, or the error that main prints.
  using Body = std::function<Result<int>()>;

  // `body` is what `command` does.
  void Add(CLI::App* command, Body body) {
    command->callback([this, run = std::move(body)] { chosen_ = run; });
  }

  // Runs the body of the subcommand that was chosen. One must have been.
  Result<int> Run() const { return chosen_(); }

 private:
  Body chosen_;
};

// Each adds one subcommand. The table of all of them is in main.cc.
void AddConvert(CLI::App& app, Runner& runner);
void AddEdit(CLI::App& app, Runner& runner);
void AddInspect(CLI::App& app, Runner& runner);
void AddValidate(CLI::App& app, Runner& runner);
void AddExport(CLI::App& app, Runner& runner);
void AddDiff(CLI::App& app, Runner& runner);
void AddPresets(CLI::App& app, Runner& runner);
void AddBench(CLI::App& app, Runner& runner);

}  // namespace ingot
