#include "tools/bench/race.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "tools/signals.h"

namespace ingot::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double ByHostClock(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return SecondsSince(start);
}

// One side of a race: its windows and the one that counts.
class Side {
 public:
  explicit Side(const Work& work) : run_(work.run), on_device_(work.device_clock) {
    stopwatch_ = on_device_ ? work.device_clock : &ByHostClock;
    const double window = on_device_ ? 1e-3 : 50e-6;
    run_();  // once for the caches
    repeat_ = std::clamp(static_cast<int>(window / std::max(stopwatch_(run_), 1e-9)), 1, 1 << 16);
  }

  void Window() {
    const auto repeated = [&] {
      for (int i = 0; i < repeat_; ++i) run_();
    };
    windows_.push_back(stopwatch_(repeated) / repeat_);
  }

  double result() const {
    std::vector<double> sorted = windows_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[on_device_ ? sorted.size() / 2 : 0];
  }

 private:
  std::function<void()> run_;
  bool on_device_;
  Stopwatch stopwatch_;
  int repeat_ = 1;
  std::vector<double> windows_;
};

}  // namespace

std::vector<double> Race(const std::vector<Work>& all, const Effort& effort) {
  std::vector<Side> sides(all.begin(), all.end());
  const auto start = Clock::now();
  for (int round = 0;; ++round) {
    const double elapsed = SecondsSince(start);
    const bool slow = round > 1 && elapsed / round > effort.slow;
    if (round > 0 && (StopRequested() || slow || (round >= effort.rounds && elapsed >= effort.seconds))) break;
    for (Side& side : sides) {
      if (effort.pause > 0) std::this_thread::sleep_for(std::chrono::duration<double>(effort.pause));
      side.Window();
    }
  }
  std::vector<double> results;
  for (const Side& side : sides) results.push_back(side.result());
  return results;
}

std::vector<double> Bench::Measure(const Work& work, const Work& yardstick) const {
  return Race({work, yardstick}, quick_ ? Effort{0.002, 2, 0, 0} : Effort{});
}

void Bench::AddRate(const Label& label, const Work& work, const Work& yardstick, const char* unit) {
  const std::vector<double> seconds = Measure(work, yardstick);
  const double value = work.amount / seconds[0] / 1e9, other = yardstick.amount / seconds[1] / 1e9;
  figures_.push_back({label.section, label.row, label.column, value, unit, label.yardstick, other, value / other});
}

void Bench::AddTime(const Label& label, const Work& work, const Work& yardstick) {
  const std::vector<double> seconds = Measure(work, yardstick);
  figures_.push_back({label.section, label.row, label.column, seconds[0] * 1e3, "ms", label.yardstick, seconds[1] * 1e3,
                      seconds[1] / seconds[0]});
}

std::string ThreadsText(int threads) { return fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"); }

std::string OnThreads(const std::string& what, int threads) {
  return threads == 1 ? what : what + ", " + ThreadsText(threads);
}

}  // namespace ingot::bench
