// The command line of `ingot`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <utility>

#include "format/status.h"

namespace ingot {

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

// Adds all subcommands, in the order of the help.
void AddCommands(CLI::App& app, Runner& runner);

}  // namespace ingot
