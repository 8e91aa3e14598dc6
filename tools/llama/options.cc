#include "tools/llama/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tools/llama/failure.h"
#include "tools/llama/process.h"

namespace llama {
namespace {

constexpr const char* kDescription =
    "Runs a model of the Llama family from an .ingot file: perplexity and tokens per second, or a continuation.\n"
    "Quantized weights are multiplied as they are packed in the mapped file; no tensor is decoded as a whole.\n"
    "The file may come from Hugging Face checkpoints (quantized or not) or from GGUF.";

constexpr const char* kFooter =
    "Perplexity\n"
    "  F is an array of token ids as numpy saves it: int32, int64, uint16 or uint32, of the shape (tokens) or\n"
    "  (windows, tokens). Nothing is added to it, no start token either.\n"
    "  (tokens): the text is cut into windows of N tokens (--context) that start at token 0, S, 2 S, ... (--stride; S "
    "= N\n"
    "  unless given). Tokens that do not fill a last window are left out, unless the text is shorter than one window, "
    "or\n"
    "  --tail is given. (windows, tokens): every row is a window.\n"
    "  In a window, each token but the first is predicted from all tokens before it in that window (by the position\n"
    "  embedding, the first one is at position 0). Where windows overlap, a token that an earlier window has predicted "
    "is\n"
    "  not predicted again; it is context. With p(token) from the softmax of the logits,\n"
    "    loss = mean over all predicted tokens of all windows of -ln p(token);   perplexity = exp(loss).\n"
    "  This is what the transformers library gives: with input_ids of shape (windows, N) and labels = input_ids, its "
    "loss\n"
    "  is the mean over windows * (N - 1) predictions; with overlap, that of labels set to -100 for context.\n"
    "\n"
    "Precision, of all products with weights (activations are f32 everywhere else)\n"
    "  f32       sums in f32: only their order differs from a plain implementation\n"
    "  int16     activations in 16-bit fixed point: the error of f16 activations, faster\n"
    "  int8      activations in 8 bits by the maximum of each token: fastest\n"
    "  llm-int8  as int8, but columns with an activation over 6 are multiplied in f32\n"
    "\n"
    "GPUs (--device cuda, or cuda:N for another than the first one)\n"
    "  The whole forward pass runs there. Weights are copied as packed as they are in the file, each MiB checked on "
    "its\n"
    "  way (but for --verify off), and stay. What goes into products and into the cache of keys and values is rounded\n"
    "  to f16, or to bf16 for models whose activations exceed f16's 65504 (--activations); everything else is f32. "
    "There\n"
    "  is no int16.\n"
    "\n"
    "Examples:\n"
    "  ingot-llama model.ingot --tokens text.npy --context 256\n"
    "  ingot-llama model.ingot --tokens text.npy --device cuda --batch 512\n"
    "  ingot-llama model.ingot --tokens prompt.npy --generate 100\n"
    "\n"
    "Exit codes:\n"
    "  0    fine\n"
    "  2    the command line is wrong\n"
    "  3    bad input: the bytes of a file are not what they claim to be, or not supported; no such GPU\n"
    "  4    input or output failed: a missing file, a full disk, a GPU that fails or has too little memory\n"
    "  130  interrupted\n"
    "\n"
    "Environment:\n"
    "  INGOT_THREADS   number of threads (default: all cores)\n"
    "  INGOT_TARGET    SIMD target of the products by Highway's name: scalar, sse4, avx2, avx3, ...\n"
    "  INGOT_NO_MMAP   read the file into memory instead of mapping it";

constexpr uint64_t kMaxContext = uint64_t{1} << 20;
constexpr uint64_t kMaxBatch = uint64_t{1} << 16;
constexpr uint32_t kMaxThreads = 1024;

uint32_t ThreadsFromEnvironment() {
  const char* text = std::getenv("INGOT_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  uint32_t value = 0;
  if (!CLI::detail::lexical_cast(std::string(text), value) || value < 1 || value > kMaxThreads)
    Fail(kUsage, "INGOT_THREADS is '{}', must be a number from 1 to {}", text, kMaxThreads);
  return value;
}

// Nothing: the CPU.
std::optional<uint32_t> GpuNumber(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  uint32_t number = 0;
  const bool numbered = device.starts_with("cuda:") && CLI::detail::lexical_cast(device.substr(5), number);
  if (device != "cuda" && !numbered) Fail(kUsage, "--device is '{}', must be cpu, cuda or cuda:N", device);
  return number;
}

void AddOptions(CLI::App& app, Options& o, std::string& device, std::string& verify) {
  app.add_option("FILE", o.file, "the model")->required();
  app.add_option("--tokens", o.tokens, "token ids (.npy)")->type_name("F.npy")->required();
  app.add_option("--context", o.context, "tokens in a window (default: what the model was made for, at most 2048)")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{2}, kMaxContext));
  app.add_option("--stride", o.stride, "tokens from a window to the next (default: as many as in a window)")
      ->type_name("S")
      ->check(CLI::Range(uint64_t{1}, kMaxContext));
  app.add_flag("--tail", o.tail, "also a last window that the text does not fill");
  app.add_option("--limit", o.limit, "use only the first N tokens of F, or the whole windows among them")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  app.add_option("--generate", o.generate,
                 "instead of the perplexity, the N likeliest tokens one by one after the text F (its first row)")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, kMaxContext));
  app.add_option("--logits", o.logits, "write the logits of the last window: float32, (tokens, vocabulary)")
      ->type_name("OUT.npy");
  app.add_option("--batch", o.batch, "tokens at once")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, kMaxBatch))
      ->capture_default_str();
  app.add_option("--precision", o.precision_name, "of activations in products with weights: f32, int16, int8, llm-int8")
      ->type_name("P")
      ->check(CLI::IsMember({"f32", "int16", "int8", "llm-int8"}))
      ->capture_default_str();
  app.add_option("--device", device, "cpu, or a GPU by its number: cuda, cuda:1, ...")
      ->type_name("D")
      ->capture_default_str();
  app.add_option("--activations", o.activations, "on a GPU: how activations are rounded: f16, bf16")
      ->type_name("A")
      ->check(CLI::IsMember({"f16", "bf16"}))
      ->capture_default_str();
  app.add_option("--verify", verify,
                 "checksums of weights: before their first use, all at the start, or not: lazy, open, off")
      ->type_name("V")
      ->check(CLI::IsMember({"lazy", "open", "off"}))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "threads to use (default: INGOT_THREADS, else all cores)")
      ->type_name("N")
      ->check(CLI::Range(1u, kMaxThreads));
  app.add_flag("--json", o.json, "print one JSON document");
  app.add_flag("--quiet", o.quiet, "no progress and no notes");
}

}  // namespace

