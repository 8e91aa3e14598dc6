// How the benchmark times: a piece of work and what it is compared with in turns, in many short windows of each. The
// best window counts; on a device, which nobody else disturbs but whose clock varies, the one in the middle.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "format/status.h"

namespace ingot::bench {

// What a measurement may take.
struct Effort {
  double seconds = 0.3;  // of all pieces of work together
  int rounds = 7;        // at least, but where a round takes longer than `slow` seconds
  double slow = 2;
  double pause = 0;  // seconds of sleep before a window: threads of the one before may still wait in a loop
};

// The seconds that a piece of work takes.
using Stopwatch = std::function<double(const std::function<void()>& work)>;

// A piece of work: run() once does `amount` of it, in bytes or operations.
struct Work {
  double amount = 0;
  std::function<void()> run;
  Stopwatch device_clock = {};  // of work that run() only enqueues on a device; else the host's clock
};

// Runs all in turns, in windows of at least 50 microseconds (a millisecond on a device): seconds of one run of each, in
// the window that counts. Ends early on Ctrl-C.
std::vector<double> Race(const std::vector<Work>& all, const Effort& effort);

// One measured figure: a cell of its section's table.
struct Figure {
  std::string section;
  std::string row, column;
  double value = 0;
  std::string unit;            // "GB/s", "GFLOP/s", "ms"; G is 1e9
  std::string yardstick;       // what the share is of, in words
  double yardstick_value = 0;  // in the same unit
  double share = 0;            // 1: as fast as the yardstick

  std::string name() const { return row + ", " + column; }
};

// What all sections are measured with, and what came out. Not thread-safe.
class Bench {
 public:
  // `threads`: of the figures on several threads.
  Bench(bool quick, int threads) : quick_(quick), threads_(threads) {}

  // Short windows and small data: shows that it works, not how fast it is.
  bool quick() const { return quick_; }
  // The numbers of threads to measure with: 1, and all if that is more.
  std::vector<int> thread_counts() const { return threads_ > 1 ? std::vector{1, threads_} : std::vector{1}; }
  const std::vector<Figure>& figures() const { return figures_; }

  struct Label {
    std::string section, row, column, yardstick;
  };
  // Adds the rate of `work`, in 1e9 a second, beside that of its yardstick.
  void AddRate(const Label& label, const Work& work, const Work& yardstick, const char* unit = "GB/s");
  // Adds the milliseconds of one run; the share is the yardstick's time by this one.
  void AddTime(const Label& label, const Work& work, const Work& yardstick);

 private:
  std::vector<double> Measure(const Work& work, const Work& yardstick) const;

  bool quick_;
  int threads_;
  std::vector<Figure> figures_;
};

// A row of a table, measured by itself, so that progress can be shown and Ctrl-C is heard.
using Task = std::function<Status(Bench&)>;

// "1 thread", "2 threads".
std::string ThreadsText(int threads);
// "int8" or "int8, 2 threads".
std::string OnThreads(const std::string& what, int threads);

}  // namespace ingot::bench
