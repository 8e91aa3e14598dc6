#include "tools/llama/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "tools/llama/failure.h"

namespace llama {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

extern "C" void RequestStop(int) { stop_requested.store(true, std::memory_order_relaxed); }

int write_error = 0;  // errno of the first write to standard output that failed

constexpr auto kPause = std::chrono::milliseconds(100);

// Paths are shown as they are, but for what could steer a terminal.
std::string WithoutControls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;  // U+0080 to U+009F, the other control characters
    if ((byte < 0x20 && byte != '\n') || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (c1) {
      out += fmt::format("\\u{:04x}", next);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

void WriteError(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

void SetUpProcess() {
  // A standard stream that is closed gets a descriptor, so that no file opened later takes its number.
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) == -1) (void)!open("/dev/null", descriptor == 2 ? O_WRONLY : O_RDONLY);
  }
  struct sigaction stop {};
  stop.sa_handler = &RequestStop;
  stop.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one kills
  sigemptyset(&stop.sa_mask);
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool StopRequested() { return stop_requested.load(std::memory_order_relaxed); }

void Write(std::string_view text) {
  if (write_error == 0 && std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) write_error = errno;
}

void FlushOutput() {
  if (std::fflush(stdout) != 0 && write_error == 0) write_error = errno;
  if (write_error != 0) Fail(kInputOutput, "standard output: cannot write: {}", std::strerror(write_error));
}

void Complain(std::string_view text) {
  const std::string line = "ingot-llama: " + WithoutControls(text) + "\n";
  std::fflush(stdout);
  WriteError(line);
}

ProgressLine::ProgressLine(bool quiet)
    : shows_(!quiet && isatty(STDERR_FILENO) == 1), last_(std::chrono::steady_clock::now()) {}

bool ProgressLine::due() {
  const auto now = std::chrono::steady_clock::now();
  if (!shows_ || now - last_ < kPause) return false;
  last_ = now;
  return true;
}

void ProgressLine::Show(const std::string& text) {
  WriteError("\r\033[K" + text);
  shown_ = true;
}

void ProgressLine::Clear() {
  if (shown_) WriteError("\r\033[K");
  shown_ = false;
}

}  // namespace llama
