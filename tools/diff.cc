// ingot diff: how far the values of two models are apart, tensor by tensor.
#include <algorithm>

#include "format/text.h"
#include "tools/any_source.h"
#include "tools/command.h"
#include "tools/compare.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace ingot {
namespace {

enum class Verdict { kIdentical, kDiffers, kShape, kDType, kOnlyInA, kOnlyInB, kUnknown };
constexpr std::string_view kVerdicts[] = {"identical", "differs",   "shape differs", "dtype differs",
                                          "only in A", "only in B", "not comparable"};

struct Row {
  std::string name;
  const TensorInfo *a = nullptr, *b = nullptr;
  Verdict verdict = Verdict::kIdentical;
  bool floating = false;  // has the values below; else compared as bytes
  Comparison comparison;
  std::string note;
};

// Compares one tensor that both have.
Status CompareBoth(const TensorAccess& a, size_t ia, const TensorAccess& b, size_t ib, const ProgressFn& step,
                   Row& row) {
  const TensorInfo &info_a = *row.a, &info_b = *row.b;
  row.floating = InfoOf(info_a.dtype).is_float && InfoOf(info_b.dtype).is_float;
  if (info_a.shape != info_b.shape) {
    row.verdict = Verdict::kShape;
    row.note = fmt::format("{} and {}", ShapeText(info_a.shape), ShapeText(info_b.shape));
    return {};
  }
  if (!row.floating && info_a.dtype != info_b.dtype) {
    row.verdict = Verdict::kDType;
    row.note = fmt::format("{} and {}", InfoOf(info_a.dtype).name, InfoOf(info_b.dtype).name);
    return {};
  }
  for (const auto& [access, i, side] : {std::tuple{&a, ia, "A"}, std::tuple{&b, ib, "B"}}) {
    if (const auto obstacle = access->Obstacle(i)) {
      row.verdict = Verdict::kUnknown;
      row.note = fmt::format("in {} {}", side, *obstacle);
      return {};
    }
  }
  const auto values_a = a.Open(ia);
  if (!values_a) return Propagate(values_a);
  const auto values_b = b.Open(ib);
  if (!values_b) return Propagate(values_b);
  auto comparison = Compare(info_a, **values_a, info_b, **values_b, step);
  if (!comparison) return Propagate(comparison);
  row.comparison = *comparison;
  if (!comparison->identical()) row.verdict = Verdict::kDiffers;
  if (row.floating && info_a.dtype != info_b.dtype) {
    row.note = fmt::format("{} and {}", InfoOf(info_a.dtype).name, InfoOf(info_b.dtype).name);
  }
  return {};
}

uint64_t BytesOf(const TensorInfo& info) { return info.element_count() * InfoOf(info.dtype).size; }

// One row for each name, in the order of names.
Result<std::vector<Row>> CompareAll(const TensorAccess& a, const TensorAccess& b, const ProgressFn& progress) {
  const auto &in_a = a.tensors(), &in_b = b.tensors();
  uint64_t total = 0, done = 0;
  for (const TensorInfo& info : in_a) total += BytesOf(info);
  std::vector<Row> rows;
  for (size_t ia = 0, ib = 0; ia < in_a.size() || ib < in_b.size();) {
    const int order = ia == in_a.size() ? 1 : ib == in_b.size() ? -1 : in_a[ia].name.compare(in_b[ib].name);
    Row row;
    if (order <= 0) row.a = &in_a[ia];
    if (order >= 0) row.b = &in_b[ib];
    row.name = order <= 0 ? row.a->name : row.b->name;
    if (order == 0) {
      const uint64_t size = InfoOf(row.a->dtype).size;
      const auto step = [&](uint64_t elements, uint64_t) { return KeepGoing(progress, done + elements * size, total); };
      if (auto compared = CompareBoth(a, ia, b, ib, step, row); !compared) return Propagate(compared);
    } else {
      row.verdict = order < 0 ? Verdict::kOnlyInA : Verdict::kOnlyInB;
    }
    if (order <= 0) done += BytesOf(*row.a);
    ia += order <= 0;
    ib += order >= 0;
    if (!KeepGoing(progress, done, total)) return Interrupted();
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Total {
  Comparison all;  // of the floating tensors
  size_t identical = 0, differing = 0, only_in_a = 0, only_in_b = 0, unknown = 0;

  explicit Total(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      identical += row.verdict == Verdict::kIdentical;
      only_in_a += row.verdict == Verdict::kOnlyInA;
      only_in_b += row.verdict == Verdict::kOnlyInB;
      unknown += row.verdict == Verdict::kUnknown;
      differing += row.verdict == Verdict::kDiffers || row.verdict == Verdict::kShape || row.verdict == Verdict::kDType;
      if (row.floating) all.Add(row.comparison);
    }
  }
  bool same() const { return differing + only_in_a + only_in_b + unknown == 0; }
};

void AddErrors(const Comparison& comparison, Json& json) {
  json["relative_error"] = NumberOrText(comparison.relative_error());
  json["max_error"] = NumberOrText(comparison.max_error);
  json["sqnr_db"] = NumberOrText(comparison.sqnr_db());
  json["differing_elements"] = comparison.differing;
  json["incomparable_elements"] = comparison.incomparable;
}

Json ToJson(const Row& row) {
  Json json{{"name", row.name}, {"result", kVerdicts[static_cast<size_t>(row.verdict)]}};
  const auto side = [&](const char* key, const TensorInfo* info) {
    if (info != nullptr) json[key] = {{"dtype", InfoOf(info->dtype).name}, {"shape", info->shape}};
  };
  side("a", row.a);
  side("b", row.b);
  const bool compared = row.verdict == Verdict::kIdentical || row.verdict == Verdict::kDiffers;
  if (compared && row.floating) AddErrors(row.comparison, json);
  if (compared && !row.floating) json["differing_elements"] = row.comparison.differing;
  if (!row.note.empty()) json["note"] = row.note;
  return json;
}

void PrintJson(const DiffArguments& options, const std::vector<Row>& rows, const Total& total) {
  Json json{{"a", options.a}, {"b", options.b}, {"identical", total.same()}};
  json["tensors"] = Json::array();
  for (const Row& row : rows) json["tensors"].push_back(ToJson(row));
  Json& sum = json["total"];
  sum = {{"tensors", rows.size()},       {"identical", total.identical}, {"differing", total.differing},
         {"only_in_a", total.only_in_a}, {"only_in_b", total.only_in_b}, {"not_comparable", total.unknown}};
  AddErrors(total.all, sum);
  Write(Dump(json) + "\n");
}

std::string ErrorColumns(const Comparison& c) {
  return fmt::format("{:>11.4g}  {:>11.4g}  {:>8.2f}", c.relative_error(), c.max_error, c.sqnr_db());
}

void PrintRows(const std::vector<Row>& rows, const Total& total) {
  size_t width = 6;
  for (const Row& row : rows) width = std::max(width, std::min<size_t>(60, Escape(row.name).size()));
  Print("{}\n",
        Bold(fmt::format("{:<{}}  {:>11}  {:>11}  {:>8}", "tensor", width, "rel. error", "max error", "SQNR dB")));
  for (const Row& row : rows) {
    const std::string name = fmt::format("{:<{}}", Escape(row.name), width);
    std::string text;
    if (row.verdict == Verdict::kIdentical) {
      text = "identical";
    } else if (row.verdict == Verdict::kDiffers && row.floating) {
      text = ErrorColumns(row.comparison);
    } else if (row.verdict == Verdict::kDiffers) {
      text = fmt::format("differs in {}", Counted(row.comparison.differing, "element"));
    } else {
      text = kVerdicts[static_cast<size_t>(row.verdict)];
    }
    if (row.comparison.incomparable > 0) {
      text += fmt::format("  ({} infinite or NaN on one side)", Counted(row.comparison.incomparable, "element"));
    }
    if (!row.note.empty()) text += fmt::format("  ({})", row.note);
    Print("{}  {}\n", name, row.verdict == Verdict::kIdentical ? Green(text) : text);
  }
  if (!total.all.identical()) Print("{}  {}\n", Bold(fmt::format("{:<{}}", "total", width)), ErrorColumns(total.all));
  Print("{}: {} identical, {} differing", Counted(rows.size(), "tensor"), total.identical, total.differing);
  if (total.only_in_a > 0) Print(", {} only in A", total.only_in_a);
  if (total.only_in_b > 0) Print(", {} only in B", total.only_in_b);
  if (total.unknown > 0) Print(", {} not comparable", total.unknown);
  Print("\n");
}

}  // namespace

Result<int> RunDiff(const DiffArguments& options) {
  const auto a = OpenTensors(options.a);
  if (!a) return Propagate(a);
  const auto b = OpenTensors(options.b);
  if (!b) return Propagate(b);
  Result<std::vector<Row>> rows;
  {
    Progress progress("comparing", options.quiet);
    rows = CompareAll(**a, **b, progress.fn());
  }
  if (!rows) return Propagate(rows);
  const Total total(*rows);
  if (options.json) {
    PrintJson(options, *rows, total);
  } else {
    PrintRows(*rows, total);
  }
  for (const Row& row : *rows) {
    if (row.verdict == Verdict::kUnknown) {
      return Fail(ErrorCode::kBadInput, "tensor '{}': cannot be compared: {}", Escape(row.name), row.note);
    }
  }
  return total.same() ? kExitFine : kExitNo;
}

}  // namespace ingot
