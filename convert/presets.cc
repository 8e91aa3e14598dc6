#include <array>

#include "convert/recipe.h"

namespace ingot {
namespace {

Method Linear(int bits, uint64_t group_size) {
  Method method;
  method.kind = MethodKind::kLinear;
  method.bits = bits;
  method.group_size = group_size;
  return method;
}

Method Symmetric(Method method) {
  method.zero_point = ZeroPointKind::kSymmetric;
  return method;
}

// One scale a row costs next to nothing, so it is not rounded to 16 bits.
Method WideScale(Method method) {
  method.scale_dtype = DType::kF32;
  return method;
}

Method Codebook(MethodKind kind) {
  Method method;
  method.kind = kind;
  method.group_size = 64;
  return method;
}

Method WithOutliers(Method method, double ratio, OutlierKind kind = OutlierKind::kUnstructured) {
  method.outlier_ratio = ratio;
  method.outlier_kind = kind;
  return method;
}

Method MseClip(Method method) {
  method.mse_clip = true;
  return method;
}

Preset Make(std::string_view name, std::string_view description, const Method& method) {
  return {name, description, RecipeOf(std::string(name), method)};
}

}  // namespace

std::span<const Preset> Presets() {
  constexpr uint64_t kChannel = Method::kPerChannel;
  static const std::array kPresets = {
      Make("none", "everything as it is", Method{}),
      Make("int8", "8 bit, symmetric, one f32 scale per row", WideScale(Symmetric(Linear(8, kChannel)))),
      Make("int8-g128", "8 bit, zero-points, groups of 128", Linear(8, 128)),
      Make("int4-g128", "4 bit, zero-points, groups of 128", Linear(4, 128)),
      Make("int4-g32", "4 bit, zero-points, groups of 32", Linear(4, 32)),
      Make("int4-sym-g128", "4 bit, symmetric, groups of 128", Symmetric(Linear(4, 128))),
      Make("int4-g128-mse", "int4-g128 with the clipping range of least squared error", MseClip(Linear(4, 128))),
      Make("int3-g128", "3 bit, zero-points, groups of 128", Linear(3, 128)),
      Make("int2-g64", "2 bit, zero-points, groups of 64", Linear(2, 64)),
      Make("nf4", "4 bit NormalFloat codebook, groups of 64", Codebook(MethodKind::kNf4)),
      Make("fp4", "4 bit floating-point codebook, groups of 64", Codebook(MethodKind::kFp4)),
      Make("int8-outliers", "LLM.int8 style: int8, and the 0.5 % of columns with the largest norm kept exactly",
           WithOutliers(WideScale(Symmetric(Linear(8, kChannel))), 0.005, OutlierKind::kColumns)),
      Make("int4-g128-o1", "int4-g128, and the 1 % of values with the largest magnitude kept exactly",
           WithOutliers(Linear(4, 128), 0.01)),
      Make("int3-g128-o1", "int3-g128, and the 1 % of values with the largest magnitude kept exactly",
           WithOutliers(Linear(3, 128), 0.01)),
      Make("int2-g64-o1", "int2-g64, and the 1 % of values with the largest magnitude kept exactly",
           WithOutliers(Linear(2, 64), 0.01)),
  };
  return kPresets;
}

const Preset* FindPreset(std::string_view name) {
  for (const Preset& preset : Presets()) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

}  // namespace ingot
