#include "tests/simt/fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define INGOT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INGOT_ASAN 1
#endif
#endif
#ifdef INGOT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves what a call preserves, changes stacks, restores: some 10 instructions, no system call.
extern "C" void ingot_simt_switch(void** save, void* to);
__asm__(
    ".text\n.globl ingot_simt_switch\n.type ingot_simt_switch,@function\ningot_simt_switch:\n"
    " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n"
    ".size ingot_simt_switch,.-ingot_simt_switch\n");
#else
#include <ucontext.h>
#endif

namespace ingot::simt {

struct Fiber::State {
  static constexpr size_t kStack = 128 << 10;
  const std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStack);
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
#if defined(__x86_64__)
  void* own = nullptr;
  void* scheduler = nullptr;
#else
  ucontext_t own, scheduler;
#endif
  void* fake_stack = nullptr;  // of AddressSanitizer
  const void* scheduler_stack = nullptr;
  size_t scheduler_size = 0;

  void Switch(bool in) {
#if defined(__x86_64__)
    in ? ingot_simt_switch(&scheduler, own) : ingot_simt_switch(&own, scheduler);
#else
    in ? swapcontext(&scheduler, &own) : swapcontext(&own, &scheduler);
#endif
  }
  static thread_local State* starting;
  static void Begin() {
    State& s = *starting;
    s.Arrived();
    s.entry(s.argument);
  }
  void Arrived() {
#ifdef INGOT_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack, &scheduler_size);
#endif
  }
};

thread_local Fiber::State* Fiber::State::starting = nullptr;

Fiber::Fiber() : state_(std::make_unique<State>()) {}
Fiber::~Fiber() = default;
Fiber::Fiber(Fiber&&) noexcept = default;
Fiber& Fiber::operator=(Fiber&&) noexcept = default;

void Fiber::Reset(void (*entry)(void*), void* argument) {
  State& s = *state_;
  s.entry = entry, s.argument = argument, s.fake_stack = nullptr;
#ifdef INGOT_ASAN
  __asan_unpoison_memory_region(s.stack.get(), State::kStack);
#endif
#if defined(__x86_64__)
  const auto top = (reinterpret_cast<uintptr_t>(s.stack.get()) + State::kStack) & ~uintptr_t{15};
  void** at = reinterpret_cast<void**>(top);
  *--at = nullptr;  // where Begin would return to
  *--at = reinterpret_cast<void*>(&State::Begin);
  for (int i = 0; i < 6; ++i) *--at = nullptr;
  s.own = at;
#else
  getcontext(&s.own);
  s.own.uc_stack.ss_sp = s.stack.get();
  s.own.uc_stack.ss_size = State::kStack;
  s.own.uc_link = nullptr;
  makecontext(&s.own, &State::Begin, 0);
#endif
}

void Fiber::Resume() {
  State& s = *state_;
  State::starting = &s;
#ifdef INGOT_ASAN
  void* scheduler_fake = nullptr;
  __sanitizer_start_switch_fiber(&scheduler_fake, s.stack.get(), State::kStack);
#endif
  s.Switch(true);
#ifdef INGOT_ASAN
  __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

void Fiber::Suspend() {
  State& s = *state_;
#ifdef INGOT_ASAN
  __sanitizer_start_switch_fiber(&s.fake_stack, s.scheduler_stack, s.scheduler_size);
#endif
  s.Switch(false);
  s.Arrived();
}

}  // namespace ingot::simt
