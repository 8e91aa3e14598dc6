// ingot-llama: a small engine for models of the Llama family, built on the C interface alone. It is an example for
// authors of engines, and the judge of the quality tables. To read it: ingot_file (the C interface with lifetimes),
// config, weights (names to tensors), forward (the layers), attention, evaluate; cuda/ has the same layers for GPUs.
#include <tbb/global_control.h>

#include <cmath>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>

#include "tools/llama/evaluate.h"
#include "tools/llama/failure.h"
#include "tools/llama/make_engine.h"
#include "tools/llama/options.h"
#include "tools/llama/process.h"

namespace llama {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kDefaultContext = 2048;

// The ids as the engine takes them, each checked.
std::vector<uint32_t> CheckIds(const Tokens& tokens, uint64_t count, uint64_t vocabulary, const std::string& path) {
  std::vector<uint32_t> ids;
  ids.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const int64_t id = tokens.ids[i];
    if (id < 0 || static_cast<uint64_t>(id) >= vocabulary)
      Fail(kBadInput, "{}: token {} at place {} is out of range: the vocabulary has {}", path, id, i, vocabulary);
    ids.push_back(static_cast<uint32_t>(id));
  }
  return ids;
}

double PerSecond(uint64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

// JSON has no NaN and no infinity.
Json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

struct Plan {
  std::vector<Window> windows;
  uint64_t context = 0, stride = 0;
  uint64_t used = 0;  // tokens of F, after --limit
  uint64_t left_out = 0;
};

Plan MakePlan(const Options& options, const Config& config, const Tokens& tokens) {
  Plan plan;
  const uint64_t limit = options.limit != 0 ? options.limit : tokens.ids.size();
  if (tokens.windows != 0) {
    if (options.stride != 0 || options.tail || (options.context != 0 && options.context != tokens.length))
      Fail(kUsage, "{} has {} windows of {} tokens; --context, --stride and --tail are for a text", options.tokens,
           tokens.windows, tokens.length);
    const uint64_t rows = tokens.length == 0 ? 0 : std::min(tokens.windows, limit / tokens.length);
    plan.context = plan.stride = tokens.length;
    plan.used = rows * tokens.length;
    if (tokens.length >= 2) plan.windows = RowWindows(rows, tokens.length);
  } else {
    plan.context = options.context != 0 ? options.context : std::min(config.context, kDefaultContext);
    plan.stride = options.stride != 0 ? options.stride : plan.context;
    if (plan.stride > plan.context)
      Fail(kUsage, "--stride {} is larger than a window of {} tokens", plan.stride, plan.context);
    plan.used = std::min<uint64_t>(limit, tokens.ids.size());
    plan.windows = TextWindows(plan.used, {plan.context, plan.stride, options.tail});
    if (!plan.windows.empty()) plan.left_out = plan.used - plan.windows.back().end;
  }
  if (plan.windows.empty())
    Fail(kBadInput, "{}: a window needs at least 2 tokens, here are {}", options.tokens, plan.used);
  return plan;
}

// For a model that was made for fewer positions.
void NotePositions(const Options& options, const Config& config, uint64_t positions) {
  if (positions > config.context && !options.quiet)
    Complain(fmt::format("note: the model was made for {} positions, {} are used", config.context, positions));
}

// What it ran on, for figures that say how fast.
Json PlaceJson(const Options& options, const Engine& engine) {
  const Engine::Place place = engine.place();
  Json json = {{"precision", options.precision_name}, {"device", place.name}};
  if (options.gpu) {
    json["activations"] = options.activations;
    json["device_memory_bytes"] = place.memory_bytes;
  } else {
    json["target"] = ingot_target();
  }
  return json;
}

void PrintPlace(const Options& options, const Engine& engine) {
  const Engine::Place place = engine.place();
  if (options.gpu)
    Print("device      {}, at most {:.1f} MiB of its memory, activations in {}\n", place.name,
          static_cast<double>(place.memory_bytes) / (1 << 20), options.activations);
}

void PrintEvaluation(const Options& options, const Engine& engine, const Plan& plan, const Evaluation& done) {
  const WindowLoss total = done.total();
  const double loss = total.sum / static_cast<double>(total.predicted);
  if (!options.json) {
    Print("perplexity  {:.6f}   {} predictions in {} windows of {} tokens\n", done.perplexity(), total.predicted,
          done.windows.size(), plan.windows.front().end - plan.windows.front().begin);
    if (plan.left_out != 0) Print("left out    {} tokens after the last window\n", plan.left_out);
    Print("speed       {:.1f} tokens/s   {} tokens in {:.2f} s, batch {}, precision {}\n",
          PerSecond(done.tokens, done.seconds), done.tokens, done.seconds, options.batch, options.precision_name);
    PrintPlace(options, engine);
    return;
  }
  Json losses = Json::array();
  for (const WindowLoss& w : done.windows) losses.push_back(NumberOrText(w.sum / static_cast<double>(w.predicted)));
  Json json = {{"perplexity", NumberOrText(done.perplexity())},
               {"loss", NumberOrText(loss)},
               {"predicted_tokens", total.predicted},
               {"windows", done.windows.size()},
               {"context", plan.context},
               {"stride", plan.stride},
               {"left_out_tokens", plan.left_out},
               {"tokens", done.tokens},
               {"seconds", done.seconds},
               {"tokens_per_second", PerSecond(done.tokens, done.seconds)},
               {"batch", options.batch},
               {"window_losses", losses}};
  json.update(PlaceJson(options, engine));
  Print("{}\n", json.dump());
}

int RunEvaluation(const Options& options, const IngotFile& file, const Config& config, const Weights& weights,
                  const Tokens& tokens) {
  const Plan plan = MakePlan(options, config, tokens);
  const std::vector<uint32_t> ids = CheckIds(tokens, plan.used, config.vocabulary, options.tokens);
  uint64_t longest = 0, in_all = 0;
  for (const Window& window : plan.windows) {
    longest = std::max(longest, window.end - window.begin);
    in_all += window.end - window.begin;
  }
  NotePositions(options, config, longest);
  const uint64_t batch = std::min(options.batch, longest);
  const auto engine = MakeEngine(options, file, config, weights, longest, batch);
  std::unique_ptr<FloatArrayFile> logits;
  if (!options.logits.empty()) {
    const Window& last = plan.windows.back();
    logits = std::make_unique<FloatArrayFile>(options.logits, last.end - last.begin, config.vocabulary);
  }
  ProgressLine line(options.quiet);
  const auto progress = [&](const Evaluation& done) {
    if (line.due()) {
      const double share = static_cast<double>(done.tokens) / static_cast<double>(in_all);
      line.Show(fmt::format("{:3.0f} %  window {} of {}  perplexity {:.4f}  {:.1f} tokens/s  {:.0f} s left",
                            100 * share, done.windows.size(), plan.windows.size(), done.perplexity(),
                            PerSecond(done.tokens, done.seconds), done.seconds * (1 - share) / share));
    }
    return !StopRequested();
  };
  const Evaluation done = Evaluate(*engine, ids, plan.windows, batch, logits.get(), progress);
  line.Clear();
  if (done.interrupted) Fail(kInterrupted, "interrupted");
  if (logits) logits->Finish();
  PrintEvaluation(options, *engine, plan, done);
  return kFine;
}

int RunGeneration(const Options& options, const IngotFile& file, const Config& config, const Weights& weights,
                  const Tokens& tokens) {
  const uint64_t given = std::min<uint64_t>(tokens.length, tokens.ids.size());  // of windows, the first one
  const uint64_t size = options.limit != 0 ? std::min(options.limit, given) : given;
  if (size == 0) Fail(kBadInput, "{}: there is no token to begin with", options.tokens);
  const std::vector<uint32_t> prompt = CheckIds(tokens, size, config.vocabulary, options.tokens);
  NotePositions(options, config, size + options.generate);
  const uint64_t batch = std::min(options.batch, size);
  const auto engine = MakeEngine(options, file, config, weights, size + options.generate, batch);
  ProgressLine line(options.quiet);
  const auto progress = [&](uint64_t done) {
    if (line.due()) line.Show(fmt::format("{} of {} tokens", done, size + options.generate - 1));
    return !StopRequested();
  };
  const Generation result = Generate(*engine, prompt, options.generate, batch, progress);
  line.Clear();
  if (result.interrupted) Fail(kInterrupted, "interrupted");
  // The first new token comes with the prompt.
  const uint64_t later = result.tokens.size() - 1;
  const double prompt_rate = PerSecond(size, result.prompt_seconds), rate = PerSecond(later, result.generation_seconds);
  if (options.json) {
    Json json = {{"tokens", result.tokens},
                 {"prompt_tokens", size},
                 {"prompt_seconds", result.prompt_seconds},
                 {"prompt_tokens_per_second", prompt_rate},
                 {"generated_tokens", result.tokens.size()},
                 {"generation_seconds", result.generation_seconds},
                 {"generation_tokens_per_second", rate},
                 {"batch", options.batch}};
    json.update(PlaceJson(options, *engine));
    Print("{}\n", json.dump());
    return kFine;
  }
  Print("{}\n", fmt::join(result.tokens, " "));
  Print("prompt      {:.1f} tokens/s   {} tokens in {:.2f} s\n", prompt_rate, size, result.prompt_seconds);
  if (later != 0)
    Print("generation  {:.1f} tokens/s   {} tokens in {:.2f} s\n", rate, later, result.generation_seconds);
  PrintPlace(options, *engine);
  return kFine;
}

int Run(int argc, char** argv) {
  const auto parsed = ParseOptions(argc, argv);
  if (!parsed) return kFine;
  const Options& options = *parsed;
  std::unique_ptr<tbb::global_control> control;  // for this program's own loops; the library is told in IngotFile
  if (options.threads != 0)
    control = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, options.threads);
  const Tokens tokens = ReadTokens(options.tokens);
  const IngotFile file(options.file, options.verify, options.threads);
  const Config config = ReadConfig(file);
  const Weights weights = LoadWeights(file, config);
  if (options.generate != 0) return RunGeneration(options, file, config, weights, tokens);
  return RunEvaluation(options, file, config, weights, tokens);
}

// The exit code of what `body` does, and the message of what it throws.
template <typename Body>
int Guard(const Body& body) {
  try {
    return body();
  } catch (const Failure& failure) {
    Complain(failure.what());
    return failure.exit_code;
  } catch (const std::bad_alloc&) {
    Complain("out of memory");
  } catch (const std::length_error&) {  // a vector larger than the address space
    Complain("out of memory");
  } catch (const std::exception& error) {
    Complain(error.what());
  }
  return kInputOutput;
}

}  // namespace
}  // namespace llama

int main(int argc, char** argv) {
  using namespace llama;
  SetUpProcess();
  const int code = Guard([&] { return Run(argc, argv); });
  const int flushed = Guard([] {
    FlushOutput();
    return static_cast<int>(kFine);
  });
  return code == kFine ? flushed : code;
}
