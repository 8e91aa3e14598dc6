// Which tensors are weights of linear layers, by the names that Hugging Face models (and their kin) give them: every
// matrix but those whose name says that it is something else. --include and --exclude override.
#include <algorithm>
#include <array>

#include "convert/selector.h"

namespace ingot {
namespace {

// A name taken apart at its dots, in lower case.
struct NameParts {
  std::vector<std::string> parts;
  std::string leaf;       // the last part: "weight"
  std::string module;     // what the leaf belongs to: the nearest part before it that is no number; or else the leaf
  bool in_layer = false;  // a number stands before the module: it is repeated, so it is no model-wide head
};

bool IsNumber(std::string_view part) {
  return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
}

NameParts TakeApart(std::string_view name) {
  NameParts result;
  std::string part;
  for (char c : name) {
    if (c == '.' || c == '/') {
      result.parts.push_back(std::move(part));
      part.clear();
    } else {
      part += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  result.parts.push_back(std::move(part));
  result.leaf = result.parts.back();
  size_t module = result.parts.size() - 1;
  for (size_t i = module; i-- > 0;) {
    if (IsNumber(result.parts[i])) continue;
    module = i;
    break;
  }
  result.module = result.parts[module];
  for (size_t i = 0; i < module; ++i) result.in_layer |= IsNumber(result.parts[i]);
  return result;
}

// One way to recognise a part of a name.
enum class How { kIs, kContains, kStarts, kEnds };
struct Pattern {
  How how;
  std::string_view text;
};

bool Fits(std::string_view part, const Pattern& pattern) {
  switch (pattern.how) {
    case How::kIs:
      return part == pattern.text;
    case How::kContains:
      return part.find(pattern.text) != std::string_view::npos;
    case How::kStarts:
      return part.starts_with(pattern.text);
    case How::kEnds:
      return part.ends_with(pattern.text);
  }
  return false;
}

bool FitsAny(std::string_view part, std::span<const Pattern> patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [part](const Pattern& p) { return Fits(part, p); });
}

bool AnyFitsAny(const NameParts& name, std::span<const Pattern> patterns) {
  return std::any_of(name.parts.begin(), name.parts.end(), [&](const std::string& p) { return FitsAny(p, patterns); });
}

constexpr Pattern kPositional[] = {{How::kIs, "wpe"},
                                   {How::kContains, "pos_emb"},
                                   {How::kContains, "position_emb"},
                                   {How::kContains, "positional"},
                                   {How::kContains, "embed_position"},
                                   {How::kContains, "position_embd"},
                                   {How::kContains, "rel_pos"},
                                   {How::kContains, "relative_position"},
                                   {How::kContains, "relative_attention_bias"},
                                   {How::kStarts, "rotary"},
                                   {How::kIs, "rope"},
                                   {How::kStarts, "rope_"},
                                   {How::kContains, "inv_freq"},
                                   {How::kContains, "freqs_cis"},
                                   {How::kIs, "alibi"}};
// Model-wide heads, by any part of the name; and names that are heads only outside of the repeated layers.
constexpr Pattern kHead[] = {
    {How::kContains, "lm_head"}, {How::kIs, "embed_out"}, {How::kEnds, "_head"}, {How::kEnds, "_heads"}};
constexpr Pattern kHeadOutsideLayers[] = {
    {How::kIs, "output"},  {How::kIs, "output_layer"}, {How::kIs, "head"},       {How::kIs, "heads"},
    {How::kIs, "score"},   {How::kIs, "classifier"},   {How::kIs, "qa_outputs"}, {How::kIs, "proj_out"},
    {How::kIs, "unembed"}, {How::kIs, "decoder"}};
constexpr Pattern kEmbedding[] = {{How::kContains, "embed"}, {How::kContains, "embd"}, {How::kIs, "wte"},
                                  {How::kIs, "emb"},         {How::kEnds, "_emb"},     {How::kIs, "shared"},
                                  {How::kIs, "token_types"}};
constexpr Pattern kNorm[] = {{How::kContains, "norm"}, {How::kIs, "ln"},  {How::kStarts, "ln_"}, {How::kEnds, "_ln"},
                             {How::kIs, "ln1"},        {How::kIs, "ln2"}, {How::kIs, "ln3"},     {How::kIs, "ln0"}};
constexpr Pattern kRouter[] = {{How::kIs, "gate"},       {How::kEnds, "expert_gate"},
                               {How::kEnds, "gate_inp"}, {How::kIs, "moe_gate"},
                               {How::kIs, "wg"},         {How::kEnds, "gate_inp_shexp"}};
constexpr Pattern kRouterAnywhere[] = {{How::kContains, "router"}};
constexpr Pattern kConvolution[] = {{How::kContains, "conv"}};
// Values that belong to weights which are quantized already.
constexpr Pattern kScale[] = {{How::kEnds, "scale"},  {How::kEnds, "scales"}, {How::kEnds, "scale_inv"},
                              {How::kEnds, "zeros"},  {How::kIs, "absmax"},   {How::kIs, "scb"},
                              {How::kIs, "quant_map"}};
constexpr Pattern kBias[] = {{How::kContains, "bias"}};
// Parameters that are matrices only by their shape: state-space decays, masks, tables.
constexpr Pattern kNoWeight[] = {{How::kEnds, "_log"},     {How::kContains, "mask"},  {How::kContains, "table"},
                                 {How::kEnds, "_ids"},     {How::kContains, "freqs"}, {How::kContains, "running_"},
                                 {How::kContains, "token"}};
constexpr Pattern kExperts[] = {{How::kContains, "expert"}, {How::kContains, "moe"}, {How::kEnds, "_exps"}};

// Why a matrix with this name is not the weight of a linear layer, or nothing.
std::string_view ReasonToKeep(const NameParts& name) {
  if (AnyFitsAny(name, kPositional)) return "positional table";
  if (FitsAny(name.leaf, kBias)) return "bias";
  if (FitsAny(name.leaf, kScale)) return "scale";
  if (AnyFitsAny(name, kHead)) return "output head";
  if (!name.in_layer && FitsAny(name.module, kHeadOutsideLayers)) return "output head";
  if (FitsAny(name.module, kEmbedding) || FitsAny(name.leaf, kEmbedding)) return "embedding";
  if (FitsAny(name.module, kNorm)) return "norm";
  if (FitsAny(name.module, kRouter) || AnyFitsAny(name, kRouterAnywhere)) return "router";
  if (FitsAny(name.module, kConvolution)) return "convolution";
  if (FitsAny(name.leaf, kNoWeight)) return "not the weight of a linear layer";
  return {};
}

}  // namespace

std::string_view ObstacleToQuantizing(DType dtype, std::span<const uint64_t> shape) {
  if (!InfoOf(dtype).is_float) return "not floating";
  if (shape.empty()) return "scalar";
  if (shape.size() == 1) return "1-D";
  if (std::find(shape.begin(), shape.end(), 0u) != shape.end()) return "empty";
  return {};
}

Selection SelectByDefault(std::string_view name, DType dtype, std::span<const uint64_t> shape) {
  if (const auto obstacle = ObstacleToQuantizing(dtype, shape); !obstacle.empty()) return {false, obstacle};
  if (shape.size() > 3) return {false, "more than 3 dimensions"};
  const NameParts parts = TakeApart(name);
  if (const auto reason = ReasonToKeep(parts); !reason.empty()) return {false, reason};
  if (shape.size() == 2) return {true, "linear"};
  // Three dimensions are a stack of matrices only where the name says so; others are kernels of convolutions.
  if (AnyFitsAny(parts, kExperts)) return {true, "experts"};
  return {false, "3-D, not experts"};
}

}  // namespace ingot
