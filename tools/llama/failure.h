// What went wrong, in words, and the exit code that it becomes. This program throws where the C interface returns a
// status, because nothing between the place that fails and main() could do anything about it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/ingot.h"

namespace llama {

// The exit codes of all of Ingot's tools.
enum ExitCode { kFine = 0, kUsage = 2, kBadInput = 3, kInputOutput = 4, kInterrupted = 130 };

struct Failure : std::runtime_error {
  Failure(ExitCode code, const std::string& text) : std::runtime_error(text), exit_code(code) {}
  ExitCode exit_code;
};

template <typename... Args>
[[noreturn]] void Fail(ExitCode code, fmt::format_string<Args...> text, Args&&... args) {
  throw Failure(code, fmt::format(text, std::forward<Args>(args)...));
}

// Turns the status of a call into an exception with the library's own text, which names the file, the tensor and the
// values: there is nothing to add to it.
inline void Check(ingot_status status) {
  if (status == INGOT_OK) return;
  const bool system =
      status == INGOT_E_IO || status == INGOT_E_MEMORY || status == INGOT_E_INTERNAL || status == INGOT_E_DEVICE;
  throw Failure(system ? kInputOutput : kBadInput, ingot_error_text());
}

}  // namespace llama
