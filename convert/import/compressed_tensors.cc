// compressed-tensors 0.20, and 0.16 with its older packing. W = RN((q - zero) * scale), rounded to the type of the
// scales; of nvfp4 RN_BF16(e2m1 * RN32(scale / global)), of mxfp4 RN_BF16(e2m1 * 2^(scale - 127)).
#include "convert/import/act_order.h"
#include "convert/import/compressed_tensors_config.h"
#include "convert/import/float8.h"
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "convert/import/microscaling.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

// Float scales of a module, and what is beside its codes.
struct Module {
  const Checkpoint& c;
  std::string name;
  CtScheme scheme;
  const SourceTensor* codes;
  uint64_t rows, cols;
  const SourceTensor* scale = nullptr;
  const SourceTensor* zero = nullptr;
  const SourceTensor* g_idx = nullptr;
  const SourceTensor* shape = nullptr;

  DType type() const { return scale->dtype; }
};

// The groups that the scales' shape, the strategy and the group size together give.
Status SetGroups(const Module& m, Linear& l) {
  const auto& shape = m.scale->shape;
  const auto elements = CheckedProduct(shape);
  if (shape.size() < 2) {
    if (elements != 1) return m.c.Refuse(m.scale->name, "has {} elements in {} dimensions", *elements, shape.size());
    l.group_rows = m.rows;
    l.group_cols = m.cols;
    return {};
  }
  if (m.scheme.strategy == "block") {
    l.group_rows = std::min(m.scheme.block_rows, m.rows);
    l.group_cols = std::min(m.scheme.block_cols, m.cols);
  } else {
    l.group_rows = shape[0] == 1 ? m.rows : 1;
    const uint64_t across = shape[1];
    if (across > 1) {
      l.group_cols = m.scheme.group_size != 0 ? m.scheme.group_size : m.cols % across == 0 ? m.cols / across : 0;
      if (l.group_cols == 0 || l.group_cols > m.cols)
        return m.c.Refuse(m.scale->name, "{} groups of {} in {} columns", across, l.group_cols, m.cols);
    }
  }
  const auto fits = m.c.Need(m.scale->name, {}, {l.groups_down(), l.groups_across()});
  return fits ? Status{} : Status(Propagate(fits));
}

// Packed zero-points: words along the first dimension, a line of codes for each group. Row-major over rows and groups.
Result<std::vector<uint8_t>> UnpackZeros(const Source& source, const SourceTensor& words, CodeOrder order, int bits,
                                         uint64_t rows) {
  const auto read = ReadAll(source, words);
  if (!read) return Propagate(read);
  const uint64_t count = words.shape[0], groups = words.shape[1];
  std::vector<std::byte> lines(read->size());
  Transpose(4, read->data(), count, groups, lines.data());
  std::vector<uint8_t> by_group(groups * rows), zeros(groups * rows);
  for (uint64_t g = 0; g < groups; ++g)
    UnpackLine(order, bits, lines.data() + 4 * g * count, rows, by_group.data() + g * rows);
  Transpose(1, std::as_bytes(std::span(by_group)).data(), groups, rows, reinterpret_cast<std::byte*>(zeros.data()));
  return zeros;
}

// Signed bytes as codes: 128 more.
Result<std::vector<uint8_t>> SignedCodes(const Source& source, const SourceTensor& tensor) {
  const auto read = ReadAll(source, tensor);
  if (!read) return Propagate(read);
  std::vector<uint8_t> codes;
  for (std::byte b : *read) codes.push_back(std::to_integer<uint8_t>(b ^ std::byte{0x80}));
  return codes;
}

Status AddModule(const Module& m, GroupedLayout layout, PartPlan plan, Imports& imports) {
  const DType type = m.type();
  plan.linear.s = Operand::Array(type);
  layout.s = ArrayOperand(m.c.source(), *m.scale);
  const uint64_t step = plan.linear.group_rows < m.rows ? plan.linear.group_rows : 1;
  std::string text =
      fmt::format("compressed-tensors {} {}-bit g{}", m.scheme.format, plan.linear.bits, plan.linear.group_cols);
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout), step);
  return imports.Add(m.name + ".weight", type, {m.rows, m.cols}, tensor, {m.codes, m.scale, m.zero, m.g_idx, m.shape});
}

