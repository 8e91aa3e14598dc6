// AWQ: AutoAWQ 0.2.9 (gemm, gemv, gemv_fast) and GPTQModel 7.7.0 (gemm; 2 to 8 bits as plain streams).
// W[n][k] = RN((q - z) * scale), rounded to the type of the scales; of gemv_fast RN(q * scale + qzero).
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "convert/import/transposed_codes.h"
#include "format/checked.h"
#include "format/packing.h"
#include "format/text.h"

namespace ingot {
namespace {

enum class AwqVersion : uint8_t { kGemm, kGemv, kGemvFast };

struct AwqConfig {
  AwqVersion version = AwqVersion::kGemm;
  int bits = 4;
  uint64_t group_size = 0;  // 0: the whole row
};

Result<AwqConfig> ReadAwqConfig(const Checkpoint& c) {
  const Config& config = c.quantization();
  if (config.empty()) {
    return Fail(ErrorCode::kBadInput,
                "{}: AWQ tensors, but no config.json beside them says how they are stored; convert the folder",
                c.path());
  }
  AwqConfig out;
  int64_t values[2] = {4, -1};
  const std::string_view keys[2][2] = {{"bits", "w_bit"}, {"group_size", "q_group_size"}};
  for (size_t i = 0; i < 2; ++i) {
    for (std::string_view key : keys[i]) {
      const auto value = config.Integer(key);
      if (!value) return Propagate(value);
      if (*value) values[i] = **value;
    }
  }
  if (values[0] < 2 || values[0] > 8)
    return Fail(ErrorCode::kBadInput, "{}: bits is {}, must be from 2 to 8", config.what(), values[0]);
  if (values[1] != -1 && values[1] < 1)
    return Fail(ErrorCode::kBadInput, "{}: group_size is {}, must be positive, or -1 for whole rows", config.what(),
                values[1]);
  out.bits = static_cast<int>(values[0]);
  out.group_size = values[1] == -1 ? 0 : static_cast<uint64_t>(values[1]);
  for (std::string_view key : {"format", "checkpoint_format", "version"}) {
    const auto text = config.Text(key);
    if (!text) return Propagate(text);
    if (!*text) continue;
    std::string name = **text;
    for (char& ch : name) ch = ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch;
    if (name == "gemm")
      out.version = AwqVersion::kGemm;
    else if (name == "gemv")
      out.version = AwqVersion::kGemv;
    else if (name == "gemv_fast")
      out.version = AwqVersion::kGemvFast;
    else
      return Fail(ErrorCode::kBadInput, "{}: {} is {}; gemm, gemv and gemv_fast can be imported", config.what(), key,
                  Quote(**text));
  }
  if (out.version != AwqVersion::kGemm && out.bits != 4)
    return Fail(ErrorCode::kBadInput, "{}: {} bits; gemv and gemv_fast have 4", config.what(), out.bits);
  return out;
}

// A module whose tensors have been found to fit together.
struct Module {
  const Checkpoint& checkpoint;
  std::string name;
  AwqConfig config;
  const SourceTensor *qweight, *qzeros, *scales;
  uint64_t rows, cols, group, groups;

  DType type() const { return scales->dtype; }
};

Status CheckEmpty(const Module& m) {
  if (m.rows != 0 && m.cols != 0) return {};
  return m.checkpoint.Refuse(m.qweight->name, "is empty");
}

Result<const SourceTensor*> NeedScales(const Checkpoint& c, const std::string& p, const Checkpoint::Shape& shape) {
  return c.Need(p + ".scales", {DType::kF16, DType::kBF16, DType::kF32}, shape);
}

// Zero-points as lines of codes, one line a group; row-major over rows and groups.
Result<std::vector<uint8_t>> GroupLines(const Source& source, const SourceTensor& words, CodeOrder order, int bits,
                                        uint64_t groups, uint64_t rows) {
  const auto read = ReadAll(source, words);
  if (!read) return Propagate(read);
  std::vector<uint8_t> lines(groups * rows), turned(groups * rows);
  for (uint64_t g = 0; g < groups; ++g)
    UnpackLine(order, bits, read->data() + g * 4 * words.shape[1], rows, lines.data() + g * rows);
  Transpose(1, std::as_bytes(std::span(lines)).data(), groups, rows, reinterpret_cast<std::byte*>(turned.data()));
  return turned;
}

// The same as lines that are rows, of which the first `groups` codes count.
Result<std::vector<uint8_t>> RowLines(const Source& source, const SourceTensor& words, uint64_t groups, uint64_t rows) {
  const auto read = ReadAll(source, words);
  if (!read) return Propagate(read);
  std::vector<uint8_t> codes(groups * rows);
  for (uint64_t r = 0; r < rows; ++r)
    UnpackLine(CodeOrder::kStream, 4, read->data() + r * 4 * words.shape[1], groups, codes.data() + r * groups);
  return codes;
}

// gemv_fast: 16-bit words of [rows / 4, cols]; 64 columns of 4 rows are a block of 64 words.
struct FastCodes {
  const Source* source;
  const SourceTensor* words;
  uint64_t cols;

