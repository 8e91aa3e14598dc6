#include "convert/pytorch/pickle_globals.h"

#include <array>

namespace ingot {
namespace {

constexpr std::string_view kNoDType = "Ingot has no such element type";
constexpr std::string_view kTorchQuantized = "tensors that torch quantized are not read";
constexpr std::string_view kSparse = "sparse tensors are not read";
constexpr std::string_view kNoValues = "it holds no values";
constexpr std::string_view kWrapped = "tensors of a class of their own are not read";

using enum GlobalKind;

constexpr auto kGlobals = std::to_array<PickleGlobal>({
    {"collections", "OrderedDict", kOrderedDict},
    {"torch", "Size", kSize},
    {"torch._utils", "_rebuild_tensor_v2", kTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", kTensorV3},
    {"torch._utils", "_rebuild_parameter", kParameter},
    {"torch._utils", "_rebuild_parameter_with_state", kParameterWithState},
    {"torch.nn.parameter", "Parameter", kParameter},

    {"torch", "DoubleStorage", kTypedStorage, DType::kF64},
    {"torch", "FloatStorage", kTypedStorage, DType::kF32},
    {"torch", "HalfStorage", kTypedStorage, DType::kF16},
    {"torch", "BFloat16Storage", kTypedStorage, DType::kBF16},
    {"torch", "LongStorage", kTypedStorage, DType::kI64},
    {"torch", "IntStorage", kTypedStorage, DType::kI32},
    {"torch", "ShortStorage", kTypedStorage, DType::kI16},
    {"torch", "CharStorage", kTypedStorage, DType::kI8},
    {"torch", "ByteStorage", kTypedStorage, DType::kU8},
    {"torch", "BoolStorage", kTypedStorage, DType::kBool},
    {"torch", "ComplexFloatStorage", kTypedStorage, DType::kC64},
    {"torch.storage", "UntypedStorage", kUntypedStorage},

    {"torch", "float64", kDType, DType::kF64},
    {"torch", "float32", kDType, DType::kF32},
    {"torch", "float16", kDType, DType::kF16},
    {"torch", "bfloat16", kDType, DType::kBF16},
    {"torch", "float8_e4m3fn", kDType, DType::kF8E4M3},
    {"torch", "float8_e5m2", kDType, DType::kF8E5M2},
    {"torch", "float8_e4m3fnuz", kDType, DType::kF8E4M3Fnuz},
    {"torch", "float8_e5m2fnuz", kDType, DType::kF8E5M2Fnuz},
    {"torch", "float8_e8m0fnu", kDType, DType::kF8E8M0},
    {"torch", "int64", kDType, DType::kI64},
    {"torch", "int32", kDType, DType::kI32},
    {"torch", "int16", kDType, DType::kI16},
    {"torch", "int8", kDType, DType::kI8},
    {"torch", "uint64", kDType, DType::kU64},
    {"torch", "uint32", kDType, DType::kU32},
    {"torch", "uint16", kDType, DType::kU16},
    {"torch", "uint8", kDType, DType::kU8},
    {"torch", "bool", kDType, DType::kBool},
    {"torch", "complex64", kDType, DType::kC64},

    {"torch", "ComplexDoubleStorage", kUnsupported, DType::kU8, kNoDType},
    {"torch", "complex128", kUnsupported, DType::kU8, kNoDType},
    {"torch", "complex32", kUnsupported, DType::kU8, kNoDType},
    {"torch", "bits8", kUnsupported, DType::kU8, kNoDType},
    {"torch", "bits16", kUnsupported, DType::kU8, kNoDType},
    {"torch", "float4_e2m1fn_x2", kUnsupported, DType::kU8, kNoDType},
    {"torch", "QInt8Storage", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch", "QInt32Storage", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch", "QUInt8Storage", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch", "QUInt4x2Storage", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch", "QUInt2x4Storage", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch._utils", "_rebuild_qtensor", kUnsupported, DType::kU8, kTorchQuantized},
    {"torch._utils", "_rebuild_sparse_tensor", kUnsupported, DType::kU8, kSparse},
    {"torch._utils", "_rebuild_sparse_csr_tensor", kUnsupported, DType::kU8, kSparse},
    {"torch._utils", "_rebuild_nested_tensor", kUnsupported, DType::kU8, kWrapped},
    {"torch._utils", "_rebuild_wrapper_subclass", kUnsupported, DType::kU8, kWrapped},
    {"torch._tensor", "_rebuild_from_type_v2", kUnsupported, DType::kU8, kWrapped},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", kUnsupported, DType::kU8, kNoValues},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", kUnsupported, DType::kU8, kWrapped},
    {"torch._utils", "_rebuild_tensor", kUnsupported, DType::kU8, "what torch wrote before version 0.4 is not read"},
});

}  // namespace

const PickleGlobal* FindPickleGlobal(std::string_view module, std::string_view name) {
  for (const PickleGlobal& global : kGlobals) {
    if (global.module == module && global.name == name) return &global;
  }
  return nullptr;
}

}  // namespace ingot