// The value of a code, less its zero-point: `half` where there is none.
std::function<float(uint8_t, float, float, float)> ValueOf(DType type, float half, bool zeros) {
  return [type, half, zeros](uint8_t q, float s, float z, float) {
    return RoundTo(type, (static_cast<float>(q) - (zeros ? z : half)) * s);
  };
}

// Columns in groups that are not in order; a g_idx of -1 means none.
Status SetActOrder(Module& m, PartPlan& plan, GroupedLayout& layout) {
  m.g_idx = m.c.Find(m.name + ".weight_g_idx");
  if (m.g_idx == nullptr) return {};
  const auto fits = m.c.Need(m.g_idx->name, {DType::kI32}, {m.cols});
  if (!fits) return Propagate(fits);
  const auto first = ReadAll(m.c.source(), *m.g_idx);
  if (!first) return Propagate(first);
  if (Load<int32_t>(first->data()) == -1) return {};
  auto order = ReadActOrder(m.c, *m.g_idx, plan.linear.group_cols);
  if (!order) return Propagate(order);
  plan.linear.permutation = !order->permutation.empty();
  plan.permutation = std::move(order->permutation);
  layout.group_of_column = std::move(order->group_of_column);
  layout.obstacle = std::move(order->obstacle);
  return {};
}

// Codes of rows, with the columns in the order of a permutation.
struct PermutedCodes {
  RowCodes rows;
  std::vector<uint32_t> permutation;

  Status operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const {
    if (auto read = rows(first, count, plain, codes); !read || plain || permutation.empty()) return read;
    std::vector<uint8_t> row(rows.cols);
    for (uint64_t at = 0; at < count; at += rows.cols) {
      std::copy_n(codes + at, rows.cols, row.data());
      for (uint64_t j = 0; j < rows.cols; ++j) codes[at + j] = row[permutation[j]];
    }
    return {};
  }
};

Status ImportPacked(const CtConfig& config, Module m, Imports& imports) {
  const Checkpoint& c = m.c;
  const int bits = m.scheme.bits;
  if (m.codes->dtype != DType::kI32 || m.codes->shape.size() != 2)
    return c.Refuse(m.codes->name, "must be I32 of two dimensions");
  const auto shape = c.Need(m.name + ".weight_shape", {DType::kI64, DType::kI32}, {2});
  if (!shape) return Propagate(shape);
  m.shape = *shape;
  const auto sizes = ReadAll(c.source(), **shape);
  if (!sizes) return Propagate(sizes);
  const auto size_at = [&](size_t i) {
    return m.shape->dtype == DType::kI64 ? Load<int64_t>(sizes->data() + 8 * i) : Load<int32_t>(sizes->data() + 4 * i);
  };
  if (size_at(0) < 1 || size_at(1) < 1 || size_at(1) > (int64_t{1} << 40))
    return c.Refuse(m.shape->name, "says {} by {}", size_at(0), size_at(1));
  m.rows = static_cast<uint64_t>(size_at(0));
  m.cols = static_cast<uint64_t>(size_at(1));
  const uint64_t dense = LineWords(CodeOrder::kStream, bits, m.cols),
                 aligned = LineWords(CodeOrder::kWordAligned, bits, m.cols);
  const uint64_t words = m.codes->shape[1];
  if (m.codes->shape[0] != m.rows || (words != dense && words != aligned))
    return c.Refuse(m.codes->name, "has {} rows of {} words; {} by {} codes of {} bits need rows of {}",
                    m.codes->shape[0], words, m.rows, m.cols, bits, dense);
  const bool straddles = dense == aligned ? config.straddles() : words == dense;
  const CodeOrder order = straddles ? CodeOrder::kStream : CodeOrder::kWordAligned;

  PartPlan plan = PlanRows(bits, m.rows, m.cols, m.cols, m.type());
  if (auto set = SetGroups(m, plan.linear); !set) return set;
  GroupedLayout layout;
  if (auto set = SetActOrder(m, plan, layout); !set) return set;
  layout.codes = PermutedCodes{{&c.source(), m.codes, order, bits, m.cols, 4 * words}, plan.permutation};
  const auto half = static_cast<float>(1 << (bits - 1));
  m.zero = c.Find(m.name + ".weight_zero_point");
  if (m.zero != nullptr) {
    const auto fits =
        c.Need(m.zero->name, {DType::kI32}, {LineWords(order, bits, m.rows), plan.linear.groups_across()});
    if (!fits) return Propagate(fits);
    if (plan.linear.group_rows != 1 && m.rows != 1)
      return c.Refuse(m.zero->name, "packed zero-points of groups of rows");
    NestCodes(plan, 1, bits);
    layout.z = CodesOperand([&source = c.source(), zero = m.zero, order, bits,
                             rows = m.rows] { return UnpackZeros(source, *zero, order, bits, rows); },
                            0.0f);
  } else {
    plan.linear.z = Operand::Constant(half);
  }
  layout.value = ValueOf(m.type(), half, m.zero != nullptr);
  return AddModule(m, std::move(layout), std::move(plan), imports);
}

