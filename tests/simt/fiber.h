// Cooperative threads of control: each has a stack of its own and runs until it switches back. For one OS thread.
#pragma once

#include <cstddef>
#include <memory>

namespace ingot::simt {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(Fiber&&) noexcept;
  Fiber& operator=(Fiber&&) noexcept;

  // Begins anew: the next Resume calls entry(argument), which must not return. What ran before is dropped as it stands.
  void Reset(void (*entry)(void*), void* argument);
  // From the scheduler: runs the fiber until it calls Suspend.
  void Resume();
  // From within the fiber.
  void Suspend();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::simt
