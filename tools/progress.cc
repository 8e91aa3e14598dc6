#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/output.h"
#include "tools/signals.h"

namespace ingot {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;

constexpr auto kTerminalPause = milliseconds(100);
constexpr auto kLinePause = milliseconds(5000);
constexpr int kBarWidth = 24;

// "42 s", "3:07", "1:02:45".
std::string TimeText(double seconds) {
  if (!(seconds < 1e6)) return "a long time";
  const auto whole = static_cast<uint64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

void WriteError(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

int TerminalColumns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::string what, bool quiet, Of of)
    : what_(std::move(what)),
      of_(of),
      quiet_(quiet),
      terminal_(IsTerminal(STDERR_FILENO)),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() { Clear(); }

double Progress::seconds() const { return duration<double>(Clock::now() - start_).count(); }

void Progress::Clear() {
  if (shown_ && terminal_) WriteError("\r\033[K");
  shown_ = false;
}

bool Progress::Update(uint64_t done, uint64_t total) {
  if (StopRequested()) return false;
  const auto now = Clock::now();
  if (quiet_ || now - last_ < (terminal_ ? kTerminalPause : kLinePause)) return true;
  last_ = now;
  const double elapsed = duration<double>(now - start_).count();
  const double rate = static_cast<double>(done) / elapsed;
  const double share = total == 0 ? 1 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double left = done == 0 ? 1e9 : elapsed * (1 - share) / share;
  const std::string amount = of_ == Of::kSteps ? fmt::format("{} of {}", done, total)
                                               : fmt::format("{} of {}  {}/s", HumanBytes(done), HumanBytes(total),
                                                             HumanBytes(static_cast<uint64_t>(rate)));
  const std::string numbers = fmt::format("{:3.0f} %  {}  {} left", 100 * share, amount, TimeText(left));
  if (!terminal_) {
    WriteError(fmt::format("{}: {}\n", what_, numbers));
    return true;
  }
  const bool room = TerminalColumns() > static_cast<int>(what_.size() + numbers.size()) + kBarWidth + 6;
  const std::string bar = room ? fmt::format("[{:<{}}] ", Bar(share, kBarWidth), kBarWidth) : "";
  WriteError(fmt::format("\r\033[K{} {}{}", what_, bar, numbers));
  shown_ = true;
  return true;
}

}  // namespace ingot
