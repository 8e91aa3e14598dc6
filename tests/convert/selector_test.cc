#include "convert/selector.h"

#include <doctest/doctest.h>

using namespace ingot;

namespace {

SourceTensor Tensor(std::string name, std::vector<uint64_t> shape, DType dtype = DType::kBF16) {
  return {std::move(name), dtype, std::move(shape), 0, 0, 0};
}

Selector Make(SelectorOptions options) {
  auto selector = Selector::Make(std::move(options));
  REQUIRE_MESSAGE(selector, selector.error().message);
  return std::move(*selector);
}

}  // namespace

TEST_CASE("what is quantized without a recipe file") {
  using Shape = std::vector<uint64_t>;
  struct Row {
    const char* name;
    Shape shape;
    const char* reason;
    DType dtype = DType::kBF16;
  };
  const Shape matrix = {64, 64}, stack = {8, 64, 64};
  const Row rows[] = {
      {"model.layers.0.self_attn.q_proj.weight", matrix, "linear"},
      {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", matrix, "linear"},
      {"model.layers.0.mlp.gate_proj.weight", matrix, "linear"},
      {"model.layers.0.mlp.shared_experts.up_proj.weight", matrix, "linear"},
      {"model.layers.3.mlp.experts.7.w1.weight", matrix, "linear"},
      {"transformer.h.0.attn.c_attn.weight", matrix, "linear"},
      {"transformer.h.0.mlp.c_fc.weight", matrix, "linear"},
      {"gpt_neox.layers.0.attention.query_key_value.weight", matrix, "linear"},
      {"bert.encoder.layer.0.attention.output.dense.weight", matrix, "linear"},
      {"encoder.layers.0.attn.in_proj_weight", matrix, "linear"},
      {"transformer_blocks.0.norm1.linear.weight", matrix, "linear"},
      {"blk.0.attn_output.weight", matrix, "linear"},
      {"layers.0.feed_forward.w2.weight", matrix, "linear"},
      {"backbone.layers.0.mixer.in_proj.weight", matrix, "linear"},
      {"decoder.block.0.layer.0.SelfAttention.q.weight", matrix, "linear", DType::kF32},
      {"weight", matrix, "linear", DType::kF8E4M3},
      {"model.layers.0.mlp.experts.gate_up_proj", stack, "experts"},
      {"model.layers.0.mlp.experts.down_proj", stack, "experts"},
      {"model.layers.0.block_sparse_moe.input_linear.weight", stack, "experts"},
      {"blk.0.ffn_gate_exps.weight", stack, "experts"},

      {"model.embed_tokens.weight", matrix, "embedding"},
      {"transformer.wte.weight", matrix, "embedding"},
      {"transformer.wpe.weight", matrix, "positional table"},
      {"transformer.word_embeddings.weight", matrix, "embedding"},
      {"bert.embeddings.token_type_embeddings.weight", matrix, "embedding"},
      {"bert.embeddings.position_embeddings.weight", matrix, "positional table"},
      {"model.decoder.embed_positions.weight", matrix, "positional table"},
      {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", matrix, "positional table"},
      {"visual.pos_embed", matrix, "positional table"},
      {"rotary_emb.weight", matrix, "positional table"},
      {"shared.weight", matrix, "embedding"},
      {"tok_embeddings.weight", matrix, "embedding"},
      {"token_embd.weight", matrix, "embedding"},
      {"decoder.embed_tokens.0.weight", matrix, "embedding"},
      {"lm_head.weight", matrix, "output head"},
      {"lm_heads.0.weight", matrix, "output head"},
      {"model.layers.61.shared_head.head.weight", matrix, "output head"},
      {"embed_out.weight", matrix, "output head"},
      {"output.weight", matrix, "output head"},
      {"transformer.output_layer.weight", matrix, "output head"},
      {"cls.predictions.decoder.weight", matrix, "output head"},
      {"score.weight", matrix, "output head"},
      {"model.layers.0.mlp.gate.weight", matrix, "router"},
      {"model.layers.0.block_sparse_moe.gate.weight", matrix, "router"},
      {"model.layers.0.mlp.shared_expert_gate.weight", {1, 64}, "router"},
      {"model.layers.0.mlp.router.weight", matrix, "router"},
      {"transformer.blocks.0.ffn.router.layer.weight", matrix, "router"},
      {"blk.0.ffn_gate_inp.weight", matrix, "router"},
      {"model.norm.weight", matrix, "norm"},
      {"transformer.ln_f.weight", matrix, "norm"},
      {"encoder.LayerNorm.weight", matrix, "norm"},
      {"model.layers.0.mlp.experts.gate_up_proj_bias", matrix, "bias"},
      {"model.layers.0.self_attn.q_proj.weight_scale_inv", matrix, "scale", DType::kF32},
      {"backbone.layers.0.mixer.A_log", matrix, "not the weight of a linear layer"},
      {"blk.0.ssm_conv1d.weight", matrix, "convolution"},
      {"backbone.layers.0.mixer.conv1d.weight", {64, 1, 4}, "convolution"},
      {"query_tokens.weight", {1, 32, 64}, "3-D, not experts"},
      {"patch_embed.proj.weight", {64, 3, 14, 14}, "more than 3 dimensions"},
      {"model.layers.0.self_attn.q_proj.weight", {64}, "1-D"},
      {"model.layers.0.self_attn.q_proj.weight", {}, "scalar"},
      {"model.layers.0.self_attn.q_proj.weight", {0, 64}, "empty"},
      {"model.layers.0.self_attn.q_proj.weight", matrix, "not floating", DType::kI32},
      {"model.layers.0.self_attn.q_proj.weight", matrix, "not floating", DType::kC64},
      {"", matrix, "linear"},
      {"...", matrix, "linear"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const Selection selection = SelectByDefault(row.name, row.dtype, row.shape);
    CHECK(selection.reason == row.reason);
    CHECK(selection.quantize == (selection.reason == "linear" || selection.reason == "experts"));
  }
}

TEST_CASE("a preset with include and exclude") {
  const Recipe& recipe = FindPreset("int4-g128")->recipe;
  const Selector selector = Make({recipe, false, "embed|lm_head|norm", "layers\\.1\\.|lm_head"});
  const auto decide = [&](const char* name, std::vector<uint64_t> shape, DType dtype = DType::kF16) {
    return *selector.Decide(Tensor(name, std::move(shape), dtype));
  };
  const Method method = recipe.rules[0].method;
  auto decision = decide("layers.0.q_proj.weight", {4, 4});
  CHECK(decision.method == method);
  CHECK(decision.reason == "linear");
  decision = decide("layers.1.q_proj.weight", {4, 4});
  CHECK(decision.method == Method{});
  CHECK(decision.reason == "excluded");
  decision = decide("embed_tokens.weight", {4, 4});
  CHECK(decision.method == method);
  CHECK(decision.reason == "included");
  decision = decide("patch_embed.proj.weight", {4, 3, 2, 2});
  CHECK(decision.method == method);
  CHECK(decision.reason == "included");
  CHECK(decide("lm_head.weight", {4, 4}).reason == "excluded");
  CHECK(decide("norm.weight", {4}).reason == "1-D");
  CHECK(decide("embed_tokens.weight", {4, 4}, DType::kI8).reason == "not floating");
  CHECK(decide("embed_tokens.weight", {4, 0}).reason == "empty");
  CHECK(decide("wte.weight", {4, 4}).reason == "embedding");
  CHECK(Make({FindPreset("none")->recipe, false, {}, {}}).Decide(Tensor("q_proj.weight", {4, 4}))->method == Method{});
}

TEST_CASE("the rules of a recipe file decide alone, the first match wins") {
  const auto recipe = ParseRecipe(R"({"rules":[{"match":"head","method":"keep"},{"match":"embed|q","method":"nf4"},
                                             {"match":"q_proj|head","method":"linear"}]})",
                                  "r.json");
  REQUIRE(recipe);
  const Selector selector = Make({*recipe, true, {}, "never"});
  const auto decide = [&](const char* name, std::vector<uint64_t> shape) {
    return *selector.Decide(Tensor(name, std::move(shape)));
  };
  CHECK(decide("lm_head.weight", {4, 4}).method.kind == MethodKind::kKeep);
  CHECK(decide("lm_head.weight", {4, 4}).reason == "rule 1");
  CHECK(decide("embed_tokens.weight", {4, 4}).method.kind == MethodKind::kNf4);
  CHECK(decide("q_proj.weight", {4, 4}).reason == "rule 2");
  CHECK(decide("q_proj.bias", {4}).method.kind == MethodKind::kKeep);
  CHECK(decide("q_proj.bias", {4}).reason == "rule 2, but 1-D");
  CHECK(decide("k_proj.weight", {4, 4}).reason == "no rule");
  CHECK(decide("never.q_proj.weight", {4, 4}).reason == "excluded");
}

TEST_CASE("patterns and methods that cannot be used") {
  auto selector = Selector::Make({FindPreset("int8")->recipe, false, "(", {}});
  REQUIRE_FALSE(selector);
  CHECK(selector.error().code == ErrorCode::kUsage);
  CHECK(selector.error().message.find("include: regular expression '('") == 0);
  selector = Selector::Make({FindPreset("int8")->recipe, false, {}, "["});
  CHECK(selector.error().message.find("exclude: ") == 0);
  Recipe recipe = FindPreset("int8")->recipe;
  recipe.rules[0].method.bits = 12;
  CHECK(Selector::Make({recipe, true, {}, {}}).error().message.find("recipe 'int8': rule 1: bits is 12") == 0);
  const Selector slow = Make({FindPreset("int8")->recipe, false, {}, "(a+)+[^a]"});
  const auto decision = slow.Decide(Tensor(std::string(64, 'a'), {4, 4}));
  REQUIRE_FALSE(decision);
  CHECK(decision.error().message.find("tensor 'aaa") == 0);
}
