#include "convert/method.h"

#include <cmath>

#include "convert/recipe.h"

namespace ingot {
namespace {

// No axis is longer (spec/ENCODINGS.md: R*C < 2^48), so a larger group is a mistake.
constexpr uint64_t kMaxGroupSize = (uint64_t{1} << 48) - 1;

std::string GroupText(uint64_t group_size) {
  if (group_size == Method::kPerChannel) return "per-channel";
  if (group_size == Method::kPerTensor) return "per-tensor";
  return fmt::format("g{}", group_size);
}

std::string_view ScaleText(DType type) { return type == DType::kF32 ? "f32" : type == DType::kF16 ? "f16" : "bf16"; }

std::string_view GridText(ZeroPointKind kind) {
  switch (kind) {
    case ZeroPointKind::kSymmetric:
      return "symmetric";
    case ZeroPointKind::kInteger:
      return "asymmetric";
    case ZeroPointKind::kFloat:
      break;
  }
  return "asymmetric float-zero";
}

}  // namespace

Status CheckMethod(const Method& method) {
  const auto bad = [](std::string_view text) { return Fail(ErrorCode::kBadInput, "{}", text); };
  switch (method.kind) {
    case MethodKind::kKeep:
      return {};
    case MethodKind::kLinear:
      break;
    case MethodKind::kNf4:
    case MethodKind::kFp4:
      if (method.bits != 4) return Fail(ErrorCode::kBadInput, "bits is {}: the codebooks have 4", method.bits);
      if (method.mse_clip) return bad("clip is mse: the codebooks scale by the largest magnitude");
      break;
    default:
      return bad("method is not known");
  }
  if (method.bits < 1 || method.bits > 8) return Fail(ErrorCode::kBadInput, "bits is {}, must be 1 to 8", method.bits);
  if (method.group_size > kMaxGroupSize && method.group_size != Method::kPerTensor) {
    return Fail(ErrorCode::kBadInput, "group_size is {}, must be 1 to {}", method.group_size, kMaxGroupSize);
  }
  if (method.zero_point > ZeroPointKind::kFloat) return bad("zero_point is not known");
  if (method.scale_dtype != DType::kF32 && method.scale_dtype != DType::kF16 && method.scale_dtype != DType::kBF16) {
    return bad("scale_dtype must be f32, f16 or bf16");
  }
  if (!(method.outlier_ratio >= 0.0 && method.outlier_ratio < 1.0)) {  // also refuses NaN
    return Fail(ErrorCode::kBadInput, "outliers is {}, must be at least 0 and less than 1", method.outlier_ratio);
  }
  if (method.outlier_kind > OutlierKind::kColumns) return bad("outlier_kind is not known");
  return {};
}

std::string MethodToText(const Method& method) {
  std::string text;
  switch (method.kind) {
    case MethodKind::kKeep:
      return "keep";
    case MethodKind::kLinear:
      text = fmt::format("linear {}-bit {}", method.bits, GridText(method.zero_point));
      break;
    case MethodKind::kNf4:
      text = "nf4";
      break;
    case MethodKind::kFp4:
      text = "fp4";
      break;
  }
  text += fmt::format(" {} scale {}", GroupText(method.group_size), ScaleText(method.scale_dtype));
  if (method.mse_clip) text += " clip mse";
  if (method.outlier_ratio > 0) {
    text += fmt::format(" outliers {:.6g}% {}", method.outlier_ratio * 100,
                        method.outlier_kind == OutlierKind::kColumns ? "columns" : "unstructured");
  }
  return text;
}

}  // namespace ingot
