// ingot convert: a checkpoint becomes an .ingot file.
#include "convert/convert.h"

#include <charconv>

#include "convert/recipe.h"
#include "convert/selector.h"
#include "convert/source.h"
#include "format/report.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace ingot {
namespace {

// "4G", "500MB", "1.5GiB", "1048576": bytes. K, M, G, T are powers of 1000, Ki, Mi, ... of 1024.
Result<uint64_t> ParseSize(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(end, text.data() + text.size());
  if (unit.ends_with('B') || unit.ends_with('b')) unit.pop_back();
  const bool binary = unit.ends_with('i');
  if (binary) unit.pop_back();
  double factor = 1;
  constexpr std::string_view kUnits = "KMGT";
  const size_t power = unit.size() == 1
                           ? kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))))
                           : kUnits.npos;
  for (size_t i = 0; power != kUnits.npos && i <= power; ++i) factor *= binary ? 1024 : 1000;
  const double bytes = value * factor;
  if (error != std::errc() || (power == kUnits.npos && !unit.empty()) || !(bytes >= 1 && bytes < 1e18)) {
    return Fail(ErrorCode::kUsage, "--shard-size '{}': expected bytes, such as 4G, 500MB or 1.5GiB", Escape(text));
  }
  return static_cast<uint64_t>(bytes);
}

// The recipe that the options ask for: a preset, a file, or one rule from --method and its companions.
Result<SelectorOptions> ChooseRecipe(const ConvertArguments& options) {
  SelectorOptions selection;
  const MethodOptions& m = options.method;
  const bool has_method = !m.method.empty() || m.bits || m.group_size || m.symmetric || m.zero_point || m.scale_dtype ||
                          m.clip || m.outliers || m.outlier_kind;
  if (!options.preset.empty() + !options.recipe_file.empty() + has_method > 1) {
    return Fail(ErrorCode::kUsage, "--preset, --recipe and --method with its options exclude each other");
  }
  if (!options.recipe_file.empty()) {
    auto recipe = ReadRecipe(options.recipe_file);
    if (!recipe) return Propagate(recipe);
    selection.recipe = std::move(*recipe);
    selection.rules_decide = true;
  } else if (has_method) {
    MethodOptions filled = m;
    if (filled.method.empty()) filled.method = "linear";
    auto method = MakeMethod(filled);
    if (!method) return Propagate(method);
    selection.recipe = RecipeOf("command line", *method);
  } else {
    const std::string name = options.preset.empty() ? "none" : options.preset;
    const Preset* preset = FindPreset(name);
    if (preset == nullptr)
      return Fail(ErrorCode::kUsage, "--preset '{}': no such preset; `ingot presets` lists them", Escape(name));
    selection.recipe = preset->recipe;
  }
  if (!options.include.empty()) selection.include = options.include;
  if (!options.exclude.empty()) selection.exclude = options.exclude;
  return selection;
}

Result<int> DryRun(const Source& source, const ConvertArguments& options) {
  auto plan = PlanConversion(source, options.convert.selection);
  if (!plan) return Propagate(plan);
  Json tensors = Json::array();
  for (const PlannedTensor& t : *plan) {
    if (options.json) {
      tensors.push_back({{"name", t.name},
                         {"dtype", InfoOf(t.dtype).name},
                         {"shape", t.shape},
                         {"method", MethodToText(t.method)},
                         {"reason", t.reason}});
    } else {
      Print("{:<48} {:<8} {:<18} {}  ({})\n", Escape(t.name), InfoOf(t.dtype).name, ShapeText(t.shape),
            MethodToText(t.method), t.reason);
    }
  }
  if (options.json) Write(Dump(Json{{"source", source.kind()}, {"tensors", tensors}}) + "\n");
  return kExitFine;
}

void PrintResult(const ConvertResult& r, const Source& source, const ConvertArguments& options) {
  const double rate = static_cast<double>(r.source_bytes) / 1e9 / r.seconds;
  if (options.json) {
    Write(Dump(Json{{"source", source.kind()},
                    {"quantization", source.quantization()},
                    {"files", r.files},
                    {"tensors", r.tensors},
                    {"quantized", r.quantized},
                    {"imported", r.imported},
                    {"verified", r.verified},
                    {"source_bytes", r.source_bytes},
                    {"file_bytes", r.file_bytes},
                    {"inexact_outliers", r.inexact_outliers},
                    {"content_digest", "xxh3:" + ToHex(r.content_digest)},
                    {"seconds", r.seconds},
                    {"sync_seconds", r.sync_seconds},
                    {"gb_per_second", rate}}) +
          "\n");
    return;
  }
  if (options.quiet) return;
  const std::string kind(source.quantization().empty() ? source.kind() : source.quantization());
  const std::string imported = r.imported == 0 ? "" : fmt::format(", {} kept as quantized there", r.imported);
  Print("{}: {} ({}) of {}, {} quantized{}, {} -> {}\n", WithoutControls(options.target), Counted(r.tensors, "tensor"),
        kind, WithoutControls(options.source), r.quantized, imported, HumanBytes(r.source_bytes),
        HumanBytes(r.file_bytes));
  if (options.convert.verify) Print("{} verified: bit for bit what the source says\n", Counted(r.verified, "tensor"));
  if (r.files.size() > 1) Print("{} shards and a manifest\n", r.files.size() - 1);
  if (r.inexact_outliers != 0)
    Print("{} outliers come back rounded: no stored value gives their exact sum\n", Grouped(r.inexact_outliers));
  Print("content digest xxh3:{}\n{:.2f} s, {:.2f} GB/s of source, of that the final flush {:.2f} s\n",
        ToHex(r.content_digest), r.seconds, rate, r.sync_seconds);
}

}  // namespace

Result<int> RunConvert(ConvertArguments options) {
  auto selection = ChooseRecipe(options);
  if (!selection) return Propagate(selection);
  selection->requantize = options.requantize;
  options.convert.selection = std::move(*selection);
  if (!options.shard_size.empty()) {
    auto size = ParseSize(options.shard_size);
    if (!size) return Propagate(size);
    options.convert.shard_size = *size;
  }
  auto source = OpenSource(options.source);
  if (!source) return Propagate(source);
  if (options.dry_run) return DryRun(**source, options);
  auto result = [&] {
    Progress progress("converting", options.quiet || options.json);
    options.convert.progress = progress.fn();
    return Convert(**source, options.source, options.target, options.convert);
  }();
  if (!result) return Propagate(result);
  PrintResult(*result, **source, options);
  return kExitFine;
}

}  // namespace ingot