  Status operator()(uint64_t first, uint64_t count, bool, uint8_t* codes) const {
    const uint64_t row = first / cols, rows = count / cols;
    std::vector<std::byte> read(2 * cols * (rows / 4));
    if (auto done = ReadElements(*source, *words, row / 4 * cols, cols * (rows / 4), read); !done) return done;
    for (uint64_t n = 0; n < rows; ++n) {
      for (uint64_t k = 0; k < cols; ++k) {
        const uint64_t r = k % 32, t = 32 * (k % 64 / 32) + 8 * (r % 8 / 2) + 4 * (r % 2) + r / 8, x = 64 * (n % 4) + t;
        const auto word = Load<uint16_t>(read.data() + 2 * (n / 4 * cols + 64 * (k / 64) + x / 4));
        codes[n * cols + k] = static_cast<uint8_t>(word >> (4 * (x % 4)) & 15);
      }
    }
    return {};
  }
};

Status AddModule(const Module& m, GroupedLayout layout, PartPlan plan, uint64_t row_step, Imports& imports) {
  const DType type = m.type();
  plan.linear.s = Operand::Array(type);
  std::string text = fmt::format("AWQ {}-bit g{}", m.config.bits, m.group);
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout), row_step);
  return imports.Add(m.name + ".weight", type, {m.rows, m.cols}, tensor, {m.qweight, m.qzeros, m.scales});
}

GroupedLayout WithZeros(const Module& m, std::function<Result<std::vector<uint8_t>>()> zeros) {
  GroupedLayout layout;
  layout.z = CodesOperand(std::move(zeros), 0.0f);
  layout.value = [type = m.type()](uint8_t q, float s, float z, float) {
    return RoundTo(type, (static_cast<float>(q) - z) * s);
  };
  return layout;
}

// The columns of a group, and their number; kBadInput if they do not divide the row.
Status SetGroups(Module& m) {
  m.group = m.config.group_size == 0 ? m.cols : m.config.group_size;
  m.groups = CeilDiv(m.cols, m.group);
  if (m.cols % m.group == 0) return {};
  return m.checkpoint.Refuse(m.qweight->name, "has {} input columns, which groups of {} do not divide", m.cols,
                             m.group);
}

Status ImportGemm(Module m, Imports& imports) {
  const Checkpoint& c = m.checkpoint;
  const int bits = m.config.bits;
  const CodeOrder order = bits == 4 ? CodeOrder::kAwq : CodeOrder::kStream;
  m.cols = m.qweight->shape[0];
  const auto scales = NeedScales(c, m.name, {std::nullopt, std::nullopt});
  if (!scales) return Propagate(scales);
  m.scales = *scales;
  m.rows = m.scales->shape[1];
  if (auto full = CheckEmpty(m); !full) return full;
  if (auto set = SetGroups(m); !set) return set;
  const uint64_t words = LineWords(order, bits, m.rows);
  if (auto fits = c.Need(m.scales->name, {}, {m.groups, m.rows}); !fits) return Propagate(fits);
  if (auto fits = c.Need(m.qweight->name, {}, {m.cols, words}); !fits) return Propagate(fits);
  if (auto fits = c.Need(m.qzeros->name, {DType::kI32}, {m.groups, words}); !fits) return Propagate(fits);
  const Source& source = c.source();
  GroupedLayout layout = WithZeros(m, [&source, zeros = m.qzeros, order, bits, groups = m.groups, rows = m.rows] {
    return GroupLines(source, *zeros, order, bits, groups, rows);
  });
  TransposedCodes codes{&source, m.qweight, order, bits, m.rows, m.cols, false, {}};
  const uint64_t step = codes.row_step();
  SetCodes(layout, std::move(codes));
  layout.s = TransposedOperand(source, *m.scales, m.groups);
  PartPlan plan = PlanRows(bits, m.rows, m.cols, m.group, m.type());
  NestCodes(plan, 1, bits);
  return AddModule(m, std::move(layout), std::move(plan), step, imports);
}