Status ImportPlain(Module m, Imports& imports) {
  const Checkpoint& c = m.c;
  const bool is_int = m.codes->dtype == DType::kI8;
  if (m.codes->shape.size() != 2 || m.codes->size == 0)
    return c.Refuse(m.codes->name, "must have two dimensions, none 0");
  m.rows = m.codes->shape[0];
  m.cols = m.codes->shape[1];
  PartPlan plan = PlanRows(8, m.rows, m.cols, m.cols, m.type());
  if (auto set = SetGroups(m, plan.linear); !set) return set;
  GroupedLayout layout;
  if (auto set = SetActOrder(m, plan, layout); !set) return set;
  RowCodes rows{&c.source(), m.codes, CodeOrder::kStream, 8, m.cols, m.cols, is_int ? uint8_t{0x80} : uint8_t{0}};
  layout.codes = PermutedCodes{rows, plan.permutation};
  m.zero = c.Find(m.name + ".weight_zero_point");
  if (!is_int) {
    plan.linear.codebook = true;
    plan.codebook = Float8Codebook(m.codes->dtype);
    // Zero-points of floating codes say nothing: they are 0.
    layout.value = [book = plan.codebook, type = m.type()](uint8_t q, float s, float, float) {
      return RoundTo(type, book[q] * s);
    };
    return AddModule(m, std::move(layout), std::move(plan), imports);
  }
  if (m.zero != nullptr) {
    const auto fits =
        c.Need(m.zero->name, {DType::kI8}, Checkpoint::Shape(m.scale->shape.begin(), m.scale->shape.end()));
    if (!fits) return Propagate(fits);
    NestCodes(plan, 1, 8);
    layout.z = CodesOperand([&source = c.source(), zero = m.zero] { return SignedCodes(source, *zero); }, 0.0f);
  } else {
    plan.linear.z = Operand::Constant(128.0f);
  }
  layout.value = ValueOf(m.type(), 128.0f, m.zero != nullptr);
  return AddModule(m, std::move(layout), std::move(plan), imports);
}

