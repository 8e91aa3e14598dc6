// Results and errors. Libraries return them; they never print, abort or exit.
// Thread-safe: values only.
#pragma once

#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace ingot {

// What kind of failure it was. Numbers below 256 are exit codes of the command line tool (ExitCodeOf).
enum class ErrorCode : int {
  kUsage = 2,          // the caller asked for something that cannot be done as asked
  kBadInput = 3,       // the bytes of an input are not what they claim to be, or hold what is not supported
  kIo = 4,             // the operating system refused: missing file, full disk, permission
  kInterrupted = 130,  // the caller asked to stop
  kUnsupported = 256,  // the file is sound, but this cannot be done with it: a foreign or unknown encoding
  kMemory = 257,       // there is no memory or address space
  kDevice = 258,       // a GPU or its driver refused or failed
};

// The exit code of a tool that fails so.
inline int ExitCodeOf(ErrorCode code) {
  if (code == ErrorCode::kUnsupported) return static_cast<int>(ErrorCode::kBadInput);
  if (code == ErrorCode::kMemory || code == ErrorCode::kDevice) return static_cast<int>(ErrorCode::kIo);
  return static_cast<int>(code);
}

// A failure: its kind and one message that names file, tensor, rule and values where they apply.
struct Error {
  ErrorCode code;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// Fail(ErrorCode::kIo, "{}: cannot open: {}", path, reason): an error to return from a function with a Result.
template <typename... Args>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

// Passes the error of `result` on. Must hold an error.
template <typename T>
tl::unexpected<Error> Propagate(const Result<T>& result) {
  return tl::unexpected<Error>(result.error());
}

}  // namespace ingot
