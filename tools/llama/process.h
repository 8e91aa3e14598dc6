// What this process shows: results on standard output, everything else on standard error; and when it was told to stop.
// Not thread-safe: one thread prints.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace llama {

// At the start of main: signals set a flag, a write that fails is an error and no signal.
void SetUpProcess();
bool StopRequested();

void Write(std::string_view text);
template <typename... Args>
void Print(fmt::format_string<Args...> text, Args&&... args) {
  Write(fmt::format(text, std::forward<Args>(args)...));
}
// Throws Failure if anything written was lost.
void FlushOutput();

// "ingot-llama: TEXT" on standard error, control characters escaped.
void Complain(std::string_view text);

// One line on a terminal that is written over and over, at most ten times a second, and removed at the end.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine() { Clear(); }
  // Whether it is time to show something.
  bool due();
  void Show(const std::string& text);
  void Clear();

 private:
  bool shows_, shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace llama