// E2M1 codes: nvfp4 with E4M3 scales and a global one, mxfp4 with powers of two.
Status ImportMicroscaling(Module m, Imports& imports) {
  const Checkpoint& c = m.c;
  const bool nv = m.scheme.format == "nvfp4-pack-quantized";
  const uint64_t group = nv ? 16 : 32;
  if (m.codes->dtype != DType::kU8 || m.codes->shape.size() != 2 || m.codes->size == 0)
    return c.Refuse(m.codes->name, "must be U8 of two dimensions");
  m.rows = m.codes->shape[0];
  m.cols = 2 * m.codes->shape[1];
  if (m.cols % group != 0) return c.Refuse(m.codes->name, "{} columns are no whole groups of {}", m.cols, group);
  const auto scale = nv ? c.Need(m.scale->name, {DType::kF8E4M3}, {m.rows, m.cols / group})
                        : c.Need(m.scale->name, {DType::kU8, DType::kF8E8M0}, {m.rows, m.cols / group});
  if (!scale) return Propagate(scale);
  std::vector<float> book = Float8Codebook(nv ? DType::kF8E4M3 : DType::kF8E8M0);
  const SourceTensor* global = nullptr;
  if (nv) {
    const auto needed = c.Need(m.name + ".weight_global_scale", {DType::kF32}, {1});
    if (!needed) return Propagate(needed);
    global = *needed;
    const auto value = ReadFloats(c.source(), *global);
    if (!value) return Propagate(value);
    for (float& entry : book) entry /= value->front();
  }
  auto tensor = MakeMicroscaling(c.source(), nv ? "NVFP4" : "MXFP4", *m.codes, *m.scale, m.rows, m.cols, group, book);
  return imports.Add(m.name + ".weight", DType::kBF16, {m.rows, m.cols}, tensor, {m.codes, m.scale, global});
}

Status ImportModule(const Checkpoint& c, const CtConfig& config, const std::string& p, Imports& imports) {
  const auto scheme = config.SchemeOf(p);
  if (!scheme) return Propagate(scheme);
  const SourceTensor* packed = c.Find(p + ".weight_packed");
  const SourceTensor* codes = packed != nullptr ? packed : c.Find(p + ".weight");
  if (codes == nullptr) return c.Refuse(p + ".weight", "missing, though its scales are there");
  const auto scale = c.Need(p + ".weight_scale", {},
                            packed == nullptr ? Checkpoint::Shape(c.Find(p + ".weight_scale")->shape.size())
                                              : Checkpoint::Shape{std::nullopt, std::nullopt});
  if (!scale) return Propagate(scale);
  Module m{c, p, *scheme, codes, 0, 0, *scale};
  const std::string& format = m.scheme.format;
  if (format == "nvfp4-pack-quantized" || format == "mxfp4-pack-quantized")
    return ImportMicroscaling(std::move(m), imports);
  const DType t = m.scale->dtype;
  if (t != DType::kF16 && t != DType::kBF16 && t != DType::kF32)
    return c.Refuse(m.scale->name, "is {}, must be F16, BF16 or F32", InfoOf(t).name);
  const bool plain = format == "int-quantized" || format == "float-quantized" || format == "naive-quantized";
  if (format == "pack-quantized" && packed != nullptr) return ImportPacked(config, std::move(m), imports);
  if (plain && packed == nullptr) {
    const bool fits = scheme->is_float ? !Float8Codebook(codes->dtype).empty() : codes->dtype == DType::kI8;
    if (!fits)
      return c.Refuse(codes->name, "is {}, which format {} of {} bits is not", InfoOf(codes->dtype).name, Quote(format),
                      scheme->bits);
    return ImportPlain(std::move(m), imports);
  }
  return c.Refuse(codes->name, "is of format {}, which cannot be imported in this form", Quote(format));
}

}  // namespace

Status ImportCompressedTensors(const Checkpoint& checkpoint, Imports& imports) {
  const auto config = CtConfig::Read(checkpoint);
  if (!config) return Propagate(config);
  for (const std::string& module : checkpoint.Modules(".weight_scale")) {
    if (auto done = ImportModule(checkpoint, *config, module, imports); !done) return done;
  }
  for (const std::string& module : checkpoint.Modules(".weight_packed")) {
    if (checkpoint.Find(module + ".weight_scale") == nullptr)
      return checkpoint.Refuse(module + ".weight_scale", "missing, though {} is there",
                               Quote(module + ".weight_packed"));
  }
  return {};
}

}  // namespace ingot