// Zero-points and scales are padded to whole words, and more for small groups.
uint64_t PaddedWords(const Module& m) {
  const uint64_t multiple = m.group >= 128 ? 1 : m.group == 64 ? 2 : 4;
  return CeilDiv(CeilDiv(m.groups, 8), multiple) * multiple;
}

Status ImportGemv(Module m, Imports& imports) {
  const Checkpoint& c = m.checkpoint;
  m.rows = m.qweight->shape[0];
  m.cols = 8 * m.qweight->shape[1];
  if (auto full = CheckEmpty(m); !full) return full;
  if (auto set = SetGroups(m); !set) return set;
  const uint64_t padded = PaddedWords(m);
  const auto scales = NeedScales(c, m.name, {m.rows, 8 * padded});
  if (!scales) return Propagate(scales);
  m.scales = *scales;
  if (auto fits = c.Need(m.qzeros->name, {DType::kI32}, {m.rows, padded}); !fits) return Propagate(fits);
  const Source& source = c.source();
  GroupedLayout layout = WithZeros(m, [&source, zeros = m.qzeros, groups = m.groups, rows = m.rows] {
    return RowLines(source, *zeros, groups, rows);
  });
  layout.codes = RowCodes{&source, m.qweight, CodeOrder::kStream, 4, m.cols, m.cols / 2};
  layout.s =
      ArrayOperand(m.type(), [&source, s = m.scales, groups = m.groups] { return ReadColumns(source, *s, 0, groups); });
  PartPlan plan = PlanRows(4, m.rows, m.cols, m.group, m.type());
  NestCodes(plan, 1, 4);
  return AddModule(m, std::move(layout), std::move(plan), 1, imports);
}

Status ImportGemvFast(Module m, Imports& imports) {
  const Checkpoint& c = m.checkpoint;
  m.rows = 4 * m.qweight->shape[0];
  m.cols = m.qweight->shape[1];
  if (auto full = CheckEmpty(m); !full) return full;
  if (m.cols % 64 != 0) return c.Refuse(m.qweight->name, "has {} columns, must be a multiple of 64", m.cols);
  if (auto set = SetGroups(m); !set) return set;
  const uint64_t padded = 8 * PaddedWords(m);
  const auto scales = NeedScales(c, m.name, {padded, m.rows});
  if (!scales) return Propagate(scales);
  m.scales = *scales;
  if (auto fits = c.Need(m.qzeros->name, {m.type()}, {padded, m.rows}); !fits) return Propagate(fits);
  const Source& source = c.source();
  GroupedLayout layout;
  layout.codes = FastCodes{&source, m.qweight, m.cols};
  layout.s = TransposedOperand(source, *m.scales, m.groups);
  layout.o = TransposedOperand(source, *m.qzeros, m.groups, true);
  layout.value = [type = m.type()](uint8_t q, float s, float, float o) {
    return RoundTo(type, static_cast<float>(q) * s + o);
  };
  PartPlan plan = PlanRows(4, m.rows, m.cols, m.group, m.type());
  plan.linear.o = Operand::Array(m.type());
  return AddModule(m, std::move(layout), std::move(plan), 4, imports);
}

Status ImportModule(const Checkpoint& c, const AwqConfig& config, const std::string& p, Imports& imports) {
  const bool fast = config.version == AwqVersion::kGemvFast;
  const auto qweight = c.Need(p + ".qweight", {fast ? DType::kI16 : DType::kI32}, {std::nullopt, std::nullopt});
  if (!qweight) return Propagate(qweight);
  const auto qzeros = c.Need(p + ".qzeros", {}, {std::nullopt, std::nullopt});
  if (!qzeros) return Propagate(qzeros);
  Module m{c, p, config, *qweight, *qzeros, nullptr, 0, 0, 0, 0};
  if (fast) return ImportGemvFast(std::move(m), imports);
  return config.version == AwqVersion::kGemv ? ImportGemv(std::move(m), imports) : ImportGemm(std::move(m), imports);
}

}  // namespace

Status ImportAwq(const Checkpoint& checkpoint, Imports& imports) {
  const auto config = ReadAwqConfig(checkpoint);
  if (!config) return Propagate(config);
  for (const std::string& module : checkpoint.Modules(".qweight")) {
    if (auto done = ImportModule(checkpoint, *config, module, imports); !done) return done;
  }
  for (const std::string& module : checkpoint.Modules(".qzeros")) {
    if (checkpoint.Find(module + ".qweight") == nullptr)
      return checkpoint.Refuse(module + ".qweight", "missing, though {} is there", Quote(module + ".qzeros"));
  }
  return {};
}

}  // namespace ingot
