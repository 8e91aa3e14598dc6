// What all functions of the C interface share: its handles, the border that no exception crosses, structs of several
// sizes. Private to runtime/abi/.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "runtime/device/upload.h"
#include "runtime/ingot.h"
#include "runtime/loaded_model.h"

struct ingot_model {
  explicit ingot_model(std::shared_ptr<ingot::LoadedModel> model) : loaded(std::move(model)) {}
  std::atomic<uint64_t> references{1};
  const std::shared_ptr<ingot::LoadedModel> loaded;
};

struct ingot_tensor {
  ingot_tensor(std::shared_ptr<ingot::LoadedModel> of, uint32_t i, std::shared_ptr<const ingot::TensorView> tensor)
      : model(std::move(of)), number(i), view(std::move(tensor)) {}
  std::atomic<uint64_t> references{1};
  const std::shared_ptr<ingot::LoadedModel> model;
  const uint32_t number;
  const std::shared_ptr<const ingot::TensorView> view;
};

// The uploader with its ring is made by the first upload.
struct ingot_device {
  ingot_device(std::shared_ptr<ingot::Device> opened, const ingot::UploaderOptions& how)
      : device(std::move(opened)), options(how) {}
  std::atomic<uint64_t> references{1};
  const std::shared_ptr<ingot::Device> device;
  const ingot::UploaderOptions options;
  std::mutex mutex;  // of what follows
  std::unique_ptr<ingot::Uploader> uploader;
};

struct ingot_device_tensor {
  ingot_device_tensor(std::string of, ingot::DeviceTensorPtr uploaded)
      : name(std::move(of)), tensor(std::move(uploaded)) {}
  std::atomic<uint64_t> references{1};
  const std::string name;  // of tied tensors each its own
  const ingot::DeviceTensorPtr tensor;
};

namespace ingot::abi {

// Why a call fails: a status and its text.
struct Failure {
  ingot_status status;
  std::string text;
};
using Outcome = tl::expected<void, Failure>;

template <typename... Args>
tl::unexpected<Failure> Refuse(ingot_status status, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Failure>(Failure{status, fmt::format(text, std::forward<Args>(args)...)});
}

// The failure that a Result of the runtime holds.
Failure FailureOf(const Error& error);
template <typename T>
tl::unexpected<Failure> Pass(const Result<T>& result) {
  return tl::unexpected<Failure>(FailureOf(result.error()));
}

// Sets the text of this thread's last failure; returns `status`.
ingot_status Report(ingot_status status, std::string_view text) noexcept;

// The body of every function that can fail: returns an Outcome, may throw.
template <typename Body>
ingot_status Guarded(Body&& body) noexcept {
  try {
    const Outcome outcome = body();
    return outcome ? INGOT_OK : Report(outcome.error().status, outcome.error().text);
  } catch (const std::bad_alloc&) {
    return Report(INGOT_E_MEMORY, "no memory");
  } catch (const std::exception& error) {
    return Report(INGOT_E_INTERNAL, error.what());
  } catch (...) {
    return Report(INGOT_E_INTERNAL, "an exception of an unknown type");
  }
}

// Refuses NULL by the name of the parameter.
struct Named {
  const void* pointer;
  const char* name;
};
inline Outcome RequireAll(std::initializer_list<Named> pointers) {
  for (const Named& p : pointers) {
    if (p.pointer == nullptr) return Refuse(INGOT_E_ARGUMENT, "{} is NULL", p.name);
  }
  return {};
}

// The size that a struct had in the first version of the interface: no caller has a smaller one.
template <typename T>
inline constexpr size_t kFirstSize = 0;
template <>
inline constexpr size_t kFirstSize<ingot_open_options> = 32;
template <>
inline constexpr size_t kFirstSize<ingot_model_info> = 56;
template <>
inline constexpr size_t kFirstSize<ingot_memory_info> = 56;
template <>
inline constexpr size_t kFirstSize<ingot_metadata> = 56;
template <>
inline constexpr size_t kFirstSize<ingot_attachment> = 32;
template <>
inline constexpr size_t kFirstSize<ingot_tensor_info> = 184;
template <>
inline constexpr size_t kFirstSize<ingot_slice> = 40;
template <>
inline constexpr size_t kFirstSize<ingot_product> = 64;
template <>
inline constexpr size_t kFirstSize<ingot_encoding> = 184;
template <>
inline constexpr size_t kFirstSize<ingot_plane> = 40;
template <>
inline constexpr size_t kFirstSize<ingot_device_options> = 48;
template <>
inline constexpr size_t kFirstSize<ingot_device_info> = 56;
template <>
inline constexpr size_t kFirstSize<ingot_upload> = 56;
template <>
inline constexpr size_t kFirstSize<ingot_upload_hooks> = 32;
template <>
inline constexpr size_t kFirstSize<ingot_device_tensor_info> = 88;
template <>
inline constexpr size_t kFirstSize<ingot_device_plane> = 64;
template <>
inline constexpr size_t kFirstSize<ingot_device_product> = 80;

// Whether a caller's struct is there and of a size that this library knows.
template <typename T>
Outcome CheckStruct(const T* theirs, const char* name) {
  static_assert(kFirstSize<T> > 0 && kFirstSize<T> <= sizeof(T));
  if (theirs == nullptr) return Refuse(INGOT_E_ARGUMENT, "{} is NULL", name);
  if (theirs->struct_size >= kFirstSize<T> && theirs->struct_size <= sizeof(T)) return {};
  return Refuse(INGOT_E_ARGUMENT, "{}->struct_size is {}, this library knows {} to {}", name, theirs->struct_size,
                kFirstSize<T>, sizeof(T));
}

// Takes a struct in; fields that the caller does not know are zero. CheckStruct has passed it.
template <typename T>
T TakeIn(const T* theirs) {
  T ours;
  std::memset(&ours, 0, sizeof ours);
  std::memcpy(&ours, theirs, theirs->struct_size);
  ours.struct_size = sizeof ours;
  return ours;
}

// A struct to fill, all zero.
template <typename T>
T Blank() {
  T ours;
  std::memset(&ours, 0, sizeof ours);
  return ours;
}

// Hands a struct out, as much of it as the caller knows. CheckStruct has passed it.
template <typename T>
void HandOut(const T& ours, T* theirs) {
  const size_t size = theirs->struct_size;
  std::memcpy(theirs, &ours, size);
  theirs->struct_size = size;
}

// Never NULL, not even for the empty text of a file without any.
inline ingot_text TextOf(std::string_view text) { return {text.data() == nullptr ? "" : text.data(), text.size()}; }

// Sets the SIMD target that the environment asks for, once in the life of the process.
Status EnsureTarget();

// What a device handle of the C interface is made of, whatever device it is: ingot_device_open's for a GPU, tests have
// another. Refuses options that are not possible; NULL: the defaults.
tl::expected<ingot_device*, Failure> MakeDevice(std::shared_ptr<Device> device, const ingot_device_options* options);

}  // namespace ingot::abi