std::optional<Options> ParseOptions(int argc, char** argv) {
  Options options;
  std::string device = "cpu", verify = "lazy";
  CLI::App app(kDescription, "ingot-llama");
  app.footer(kFooter);
  app.set_version_flag("--version", fmt::format("ingot-llama {}", ingot_version()));
  app.get_formatter()->column_width(34);
  AddOptions(app, options, device, verify);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion& version) {
    Print("{}\n", version.what());
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    Print("{}", app.help());
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    Fail(kUsage, "{}\nTry 'ingot-llama --help'.", error.what());
  }
  if (options.generate != 0 && (options.context != 0 || options.stride != 0 || options.tail || !options.logits.empty()))
    Fail(kUsage, "--generate does not go with --context, --stride, --tail or --logits");
  if (options.stride != 0 && options.context != 0 && options.stride > options.context)
    Fail(kUsage, "--stride {} is larger than --context {}: tokens between the windows would be left out",
         options.stride, options.context);
  const std::map<std::string, ingot_precision> precisions = {{"f32", INGOT_PRECISION_F32},
                                                             {"int16", INGOT_PRECISION_INT16},
                                                             {"int8", INGOT_PRECISION_INT8},
                                                             {"llm-int8", INGOT_PRECISION_LLM_INT8}};
  options.precision = precisions.at(options.precision_name);
  options.gpu = GpuNumber(device);
  if (options.gpu && options.precision == INGOT_PRECISION_INT16)
    Fail(kUsage, "--precision int16 is for the CPU; on a GPU there are f32, int8 and llm-int8");
  options.verify = verify == "lazy" ? INGOT_VERIFY_LAZY : verify == "open" ? INGOT_VERIFY_OPEN : INGOT_VERIFY_OFF;
  if (options.threads == 0) options.threads = ThreadsFromEnvironment();
  return options;
}

}  // namespace llama
