#include "tools/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace ingot {
namespace {

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

extern "C" void RequestStop(int) { stop_requested.store(true, std::memory_order_relaxed); }

// Gives a closed standard stream a descriptor on which reads give nothing and writes of results fail; messages are
// lost.
void FillStandardStreams() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    (void)!open("/dev/null", descriptor == 2 ? O_WRONLY : O_RDONLY);  // takes the lowest free number, which is this one
  }
}

}  // namespace

void SetUpProcess() {
  FillStandardStreams();
  struct sigaction stop {};
  stop.sa_handler = &RequestStop;
  stop.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&stop.sa_mask);
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool StopRequested() { return stop_requested.load(std::memory_order_relaxed); }

}  // namespace ingot
