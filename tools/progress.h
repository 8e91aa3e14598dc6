// Shows on standard error how far long work is, and stops it on Ctrl-C.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/progress.h"

namespace ingot {

// On a terminal one line with a bar, the rate and the time left; elsewhere a line every few seconds; nothing if quiet.
// The line on a terminal is gone when the object is. Use from one thread at a time.
class Progress {
 public:
  // What the work is counted in.
  enum class Of { kBytes, kSteps };
  // `what` is what is going on: "exporting".
  Progress(std::string what, bool quiet, Of of = Of::kBytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Hands progress to this object, which must outlive it. Returns false once SIGINT or SIGTERM arrived.
  ProgressFn fn() {
    return [this](uint64_t done, uint64_t total) { return Update(done, total); };
  }

  double seconds() const;  // since construction

 private:
  using Clock = std::chrono::steady_clock;

  bool Update(uint64_t done, uint64_t total);
  void Clear();

  std::string what_;
  Of of_;
  bool quiet_, terminal_, shown_ = false;
  Clock::time_point start_, last_;
};

}  // namespace ingot
