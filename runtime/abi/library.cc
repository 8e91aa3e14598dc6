// The library itself: versions, texts of errors, the SIMD target.
#include <mutex>

#include "kernels/targets.h"
#include "runtime/abi/abi.h"

namespace ingot::abi {
namespace {

constexpr const char* kStatusNames[] = {"INGOT_OK",       "INGOT_E_ARGUMENT", "INGOT_E_NOT_FOUND",
                                        "INGOT_E_DATA",   "INGOT_E_IO",       "INGOT_E_UNSUPPORTED",
                                        "INGOT_E_MEMORY", "INGOT_E_INTERNAL", "INGOT_E_DEVICE"};

// The text of a thread's last failure. Where there is no memory for it, a literal has to do.
thread_local std::string error_text;
thread_local const char* error_literal = nullptr;

}  // namespace

ingot_status Report(ingot_status status, std::string_view text) noexcept {
  try {
    error_text.assign(text);
    error_literal = nullptr;
  } catch (...) {
    error_literal = "no memory for the text of an error";
  }
  return status;
}

Failure FailureOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
    case ErrorCode::kInterrupted:
      return {INGOT_E_ARGUMENT, error.message};
    case ErrorCode::kBadInput:
      return {INGOT_E_DATA, error.message};
    case ErrorCode::kIo:
      return {INGOT_E_IO, error.message};
    case ErrorCode::kUnsupported:
      return {INGOT_E_UNSUPPORTED, error.message};
    case ErrorCode::kMemory:
      return {INGOT_E_MEMORY, error.message};
    case ErrorCode::kDevice:
      return {INGOT_E_DEVICE, error.message};
  }
  return {INGOT_E_INTERNAL, error.message};
}

Status EnsureTarget() {
  static std::once_flag once;
  static Status status;
  std::call_once(once, [] { status = SetTargetFromEnvironment(); });
  return status;
}

}  // namespace ingot::abi

using namespace ingot::abi;

extern "C" {

uint32_t ingot_abi_version(void) { return INGOT_ABI_VERSION; }

const char* ingot_version(void) { return INGOT_VERSION; }

const char* ingot_status_name(ingot_status status) {
  const auto number = static_cast<size_t>(status);
  return number < std::size(kStatusNames) ? kStatusNames[number] : "unknown status";
}

const char* ingot_error_text(void) { return error_literal != nullptr ? error_literal : error_text.c_str(); }

const char* ingot_target(void) {
  const char* name = "";
  Guarded([&]() -> Outcome {
    (void)EnsureTarget();
    name = ingot::ActiveTarget().data();  // a literal
    return {};
  });
  return name;
}

}  // extern "C"
